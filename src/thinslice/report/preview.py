"""A picture of a run on a scan whose truth is not known: coronal and sagittal, thick, cubic and result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thinslice.physics import interpolation
from thinslice.plan import grid_of
from thinslice.planes import Plane
from thinslice.report.figures import MARGIN_INCHES, WINDOWS, name_row, row_inches, write_png
from thinslice.report.planes import across_slices
from thinslice.system.output import whole_file
from thinslice.volume import Volume

_COLUMN_INCHES = 4.0


def save_preview(thick: Volume, result: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a PNG with coronal and sagittal planes through the middle, in two windows.

    Args:
        thick: the acquired slices.
        result: the same scan on a finer grid along z.
        path: of the PNG.
        overwrite: replace an existing file.
    """
    grid = grid_of(thick, result)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    volumes = {
        "acquired": (thick.hu, nearest),
        "cubic": (thick.hu, interpolation.cubic(grid)),
        "thinslice": (result.hu, np.arange(len(grid.output_mm))),
    }
    _, rows, columns = result.shape
    shown = {
        name: across_slices(hu, along_z, result, row=rows // 2, column=columns * 2 // 5)
        for name, (hu, along_z) in volumes.items()
    }
    with whole_file(Path(path), overwrite=overwrite) as file:
        write_png(_draw(shown), file)


def _draw(columns: dict[str, tuple[Plane, Plane]]) -> Figure:
    """Rows: both planes in every window; columns: the volumes."""
    planes = columns["thinslice"]
    rows = [(window, index) for window in WINDOWS for index in range(len(planes))]
    heights = [row_inches(planes[index], _COLUMN_INCHES) for _, index in rows]
    width, height = _COLUMN_INCHES * len(columns) + MARGIN_INCHES, sum(heights) + 0.06 * len(rows) + 0.4
    figure = Figure(figsize=(width, height), facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(rows), len(columns), height_ratios=heights, left=MARGIN_INCHES / width, right=1 - 0.02 / width,
        top=1 - 0.38 / height, bottom=0.02 / height, wspace=0.02, hspace=0.06 / float(np.mean(heights)),
    )  # fmt: skip
    for row, (window, index) in enumerate(rows):
        (low, high), _ = WINDOWS[window]
        for column, (name, found) in enumerate(columns.items()):
            plane = found[index]
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            extent = (0.0, plane.size_mm[1], plane.size_mm[0], 0.0)
            smoothing = "nearest" if name == "acquired" else "antialiased"
            axes.imshow(plane.hu, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation=smoothing)
            if row == 0:
                axes.set_title(name, color="white", fontsize=12, pad=5)
            if column == 0:
                name_row(axes, plane, window)
    return figure
