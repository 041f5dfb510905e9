"""A small picture of a result: one coronal plane of the scan and of the result, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from scipy import ndimage

from thinslice.plan import grid_of
from thinslice.report.figures import WINDOWS
from thinslice.report.planes import across_slices
from thinslice.report.stills import usual_window
from thinslice.system.output import whole_file
from thinslice.volume import Volume

_WIDTH, _GAP = 160, 4  # pixels of each half, and between them


def save_thumbnail(scan: Volume, result: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a JPEG of about 324 pixels: the acquired slices on the left, the result on the right.

    Args:
        scan: the acquired slices.
        result: the same scan on a finer grid along z, sheared as the scan is.
        path: of the JPEG.
        overwrite: replace an existing file.
    """
    grid = grid_of(scan, result)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    (low, high), _ = WINDOWS[usual_window(scan)]
    _, rows, columns = result.shape
    halves = []
    for hu, along_z in ((scan.hu, nearest), (result.hu, np.arange(len(grid.output_mm)))):
        plane, _ = across_slices(hu, along_z, result, row=rows // 2, column=columns // 2)
        height = max(1, round(_WIDTH * plane.size_mm[0] / plane.size_mm[1]))
        zoom = height / plane.hu.shape[0], _WIDTH / plane.hu.shape[1]
        halves.append(ndimage.zoom(plane.hu, zoom, order=0 if hu is scan.hu else 1, grid_mode=True, mode="nearest"))
    gap = np.full((halves[0].shape[0], _GAP), high)
    grey = np.hstack([halves[0], gap, halves[1]]).clip(low, high)
    with whole_file(Path(path), overwrite=overwrite) as file:
        imsave(file, grey, vmin=low, vmax=high, cmap="gray", format="jpeg", pil_kwargs={"quality": 80})
