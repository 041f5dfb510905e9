"""Test objects of plain shape: an edge, and a cylinder of water."""

from __future__ import annotations

import numpy as np

from thinslice.phantom.space import Space, coverage, superellipse
from thinslice.phantom.texture import scanner_noise
from thinslice.volume import Origin, Volume


def make_edge_phantom(
    *,
    shape: tuple[int, int, int] = (64, 48, 48),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    low_hu: float = 0.0,
    step_hu: float = 1000.0,
    tilt_deg: float = 0.0,
) -> Volume:
    """Two halves that meet in a plane through the middle of the grid, without noise.

    Args:
        shape: slices, rows, columns.
        spacing_mm: of slices, rows, columns.
        low_hu: HU below the plane.
        step_hu: how many HU more there are above it.
        tilt_deg: angle between the plane's normal and the slice axis: 0 is an edge along z, 90 along x.
    """
    space = Space.centred(shape, spacing_mm)
    tilt = np.deg2rad(tilt_deg)
    along_z, along_x = float(np.cos(tilt)), float(np.sin(tilt))
    above = along_z * space.z + along_x * space.x + 0 * space.y
    # Width over which a tilted plane crosses a voxel.
    crossed = abs(along_z) * spacing_mm[0] + abs(along_x) * spacing_mm[2]
    hu = low_hu + step_hu * coverage(-above, crossed)
    return Volume(hu, grid_affine(shape, spacing_mm), thickness=float(spacing_mm[0]), origin=Origin(kind="phantom"))


def make_water_phantom(
    *,
    shape: tuple[int, int, int] = (32, 64, 64),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    noise_hu: float = 10.0,
    seed: int = 0,
) -> Volume:
    """A cylinder of water along z in air, four fifths of the grid wide, with the noise of a scanner."""
    space = Space.centred(shape, spacing_mm)
    radius = 0.4 * min(shape[1] * spacing_mm[1], shape[2] * spacing_mm[2])
    circle = superellipse(space.x, space.y + 0 * space.z, radius, radius, power=2.0)
    hu = -1000 + 1000 * coverage(circle, float(np.sqrt(spacing_mm[1] * spacing_mm[2])))
    hu = hu + noise_hu * scanner_noise(shape, spacing_mm[1:], np.random.default_rng(seed))
    return Volume(hu, grid_affine(shape, spacing_mm), thickness=float(spacing_mm[0]), origin=Origin(kind="phantom"))


def grid_affine(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Columns to the patient's left, rows backwards, slices upwards, the middle of the grid at the origin."""
    steps = np.array([-spacing_mm[2], -spacing_mm[1], spacing_mm[0]])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(shape[::-1]) - 1) / 2
    return affine
