"""The planes beside a coronal or sagittal image, which its network is given as well."""

from __future__ import annotations

import torch
from torch import Tensor

from thinslice.physics.grid import SliceGrid


def plane_step(grid: SliceGrid, pixel_mm: float) -> int:
    """Pixels between neighbouring planes: about an output spacing, so that each says something new."""
    return max(1, round(grid.output_spacing_mm / pixel_mm))


def plane_steps(grid: SliceGrid, pixel_mm: tuple[float, float]) -> dict[str, int]:
    """`plane_step` of either view, for (x, y) pixel spacings: coronal planes lie behind one another along y."""
    return {"coronal": plane_step(grid, pixel_mm[1]), "sagittal": plane_step(grid, pixel_mm[0])}


def with_neighbours(images: Tensor, start: int, stop: int, *, reach: int, step: int) -> Tensor:
    """Images `start` to `stop` of a stack (k, m, w) with `reach` planes on either side: (b, 2 reach + 1, m, w).

    Planes are `step` images apart; beyond the edge the edge image is repeated.
    """
    index = torch.arange(start, stop)[:, None] + step * torch.arange(-reach, reach + 1)[None, :]
    return images[index.clamp(0, len(images) - 1)]
