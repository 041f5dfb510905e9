"""The page of an evaluation: a folder with tables, pictures and an HTML page that needs no network."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np

from thinslice.evaluation.metrics import Scores
from thinslice.evaluation.protocols import PROTOCOLS, Case
from thinslice.evaluation.reliability import COLUMNS
from thinslice.evaluation.table import Table, best_psnr, format_score
from thinslice.report.figures import Planes, draw, write_png
from thinslice.report.planes import case_planes
from thinslice.report.reliability import draw_reliability
from thinslice.report.template import render_page
from thinslice.system.output import refuse_existing, whole_folder

_RELIABILITY = "reliability.png"
_TABLES = ("index.html", "table.csv", "table.json", _RELIABILITY)
_FILES = re.compile(rf"{'|'.join(map(re.escape, _TABLES))}|.+_(pair|({'|'.join(PROTOCOLS)})_x\d+)\.png")

_DECIMALS = {"ssim_new": 4, "dice_bone": 4, "dice_vessel": 4}


class Pages:
    """Collects the planes of results while methods run, then writes table.csv, table.json, index.html.

    Only planes are kept, so that a long evaluation does not hold volumes.

    Args:
        folder: where to write; refused at once where something is there.
        overwrite: replace what an earlier run wrote there.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE.
    """

    def __init__(self, folder: str | Path, *, overwrite: bool = False) -> None:
        self.folder = Path(folder)
        self.overwrite = overwrite
        self._planes: dict[str, dict[str, Planes]] = {}
        self._titles: dict[str, str] = {}
        refuse_existing(self.folder, overwrite=overwrite, is_own=of_a_page)

    def add(self, case: Case, name: str, result: np.ndarray) -> None:
        """Keep the planes of a result; an `on_result` of `evaluate`."""
        if case.slug not in self._planes:
            self._planes[case.slug] = {"thick": case_planes(case, case.thick.hu)}
            self._titles[case.slug] = case.title
        self._planes[case.slug][name] = case_planes(case, result)

    def write(self, table: Table) -> None:
        """Write the folder.

        Raises:
            OutputError: OUT-EXISTS, OUT-WRITE, OUT-FULL.
        """
        with whole_folder(self.folder, overwrite=self.overwrite, is_own=of_a_page) as folder:
            table.to_csv(folder / "table.csv")
            table.to_json(folder / "table.json")
            pictures = []
            for slug, planes in self._planes.items():
                write_png(draw(planes, title=self._titles[slug]), folder / f"{slug}.png")
                pictures.append((self._titles[slug], f"{slug}.png"))
            if curves := _reliability_curves(table):
                write_png(draw_reliability(curves), folder / _RELIABILITY)
            (folder / "index.html").write_text(render(table, pictures), encoding="utf-8")


def of_a_page(entry: Path) -> bool:
    """Whether what is in a folder bears the name of a file of a page."""
    return bool(_FILES.fullmatch(entry.name))


def render(table: Table, pictures: list[tuple[str, str]]) -> str:
    """The page as HTML: a summary, one table and one picture for each case, and what the columns mean."""
    columns = [*(field.name for field in fields(Scores)), "seconds"]
    cases = [
        (
            title,
            [
                (
                    method,
                    [_cell(name, scores[name], spread) for name in columns],
                    scores["psnr_new"] == best_psnr(methods),
                )
                for method, scores, spread in methods
            ],
        )
        for title, methods in table.cases().items()
    ]
    return render_page(
        "page.html.j2",
        of="thinslice.evaluation",
        columns=columns,
        cases=cases,
        summary=_summary(table),
        pictures=pictures,
        pairs=[(measured.name, measured.lines) for measured in table.pairs],
        unsure_columns=COLUMNS,
        unsure=_unsure(table),
        reliability=_RELIABILITY,
    )


def _unsure(table: Table) -> list[list[str]]:
    """Figures of the uncertainty, of every row that has some: case, method, and the columns."""
    return [
        [row.title, row.method, *(format_score(value, 3) for value in row.uncertainty.figures.values())]
        for row in table
        if row.uncertainty
    ]


def _reliability_curves(table: Table) -> dict[str, tuple[tuple[float, float], ...]]:
    """Bins of every row that has an uncertainty, of the first seed."""
    curves: dict[str, tuple[tuple[float, float], ...]] = {}
    for row in table:
        if row.uncertainty:
            curves.setdefault(f"{row.title}, {row.method}", row.uncertainty.bins)
    return curves


def _cell(name: str, value: float, spread: float) -> str:
    text = format_score(value, 1 if name == "seconds" else _DECIMALS.get(name, 2))
    return f"{text} ± {spread:.2f}" if name == "psnr_new" and spread else text


def _summary(table: Table) -> list[list[str]]:
    """Means over the cases that every method was run on: psnr, gain over cubic, size of the biases."""
    cases = [{method: scores for method, scores, _ in methods} for methods in table.cases().values()]
    common = [name for name in (cases[0] if cases else {}) if all(name in case for case in cases)]

    def mean(values: list[float], decimals: int) -> str:
        known = [value for value in values if np.isfinite(value)]
        return format_score(float(np.mean(known)) if known else float("nan"), decimals)

    rows = []
    for name in common if len(cases) > 1 else []:
        scores = [case[name] for case in cases]
        gain = [case[name]["psnr_new"] - case["cubic"]["psnr_new"] for case in cases] if "cubic" in common else []
        biases = [mean([abs(s[f"bias_{tissue}"]) for s in scores], 1) for tissue in ("lung", "soft", "bone")]
        rows.append([name, mean([s["psnr_new"] for s in scores], 2), mean(gain, 2), *biases])
    return rows
