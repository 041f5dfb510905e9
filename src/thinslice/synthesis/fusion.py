"""The fused synthesis of a whole volume: base, weighted residuals of the views, consistency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from thinslice.conventions import PIXEL_WISE, OnProgress
from thinslice.networks.model import Model
from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.interpolation import as_sparse
from thinslice.physics.operator import along_z
from thinslice.synthesis.consistency import finish
from thinslice.synthesis.views import add_view


def view_weights(model: Model, views: Sequence[str], *, total: float = 1.0) -> Mapping[str, float]:
    """The model's fusion weights over a subset of the views, summing to `total`; equal where all are 0."""
    weights = {view: model.fusion.get(view, 0.0) for view in views}
    whole = sum(weights.values())
    return {view: total * (weight / whole if whole > 0 else 1 / len(views)) for view, weight in weights.items()}


def synthesise(
    acquisition: Acquisition,
    *,
    model: Model,
    view_weights: Mapping[str, float],
    damping: float | str | None = None,
    out: np.ndarray | None = None,
    disagreement: np.ndarray | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> tuple[np.ndarray, float | None]:
    """Synthesise a volume.

    Args:
        acquisition: acquired slices, and the grid of the output.
        model: networks, on the device that computes.
        view_weights: weight of each view that runs.
        damping: of the projection; None chooses it, "off" leaves the projection out.
        out: (n, y, x) float32 to fill, file-backed perhaps; made where None.
        disagreement: (n, y, x) float32 zeros, to which the residuals of the coronal view minus those of the sagittal
            one are added, in HU, where both run; or None.
        on_progress: called with (view, done, total).

    Returns:
        The volume (n, y, x) in HU and the damping used (None where slices were copied).
    """
    if out is None:
        out = np.empty(acquisition.output_shape, np.float32)
    along_z(as_sparse(base_matrix(acquisition.grid)), acquisition.hu, out=out)
    if not all(view_weights.get(view) for view in PIXEL_WISE):
        disagreement = None
    for view, weight in view_weights.items():
        if weight:
            add_view(
                out, acquisition, model=model, view=view, weight=weight, disagreement=disagreement,
                on_progress=partial(on_progress, view),
            )  # fmt: skip
    return out, finish(out, acquisition, damping=damping)
