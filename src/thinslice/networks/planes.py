"""The planes beside a coronal or sagittal image, which its network is given as well."""

from __future__ import annotations

import torch
from torch import Tensor

from thinslice.physics.acquisition import Acquisition


def plane_steps(acquisition: Acquisition) -> dict[str, int]:
    """Pixels between neighbouring planes of either view: about an output spacing, so that each adds something new.

    Coronal planes lie behind one another along y, sagittal ones along x.
    """
    x_mm, y_mm = acquisition.pixel_mm
    d = acquisition.grid.output_spacing_mm
    return {"coronal": max(1, round(d / y_mm)), "sagittal": max(1, round(d / x_mm))}


def with_neighbours(images: Tensor, start: int, stop: int, *, reach: int, step: int) -> Tensor:
    """Images `start` to `stop` of a stack (k, m, w) with `reach` planes on either side: (b, 2 reach + 1, m, w).

    Planes are `step` images apart; beyond the edge the edge image is repeated.
    """
    index = torch.arange(start, stop)[:, None] + step * torch.arange(-reach, reach + 1)[None, :]
    return images[index.clamp(0, len(images) - 1)]
