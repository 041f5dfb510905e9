"""`thinslice enhance`: thick slices in, thin slices out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.inputs import one_scan
from thinslice.cli.options import with_common_options
from thinslice.cli.outputs import Output, save
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, named
from thinslice.io.output_format import OutputFormat

if TYPE_CHECKING:
    from thinslice.plan import Job
    from thinslice.volume import Volume

_GRID, _METHOD, _WRITING = "Grid", "Method", "Writing"


@with_common_options
def enhance(
    terminal: Terminal,
    source_paths: options.Input,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="PATH", help="File (.nii.gz .nii .nrrd .nhdr .mha .mhd) or DICOM folder."
        ),
    ],
    spacing: Annotated[
        float | None,
        typer.Option(
            metavar="MM", help="Target slice spacing.", show_default="near the pixels'", rich_help_panel=_GRID
        ),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(metavar="F", help="Or: how many times finer, 1.2 to 8.", rich_help_panel=_GRID),
    ] = None,
    thickness: Annotated[
        float | None,
        typer.Option(
            metavar="MM", help="Slice thickness.", show_default="the file's, else the spacing", rich_help_panel=_GRID
        ),
    ] = None,
    profile: Annotated[
        Literal["auto", "box", "gauss"],
        typer.Option(
            metavar="auto|box|gauss",
            help="Slice profile: found in the scan, or given, with --thickness.",
            rich_help_panel=_METHOD,
        ),
    ] = "auto",
    grid: options.Grid = None,
    fit: Annotated[
        Literal["auto", "scan", "none"] | None,
        typer.Option(
            metavar="auto|scan|none",
            help="Adapt weights to this scan, fit from nothing, or neither.",
            show_default="auto; with --weights none",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wall time for fitting.", rich_help_panel=_METHOD)
    ] = 180,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Steps instead of wall time: repeatable.", rich_help_panel=_METHOD),
    ] = None,
    views: Annotated[
        Any,
        typer.Option(
            parser=options.names("axial", "coronal", "sagittal"),
            metavar="V,V",
            help="Views that run and are fused.",
            rich_help_panel=_METHOD,
        ),
    ] = "axial,coronal,sagittal",
    consistency: Annotated[
        Any,
        typer.Option(
            parser=options.damping,
            metavar="L|off",
            help="Damping of the projection onto the acquired slices (contiguous ones are met anyway).",
            show_default="from T/s",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    detilt: Annotated[
        bool,
        typer.Option("--detilt", help="Make a tilted scan upright in the end.", rich_help_panel=_GRID),
    ] = False,
    texture: Annotated[
        Literal["keep", "match"],
        typer.Option(
            metavar="keep|match",
            help="match: a viewing copy, synthesised slices as noisy as acquired ones.",
            rich_help_panel=_METHOD,
        ),
    ] = "keep",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights in place of the shipped ones.", rich_help_panel=_METHOD),
    ] = None,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Leave the self-check out: sooner done, without the comparison with cubic.",
            rich_help_panel=_METHOD,
        ),
    ] = False,
    seed: Annotated[
        Any,
        typer.Option(parser=options.seed, metavar="N", help="Of weights and draws, from 0.", rich_help_panel=_METHOD),
    ] = 0,
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
    dtype: Annotated[
        Literal["int16", "float32"],
        typer.Option(metavar="int16|float32", help="Values of an output file.", rich_help_panel=_WRITING),
    ] = "int16",
    compress: Annotated[
        Literal["none", "jpegls", "j2k", "rle"],
        typer.Option(metavar="none|jpegls|j2k|rle", help="Compression of DICOM output.", rich_help_panel=_WRITING),
    ] = "none",
    series_number: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=(1 << 31) - 1,
            help="SeriesNumber of DICOM output.",
            show_default="the source's plus 9000",
            rich_help_panel=_WRITING,
        ),
    ] = None,
    like_source: Annotated[
        bool,
        typer.Option(
            "--like-source",
            help="Store DICOM output in the source's bits, sign and intercept.",
            rich_help_panel=_WRITING,
        ),
    ] = False,
    no_sidecar: Annotated[
        bool,
        typer.Option(
            "--no-sidecar", metavar="", help="Write no NAME.json beside a NIfTI result.", rich_help_panel=_WRITING
        ),
    ] = False,
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
    if spacing is not None and factor is not None:
        raise UsageError("USE-TARGET", f"both --spacing {spacing:g} and --factor {factor:g} are given; give one")
    _refuse_endings(preview, report)
    if labels is not None and detilt:
        raise UsageError("USE-LABELS", "--labels does not go with --detilt: make the label map upright elsewhere")
    source = one_scan([*source_paths, *(more or [])])
    form = OutputFormat(
        dtype=dtype, compress=compress, series_number=series_number, like_source=like_source,
        sidecar=not no_sidecar, overwrite=terminal.overwrite,
    )  # fmt: skip
    inputs = (source, labels, weights)
    asked = Output(
        output, form, weights=save_weights, picture=preview, report=report, uncertainty=uncertainty,
        labels=labels is not None,
    )  # fmt: skip
    asked.refuse(terminal, inputs)

    from thinslice.io import scan
    from thinslice.io.label_map import read_label_map
    from thinslice.method import Method, effort_of, loaded
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
        jobs = [
            _planned(
                volume, own, detilt=detilt, spacing=spacing, factor=factor, thickness=thickness, profile=profile,
                views=views, placement=grid,
            )
            for volume, own in zip(volumes, outputs, strict=True)
        ]  # fmt: skip
    method = Method(
        fit, effort_of(budget=budget / len(volumes), iterations=iterations, seed=seed, check=not no_check),
        loaded(weights), views, consistency=consistency, texture=texture, detilt=detilt,
        uncertainty=uncertainty is not None, threads=terminal.threads, device_name=terminal.device,
    )  # fmt: skip
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


def _planned(volume: Volume, own: Output, *, detilt: bool, **asked: Any) -> Job:
    """The job of a volume (`thinslice.plan.plan_job`); what its output could not hold is refused before work."""
    from thinslice.io import writing
    from thinslice.plan import plan_job
    from thinslice.synthesis.upright import upright_shapes

    volume.refuse_nan()
    made_upright = detilt and bool(upright_shapes(volume, slices=volume.shape[0], step=1.0))
    writing.check_target(own.result, own.form, source=volume, upright=made_upright)
    if own.uncertainty is not None and not writing.is_map(own.uncertainty):
        writing.check_target(own.uncertainty, OutputFormat(dtype="float32"), source=volume, upright=made_upright)
    job = plan_job(volume, **asked)
    writing.check_room(own.result, own.form, shape=(len(job.grid.output_mm), *volume.shape[1:]))
    return job
