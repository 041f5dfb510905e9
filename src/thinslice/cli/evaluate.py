"""`thinslice evaluate`: methods against known truth, as a table."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thinslice.cli import options
from thinslice.cli.options import with_common_options, with_reading_options
from thinslice.cli.summary import written_lines
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, counted, recorded
from thinslice.system.output import none_left
from thinslice.system.paths import as_path

if TYPE_CHECKING:
    from thinslice.evaluation.table import Table

_CASES, _METHODS, _EXCHANGE = "Cases", "Methods", "Other tools"


@with_common_options
@with_reading_options
def evaluate(
    terminal: Terminal,
    reading: dict[str, Any],
    more: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="More thin scans.")] = None,
    source: Annotated[
        list[Path] | None, typer.Option("-i", "--input", metavar="PATH...", help="Thin scans: files or DICOM folders.")
    ] = None,
    pairs: Annotated[
        list[Any] | None,
        typer.Option(
            "--pair",
            parser=options.paths_of_pair,
            metavar="THICK THIN",
            help="Two reconstructions of one acquisition; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write table.csv, table.json, index.html there."),
    ] = None,
    protocols: Annotated[
        Any,
        typer.Option(
            parser=options.names("gap", "box", "gauss"),
            metavar="P,P",
            help="How scans are thickened: gap, box, gauss.",
            rich_help_panel=_CASES,
        ),
    ] = "gap,box",
    factors: Annotated[
        Any,
        typer.Option(
            parser=options.list_of(int), metavar="F,F", help="Whole numbers from 2 to 8.", rich_help_panel=_CASES
        ),
    ] = "2,4",
    slices: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The central N slices only.", rich_help_panel=_CASES)
    ] = None,
    region: Annotated[
        int | None, typer.Option(min=1, metavar="P", help="The central P x P pixels only.", rich_help_panel=_CASES)
    ] = None,
    assume_thickness: Annotated[
        float,
        typer.Option(metavar="K", help="Methods assume K times the true thickness.", rich_help_panel=_CASES),
    ] = 1,
    assume_profile: Annotated[
        Literal["auto", "box", "gauss"] | None,
        typer.Option(metavar="auto|box|gauss", help="Methods assume this profile.", rich_help_panel=_CASES),
    ] = None,
    grid: Annotated[
        Literal["slabs", "centres"],
        typer.Option(
            metavar="slabs|centres",
            help="Results over all slices, or from the first thick centre (odd factors, or gap).",
            rich_help_panel=_CASES,
        ),
    ] = "slabs",
    methods: Annotated[
        Any,
        typer.Option(
            parser=options.list_of(str),
            metavar="M,M",
            help="linear, cubic, bspline, smooth, axial, coronal, sagittal, mean3, paper-1, paper, paper-trained, "
            "thinslice-scan, thinslice, thinslice-fit; or none.",
            rich_help_panel=_METHODS,
        ),
    ] = "linear,cubic,bspline,smooth,thinslice,thinslice-fit",
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wall time for each fit.", rich_help_panel=_METHODS)
    ] = 180,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Steps instead of wall time: repeatable.", rich_help_panel=_METHODS),
    ] = None,
    seeds: Annotated[
        Any,
        typer.Option(
            parser=options.list_of(int), metavar="S,S", help="Fit once for each seed.", rich_help_panel=_METHODS
        ),
    ] = "0",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights in place of the shipped ones, or for paper-trained.", rich_help_panel=_METHODS
        ),
    ] = None,
    write_inputs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the thick volumes there, for other tools.", rich_help_panel=_EXCHANGE),
    ] = None,
    score: Annotated[
        list[Any] | None,
        typer.Option(
            parser=options.name_and_folder,
            metavar="NAME=DIR",
            help="Put a tool's results into the table.",
            rich_help_panel=_EXCHANGE,
        ),
    ] = None,
) -> None:
    """Measure methods against known truth.

    Thin scans are thickened, restored and compared with what they were. Of a real pair, thick slices are restored and
    compared with the thin ones.

    For example:

      thinslice evaluate -i thin.nii.gz --methods linear,cubic,thinslice
      thinslice evaluate --pair thick.nii.gz thin.nii.gz --methods cubic,thinslice
    """
    scans = [*(source or []), *(more or [])]
    pairs = [tuple(map(as_path, pair)) for pair in pairs or []]
    if not (scans or pairs):
        raise UsageError("USE-INPUT", "no scan is given; name thin scans with -i, or a --pair")
    if methods == ("none",) and not (score or write_inputs):
        raise UsageError("USE-METHOD", "with --methods none there is nothing to do but for --write-inputs or --score")
    if len(dict(score or [])) < len(score or []):
        raise UsageError("USE-SCORE", "two folders of results have the same name; name one otherwise")
    terminal.refuse_clashes([*scans, *chain(*pairs), weights, *(folder for _, folder in score or [])], output)
    if output is not None:
        terminal.refuse_inside(output, write_inputs)

    import thinslice
    from thinslice.evaluation import evaluate as measure
    from thinslice.evaluation.exchange import input_paths
    from thinslice.evaluation.page import Pages
    from thinslice.evaluation.protocols import case_slugs
    from thinslice.evaluation.run import scan_names

    pages = Pages(output, overwrite=terminal.overwrite) if output is not None else None
    names = [f"{kind}{number}" for kind, of in (("scan", scans), ("pair", pairs)) for number in range(1, len(of) + 1)]
    if terminal.show_identity:
        names = scan_names([*scans, *(thick for thick, _ in pairs)])
    slugs = case_slugs(names[: len(scans)], protocols, factors, names[len(scans) :])
    inputs = input_paths(write_inputs, slugs) if write_inputs else []
    with none_left([*inputs, *(path for path in (output, terminal.record_path) if path)]):
        with terminal.progress() as on_progress:
            table = measure(
                scans,
                pairs=pairs,
                protocols=protocols,
                factors=factors,
                methods=() if methods == ("none",) else methods,
                slices=slices,
                region=region,
                budget=budget,
                iterations=iterations,
                seeds=seeds,
                model=weights,
                assume_thickness=assume_thickness,
                assume_profile=assume_profile,
                grid=grid,
                write_inputs=write_inputs,
                overwrite=terminal.overwrite,
                device=terminal.device,
                score=dict(score) if score else None,
                names=names,
                on_progress=on_progress,
                on_result=pages.add if pages else None,
                **reading,
            )
        if pages:
            pages.write(table)
        terminal.write_record(
            {"version": thinslice.__version__, "command": "evaluate", "grid": grid, "rows": table.as_records(),
             "pairs": [measured.entry for measured in table.pairs],
             "warnings": recorded(table.warnings)}
        )  # fmt: skip
    _say(terminal, table, [*([output] if output else []), *inputs])


def _say(terminal: Terminal, table: Table, written: list[Path]) -> None:
    """Warnings, the profiles of pairs, the table, and what was written."""
    terminal.warn(table.warnings)
    for measured in table.pairs:
        used = counted(measured.slices, "thick slice")
        terminal.say(f"pair:       {measured.name}, {used} used", *measured.lines, "")
    if table:
        terminal.say(table.rich())
    if written:
        terminal.say(*written_lines(written))
