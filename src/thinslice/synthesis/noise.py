"""How noisy slices are."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from thinslice.slice_profile import SliceGrid


def noise_of(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid) -> dict[str, Any]:
    """Noise of the acquired slices, of the slices between them, and its ratio; None where there is no tissue."""
    between = np.arange(len(out))
    if grid.copies:
        between = np.setdiff1d(between, grid.on_grid()[1])
    before, after = noise_hu(acquired), noise_hu(out, between)
    return {"acquired_hu": before, "synthesised_hu": after, "ratio": after / before if before and after else None}


def noise_hu(slices: np.ndarray, among: np.ndarray | None = None, *, at_most: int = 24) -> float | None:
    """Noise of soft tissue in HU: robust deviation of the high-pass along x and y.

    The high-pass is the slice minus its 3 x 3 median; the median absolute deviation over voxels
    of flat soft tissue is scaled to a standard deviation of white noise.

    Args:
        slices: (k, y, x) HU.
        among: indices of the slices to look at; all by default.
        at_most: slices looked at, spread evenly.

    Returns:
        HU; None where there is too little soft tissue.
    """
    among = np.arange(len(slices)) if among is None else among
    kept = []
    for image in (slices[k] for k in among[np.unique(np.linspace(0, len(among) - 1, at_most).astype(int))]):
        smooth = ndimage.gaussian_filter(image, 2.0)
        flat = (smooth > -100) & (smooth < 200) & (ndimage.generic_gradient_magnitude(smooth, ndimage.sobel) < 100)
        kept.append((image - ndimage.median_filter(image, 3))[flat])
    values = np.concatenate(kept)
    if values.size < 100:
        return None
    return float(1.4826 * np.median(np.abs(values - np.median(values))) * _WHITE_NOISE_GAIN)


_WHITE_NOISE_GAIN = 1.157  # the deviation of x - median3x3(x) falls short of that of white x by this factor
