"""One picture of a case: thick, cubic, thinslice and truth, and what the two are wrong by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thinslice.planes import Plane
from thinslice.report.planes import case_planes, columns_shown
from thinslice.system.output import whole_file

if TYPE_CHECKING:
    from thinslice.evaluation.protocols import Case

# Window, and the error in HU at which the colours of an error map end.
WINDOWS = {"lung": ((-1350.0, 150.0), 300.0), "soft tissue": ((-160.0, 240.0), 100.0)}

Planes = tuple[Plane, ...]

MARGIN_INCHES = 0.95  # for the names of rows
_COLUMN_INCHES = 2.5
_NAME_INCHES = 0.35


def save_picture(
    case: Case,
    results: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write a PNG of a case.

    Args:
        case: with its thick volume and truth.
        results: (n, y, x) HU by method; of several, cubic and thinslice are shown.
        path: of the PNG.
        overwrite: replace an existing file.
    """
    planes = {"thick": case_planes(case, case.thick.hu)}
    planes |= {name: case_planes(case, result) for name, result in results.items()}
    planes["truth"] = case_planes(case, case.truth)
    figure = draw(planes, title=case.title)
    with whole_file(Path(path), overwrite=overwrite) as file:
        write_png(figure, file)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes every time."""
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def row_inches(plane: Plane, column_inches: float) -> float:
    """Height of a row of pictures of a plane; its name fits in."""
    return max(_NAME_INCHES, column_inches * plane.size_mm[0] / plane.size_mm[1])


def name_row(axes: Axes, plane: Plane, window: str) -> None:
    """Write the name of a row to the left of its first picture."""
    axes.text(
        -0.03, 0.5, f"{plane.name}\n{window}", color="white", fontsize=9, ha="right", va="center",
        transform=axes.transAxes,
    )  # fmt: skip


def draw(planes: Mapping[str, Planes], *, title: str) -> Figure:
    """Draw the planes of a case.

    Args:
        planes: the three planes by name: "thick", "truth" and results.
        title: over the picture.

    Returns:
        A figure: rows are planes in two windows, columns thick, results, truth, errors.
    """
    shown = columns_shown(planes)
    columns = ["thick", *shown, "truth"]
    truth = planes["truth"]
    heights = [row_inches(plane, _COLUMN_INCHES) for plane in truth] * len(WINDOWS)
    names = columns + [f"{name} - truth" for name in shown]
    width, height = _COLUMN_INCHES * len(names) + MARGIN_INCHES, sum(heights) + 0.06 * len(heights) + 0.9
    figure = Figure(figsize=(width, height), facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(heights), len(names), height_ratios=heights, left=MARGIN_INCHES / width, right=1 - 0.02 / width,
        top=1 - 0.58 / height, bottom=0.3 / height, wspace=0.02, hspace=0.06 / np.mean(heights),
    )  # fmt: skip
    for row in range(len(heights)):
        window, ((low, high), limit) = list(WINDOWS.items())[row // len(truth)]
        wanted = truth[row % len(truth)]
        extent = (0.0, wanted.size_mm[1], wanted.size_mm[0], 0.0)
        for column, name in enumerate(names):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            if column < len(columns):
                hu = planes[name][row % len(truth)].hu
                axes.imshow(hu, cmap="gray", vmin=low, vmax=high, extent=extent)
            else:
                hu = planes[shown[column - len(columns)]][row % len(truth)].hu
                error = np.clip(hu, low, high) - np.clip(wanted.hu, low, high)
                axes.imshow(error, cmap="seismic", vmin=-limit, vmax=limit, extent=extent)
            if row == 0:
                axes.set_title(name, color="white", fontsize=11, pad=4, parse_math=False)
            if column == 0:
                name_row(axes, wanted, window)
    figure.text(0.5, 1 - 0.12 / height, title, color="white", fontsize=12, ha="center", va="top", parse_math=False)
    limits = ", ".join(f"±{limit:g} HU ({name})" for name, (_, limit) in WINDOWS.items())
    figure.text(0.5, 0.1 / height, f"errors: blue below the truth, red above it, full colour at {limits}",
                color="0.75", fontsize=9, ha="center", va="bottom")  # fmt: skip
    return figure
