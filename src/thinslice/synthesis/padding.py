"""Voxels that were never measured: shown to the networks as air, put back on the output."""

from __future__ import annotations

import numpy as np

from thinslice.slice_profile import SliceGrid
from thinslice.tissues import HU_RANGE
from thinslice.volume import Volume


def fill_padding(volume: Volume) -> np.ndarray:
    """The volume's HU with air where it is padding: (m, y, x) float32, the volume's own array where it has none."""
    if volume.padding is None or not volume.padding.any():
        return volume.hu
    return np.where(volume.padding, np.float32(HU_RANGE[0]), volume.hu)


def carry_padding(out: np.ndarray, volume: Volume, *, grid: SliceGrid) -> np.ndarray | None:
    """Mark as padding, in place, what is padding in the nearest acquired slices, with the input's value.

    Half-way between two slices both are nearest, and both must be padding.

    Args:
        out: (n, y, x) HU.
        volume: the acquired slices.
        grid: of both.

    Returns:
        bool (n, y, x), or None where the input has no padding.
    """
    if volume.padding is None or not volume.padding.any():
        return None
    mask = np.empty(out.shape, bool)
    distance = np.abs(grid.output_mm[:, None] - grid.acquired_mm[None, :])
    nearest = distance <= distance.min(axis=1, keepdims=True) + 1e-6 * grid.spacing_mm
    for slice_out, hu, near in zip(mask, out, nearest, strict=True):
        chosen = np.flatnonzero(near)
        slice_out[:] = volume.padding[chosen].all(axis=0)
        hu[slice_out] = volume.hu[chosen[0]][slice_out]
    return mask
