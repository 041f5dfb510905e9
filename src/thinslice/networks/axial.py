"""The axial network: slice-wise interpolation between acquired slices.

It is given the four slices around an interval (two on either side, the end slice repeated at the ends)
and gives what to add to a plain interpolation, for any position in the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thinslice.networks.blocks import HU_SCALE, Body, contrast
from thinslice.networks.task import Task
from thinslice.networks.unfold import PHASES, Unfolding

SLICES = 4  # around an interval


@dataclass(frozen=True)
class AxialConfig:
    """Size of the network.

    Attributes:
        channels: features per pixel; a multiple of 16 fits the processor's vectors.
        blocks: residual blocks of two 3 x 3 convolutions.
    """

    channels: int = 48
    blocks: int = 4


class AxialNetwork(nn.Module):
    """Slices between the second and the third of four acquired slices."""

    def __init__(self, config: AxialConfig) -> None:
        super().__init__()
        self.config = config
        self.body = Body(SLICES, config.channels, PHASES, blocks=config.blocks, last=(3, 3))

    def forward(self, stack: Tensor, task: Task) -> Tensor:
        """Output slices in HU, consistent with the acquired ones: (m, y, x) to (n, y, x)."""
        task = task.to(stack.device)
        residual = self.residual(intervals(stack), task.where, task.condition)
        return interpolate(stack, task) + torch.einsum("ij,jyx->iyx", task.null_projector, residual)

    def residual(self, slices: Tensor, where: Unfolding, condition: Tensor) -> Tensor:
        """What to add to an interpolation, in HU.

        Args:
            slices: (b, SLICES, y, x) HU around b intervals.
            where: unfolding of n output slices; its intervals count within this batch.
            condition: as in `Task`.

        Returns:
            (n, y, x) float32.
        """
        coefficients = self.body(slices / HU_SCALE, condition) * contrast(slices[:, 1:3].mean(1, keepdim=True), 5)
        at = coefficients.index_select(0, where.interval)  # by [], threads would add up its gradient in any order
        return HU_SCALE * torch.einsum("npyx,np->nyx", at, where.series)


def interpolate(stack: Tensor, task: Task) -> Tensor:
    """The base interpolation of a stack: (m, y, x) to (n, y, x) HU."""
    return torch.einsum("nm,myx->nyx", task.to(stack.device).base, stack)


def intervals(stack: Tensor) -> Tensor:
    """The slices around every interval of a stack: (m, y, x) to (m + 1, SLICES, y, x)."""
    return torch.stack([stack[around(interval, len(stack))] for interval in range(len(stack) + 1)])


def around(interval: int, slices: int) -> list[int]:
    """Indices of the four slices around an interval (0: before the first slice), ends repeated."""
    return [min(max(index, 0), slices - 1) for index in range(interval - 2, interval + 2)]
