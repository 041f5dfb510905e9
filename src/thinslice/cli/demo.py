"""`thinslice demo`: the whole job on a digital phantom, whose truth is known."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinslice.cli import options
from thinslice.cli.options import with_common_options
from thinslice.cli.summary import written_lines
from thinslice.cli.terminal import Terminal
from thinslice.report.words import self_check_line
from thinslice.system.output import whole_folder

if TYPE_CHECKING:
    import numpy as np

    from thinslice.evaluation.protocols import Case
    from thinslice.evaluation.table import Table

FACTOR = 4
_REPORT = "report.html"
_FILES = {  # what --overwrite may replace
    *("thick.nii.gz", "truth.nii.gz", "thin.nii.gz", "thin.json"),
    *("table.csv", "structures.csv", "record.json", "demo.png", _REPORT),
}


def _of_a_demo(entry: Path) -> bool:
    return entry.name in _FILES


@with_common_options
def demo(
    terminal: Terminal,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")] = Path(
        "demo"
    ),
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="Wall time for fitting.")] = 120,
    iterations: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps instead of wall time: repeatable.")
    ] = None,
    seed: Annotated[
        Any, typer.Option(parser=options.seed, metavar="N", help="Of the phantom and the fit, from 0.")
    ] = 0,
) -> None:
    """Show it on a digital phantom, whose truth is known.

    The phantom is thickened, enhanced, and compared with what it was.
    """
    terminal.refuse_existing(output, is_own=_of_a_demo)
    terminal.refuse_inside(output)
    with whole_folder(output, overwrite=terminal.overwrite, is_own=_of_a_demo) as folder:
        import thinslice
        from thinslice import __version__
        from thinslice.evaluation.protocols import make_case
        from thinslice.evaluation.structures import measure_structures, row_names, structure_table
        from thinslice.io import files
        from thinslice.phantom import make_phantom
        from thinslice.report.figures import save_picture

        with terminal.progress() as on_progress:
            on_progress("phantom", 0, 1)
            phantom = make_phantom(seed=seed)
            case = make_case(phantom.volume, "phantom", protocol="box", factor=FACTOR)
            on_progress("phantom", 1, 1)
            results, seconds = _interpolated(case)
            result = thinslice.enhance(
                case.thick,
                spacing=case.grid.output_spacing_mm,
                budget=budget,
                iterations=iterations,
                seed=seed,
                threads=terminal.threads,
                device=terminal.device,
                uncertainty=True,
                on_progress=on_progress,
            )
        results["thinslice"], seconds["thinslice"] = result.volume.hu, result.record["times_s"]["total"]
        table = _table(case, results, seconds, seed)
        x, y, _ = case.thick.voxel_mm
        structures = measure_structures(phantom.structures, results, case.truth, (case.grid.output_spacing_mm, y, x))
        files.write(case.thick, folder / "thick.nii.gz")
        files.write(case.truth_volume, folder / "truth.nii.gz")
        result.save(folder / "thin.nii.gz")
        table.to_csv(folder / "table.csv")
        with (folder / "structures.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row_names())
            writer.writeheader()
            writer.writerows(row.as_dict() for row in structures)
        (folder / "record.json").write_text(json.dumps(result.record, indent=2) + "\n", encoding="utf-8")
        save_picture(case, results, folder / "demo.png")
        result.report(folder / _REPORT)
        terminal.write_record(
            {"version": __version__, "command": "demo", "rows": table.as_records(),
             "structures": [row.as_dict() for row in structures], "enhance": result.record}
        )  # fmt: skip
    terminal.warn(result.record["warnings"])
    if result.record["self_check"]:
        terminal.say(self_check_line(result.record["self_check"]))
    terminal.say(
        table.rich(),
        structure_table(structures),
        "",
        *written_lines(sorted(path for path in output.iterdir() if path.name != _REPORT)),
        *written_lines([output / _REPORT], name="report"),
    )


def _interpolated(case: Case) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Results of plain interpolation by name, and the seconds that they took."""
    from thinslice.evaluation.methods import CLASSICAL

    results, seconds = {}, {}
    for name in ("linear", "cubic"):
        began = time.perf_counter()
        results[name] = CLASSICAL[name](case.thick, case.grid)
        seconds[name] = time.perf_counter() - began
    return results, seconds


def _table(case: Case, results: dict[str, np.ndarray], seconds: dict[str, float], seed: int) -> Table:
    from thinslice.evaluation.metrics import Scorer
    from thinslice.evaluation.table import Row, Table

    scorer = Scorer(case)
    return Table(
        Row.of(case, scorer.score(hu), method=name, seed=seed, seconds=seconds[name]) for name, hu in results.items()
    )
