"""The table: one row for each scan, protocol, factor, method and seed."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from thinslice.errors import Notice
from thinslice.evaluation.measured_profile import MeasuredProfile
from thinslice.evaluation.metrics import Scores
from thinslice.evaluation.protocols import Case, case_title
from thinslice.evaluation.reliability import COLUMNS, Reliability
from thinslice.system.output import whole_file
from thinslice.system.paths import as_path

if TYPE_CHECKING:
    import pandas as pd

# What a screen of 80 columns holds, in two tables for each case: score, heading, decimals.
SHOWN = (
    (
        ("psnr_new", "psnr", 2),
        ("ssim_new", "ssim", 3),
        ("mae_new", "mae", 1),
        ("bias_lung", "lung", 1),
        ("bias_soft", "soft", 1),
        ("bias_bone", "bone", 1),
        ("edge_mm", "edge", 2),
        ("seconds", "s", 1),
    ),
    (
        ("laa950", "laa950", 2),
        ("perc15", "perc15", 1),
        ("dice_bone", "Dbone", 3),
        ("dice_vessel", "Dvessel", 3),
        ("noise_acquired", "noise", 1),
        ("noise_new", "new", 1),
        ("noise_ratio", "ratio", 2),
    ),
)


SHOWN_UNCERTAINTY = (
    ("unc_rmse", "rmse", 1),
    ("unc_expected", "expected", 1),
    ("unc_calibration_error", "calib", 3),
    ("unc_within", "within", 3),
    ("unc_rank", "rank", 3),
    ("unc_rank_ceiling", "most", 3),
    ("unc_rank_views", "views", 3),
    ("unc_over_floor", "floor", 2),
)
"""Of methods with an uncertainty; the same way."""


@dataclass(frozen=True, kw_only=True)
class Row(Scores):
    """What a method scored on a case.

    Attributes:
        scan: name of the scan.
        protocol: "gap", "box" or "gauss", or "pair" of a real one.
        factor: acquired over output spacing.
        method: name of the row, a method or a scored tool.
        seed: of the fit; the first one for methods without chance.
        assumed_thickness: thickness that the method assumed, over the true one; of a pair over the stated one.
        assumed_profile: profile that the method assumed.
        seconds: wall time of fit and synthesis; nan for a scored tool.
        uncertainty: how the uncertainty of the result compares with its errors, in columns that begin with "unc_";
            None for methods that have none.
    """

    scan: str
    protocol: str
    factor: int
    method: str
    seed: int
    assumed_thickness: float
    assumed_profile: str
    seconds: float
    uncertainty: Reliability | None = None

    @classmethod
    def of(
        cls,
        case: Case,
        scores: Scores,
        *,
        method: str,
        seed: int,
        seconds: float,
        uncertainty: Reliability | None = None,
    ) -> Row:
        """The row of a method that scored so on a case."""
        return cls(
            scan=case.name, protocol=case.protocol, factor=case.factor, method=method, seed=seed,
            assumed_thickness=case.assumed_thickness, assumed_profile=case.grid.shape, seconds=seconds,
            uncertainty=uncertainty,
            **asdict(scores),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The row with what it is first and its scores behind."""
        unsure = self.uncertainty.figures if self.uncertainty else dict.fromkeys(COLUMNS, math.nan)
        return {name: unsure[name] if name in unsure else getattr(self, name) for name in _row_names()}

    @property
    def title(self) -> str:
        """The case in words."""
        return case_title(self.scan, self.protocol, self.factor, self.assumed_thickness, self.assumed_profile)


