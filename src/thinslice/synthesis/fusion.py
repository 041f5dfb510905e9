"""The fused synthesis of a whole volume: base, weighted residuals of the views, consistency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

from thinslice.conventions import OnProgress
from thinslice.networks.model import Model
from thinslice.networks.task import base_matrix
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid
from thinslice.synthesis.consistency import finish
from thinslice.synthesis.views import add_view

_VALUES = 2**22  # output voxels interpolated at a time


def view_weights(model: Model, views: Sequence[str], *, share: float = 1.0) -> Mapping[str, float]:
    """The model's fusion weights over a subset of the views, summing to `share`; equal where all are 0."""
    weights = {view: model.fusion.get(view, 0.0) for view in views}
    total = sum(weights.values())
    return {view: share * (weight / total if total > 0 else 1 / len(views)) for view, weight in weights.items()}


def synthesise(
    acquired: np.ndarray,
    grid: SliceGrid,
    *,
    model: Model,
    weights: Mapping[str, float],
    pixel_mm: tuple[float, float],
    device: torch.device,
    damping: float | str | None = None,
    out: np.ndarray | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> tuple[np.ndarray, float | None]:
    """Synthesise a volume.

    Args:
        acquired: (m, y, x) float32 HU, padding filled (`fill_padding`).
        grid: acquired and output slices.
        model: networks on `device`.
        weights: weight of each view that runs.
        pixel_mm: (x, y) pixel spacing.
        device: where the model is.
        damping: of the projection; None chooses it, "off" leaves the projection out.
        out: (n, y, x) float32 to fill, file-backed perhaps; made where None.
        on_progress: called with (view, done, total).

    Returns:
        The volume (n, y, x) in HU and the damping used (None where slices were copied).
    """
    if out is None:
        out = np.empty((len(grid.output_mm), *acquired.shape[1:]), np.float32)
    base = interpolation.as_sparse(base_matrix(grid))
    rows = max(1, _VALUES // (len(out) * acquired.shape[2]))
    for start in range(0, acquired.shape[1], rows):
        block = acquired[:, start : start + rows]
        out[:, start : start + rows] = (base @ block.reshape(len(block), -1)).reshape(len(out), *block.shape[1:])
    for view, weight in weights.items():
        if weight:
            add_view(
                out,
                acquired,
                grid=grid,
                model=model,
                view=view,
                weight=weight,
                pixel_mm=pixel_mm,
                device=device,
                on_progress=partial(on_progress, view),
            )
    return out, finish(out, acquired, grid=grid, damping=damping)
