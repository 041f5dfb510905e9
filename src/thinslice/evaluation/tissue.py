"""Which voxels are lung, soft tissue and bone: masks from the truth alone.

They come from a smoothed truth, so that its noise does not select voxels that happen to be noisy
one way (a mask cut from the noisy truth shows biases that mean nothing).

The lung is what lies below -500 HU there, less the air around the body: in-plane pieces that touch
the border of the region and hold air (median of the truth below -930 HU), or keep to the front or
the back of the region (mean distance below 20 mm, and below an eighth of the region). A region smaller
than the scan cuts the lungs as well, mostly at its sides, so that touching the border alone is no sign.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from thinslice.conventions import TISSUES

LUNG_BELOW = -500.0
AIR_BELOW, RIM_MM = -930.0, 20.0
BONE_OVER = 200.0
VESSEL_OVER = -600.0
_CLOSED_MM, _LEFT_OUT_MM = 5.0, 3.0


def tissue_mask(smooth: np.ndarray, name: str, *, along_z: int) -> np.ndarray:
    """Voxels of a tissue, 2 pixels in plane and `along_z` slices away from its border.

    What lies beyond the region counts as border.

    Args:
        smooth: (z, y, x) HU, the truth after a Gaussian of 2 mm.
        name: of `tissues.TISSUES`.
        along_z: slices.
    """
    low, high = TISSUES[name]
    return ndimage.binary_erosion((smooth > low) & (smooth < high), np.ones((2 * along_z + 1, 5, 5)))


def lung_mask(truth: np.ndarray, smooth: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Lung without the air around the body, (z, y, x) bool.

    Args:
        truth: (z, y, x) HU.
        smooth: the same after a Gaussian of 2 mm.
        pixel_mm: (x, y).
    """
    lung = smooth < LUNG_BELOW
    rows = lung.shape[1]
    depth = np.broadcast_to(np.minimum(np.arange(rows), np.arange(rows)[::-1])[:, None] * pixel_mm[1], lung.shape[1:])
    near = min(RIM_MM, rows * pixel_mm[1] / 8)
    for plane, hu in zip(lung, truth, strict=True):
        pieces, _ = ndimage.label(plane)
        ends = np.unique(pieces[[0, -1]])
        border = np.unique(np.concatenate([ends, pieces[:, 0], pieces[:, -1]]))
        border = border[border > 0]
        if len(border):
            air = np.asarray(ndimage.median(hu, pieces, border)) < AIR_BELOW
            air |= (np.asarray(ndimage.mean(depth, pieces, border)) < near) & np.isin(border, ends)
            plane[np.isin(pieces, border[air])] = False
    return lung


def inside_lung(lung: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Where vessels of the lung are looked for, (z, y, x) bool.

    In plane, the lung is closed by a square of 10 mm, which takes in vessels of that width, and its
    outer 3 mm are left out, so that chest wall and heart are not counted as vessels.

    Args:
        lung: (z, y, x) bool, as `lung_mask` has it.
        pixel_mm: (x, y).
    """

    def square(mm: float) -> tuple[int, int, int]:
        return 1, 2 * round(mm / pixel_mm[1]) + 1, 2 * round(mm / pixel_mm[0]) + 1

    wide = ndimage.maximum_filter(lung.view(np.uint8), square(_CLOSED_MM))
    return ndimage.minimum_filter(wide, square(_CLOSED_MM + _LEFT_OUT_MM)).view(bool)
