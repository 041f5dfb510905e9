"""Voxels that were never measured: filled for the networks, put back on the output."""

from __future__ import annotations

import numpy as np

from thinslice.conventions import HU_RANGE
from thinslice.physics.grid import SliceGrid
from thinslice.volume import Volume


def fill_padding(volume: Volume) -> np.ndarray:
    """The volume's HU, (m, y, x) float32, read-only, without padding; the volume's own array where it has none.

    A voxel that is padding gets what was measured nearest to it along z, so that slices between do not lean towards
    what is not there, and air where its column holds nothing else.
    """
    if volume.padding is None or not volume.padding.any():
        own = volume.hu.view()
        own.flags.writeable = False  # it is the caller's
        return own
    filled = np.where(volume.padding, np.float32(HU_RANGE[0]), volume.hu)
    mixed = np.logical_and(np.any(volume.padding, axis=0), np.logical_not(np.all(volume.padding, axis=0)))
    for y, columns in enumerate(mixed):
        if columns.any():
            nearest = _nearest_false(volume.padding[:, y, columns])
            filled[:, y, columns] = np.take_along_axis(volume.hu[:, y, columns], nearest, axis=0)
    return filled


def _nearest_false(mask: np.ndarray) -> np.ndarray:
    """For each entry of a mask (m, columns) the slice of the nearest one that is False, in columns that have some."""
    slices = np.arange(len(mask))[:, None]
    below = np.maximum.accumulate(np.where(mask, -2 * len(mask), slices), axis=0)
    above = np.minimum.accumulate(np.where(mask, 3 * len(mask), slices)[::-1], axis=0)[::-1]
    return np.where(slices - below <= above - slices, below, above)


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
