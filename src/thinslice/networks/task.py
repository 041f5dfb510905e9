"""What a network is asked: from which slices, to which, seen through which profile.

A `Task` holds a grid's fixed operators as tensors: the base that a network adds to, the projection
that leaves the measured part alone, and the two numbers that tell the network which task it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from thinslice.networks.unfold import Unfolding, unfolding
from thinslice.physics import interpolation
from thinslice.physics.grid import Profile, Projection, SliceGrid, acquired_operator, plan_grid

CONDITIONS = 2  # numbers in Task.condition
MOST_OVERLAP = 2.0  # T/s


@dataclass(frozen=True, eq=False)
class Task:
    """A grid as the networks use it; for patches, since `base` and `free` are dense.

    Attributes:
        base: (n, m) interpolation that the networks add to.
        free: (n, n) I - A^+ A: keeps of a residual what the acquired slices do not determine.
        where: unfolding of the output slices.
        condition: (CONDITIONS,) apertures over spacing: T/s of the slices given, min(T, d)/s of those asked for.
    """

    grid: SliceGrid
    base: Tensor
    free: Tensor
    where: Unfolding
    condition: Tensor

    def to(self, device: torch.device) -> Task:
        """The same on another device; itself where it is there."""
        if self.base.device == device:
            return self
        base, free, condition = (part.to(device) for part in (self.base, self.free, self.condition))
        return Task(self.grid, base, free, self.where.to(device), condition)


def base_matrix(grid: SliceGrid) -> np.ndarray:
    """The interpolation under the networks: linear between thin slices, integrals for thick ones.

    Linear where slices are thinner than 0.8 s, or no thicker than output slices, which the spline would tie to
    acquired ones between them: it cannot overshoot, and what it lacks is easily learned. (n, m) float64.
    """
    thin = grid.copies or grid.thickness_mm < 0.8 * grid.spacing_mm
    return interpolation.linear(grid) if thin else interpolation.bspline(grid)


def condition(grid: SliceGrid) -> Tensor:
    """(CONDITIONS,) float32: T/s, the aperture of the slices given, and min(T, d)/s, of those asked for.

    T/s ends at `MOST_OVERLAP`, as in training: told of more, networks answer with values that mean nothing.
    """
    given = min(grid.thickness_mm, MOST_OVERLAP * grid.spacing_mm)
    asked = min(grid.thickness_mm, grid.output_spacing_mm)
    return torch.tensor([given, asked], dtype=torch.float32) / grid.spacing_mm


def known_share(grid: SliceGrid) -> float:
    """Share of what networks add that is worth adding where they learned from other scans alone.

    All of it up to a quarter of a spacing beyond `MOST_OVERLAP`; from there on less and less, and half a spacing later
    nothing (docs/experiments/consistency-and-profile.md).
    """
    return float(np.clip(1.5 - 2 * (grid.thickness_mm / grid.spacing_mm - MOST_OVERLAP), 0, 1))


def make_task(grid: SliceGrid) -> Task:
    """The operators of a grid. Where it is ill-posed, the projection is damped, as it is at the end."""
    operator = acquired_operator(grid)[grid.held()]
    free = np.eye(len(grid.output_mm)) - Projection(operator, grid.usual_damping).correction(operator.toarray())
    return Task(
        grid,
        torch.from_numpy(base_matrix(grid).astype(np.float32)),
        torch.from_numpy(free.astype(np.float32)),
        unfolding(grid),
        condition(grid),
    )


@lru_cache(maxsize=64)
def patch_task(slices: int, factor: float, thickness: float, profile: Profile) -> Task:
    """The task of `slices` acquired slices, lengths in output spacings; the latest ones are kept."""
    return make_task(plan_grid(slices, factor, 1.0, thickness_mm=thickness, profile=profile))
