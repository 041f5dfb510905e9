"""`thinslice enhance`: thick slices in, thin slices out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thinslice.cli import options
from thinslice.cli.choices import Choices, with_choices
from thinslice.cli.inputs import one_scan
from thinslice.cli.options import with_common_options
from thinslice.cli.outputs import Output, save
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, named
from thinslice.io.output_format import OutputFormat

if TYPE_CHECKING:
    from thinslice.plan import Job
    from thinslice.volume import Volume

_WRITING = "Writing"


@with_common_options
@with_choices
def enhance(
    terminal: Terminal,
    source_paths: options.Input,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="PATH", help="File (.nii.gz .nii .nrrd .nhdr .mha .mhd) or DICOM folder."
        ),
    ],
    choices: Choices,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Label map of the input; written thin as NAME_labels.", rich_help_panel=_WRITING
        ),
    ] = None,
    axis: options.Axis = None,
    series: options.Series = None,
    phase: options.Phase = None,
    rescale: options.Rescale = None,
    on_gap: options.OnGap = "error",
    allow_derived: options.AllowDerived = False,
    strict: options.Strict = False,
    limit: options.Limit = None,
    save_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the fitted weights.", rich_help_panel=_WRITING)
    ] = None,
    more: options.MoreSlices = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Picture: thick, cubic and result.", rich_help_panel=_WRITING),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Page: a viewer, pictures, and the record in words.", rich_help_panel=_WRITING
        ),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Error to be expected at each voxel, in HU: a file like the result's, or .dcm beside DICOM.",
            rich_help_panel=_WRITING,
        ),
    ] = None,
) -> None:
    """Synthesise thin slices from a thick-slice CT scan.

    For example:

      thinslice enhance -i thick.nii.gz -o thin.nii.gz --spacing 1

      thinslice enhance -i dicom_folder -o thin_folder
    """
    _refuse_endings(preview, report)
    detilt = choices.arguments["detilt"]
    if labels is not None and detilt:
        raise UsageError("USE-LABELS", "--labels does not go with --detilt: make the label map upright elsewhere")
    source = one_scan([*source_paths, *(more or [])])
    form = replace(choices.form, overwrite=terminal.overwrite)
    inputs = (source, labels, choices.arguments["model"])
    asked = Output(
        output, form, weights=save_weights, picture=preview, report=report, uncertainty=uncertainty,
        labels=labels is not None,
    )  # fmt: skip
    asked.refuse(terminal, inputs)

    from thinslice.io import scan
    from thinslice.io.label_map import read_label_map
    from thinslice.pipeline import run
    from thinslice.record import add_time
    from thinslice.synthesis.upright import tilt_as_upright

    began = time.perf_counter()
    volumes = scan.read_parts(
        source, axis=axis, rescale=rescale, series=series, phase=phase, on_gap=on_gap, allow_derived=allow_derived,
        strict=strict, limits=dict(limit) if limit else None,
    )  # fmt: skip
    reading_s = time.perf_counter() - began
    if len(volumes) > 1 and labels is not None:
        raise UsageError("USE-LABELS", f"--labels goes with one result; the series is split into {len(volumes)} parts")
    source_warnings = volumes[0].origin.warnings
    terminal.warn(tilt_as_upright(source_warnings) if detilt else source_warnings)
    outputs = asked.for_parts(len(volumes))
    for own in outputs if len(outputs) > 1 else ():  # their names are new
        own.refuse(terminal, inputs)
    with scan.errors_naming(source):
        jobs = [_planned(volume, own, choices) for volume, own in zip(volumes, outputs, strict=True)]
    method = choices.method(terminal, parts=len(volumes), uncertainty=uncertainty is not None)
    label_map = None if labels is None else read_label_map(labels, scan=volumes[0])
    results = []
    for volume, job in zip(volumes, jobs, strict=True):
        with terminal.progress() as on_progress:
            result = run(volume, job, method, label_map=label_map, on_progress=on_progress)
        add_time(result.record, "read", reading_s / len(volumes))
        results.append(result)
    save(terminal, results, outputs, source=source)


def _refuse_endings(preview: Path | None, report: Path | None) -> None:
    """Refuse a picture that is no .png, and a page that is no .html."""
    if preview is not None and preview.suffix.lower() != ".png":
        raise UsageError("USE-PREVIEW", f"--preview {named(preview, '')} does not end in .png")
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError("USE-REPORT", f"--report {named(report, '')} does not end in .html")


def _planned(volume: Volume, own: Output, choices: Choices) -> Job:
    """The job of a volume; what its output could not hold is refused before work."""
    from thinslice.io import writing
    from thinslice.synthesis.upright import upright_shapes

    volume.refuse_nan()
    detilt = choices.arguments["detilt"]
    made_upright = detilt and bool(upright_shapes(volume, slices=volume.shape[0], step=1.0))
    writing.check_target(own.result, own.form, source=volume, upright=made_upright)
    if own.uncertainty is not None and not writing.is_map(own.uncertainty):
        writing.check_target(own.uncertainty, OutputFormat(dtype="float32"), source=volume, upright=made_upright)
    job = choices.job(volume)
    writing.check_room(own.result, own.form, shape=(len(job.grid.output_mm), *volume.shape[1:]))
    return job
