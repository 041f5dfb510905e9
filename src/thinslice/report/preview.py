"""A picture of a run on a scan whose truth is not known: coronal and sagittal, thick, cubic and result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thinslice.physics import interpolation
from thinslice.plan import grid_of
from thinslice.planes import Plane, turned
from thinslice.report.figures import MARGIN_INCHES, WINDOWS, name_row, row_inches, write_png
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
    columns = {
        "acquired": _planes(thick.hu, np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1), result),
        "cubic": _planes(thick.hu, interpolation.cubic(grid), result),
        "thinslice": _planes(result.hu, np.arange(len(grid.output_mm)), result),
    }
    with whole_file(Path(path), overwrite=overwrite) as file:
        write_png(_draw(columns), file)


def _planes(hu: np.ndarray, along_z: np.ndarray, result: Volume) -> tuple[Plane, Plane]:
    """Coronal and sagittal plane on the result's grid.

    Args:
        hu: (k, y, x).
        along_z: for each output slice its slice (n,), or its weights (n, k).
        result: the grid.
    """

    def resampled(plane: np.ndarray) -> np.ndarray:
        return plane[along_z] if along_z.ndim == 1 else along_z @ plane

    x, y, _ = result.voxel_mm
    z = result.slice_spacing_mm
    across, down, normal = result.affine[:3, 0], result.affine[:3, 1], result.affine[:3, 2]
    _, rows, columns = hu.shape
    return (
        turned(resampled(hu[:, rows // 2]), (z, x), normal, across, down),
        turned(resampled(hu[:, :, columns * 2 // 5]), (z, y), normal, down, across),
    )


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
