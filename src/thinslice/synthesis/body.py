"""Where the body is. Air about it needs no network: there the base interpolation is the result."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_AIR_HU = -920.0  # no lung is all air, from the first slice to the last
_SMOOTH = 5  # pixels, either way: means of them are compared with it
_WHOLE = 2  # pixels about the body in which nothing is lost


def nearness(hu: np.ndarray, *, reach: int) -> np.ndarray:
    """1 on the body and in what it encloses, falling to 0 at a distance from it.

    A place belongs to the body where one of the slices has more than air; it is enclosed where there is body on both
    sides of it along x or along y.

    Args:
        hu: (m, y, x) acquired slices.
        reach: pixels about the body from which on it is 0; over 2.

    Returns:
        (y, x) float32.
    """
    highest = np.full(hu.shape[1:], -np.inf, np.float32)
    for image in hu:
        np.maximum(highest, ndimage.uniform_filter(image, _SMOOTH, mode="nearest"), out=highest)
    body = highest > _AIR_HU
    enclosed = [_since(body, axis) & np.flip(_since(np.flip(body, axis), axis), axis) for axis in (0, 1)]
    outside = ~(enclosed[0] | enclosed[1])
    if outside.all():
        return np.zeros(body.shape, np.float32)
    distance = ndimage.distance_transform_edt(outside)
    return np.clip((reach - distance) / (reach - _WHOLE), 0, 1).astype(np.float32)


def _since(body: np.ndarray, axis: int) -> np.ndarray:
    """Whether there is body here or before, along an axis."""
    return np.logical_or.accumulate(body, axis=axis)
