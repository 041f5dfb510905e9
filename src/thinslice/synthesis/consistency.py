"""Make the result agree with what was measured: x <- x + P (y - A x)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from thinslice.slice_profile import Projection, SliceGrid, slice_operator

DAMPED_FROM = 1.3  # T/s above which A A^T is close to singular (method.md 3c)
_COLUMNS = 2**16  # pixels in a slab


def project(
    out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, damping: float | str | None = None
) -> float | None:
    """Project `out` in place and return the damping used.

    Where T <= d and every acquired slice lies on the output grid, slices are copied, bit for bit.

    Args:
        out: (n, y, x) float32 HU.
        acquired: (m, y, x) float32 HU.
        grid: of both.
        damping: lambda; None chooses it from T/s and the noise; "off" does nothing.
    """
    if damping == "off":
        return None
    if grid.copies:
        taken, given = grid.on_grid()
        out[given] = acquired[taken]
        if len(taken) == len(acquired):
            return None
    operator = slice_operator(grid)
    if damping is None:
        damping = choose_damping(out, acquired, grid=grid)
    projection = Projection(operator, float(damping))
    fixed = grid.on_grid()[1] if grid.copies else np.empty(0, int)
    for rows in _slabs(out.shape):
        x, y = _columns(out[:, rows]), _columns(acquired[:, rows])
        correction = projection.correction(y - operator @ x)
        correction[fixed] = 0
        out[:, rows] += correction.reshape(len(x), -1, out.shape[2])
    return float(damping)


def residual(
    out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, ignore: np.ndarray | None = None, rounded: bool = False
) -> tuple[float, float]:
    """(rms, max) of |A x - y| in HU where the mask `ignore` (m, y, x) is False; of `out` as it is or rounded."""
    operator = slice_operator(grid)
    square, count, largest = 0.0, 0, 0.0
    for rows in _slabs(out.shape):
        x = _columns(out[:, rows]).astype(np.float64)
        difference = np.abs(operator @ (np.rint(x) if rounded else x) - _columns(acquired[:, rows]))
        if ignore is not None:
            difference = difference[~_columns(ignore[:, rows])]
        square += float(np.square(difference).sum())
        count += difference.size
        largest = max(largest, float(difference.max(initial=0)))
    return (square / max(count, 1)) ** 0.5, largest


def choose_damping(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid) -> float:
    """lambda: 0 up to T = 1.3 s; beyond, such that |A x - y| equals the noise of y (discrepancy principle).

    Found by bisection in log lambda on a sample of columns. Where A x is nearer to y than the
    noise already, the largest damping tried is returned: there is nothing to correct.
    """
    if grid.thickness_mm <= DAMPED_FROM * grid.spacing_mm:
        return 0.0
    operator = slice_operator(grid)
    stride = max(1, acquired[0].size // 4096)
    y = acquired.reshape(len(acquired), -1)[:, ::stride].astype(np.float64)
    difference = y - operator @ out.reshape(len(out), -1)[:, ::stride]
    tissue = (y > -200) & (y < 300)
    wanted = noise_hu(acquired)
    if not tissue.any() or not wanted:
        return 0.1
    low, high = -6.0, 3.0
    for _ in range(24):
        middle = (low + high) / 2
        left = 10**middle * Projection(operator, 10**middle).solve(difference)
        low, high = (low, middle) if float(np.sqrt(np.mean(left[tissue] ** 2))) > wanted else (middle, high)
    return float(10 ** ((low + high) / 2))


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


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Ranges of rows that hold about `_COLUMNS` pixels."""
    step = max(1, _COLUMNS // shape[2])
    for start in range(0, shape[1], step):
        yield slice(start, start + step)


def _columns(block: np.ndarray) -> np.ndarray:
    """(slices, y, x) to (slices, pixels)."""
    return np.ascontiguousarray(block).reshape(len(block), -1)
