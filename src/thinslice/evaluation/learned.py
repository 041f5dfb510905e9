"""The rows that learn: weights as they are, adapted or fitted from nothing, and the paper's recipe beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thinslice import plan
from thinslice.baselines.paper import paper_rows
from thinslice.conventions import HU_RANGE, VIEWS, OnProgress
from thinslice.evaluation.names import OURS, PAPER, PARTS
from thinslice.fitting.loop import Budget
from thinslice.fitting.scan import fit_scan, known_weights
from thinslice.networks.device import choose_device
from thinslice.networks.model import Model
from thinslice.physics.grid import SliceGrid
from thinslice.synthesis.fusion import synthesise
from thinslice.volume import Volume
from thinslice.weights import shipped

if TYPE_CHECKING:
    from thinslice.evaluation.methods import Effort


def check_effort(effort: Effort) -> None:
    """Raise UsageError (USE-BUDGET, USE-DEVICE) for an effort that means nothing or cannot be made."""
    plan.check_effort(
        "auto", budget=effort.budget_s, iterations=effort.iterations, consistency=None, model=effort.weights
    )
    choose_device(effort.device)


def learned_rows(
    thick: Volume, grid: SliceGrid, names: Sequence[str], *, effort: Effort, seed: int, on_progress: OnProgress | None
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield (name, (n, y, x) float32, seconds) of the learned methods on one thick volume.

    Single views and their mean are those of `thinslice-fit` where it is asked for, else of `thinslice-scan`,
    else of `thinslice`. Each row's seconds are those of its fit and of its own synthesis.

    Args:
        thick: acquired slices.
        grid: from them to the output.
        names: of `PAPER`, `OURS` and `PARTS`.
        effort: of each fit.
        seed: of weights and draws.
        on_progress: called with (stage, done, total).
    """
    tell = on_progress or (lambda stage, done, total: None)
    acquired, pixel_mm = np.clip(thick.hu, *HU_RANGE), thick.voxel_mm[:2]
    for name in (name for name in PAPER if name in names):
        start = time.monotonic()
        result = paper_rows(
            acquired, grid, distil=name == "paper", budget=None if effort.iterations else effort.budget_s,
            iterations=effort.iterations, seed=seed, device=effort.device, on_progress=on_progress,
        )  # fmt: skip
        yield name, result, time.monotonic() - start
    parts = [name for name in PARTS if name in names]
    wanted = [name for name in OURS if name in names] or (["thinslice-scan"] if parts else [])
    for number, ours in enumerate(wanted):
        start = time.monotonic()
        model, weights = _model(ours, acquired, grid, pixel_mm=pixel_mm, effort=effort, seed=seed, on_progress=tell)
        fitted_s = time.monotonic() - start
        for name in ([ours] if ours in names else []) + (parts if number == 0 else []):
            start = time.monotonic()
            result, _ = synthesise(
                acquired, grid, model=model, weights=_weights(name) or weights, pixel_mm=pixel_mm,
                device=choose_device(effort.device), on_progress=tell,
            )  # fmt: skip
            yield name, result, fitted_s + time.monotonic() - start


def _model(
    name: str,
    acquired: np.ndarray,
    grid: SliceGrid,
    *,
    pixel_mm: tuple[float, float],
    effort: Effort,
    seed: int,
    on_progress: OnProgress,
) -> tuple[Model, Mapping[str, float]]:
    """The model of a row and the weights of its views, as `enhance` would have them."""
    start, device = None if name == "thinslice-scan" else effort.weights or shipped(), choose_device(effort.device)
    if start is not None and name == "thinslice":
        return start.to(device), known_weights(start, VIEWS, grid)
    budget = Budget(None if effort.iterations else effort.budget_s, effort.iterations)
    fitted = fit_scan(
        acquired, grid, pixel_mm=pixel_mm, budget=budget, seed=seed, device=device, start=start,
        on_progress=on_progress,
    )  # fmt: skip
    return fitted.model, fitted.weights


def _weights(name: str) -> Mapping[str, float] | None:
    """Of the views in a row that shows parts of a fit; None where they are the fit's own."""
    if name in OURS:
        return None
    return dict.fromkeys(VIEWS, 1 / 3) if name == "mean3" else {name: 1.0}
