"""What a network is asked for: from which slices, to which, through which profile.

A `Task` holds a grid's fixed operators as tensors: the base interpolation that a network adds to, the projector onto
what acquired slices do not determine, and the numbers that condition the network on the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from thinslice.networks.unfold import Unfolding, unfolding
from thinslice.physics import interpolation
from thinslice.physics.grid import MOST_OVERLAP, Scale, SliceGrid
from thinslice.physics.operator import SliceOperator

CONDITIONS = 3  # numbers in Task.condition


@dataclass(frozen=True, eq=False)
class Task:
    """A grid as the networks use it; for patches, since its matrices are dense.

    Attributes:
        grid: acquired and output slices.
        base: (n, m) the base interpolation, to which networks add.
        null_projector: (n, n) I - A^+ A: keeps of a residual what the acquired slices do not determine.
        observation: (m, n) A: what would be acquired of output slices.
        where: unfolding of the output slices.
        condition: (CONDITIONS,) apertures over spacing: T/s of the slices given, min(T, d)/s of those asked for;
            and how round the profile is, 1 - flatness.
    """

    grid: SliceGrid
    base: Tensor
    null_projector: Tensor
    observation: Tensor
    where: Unfolding
    condition: Tensor

    def to(self, device: torch.device) -> Task:
        """The same on another device; itself where it is there."""
        if self.base.device == device:
            return self
        parts = (self.base, self.null_projector, self.observation, self.where, self.condition)
        return Task(self.grid, *(part.to(device) for part in parts))  # type: ignore[arg-type]


def base_matrix(grid: SliceGrid) -> np.ndarray:
    """The base interpolation: linear between thin slices, by integrals for thick ones. (n, m) float64.

    Linear where slices are thinner than 0.8 s, or no thicker than output slices, which the spline would tie to
    acquired ones between them: it cannot overshoot, and what it lacks is easily learned.
    """
    thin = grid.copies or grid.thickness_mm < 0.8 * grid.spacing_mm
    return interpolation.linear(grid) if thin else interpolation.bspline(grid)


def condition(grid: SliceGrid) -> Tensor:
    """(CONDITIONS,) float32: T/s, the aperture of the slices given, min(T, d)/s, of those asked for, and 1 - flatness.

    Slices that are copied count as boxes. T/s ends at `MOST_OVERLAP`, as in training: with more, networks answer with
    values that mean nothing.
    """
    given = min(grid.thickness_mm, MOST_OVERLAP * grid.spacing_mm)
    asked = min(grid.thickness_mm, grid.output_spacing_mm)
    roundness = 0.0 if grid.copies else 1 - grid.flatness
    return torch.tensor([given / grid.spacing_mm, asked / grid.spacing_mm, roundness], dtype=torch.float32)


def extrapolation_weight(grid: SliceGrid) -> float:
    """Weight of what networks add where they learned from other scans alone and T/s is beyond what they learned.

    1 up to a quarter of a spacing beyond `MOST_OVERLAP`; from there on it falls, and is 0 half a spacing later
    (docs/experiments/consistency-and-profile.md).
    """
    return float(np.clip(1.5 - 2 * (grid.thickness_mm / grid.spacing_mm - MOST_OVERLAP), 0, 1))


def make_task(grid: SliceGrid) -> Task:
    """The operators of a grid. Where it is ill-posed, the pseudo-inverse is damped, as in the synthesis."""
    null_projector = SliceOperator(grid, slices=grid.held()).null_projector(np.eye(len(grid.output_mm)))
    return Task(
        grid,
        base=_tensor(base_matrix(grid)),
        null_projector=_tensor(null_projector),
        observation=_tensor(SliceOperator(grid).matrix.toarray()),
        where=unfolding(grid),
        condition=condition(grid),
    )


@lru_cache(maxsize=64)
def patch_task(slices: int, scale: Scale) -> Task:
    """The task of `slices` acquired slices, lengths in output spacings; the latest ones are kept."""
    return make_task(scale.grid(slices))


def _tensor(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(matrix.astype(np.float32))
