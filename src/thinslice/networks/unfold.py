"""From features between slices to output slices: any spacing, integer ratio or not.

A network is given acquired slices only. Between two neighbours k and k + 1 (and for half a slab beyond
either end) it gives `PHASES` numbers per pixel, the coefficients of a cosine series in the
position t in [0, 1) between them. For an integer factor up to `PHASES` this is as general as a
sub-pixel convolution; for other factors it interpolates, with no further parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinslice.physics.grid import SliceGrid

PHASES = 8  # the largest factor (`physics.grid.LARGEST_FACTOR`)


@dataclass(frozen=True)
class Unfolding:
    """Where each output slice lies among the acquired ones.

    Attributes:
        interval: (n,) int64, 0 for before the first acquired slice, k + 1 for between k and k + 1.
        series: (n, PHASES) float32, cosine series at each output slice's position.
    """

    interval: Tensor
    series: Tensor

    def of(self, slices: np.ndarray) -> Unfolding:
        """Of some of the output slices, by their indices."""
        index = torch.from_numpy(slices)
        return Unfolding(self.interval[index], self.series[index])

    def to(self, device: torch.device) -> Unfolding:
        """The same on another device."""
        return Unfolding(self.interval.to(device), self.series.to(device))


def unfolding(grid: SliceGrid) -> Unfolding:
    """Intervals and series of a grid's output slices."""
    index = grid.places()
    left = np.floor(index + 1e-6)
    t = np.clip(index - left, 0, 1)
    series = np.cos(np.pi * t[:, None] * np.arange(PHASES))
    return Unfolding(torch.from_numpy(left.astype(np.int64) + 1), torch.from_numpy(series.astype(np.float32)))


def unfold(coefficients: Tensor, where: Unfolding) -> Tensor:
    """Evaluate the series: (b, PHASES, intervals, w) to (b, n, w)."""
    at = coefficients.index_select(2, where.interval)
    return torch.einsum("bpnw,np->bnw", at, where.series)
