"""`thinslice inspect`: what is in there, as a table."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinslice.cli import options
from thinslice.cli.inputs import one_scan
from thinslice.cli.options import with_common_options
from thinslice.cli.terminal import Terminal
from thinslice.errors import GeometryError, Notice, ThinsliceError, named
from thinslice.report.words import profile_line

if TYPE_CHECKING:
    from rich.table import Table

    from thinslice.volume import Volume


_SYNTHETIC = ("DCM-SYNTH", "FILE-SYNTH")  # shown as what it is, no fault


@dataclass(frozen=True)
class Entry:
    """A volume that could be read, or is refused.

    Attributes:
        name: DICOM series number, with its place where several have one, or the kind of file.
        shape: slices, rows, columns.
        pixel_mm: along x and y; None where missing.
        spacing_mm: of the slices; None where refused.
        thickness_mm: None where nothing states it.
        chosen_by: what --series takes; "" of a file.
        distinguished: what distinguishes a series from others of its number.
        facts: what else is known, for the JSON document.
        warnings: what reading it warns of.
        error: what refuses it.
    """

    name: str
    shape: tuple[int, int, int]
    pixel_mm: tuple[float, float] | None
    spacing_mm: float | None
    thickness_mm: float | None
    chosen_by: str = ""
    distinguished: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    error: ThinsliceError | None = None

    def with_profile(self, volume: Volume) -> Entry:
        """The same with the slice profile that is found in the volume, as `enhance` finds it."""
        from thinslice.plan import plan_job

        try:
            found = plan_job(volume).profile
        except ThinsliceError:  # `enhance` will say it: slices as thin as they can be asked for, for instance
            return self
        return replace(self, facts=self.facts | {"profile": found.entry})

    def as_record(self, *, names: bool) -> dict[str, Any]:
        """The entry, ready for JSON; with `names`, errors and warnings name files."""

        def message(found: Notice | ThinsliceError) -> str:
            return found.message_with_names if names else found.message

        return {
            "name": self.name,
            "shape": list(self.shape),
            "pixel_mm": list(self.pixel_mm) if self.pixel_mm else None,
            "spacing_mm": self.spacing_mm,
            "thickness_mm": self.thickness_mm,
            **self.facts,
            "warnings": [{"code": notice.code, "message": message(notice)} for notice in self.warnings],
            "error": {"code": self.error.code, "message": message(self.error)} if self.error else None,
        }


@with_common_options
def inspect(
    terminal: Terminal,
    source: Annotated[Path, typer.Argument(metavar="PATH", help="File, DICOM folder or zip.")],
    more: options.MoreSlices = None,
    axis: options.Axis = None,
    phase: options.Phase = None,
    rescale: options.Rescale = None,
    allow_derived: options.AllowDerived = False,
    limit: options.Limit = None,
) -> None:
    """Show what a file or folder holds, and what is refused of it.

    Series, grid, spacing, thickness, and what stands against enhancing it.
    """
    from thinslice import __version__
    from thinslice.io import files, scan

    source = one_scan([source, *(more or [])])
    terminal.refuse_clashes([source])
    files.check_there(source)
    is_dicom = scan.is_dicom(source)
    scan.refuse_options(source, dicom=is_dicom, axis=axis, phase=phase, limits=limit)
    if is_dicom:
        reading = {"phase": phase, "rescale": rescale, "allow_derived": allow_derived}
        entries = _series(source, uids=terminal.show_identity, limits=dict(limit) if limit else None, **reading)
    else:
        entries = [_file(source, axis=axis, rescale=rescale, allow_derived=allow_derived)]
    entries = [_with_size_checked(entry) for entry in entries]
    if is_dicom and len(entries) == 1 and entries[0].error is None:
        with contextlib.suppress(ThinsliceError):  # of pixels: `enhance` says it; what headers hold is shown
            limits = dict(limit) if limit else None
            volume = scan.read(source, phase=phase, rescale=rescale, allow_derived=True, limits=limits)
            entries = [entries[0].with_profile(volume)]
    terminal.write_record(
        {
            "version": __version__,
            "command": "inspect",
            "volumes": [entry.as_record(names=terminal.show_identity) for entry in entries],
        }
    )
    refused = _refusal(entries)
    terminal.say(_table(entries), *_remarks(entries, raised=refused))
    if refused:
        raise refused


def _refusal(entries: list[Entry]) -> ThinsliceError | None:
    """What the command ends with where nothing that it shows can be enhanced: the error of the smallest exit code."""
    errors = [entry.error for entry in entries if entry.error and entry.error.code not in _SYNTHETIC]
    return min(errors, key=lambda error: error.exit_code) if errors and len(errors) == len(entries) else None


def _with_size_checked(entry: Entry) -> Entry:
    """The entry, with what `enhance` will refuse it for where it is too small."""
    from thinslice.volume import refuse_small

    try:
        refuse_small(entry.shape)
    except GeometryError as error:
        return replace(entry, error=entry.error or error)
    return entry


def _series(source: Path, *, uids: bool, **reading: Any) -> list[Entry]:
    from thinslice.io import dicom

    return [
        Entry(
            name=f"series {found.name}",
            shape=(found.images, found.rows, found.columns),
            pixel_mm=found.pixel_spacing_mm[::-1] if found.pixel_spacing_mm else None,
            spacing_mm=found.spacing_mm,
            thickness_mm=found.thickness_mm,
            chosen_by=found.uid if uids and found.uid else found.name,
            distinguished=", ".join(
                (*found.apart, *([f'"{found.description}"'] if uids and found.description else []))
            ),
            facts={
                "series": found.name,
                **({"uid": found.uid, "description": found.description} if uids else {}),
                "tilt_deg": found.tilt_deg,
                "spacing_fit_residual_mm": found.residual_mm,
                "kernel": found.kernel or None,
                "manufacturer": found.manufacturer or None,
                "kvp": found.kvp,
                "transfer_syntaxes": list(found.transfer_syntaxes),
                "synthetic": found.synthetic,
            },
            warnings=found.warnings,
            error=found.error,
        )
        for found in dicom.list_series(source, **reading)
    ]


def _file(source: Path, *, allow_derived: bool, **reading: Any) -> Entry:
    from thinslice.io import scan

    volume = scan.read(source, allow_derived=True, **reading)
    warnings, error, mark = volume.origin.warnings, None, volume.origin.mark
    if mark is not None and not allow_derived:  # refused as a source; its grid can be shown all the same
        warnings = tuple(notice for notice in warnings if notice.code != "FILE-SYNTH")
        error = scan.synthetic_refusal(mark, named(source))
    entry = Entry(
        name=volume.origin.kind,
        shape=volume.shape,
        pixel_mm=volume.voxel_mm[:2],
        spacing_mm=round(volume.slice_spacing_mm, 6),
        thickness_mm=volume.thickness,
        facts={
            "range_hu": [float(volume.hu.min()), float(volume.hu.max())],
            "padding_voxels": 0 if volume.padding is None else int(volume.padding.sum()),
            **volume.origin.facts,
            "synthetic": mark is not None,
            "mark": mark,
        },
        warnings=warnings,
        error=error,
    )
    return entry if error else entry.with_profile(volume)


def _table(entries: list[Entry]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "slices", "every mm", "thick mm", "pixels", "of mm", ""):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for entry in entries:
        slices, rows, columns = entry.shape
        table.add_row(
            entry.name,
            str(slices),
            _figure(entry.spacing_mm),
            _figure(entry.thickness_mm),
            f"{columns} x {rows}",
            _pixel(entry.pixel_mm),
            _standing(entry),
        )
    return table


def _standing(entry: Entry) -> str:
    if entry.error and entry.error.code not in _SYNTHETIC:
        return entry.error.code
    return "synthetic" if entry.facts.get("synthetic") else "readable"


def _remarks(entries: list[Entry], *, raised: ThinsliceError | None) -> list[str]:
    """Lines under the table: how to choose a series, what is refused, what is warned of; not what is raised after."""
    lines = []
    for entry in entries:
        if len(entries) > 1:
            lines.append(
                f"{entry.name}: --series {entry.chosen_by}"
                + (f" ({entry.distinguished})" if entry.distinguished else "")
            )
        lines += [f"{entry.name}: {notice.line}" for notice in entry.warnings]
        if found := entry.facts.get("profile"):
            lines.append(f"{entry.name}: slice profile {profile_line(found)}")
        if entry.facts.get("tilt_deg"):
            lines.append(f"{entry.name}: enhance --detilt makes the result upright")
        if entry.error:
            if entry.error is raised:
                continue
            lines.append(f"{entry.name}: {entry.error.line}")
        elif entry.thickness_mm is None:
            lines.append(f"{entry.name}: thickness is not stated: the spacing is taken unless --thickness is given")
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _pixel(spacing: tuple[float, float] | None) -> str:
    if spacing is None:
        return "-"
    x, y = (f"{value:.3g}" for value in spacing)
    return x if x == y else f"{x} x {y}"
