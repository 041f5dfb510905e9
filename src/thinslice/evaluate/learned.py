"""The rows that learn: views and fusions of one fit, and the paper's recipe beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from thinslice.fit.loop import Budget
from thinslice.fit.paper import paper_rows
from thinslice.fit.scan import FittedScan, fit_scan
from thinslice.networks.blocks import HU_RANGE
from thinslice.networks.device import choose_device
from thinslice.networks.model import VIEWS
from thinslice.slice_profile import SliceGrid
from thinslice.synthesis.fuse import synthesise
from thinslice.volume import Volume

Progress = Callable[[str, float, float], None]

PAPER = ("paper-1", "paper")
SCAN = (*VIEWS, "mean3", "thinslice-scan")


def learned_rows(
    thick: Volume,
    grid: SliceGrid,
    names: Sequence[str],
    *,
    budget: float | None,
    iterations: int | None,
    seed: int,
    on_progress: Progress | None,
) -> dict[str, tuple[np.ndarray, float]]:
    """Results of the learned methods on one thick volume.

    The three views, their mean and `thinslice-scan` share one fit; each row's seconds are those of
    that fit and of its own synthesis.

    Args:
        thick: acquired slices.
        grid: from them to the output.
        names: of `PAPER` and `SCAN`.
        budget: seconds of fitting for each fit.
        iterations: steps of fitting in place of seconds.
        seed: of weights and draws.
        on_progress: called with (stage, done, total).

    Returns:
        (n, y, x) float32 and seconds by name.
    """
    tell = on_progress or (lambda stage, done, total: None)
    acquired = np.clip(thick.hu, *HU_RANGE)
    device = choose_device("auto")
    rows: dict[str, tuple[np.ndarray, float]] = {}
    for name in (name for name in PAPER if name in names):
        start = time.monotonic()
        result = paper_rows(
            acquired, grid, distil=name == "paper", budget=budget if iterations is None else None,
            iterations=iterations, seed=seed, on_progress=on_progress,
        )  # fmt: skip
        rows[name] = (result, time.monotonic() - start)
    if wanted := [name for name in SCAN if name in names]:
        pixel_mm = thick.voxel_mm[:2]
        fitted = fit_scan(
            acquired, grid, pixel_mm=pixel_mm, budget=Budget(budget, iterations), seed=seed, device=device,
            on_progress=tell,
        )  # fmt: skip
        for name in wanted:
            start = time.monotonic()
            result, _ = synthesise(
                acquired, grid, model=fitted.model, weights=_weights(name, fitted), pixel_mm=pixel_mm, device=device,
                on_progress=tell,
            )  # fmt: skip
            rows[name] = (result, fitted.seconds + time.monotonic() - start)
    return rows


def _weights(name: str, fitted: FittedScan) -> Mapping[str, float]:
    if name == "thinslice-scan":
        return fitted.model.fusion
    if name == "mean3":
        return dict.fromkeys(VIEWS, 1 / 3)
    return {name: 1.0}
