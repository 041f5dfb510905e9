"""What a run of `thinslice enhance` writes: refused before work where it may not be, then all of it or nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.cli.summary import summary
from thinslice.cli.terminal import Terminal
from thinslice.errors import OutputError, UsageError, named
from thinslice.io.output_format import OutputFormat
from thinslice.system.output import none_left, numbered

if TYPE_CHECKING:
    from thinslice.result import Result

_log = logging.getLogger("thinslice.cli")


@dataclass(frozen=True)
class Output:
    """Where a result goes, and what is written beside it.

    Attributes:
        result: a file, or a folder for a DICOM series.
        form: of the result.
        weights: the file of the fitted weights, or None.
        picture: the file of the preview, or None.
        report: the file of the report, or None.
        uncertainty: the file of the uncertainty, or None.
        labels: whether a label map goes beside the result.
    """

    result: Path
    form: OutputFormat
    weights: Path | None
    picture: Path | None
    report: Path | None
    uncertainty: Path | None
    labels: bool

    @property
    def is_series(self) -> bool:
        """Whether the result is a DICOM series."""
        from thinslice.io import files

        return not files.has_known_ending(self.result)

    @property
    def parts(self) -> tuple[Path, ...]:
        """The result, and the other files that it consists of: voxels or a side-car."""
        from thinslice.io import files

        return files.parts(self.result, sidecar=self.form.sidecar)

    @property
    def label_parts(self) -> tuple[Path, ...]:
        """The files of the label map; none where there is none."""
        from thinslice.io import files
        from thinslice.io.label_map import labels_path

        return files.parts(labels_path(self.result)) if self.labels else ()

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        return [path for path in (*self.parts, *self.label_parts, *self.asides, *self.uncertainty_parts) if path]

    @property
    def uncertainty_parts(self) -> tuple[Path, ...]:
        """The uncertainty, and the other files that it consists of."""
        from thinslice.io import files
        from thinslice.io.writing import is_map

        if self.uncertainty is None:
            return ()
        return (self.uncertainty,) if is_map(self.uncertainty) else files.parts(self.uncertainty)

    @property
    def asides(self) -> tuple[Path | None, ...]:
        """What is asked for beside the result by names of its own, or None."""
        return self.weights, self.picture, self.report

    def for_parts(self, count: int) -> list[Output]:
        """The outputs of each part of a series, numbered from 1; of one alone, they are called as asked for."""
        from thinslice.io import files

        if count == 1:
            return [self]
        series_number = self.form.series_number
        return [
            replace(
                self,
                result=numbered(self.result, number, ending=files.ending_of(self.result)),
                form=replace(self.form, series_number=None if series_number is None else series_number + number - 1),
                weights=self.weights and numbered(self.weights, number, ending=self.weights.suffix),
                picture=self.picture and numbered(self.picture, number, ending=self.picture.suffix),
                report=self.report and numbered(self.report, number, ending=self.report.suffix),
                uncertainty=self.uncertainty and numbered(self.uncertainty, number, ending=_ending(self.uncertainty)),
            )
            for number in range(1, count + 1)
        ]

    def refuse(self, terminal: Terminal, inputs: tuple[Path | None, ...]) -> None:
        """Refuse, before work starts, what is an input, is asked for twice, or exists and may not be replaced.

        On writing, `thinslice.system.output` looks once more at what exists.

        Raises:
            OutputError: OUT-EXISTS, OUT-WRITE, OUT-INPUT, OUT-TWICE.
            UsageError: USE-SIDECAR where the record would be the side-car.
        """
        from thinslice.io.writing import of_a_series

        terminal.refuse_existing(*self.asides)
        terminal.refuse_existing(self.result, is_own=of_a_series if self.is_series else None)
        _, *beside = self.parts
        if terminal.record_path in beside:
            raise UsageError(
                "USE-SIDECAR",
                f"--json {named(beside[0], '')} is the side-car of the result; name another file, or add --no-sidecar",
            )
        terminal.refuse_clashes(inputs, *self.files)
        if self.is_series:
            terminal.refuse_inside(self.result, *self.asides, self.uncertainty)
        self._refuse_unfit_uncertainty()
        self._refuse_lost_report()
        terminal.refuse_existing(*beside, *self.label_parts, *self.uncertainty_parts)

    def _refuse_unfit_uncertainty(self) -> None:
        """Refuse an uncertainty that is no volume's file, and a Parametric Map without a DICOM result or highdicom."""
        from thinslice.io import dicom, files
        from thinslice.io.writing import is_map

        if self.uncertainty is None or files.has_known_ending(self.uncertainty):
            return
        if not is_map(self.uncertainty):
            endings = ", ".join(files.ENDINGS)
            raise OutputError(
                "OUT-FORMAT", f"--uncertainty {named(self.uncertainty, '')} must end in {endings}, or .dcm beside DICOM"
            )
        if not self.is_series:
            message = "is a DICOM Parametric Map, which goes beside a DICOM result; name a .nii.gz instead"
            raise UsageError("USE-UNCERTAINTY", f"--uncertainty {named(self.uncertainty, '')} {message}")
        dicom.check_maps()

    def _refuse_lost_report(self) -> None:
        """Refuse a report in a folder that is not there, unless the result is to lie in it, or below."""
        if self.report is None or self.report.parent.is_dir():
            return
        folder = self.report.parent
        if folder.resolve() not in self.result.resolve().parents:
            raise OutputError(
                "OUT-WRITE", f"folder {named(folder, 'of the report')} does not exist; make it, or name another"
            )


