"""What was acquired of a scan, as all that learns from it and synthesises needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thinslice.physics.grid import SliceGrid


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Acquired slices, their place among the output slices, and the size of their pixels.

    Attributes:
        hu: (m, y, x) float32 HU without padding (`synthesis.padding.fill_padding`).
        grid: acquired and output slices.
        pixel_mm: (x, y) pixel spacing.
    """

    hu: np.ndarray
    grid: SliceGrid
    pixel_mm: tuple[float, float]

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(n, y, x) of the output."""
        return len(self.grid.output_mm), *self.hu.shape[1:]

    def within(self, hu: np.ndarray, grid: SliceGrid) -> Acquisition:
        """A part of it: other slices on a grid of their own, with the same pixels."""
        return replace(self, hu=hu, grid=grid)