class Table(list[Row]):
    """Rows in the order in which they were measured.

    Attributes:
        warnings: what reading the scans, and comparing pairs, warned of.
        pairs: of real pairs, the measured profile of thick slices over thin ones.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        super().__init__(rows)
        self.warnings: list[Notice] = []
        self.pairs: list[MeasuredProfile] = []

    def warn(self, notices: Iterable[Notice]) -> None:
        """Add warnings, each once."""
        self.warnings.extend(notice for notice in notices if notice not in self.warnings)

    def add_pair(self, measured: MeasuredProfile) -> None:
        """Add what was measured on a pair, once, and what it warns of."""
        if measured not in self.pairs:
            self.pairs.append(measured)
            self.warn(measured.warnings())

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame; needs pandas."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self])

    def to_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one line a row, with a line of names first."""
        names = [*_row_names()]
        with (
            whole_file(as_path(path), overwrite=overwrite) as file,
            file.open("w", newline="", encoding="utf-8") as handle,
        ):
            writer = csv.DictWriter(handle, names)
            writer.writeheader()
            writer.writerows(row.as_dict() for row in self)

    def as_records(self) -> list[dict[str, Any]]:
        """The rows ready for JSON; scores that are no finite number are None."""
        return [_finite(row.as_dict()) for row in self]

    def to_json(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a list of objects, as `as_records` has them."""
        with whole_file(as_path(path), overwrite=overwrite) as file:
            file.write_text(json.dumps(self.as_records(), indent=1) + "\n", encoding="utf-8")

    def cases(self) -> dict[str, list[tuple[str, dict[str, float], float]]]:
        """Rows by case title: method, mean scores over seeds, and the spread of psnr_new over them."""
        grouped: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in self:
            grouped[row.title][row.method].append(row)
        return {
            title: [
                (
                    method,
                    {name: float(np.mean([row.as_dict()[name] for row in rows])) for name in _score_names()},
                    _spread([row.psnr_new for row in rows]),
                )
                for method, rows in methods.items()
            ]
            for title, methods in grouped.items()
        }

    def rich(self) -> Group:
        """The table for a terminal of 80 columns: means over seeds, the best psnr of a case in bold."""
        return Group(*(_rich_case(title, methods) for title, methods in self.cases().items()))


def _spread(values: list[float]) -> float:
    """Standard deviation; 0 where there is none: of one value, or of results without error."""
    return float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else 0.0


def _rich_case(title: str, methods: list[tuple[str, dict[str, float], float]]) -> Group:
    """One case: a line a method, first the pixels and then what a reader of CT asks for."""
    pixels, reader = (_rich_scores(methods, shown) for shown in SHOWN)
    pixels.title = Text(title)
    shown = [pixels, reader]
    if unsure := [method for method in methods if not math.isnan(method[1]["unc_rmse"])]:
        shown.append(_rich_scores(unsure, SHOWN_UNCERTAINTY))
    shown[-1].add_row()
    return Group(*shown)


def _rich_scores(
    methods: list[tuple[str, dict[str, float], float]], columns: tuple[tuple[str, str, int], ...]
) -> RichTable:
    shown = RichTable(title_justify="left", title_style="cyan", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("method", min_width=14, no_wrap=True)
    for _, heading, _ in columns:
        shown.add_column(heading, justify="right", min_width=5, no_wrap=True)
    best = best_psnr(methods)
    for method, scores, spread in methods:
        cells = [format_score(scores[name], decimals) for name, _, decimals in columns]
        if spread and columns[0][0] == "psnr_new":
            cells[0] += f"±{spread:.2f}"
        shown.add_row(Text(method), *cells, style="bold" if scores["psnr_new"] == best else "")
    return shown


def best_psnr(methods: list[tuple[str, dict[str, float], float]]) -> float:
    """The highest psnr_new of a case of `Table.cases`; nan where none is known."""
    return max((scores["psnr_new"] for _, scores, _ in methods if not math.isnan(scores["psnr_new"])), default=math.nan)


def format_score(value: float, decimals: int) -> str:
    """A figure for a table; a dash for what could not be measured."""
    if math.isnan(value):
        return "-"
    return "inf" if math.isinf(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"


def _score_names() -> list[str]:
    return [*(field.name for field in fields(Scores)), *COLUMNS, "seconds"]


def _row_names() -> list[str]:
    scores = [field.name for field in fields(Scores)]
    return [field.name for field in fields(Row) if field.name not in (*scores, "uncertainty")] + scores + [*COLUMNS]


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
