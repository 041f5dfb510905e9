"""A sheared volume (gantry tilt) made upright: every slice is shifted within its own plane.

The planes stay where they are, so that z is not touched: what is resampled is each slice, once, along
the one in-plane axis that the gantry tilts (along both, should the shear have both). The new grid is
large enough for all slices; what no slice covers is padding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from thinslice.conventions import HU_RANGE
from thinslice.errors import Notice
from thinslice.volume import Volume

_NEGLIGIBLE_PIXELS = 0.1  # drift from first to last slice below which an axis is left alone


def upright(volume: Volume) -> Volume:
    """The volume on a grid whose slice axis is the normal of the slices; itself where it is upright.

    Values between pixels come from a cubic through the four nearest (Catmull-Rom), which keeps
    constants and linear slopes. A pixel is padding where one of the two nearest is padding or missing.

    Args:
        volume: slices evenly spaced.

    Raises:
        GeometryError: GEO-UNEVEN.
    """
    volume.refuse_uneven()
    shift = shear_pixels(volume.affine)  # of a slice against the one before, pixels (x, y)
    drifts = _drifts(shift, len(volume.hu))
    if not drifts:
        return volume
    hu, padding, affine = volume.hu, volume.padding, volume.affine.copy()
    affine[:3, 2] -= affine[:3, :2] @ shift
    for axis, drift in drifts.items():
        before = int(np.ceil(max(0.0, -drift)))  # pixels that the new grid begins earlier
        places = shift[axis] * np.arange(len(hu)) + before
        hu, padding = _shifted(hu, padding, axis=2 - axis, places=places, more=int(np.ceil(abs(drift))))
        affine[:3, 3] -= before * affine[:3, axis]
    return replace(volume, hu=hu, padding=padding, affine=affine)


def tilt_as_upright(warnings: Iterable[Notice]) -> tuple[Notice, ...]:
    """A scan's warnings where the result is made upright: that of tilt neither calls it sheared nor gives advice."""
    return tuple(
        replace(notice, message=f"{notice.message.partition(': ')[0]}: slices are sheared; the result is made upright")
        if notice.code == "DCM-TILT"
        else notice
        for notice in warnings
    )


def upright_shapes(volume: Volume, *, slices: int, step: float) -> list[tuple[int, int, int]]:
    """Shapes (z, y, x) of the copies that `upright` makes of a result, one an axis that drifts: they take memory.

    Args:
        volume: the scan.
        slices: of the result.
        step: the result's spacing over the scan's.
    """
    shape, copies = [slices, *volume.shape[1:]], []
    for axis, drift in _drifts(shear_pixels(volume.affine) * step, slices).items():
        shape[2 - axis] += int(np.ceil(abs(drift)))
        copies.append((shape[0], shape[1], shape[2]))
    return copies


def _drifts(shift: np.ndarray, slices: int) -> dict[int, float]:
    """Pixels from the first slice to the last by axis (0 is x, 1 is y), where they are not negligible."""
    return {axis: float(drift) for axis, drift in enumerate(shift * (slices - 1)) if abs(drift) > _NEGLIGIBLE_PIXELS}


def shear_pixels(affine: np.ndarray) -> np.ndarray:
    """(x, y) pixels by which a slice is shifted against the one before it."""
    in_plane = affine[:3, :2]
    return np.linalg.solve(in_plane.T @ in_plane, in_plane.T @ affine[:3, 2])


def _shifted(
    hu: np.ndarray, padding: np.ndarray | None, *, axis: int, places: np.ndarray, more: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slices (z, y, x) put at `places`, in pixels along an axis that gets `more` pixels; and their padding."""
    shape = list(hu.shape)
    shape[axis] += more
    out, mask = np.empty(shape, np.float32), np.empty(shape, bool)
    filler = np.float32(hu[padding].min() if padding is not None and padding.any() else HU_RANGE[0])
    for index, place in enumerate(places):
        known = None if padding is None else np.moveaxis(~padding[index], axis - 1, 0)
        values, covered = _at(np.moveaxis(hu[index], axis - 1, 0), known, np.arange(shape[axis]) - place)
        values[~covered] = filler
        out[index] = np.moveaxis(values, 0, axis - 1)
        mask[index] = np.moveaxis(~covered, 0, axis - 1)
    return out, mask


def _at(lines: np.ndarray, known: np.ndarray | None, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cubic interpolation of (n, k) lines at places along n, all with one fraction; and where it is measured."""
    n = len(lines)
    left = np.floor(where + 1e-6).astype(int)
    t = float(np.clip(where[0] - left[0], 0, 1))
    known = np.ones(lines.shape, bool) if known is None else known

    def tap(offset: int) -> tuple[np.ndarray, np.ndarray]:
        index = left + offset
        inside = (index >= 0) & (index < n)
        index = index.clip(0, n - 1)
        return lines[index].astype(np.float32), known[index] & inside[:, None]

    (a, has_a), (b, has_b), (c, has_c), (d, has_d) = (tap(offset) for offset in (-1, 0, 1, 2))
    a = np.where(has_a, a, 2 * b - c)  # a straight line goes on where nothing was measured
    d = np.where(has_d, d, 2 * c - b)
    weights = np.array([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    wa, wb, wc, wd = weights.astype(np.float32)
    if t < 1e-6:
        return b.copy(), has_b
    return wa * a + wb * b + wc * c + wd * d, has_b & has_c
