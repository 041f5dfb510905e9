"""Increments -1, 0 and +1: learning from slices along z themselves (Fang et al., CVPR 2022, section 3).

All three work on blocks of the scan, (m, y, x), and all three views. Where a label is an acquired
slice, a prediction on the output grid is averaged by the slice profile at the label's place and
then compared, so that thick slices serve as well as thin ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from thinslice.conventions import VIEWS
from thinslice.fitting.losses import agreement_mask, mean_squared_error
from thinslice.networks.model import Model
from thinslice.networks.planes import with_neighbours
from thinslice.networks.task import Task, make_task
from thinslice.physics.grid import Scale, SliceGrid, plan_grid
from thinslice.physics.operator import SliceOperator


@dataclass(frozen=True, eq=False)
class Increment:
    """A task whose result is known at some acquired slices.

    Attributes:
        task: from the slices given to a grid of output slices.
        observation: (k, n) rows of A for k slices whose values are known.
    """

    task: Task
    observation: Tensor

    def observe(self, volume: Tensor) -> Tensor:
        """What would be acquired of output slices at the known places: (n, y, x) to (k, y, x)."""
        return torch.einsum("kn,nyx->kyx", self.observation.to(volume.device), volume)


def predict(
    model: Model, stack: Tensor, task: Task, *, plane_steps: Mapping[str, int], views: Sequence[str] = VIEWS
) -> dict[str, Tensor]:
    """Each view's output slices for a stack: (m, y, x) to (n, y, x) HU; `networks.planes.plane_steps` of its scan."""
    reach = model.inplane.config.neighbours
    results = {}
    for view in views:
        if view == "axial":
            results[view] = model.axial(stack, task)
            continue
        turn, back = ((1, 0, 2), (1, 0, 2)) if view == "coronal" else ((2, 0, 1), (1, 2, 0))
        images = with_neighbours(
            stack.permute(turn), 0, stack.permute(turn).shape[0], reach=reach, step=plane_steps[view]
        )
        results[view] = model.inplane(images, task).permute(back)
    return results


@lru_cache(maxsize=32)
def minus_one(slices: int, scale: Scale) -> Increment:
    """From every second of `slices` acquired slices to the ones between. Lengths in output spacings.

    The spacing grows and the thickness stays, as when the scanner had skipped slices. Thin slices
    are asked for where they are; thick ones are made of up to 8 output slices an interval.
    """
    given, spacing = (slices + 1) // 2, 2 * scale.factor
    fine = scale.factor if scale.thickness <= 1 else spacing / min(8, 2 * round(scale.factor))
    grid = plan_grid(given, spacing, fine, thickness_mm=scale.thickness, flatness=scale.flatness)
    return _increment(grid, np.arange(given - 1) * spacing + scale.factor)


@lru_cache(maxsize=32)
def zero(slices: int, scale: Scale) -> tuple[Increment, Increment]:
    """From `slices` acquired slices to half-way ones, and from these back to the acquired ones between."""
    fine = scale.factor / 2 if scale.thickness <= 1 else 1.0
    forth, back = (
        plan_grid(count, scale.factor, fine, thickness_mm=scale.thickness, flatness=scale.flatness)
        for count in (slices, slices - 1)
    )
    half_way = (np.arange(slices - 1) + 0.5) * scale.factor
    return _increment(forth, half_way), _increment(back, half_way[:-1])


def _increment(grid: SliceGrid, known: np.ndarray) -> Increment:
    at_known = SliceOperator(SliceGrid(known, grid.output_mm, grid.thickness_mm, grid.flatness))
    return Increment(make_task(grid), torch.from_numpy(at_known.matrix.toarray().astype(np.float32)))


def known_loss(views: Mapping[str, Tensor], increment: Increment, truth: Tensor, *, usable: Tensor) -> Tensor:
    """Sum over the views of the error at known slices, (k, y, x), of which `usable`, (k,), may serve as labels."""
    keep = usable[:, None, None].expand_as(truth)
    return torch.stack([mean_squared_error(increment.observe(view), truth, keep=keep) for view in views.values()]).sum()


def consensus_loss(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], *, gamma: float, fused: bool = False
) -> Tensor:
    """Increment +1: each student view against the mean of the teachers, where these agree.

    Args:
        student: predictions with gradient, of the views that learn.
        teacher: predictions without, of the views that teach, at least one other than each student.
        gamma: share of voxels kept.
        fused: whether a view is among its own teachers, or the other views alone.
    """
    losses = []
    for view, learned in student.items():
        labels = torch.stack([label for other, label in teacher.items() if fused or other != view])
        keep = agreement_mask(labels, gamma=gamma) if gamma < 1 else None
        losses.append(mean_squared_error(learned, labels.mean(0), keep=keep))
    return torch.stack(losses).sum()
