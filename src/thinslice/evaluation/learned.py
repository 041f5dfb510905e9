"""Methods that learn: weights as they are, adapted or fitted from nothing, and the paper's recipe beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from thinslice.baselines.paper import paper_result, restored
from thinslice.conventions import HU_RANGE, VIEWS, OnProgress
from thinslice.evaluation.learning import FITTED, PAPER, PAPER_TRAINED, PARTS, Learning
from thinslice.fitting.scan import fit_scan, trained_view_weights
from thinslice.networks.device import choose_device
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
from thinslice.plan import check_effort
from thinslice.synthesis.fusion import synthesise
from thinslice.uncertainty.estimate import estimate_uncertainty
from thinslice.volume import Volume
from thinslice.weights import shipped

OnUncertainty = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Called with a result, its uncertainty and the disagreement of its views, (n, y, x) HU each."""


def check_learning(learning: Learning) -> None:
    """Raise UsageError (USE-BUDGET, USE-DEVICE) for an effort that means nothing or cannot be made."""
    check_effort("auto", learning.effort, consistency=None, given=learning.model is not None)
    choose_device(learning.device)


def learned_results(
    thick: Volume,
    grid: SliceGrid,
    names: Sequence[str],
    learning: Learning,
    *,
    on_progress: OnProgress | None,
    on_uncertainty: OnUncertainty | None = None,
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield (name, (n, y, x) float32, seconds) of the learned methods on one thick volume.

    Single views and their mean are those of `thinslice-fit` where it is asked for, else of `thinslice-scan`,
    else of `thinslice`, else of `paper-trained`. The seconds of a method are those of its fit and of its own synthesis.

    Args:
        thick: acquired slices.
        grid: from them to the output.
        names: of `LEARNED`.
        learning: effort of each fit, with its seed.
        on_progress: called with (stage, done, total).
        on_uncertainty: called before a result of `FITTED` is yielded, with its uncertainty, which takes time that does
            not count.
    """
    report = on_progress or (lambda stage, done, total: None)
    acquisition = Acquisition(np.clip(thick.hu, *HU_RANGE), grid, thick.voxel_mm[:2])
    effort = learning.effort if learning.effort.steps is None else replace(learning.effort, seconds=None)
    learning = replace(learning, effort=effort)
    parts = [name for name in PARTS if name in names]
    wanted = [name for name in FITTED if name in names]
    of_paper = [name for name in (*PAPER, PAPER_TRAINED) if name in names]
    if PAPER_TRAINED in names and not wanted:
        of_paper, parts = of_paper + parts, []
    yield from _paper_results(acquisition, of_paper, learning, on_progress=on_progress)
    wanted = wanted or (["thinslice-scan"] if parts else [])
    for number, fitted in enumerate(wanted):
        start = time.monotonic()
        model, view_weights = _model(fitted, acquisition, learning, on_progress=report)
        fitted_s = time.monotonic() - start
        for name in ([fitted] if fitted in names else []) + (parts if number == 0 else []):
            start = time.monotonic()
            weights = _view_weights(name) or view_weights
            differs = np.zeros(acquisition.output_shape, np.float32) if on_uncertainty and name in FITTED else None
            result, _ = synthesise(
                acquisition, model=model, view_weights=weights, disagreement=differs, on_progress=report
            )
            took = time.monotonic() - start
            if on_uncertainty and differs is not None:
                unsure = differs.copy()
                estimate_uncertainty(unsure, result, acquisition, model=model, view_weights=weights)
                on_uncertainty(result, unsure, differs)
            yield name, result, fitted_s + took


def _paper_results(
    acquisition: Acquisition, names: Sequence[str], learning: Learning, *, on_progress: OnProgress | None
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Of the recipe fitted to the scan, and of its networks that were trained on others."""
    hu, grid = acquisition.hu, acquisition.grid
    for name in names:
        start = time.monotonic()
        if name in PAPER:
            result = paper_result(
                hu, grid, learning.effort, distil=name == "paper", device=learning.device, on_progress=on_progress
            )
        else:
            assert learning.paper is not None  # `check_methods`
            views = (name,) if name in VIEWS else VIEWS
            result = restored(learning.paper.to(choose_device(learning.device)), hu, grid, views=views)
        yield name, result, time.monotonic() - start


def _model(
    name: str, acquisition: Acquisition, learning: Learning, *, on_progress: OnProgress
) -> tuple[Model, Mapping[str, float]]:
    """The model of a method and the weights of its views, as `enhance` would have them."""
    start, device = None if name == "thinslice-scan" else learning.model or shipped(), choose_device(learning.device)
    if start is not None and name == "thinslice":
        return start.to(device), trained_view_weights(start, VIEWS, acquisition.grid)
    fitted = fit_scan(acquisition, learning.effort, device=device, start=start, on_progress=on_progress)
    return fitted.model, fitted.view_weights


def _view_weights(name: str) -> Mapping[str, float] | None:
    """Of a method that shows parts of a fit; None where they are the fit's own."""
    if name in FITTED:
        return None
    return dict.fromkeys(VIEWS, 1 / 3) if name == "mean3" else {name: 1.0}
