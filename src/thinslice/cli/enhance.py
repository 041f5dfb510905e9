"""`thinslice enhance`: thick slices in, thin slices out."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.inputs import one_scan
from thinslice.cli.options import with_common_options
from thinslice.cli.summary import summary
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, named
from thinslice.system.output import none_left, numbered

if TYPE_CHECKING:
    from thinslice.result import Result

_log = logging.getLogger("thinslice.cli")

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
        Literal["box", "gauss"],
        typer.Option(metavar="box|gauss", help="Shape of the slice profile.", rich_help_panel=_METHOD),
    ] = "box",
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
            help="Leave the self-check out: sooner done, and nobody compares with cubic.",
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
) -> None:
    """Synthesise thin slices from a thick-slice CT scan.

    For example:

      thinslice enhance -i thick.nii.gz -o thin.nii.gz --spacing 1

      thinslice enhance -i dicom_folder -o thin_folder
    """
    if spacing is not None and factor is not None:
        raise UsageError("USE-TARGET", f"both --spacing {spacing:g} and --factor {factor:g} are given; give one")
    if preview is not None and preview.suffix.lower() != ".png":
        raise UsageError("USE-PREVIEW", f"--preview {named(preview, '')} does not end in .png")
    if labels is not None and detilt:
        raise UsageError("USE-LABELS", "--labels does not go with --detilt: make the label map upright elsewhere")
    source = one_scan([*source_paths, *(more or [])])
    terminal.refuse_existing(save_weights, preview)

    import thinslice
    from thinslice.io import files, scan
    from thinslice.plan import plan_job
    from thinslice.record import add_time
    from thinslice.synthesis.upright import tilt_as_upright, upright_shapes

    inputs = (source, labels, weights)
    _refuse_outputs(terminal, output, save_weights, preview, inputs=inputs, labels=labels, sidecar=not no_sidecar)
    began = time.perf_counter()
    volumes = scan.read_parts(
        source,
        axis=axis,
        rescale=rescale,
        series=series,
        phase=phase,
        on_gap=on_gap,
        allow_derived=allow_derived,
        strict=strict,
        limits=dict(limit) if limit else None,
    )
    reading_s = time.perf_counter() - began
    if len(volumes) > 1 and labels is not None:
        raise UsageError("USE-LABELS", f"--labels goes with one result; the series is split into {len(volumes)} parts")
    told = volumes[0].source.warnings
    terminal.warn(tilt_as_upright(told) if detilt else told)
    outputs = _outputs(output, save_weights, preview, series_number, parts=len(volumes))
    form: dict[str, Any] = {
        "dtype": dtype,
        "compress": compress,
        "like_source": like_source,
        "sidecar": not no_sidecar,
        "overwrite": terminal.overwrite,
    }
    for volume, own in zip(volumes, outputs, strict=True):
        written = files.parts(own.result, sidecar=not no_sidecar)
        terminal.refuse_clashes(inputs, *written, own.weights, own.picture)
        terminal.refuse_existing(own.weights, own.picture)
        made_upright = detilt and bool(upright_shapes(volume, slices=volume.shape[0], step=1.0))
        scan.check_target(own.result, source=volume, upright=made_upright, series_number=own.series_number, **form)
        job = plan_job(
            volume, spacing=spacing, factor=factor, thickness=thickness, profile=profile, views=views, placement=grid
        )
        shape = (len(job.grid.output_mm), *volume.shape[1:])
        scan.check_room(own.result, shape, dtype=dtype, compress=compress)
    model = None if weights is None else thinslice.Model.load(weights)
    results = []
    for volume in volumes:
        with terminal.progress() as on_progress:
            result = thinslice.enhance(
                volume,
                spacing=spacing,
                factor=factor,
                thickness=thickness,
                profile=profile,
                grid=grid,
                fit=fit,
                budget=budget / len(volumes),
                iterations=iterations,
                views=views,
                consistency=consistency,
                texture=texture,
                detilt=detilt,
                model=model,
                check=not no_check,
                seed=seed,
                threads=terminal.threads,
                device=terminal.device,
                labels=labels,
                on_progress=on_progress,
            )
        add_time(result.record, "read", reading_s / len(volumes))
        results.append(result)
    _save(terminal, results, outputs, form, source=source, labels=labels)


def _refuse_outputs(
    terminal: Terminal,
    output: Path,
    *asides: Path | None,
    inputs: tuple[Path | None, ...],
    labels: Path | None,
    sidecar: bool,
) -> None:
    """Raise OutputError, before anything is read, where an output is an input, is asked for twice, or exists."""
    from thinslice.io import files, scan
    from thinslice.io.label_map import labels_path

    terminal.refuse_existing(output, ours=None if files.has_known_ending(output) else scan.of_a_series)
    label_map = files.parts(labels_path(output)) if labels else ()
    written = files.parts(output, sidecar=sidecar)
    if terminal.record_path in written[1:]:
        raise UsageError(
            "USE-SIDECAR",
            f"--json {named(written[1], '')} is the side-car of the result; name another file, or add --no-sidecar",
        )
    terminal.refuse_clashes(inputs, *written, *label_map, *asides)
    if not files.has_known_ending(output):
        terminal.refuse_inside(output, *asides)
    terminal.refuse_existing(*written[1:], *label_map)


@dataclass(frozen=True)
class _Output:
    """Where a result goes, and what is written beside it; None for what is not asked for."""

    result: Path
    weights: Path | None
    picture: Path | None
    series_number: int | None


def _outputs(
    result: Path, weights: Path | None, picture: Path | None, series_number: int | None, *, parts: int
) -> list[_Output]:
    """The outputs of each part of a series; of one alone, they are called as asked for."""
    from thinslice.io import files

    if parts == 1:
        return [_Output(result, weights, picture, series_number)]
    return [
        _Output(
            numbered(result, number, ending=files.ending_of(result)),
            weights and numbered(weights, number, ending=weights.suffix),
            picture and numbered(picture, number, ending=picture.suffix),
            None if series_number is None else series_number + number - 1,
        )
        for number in range(1, parts + 1)
    ]


def _save(
    terminal: Terminal,
    results: list[Result],
    outputs: list[_Output],
    form: dict[str, Any],
    *,
    source: Path,
    labels: Path | None,
) -> None:
    """Write results, what is asked for beside them, and their records, all or none; then say what came of them."""
    from thinslice.io import files
    from thinslice.io.label_map import labels_path

    written = [path for own in outputs for path in (own.weights, own.picture) if path]
    written += [part for own in outputs for part in files.parts(own.result, sidecar=form["sidecar"])]
    written += [part for own in outputs if labels for part in files.parts(labels_path(own.result))]
    with none_left(written):
        for result, own in zip(results, outputs, strict=True):
            result.save(own.result, series_number=own.series_number, **form)
            _save_asides(result, own.weights, own.picture, overwrite=terminal.overwrite)
        records = [result.record for result in results]
        _write_records(terminal, records, source=source, targets=[own.result for own in outputs])
    for record, own in zip(records, outputs, strict=True):
        _tell(terminal, record, own, labels=labels is not None, form=form)


def _save_asides(result: Result, weights: Path | None, picture: Path | None, *, overwrite: bool) -> None:
    """Keep the weights and draw the picture, where they are asked for."""
    if weights is not None:
        result.model.save(weights, overwrite=overwrite)
    if picture is not None:
        from thinslice.report.preview import save_preview

        save_preview(result.source, result.sheared or result.volume, picture, overwrite=overwrite)


def _write_records(terminal: Terminal, records: list[dict[str, Any]], *, source: Path, targets: list[Path]) -> None:
    """Records as JSON where asked for."""
    if terminal.show_identity:
        records = [
            record | {"identity": {"input": _told(source), "output": _told(target)}}
            for record, target in zip(records, targets, strict=True)
        ]
    terminal.write_record(records if len(records) > 1 else records[0])


def _told(path: Path) -> str:
    """A path in a record, whatever bytes its name is made of."""
    return os.fsencode(path.resolve()).decode("utf-8", "replace")


def _tell(terminal: Terminal, record: dict[str, Any], own: _Output, *, labels: bool, form: dict[str, Any]) -> None:
    """Warnings and a summary of a result."""
    from thinslice.io import files
    from thinslice.io.label_map import labels_path

    terminal.warn(record["warnings"])
    label_map = files.parts(labels_path(own.result)) if labels else ()
    written = [*files.parts(own.result, sidecar=form["sidecar"]), *label_map, own.weights, own.picture]
    whole = form["dtype"] == "int16" and all(warning["code"] != "FILE-FLOAT" for warning in record["warnings"])
    terminal.say(*summary(record, [path for path in written if path], whole=whole))
    _log.info("%s", ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in record["times_s"].items()))
