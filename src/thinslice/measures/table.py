"""The figures of labels as a table: for a terminal, as CSV, as JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable
from rich.text import Text

from thinslice.errors import Notice, printable
from thinslice.measures.figures import FIGURES, LabelFigures, Threshold
from thinslice.measures.intervals import Figure
from thinslice.system.output import whole_file
from thinslice.system.paths import as_path

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (("volume_ml", "ml"), ("mean_hu", "HU"), ("share", ""), ("x_mm", "x mm"), ("y_mm", "y mm"), ("z_mm", "z mm"))
_NAME = 20  # characters of a name on a terminal


class Measures(list[LabelFigures]):
    """The figures of labels, one label a row.

    Attributes:
        threshold: what the share counts.
        warnings: what the user should know of them.
    """

    def __init__(
        self, rows: Iterable[LabelFigures] = (), *, threshold: Threshold, warnings: Iterable[Notice] = ()
    ) -> None:
        super().__init__(rows)
        self.threshold = threshold
        self.warnings = list(warnings)

    def without_names(self) -> Measures:
        """The same without the names that the label map's file has."""
        rows = (replace(row, name="") for row in self)
        return Measures(rows, threshold=self.threshold, warnings=self.warnings)

    def as_records(self) -> list[dict[str, Any]]:
        """The rows ready for CSV and JSON: of every figure the value and the ends of its interval, or None."""
        return [_record(row, self.threshold) for row in self]

    def to_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one line a label, with a line of names first.

        Raises:
            OutputError: OUT-EXISTS, OUT-WRITE.
        """
        with (
            whole_file(as_path(path), overwrite=overwrite) as file,
            file.open("w", newline="", encoding="utf-8") as handle,
        ):
            writer = csv.DictWriter(handle, _names())
            writer.writeheader()
            writer.writerows(self.as_records())

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame; needs pandas."""
        import pandas as pd

        return pd.DataFrame(self.as_records(), columns=_names())

    def rich(self) -> RichTable:
        """The table for a terminal of 80 columns: of each label its figures, below them the ends of their intervals."""
        share = f"% {'>' if self.threshold.side == 'above' else '<'}{self.threshold.hu:g}"
        shown = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        shown.add_column("label", max_width=_NAME, no_wrap=True, overflow="ellipsis")
        for _, heading in _SHOWN:
            shown.add_column(heading or share, justify="right", no_wrap=True)
        for row in self:
            figures = [getattr(row, name) for name, _ in _SHOWN]
            shown.add_row(Text(f"{row.label} {printable(row.name)}".strip()), *(_digits(f.value) for f in figures))
            if any(figure.low is not None for figure in figures):
                shown.add_row("  90 %: from", *(_digits(f.low) for f in figures), style="dim")
                shown.add_row("        to", *(_digits(f.high) for f in figures), style="dim")
        return shown


def _record(row: LabelFigures, threshold: Threshold) -> dict[str, Any]:
    cells: dict[str, Any] = {"label": row.label, "name": row.name, "voxels": row.voxels}
    cells |= {"threshold_hu": threshold.hu, "side": threshold.side}
    for name in FIGURES:
        figure: Figure = getattr(row, name)
        cells |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return cells


def _names() -> list[str]:
    ends = [f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    return ["label", "name", "voxels", "threshold_hu", "side", *ends]


def _digits(value: float | None) -> str:
    """To four digits, at most two of them behind the point; a dash for what is not known."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
