"""Bone between slices with a gap: what regression takes from its density is given half-way back.

Between two slices nobody knows where exactly the cortex runs, and a network that minimises squared
error answers with a mean: bone comes out too dark there, by 10 to 20 HU on average, more than by
interpolation (docs/experiments.md). Which densities occur is known from the acquired slices, though.
On images smoothed over 4 mm, so that neither noise nor the place of an edge matters, the densities of
the synthesised slices are mapped onto those of the acquired ones, value by value; half of that is
added. All of it would be too much: what is bright by mistake would be brightened too.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from thinslice.slice_profile import SliceGrid

_SMOOTH_MM = 4.0
_BONE_FROM_HU, _BONE_FULL_HU = 100.0, 200.0  # below: not touched; between: in part
_SHARE = 0.5
_BIN_HU = 25.0
_SAMPLES = 2_000_000  # pixels looked at
_FEWEST = 2_000  # smoothed voxels of bone on either side


def restore_bone(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, pixel_mm: tuple[float, float]) -> None:
    """Correct the synthesised slices of `out` in place, where acquired slices are slices of the output.

    Args:
        out: (n, y, x) float32 HU.
        acquired: (m, y, x) float32 HU.
        grid: of both.
        pixel_mm: (x, y) pixel spacing.
    """
    rows = np.setdiff1d(np.arange(len(out)), grid.on_grid()[1])
    if not grid.copies or not len(rows):
        return
    sigma = (_SMOOTH_MM / pixel_mm[1], _SMOOTH_MM / pixel_mm[0])
    step = max(1, round((len(rows) * out[0].size / _SAMPLES) ** 0.5))
    known = _bone(acquired, np.arange(len(acquired)), sigma, step=step)
    made = _bone(out, rows, sigma, step=step)
    if min(len(known), len(made)) < _FEWEST:
        return
    centres, missing = _missing(known, made, slices=len(acquired) / len(rows))
    for row in rows:
        smooth = ndimage.gaussian_filter(out[row], sigma, mode="nearest")
        weight = np.clip((smooth - _BONE_FROM_HU) / (_BONE_FULL_HU - _BONE_FROM_HU), 0, 1)
        out[row] += _SHARE * weight * np.interp(smooth, centres, missing)


def _missing(known: np.ndarray, made: np.ndarray, *, slices: float) -> tuple[np.ndarray, np.ndarray]:
    """Densities in HU and what they lack, (k,) each; `slices`: known ones for each one made.

    From the brightest down, the same share of voxels on either side is taken for the same bone.
    """
    share = np.arange(min(len(made), int(len(known) / slices)))
    found = np.sort(made)[::-1][share]
    lack = np.sort(known)[::-1][(share * slices).astype(int)] - found
    number = ((found - _BONE_FROM_HU) // _BIN_HU).astype(int)
    count = np.bincount(number)
    full = np.flatnonzero(count >= _FEWEST // 100)
    mean = np.bincount(number, weights=lack)[full] / count[full]
    return _BONE_FROM_HU + (full + 0.5) * _BIN_HU, ndimage.gaussian_filter1d(mean, 1.0, mode="nearest")


def _bone(slices: np.ndarray, rows: np.ndarray, sigma: tuple[float, float], *, step: int) -> np.ndarray:
    """Smoothed values above `_BONE_FROM_HU` of some slices, at every `step`-th pixel along x and y."""
    kept = []
    for row in rows:
        values = ndimage.gaussian_filter(slices[row], sigma, mode="nearest")[::step, ::step]
        kept.append(values[values > _BONE_FROM_HU])
    return np.concatenate(kept)