def _ending(path: Path) -> str:
    """The ending of a file's name, of a volume as the formats have it."""
    from thinslice.io import files

    return files.ending_of(path) or path.suffix


def save(terminal: Terminal, results: list[Result], outputs: list[Output], *, source: Path) -> None:
    """Write results, what is asked for beside them, and their records, all or none; then report them."""
    with none_left([path for own in outputs for path in own.files]):
        for result, own in zip(results, outputs, strict=True):
            result.save(own.result, **asdict(own.form))
            _save_asides(result, own)
            if own.report is not None:
                shown = replace(result, record=_told_record(terminal, result.record, source=source, target=own.result))
                shown.report(own.report, overwrite=own.form.overwrite)
        records = [result.record for result in results]
        told = [
            _told_record(terminal, record, source=source, target=own.result)
            for record, own in zip(records, outputs, strict=True)
        ]
        terminal.write_record(told if len(told) > 1 else told[0])
    for record, own in zip(records, outputs, strict=True):
        _tell(terminal, record, own)


def _save_asides(result: Result, own: Output) -> None:
    """Keep the weights and draw the picture, where they are asked for."""
    if own.weights is not None:
        result.model.save(own.weights, overwrite=own.form.overwrite)
    if own.uncertainty is not None:
        series = own.result if own.is_series else None
        result.save_uncertainty(own.uncertainty, overwrite=own.form.overwrite, series=series)
    if own.picture is not None:
        from thinslice.report.preview import save_preview

        save_preview(result.scan, result.sheared or result.volume, own.picture, overwrite=own.form.overwrite)


def _told_record(terminal: Terminal, record: dict[str, Any], *, source: Path, target: Path) -> dict[str, Any]:
    """The record as it is shown: with the paths where `--show-identity` asks for them."""
    if not terminal.show_identity:
        return record
    return record | {"identity": {"input": _told(source), "output": _told(target)}}


def _told(path: Path) -> str:
    """A path in a record, whatever bytes its name is made of."""
    return os.fsencode(path.resolve()).decode("utf-8", "replace")


def _tell(terminal: Terminal, record: dict[str, Any], own: Output) -> None:
    """Warnings and a summary of a result."""
    terminal.warn(record["warnings"])
    whole = own.form.dtype == "int16" and all(warning["code"] != "FILE-FLOAT" for warning in record["warnings"])
    terminal.say(*summary(record, own.files, whole=whole))
    _log.info("%s", ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in record["times_s"].items()))
