"""The scanner's thick slices of a thin volume."""

from __future__ import annotations

import numpy as np

from thinslice.physics.grid import SliceGrid, plan_grid, regime
from thinslice.physics.operator import SliceOperator
from thinslice.physics.profile import FLATNESS, Profile
from thinslice.volume import Volume


def thicken(
    volume: Volume, spacing_mm: float, *, thickness_mm: float | None = None, profile: Profile = "box"
) -> tuple[Volume, SliceGrid]:
    """Scan a volume again with thick slices: y = A x.

    Args:
        volume: the thin scan.
        spacing_mm: of the thick slices.
        thickness_mm: of the thick slices; the spacing where None.
        profile: shape of the slice profile.

    Returns:
        The thick volume, and the grid on which the thin slices are the output slices. Thin slices
        at the end that fill no thick slice are left out of the grid.
    """
    d = volume.slice_spacing_mm
    thickness = spacing_mm if thickness_mm is None else thickness_mm
    slices = int(np.floor(volume.shape[0] * d / spacing_mm + 1e-6))
    if regime(thickness, spacing_mm) == "gap":
        slices = int(np.floor((volume.shape[0] - 1) * d / spacing_mm + 1e-6)) + 1
    grid = plan_grid(slices, spacing_mm, d, thickness_mm=thickness, flatness=FLATNESS[profile])
    thin = volume.hu[: len(grid.output_mm)]
    hu = SliceOperator(grid).apply(thin)
    first = -float(grid.output_mm[0]) / d
    return volume.with_slices(hu, first=first, step=spacing_mm / d, thickness=thickness, padding=None), grid
