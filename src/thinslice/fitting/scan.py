"""A model for one scan: set slices aside, fit, check."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from thinslice.conventions import VIEWS, OnProgress
from thinslice.fitting import selfcheck
from thinslice.fitting.config import FitConfig
from thinslice.fitting.effort import Effort
from thinslice.fitting.loop import ScanFit
from thinslice.fitting.selfcheck import SelfCheck, choose_held_out
from thinslice.networks.model import Model
from thinslice.networks.task import extrapolation_weight
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
from thinslice.synthesis.fusion import view_weights

_CHECK_SHARE = 0.05  # of a budget in seconds, left for the self-check of a fit from nothing


@dataclass(frozen=True)
class FittedScan:
    """A model, and how it came about.

    Attributes:
        model: on the device it was fitted on.
        view_weights: weights of its views in the synthesis.
        check: the self-check of both; None where the scan is too short for one, or none was wanted.
        kept: "scan" where the fit is kept, "start" where the model that it started from did better in the self-check.
        config: every choice of the fit, JSON-ready; empty where nothing was fitted.
        curve: (phase, step, mean loss).
        steps: made in all.
        seconds: wall time, self-check included.
    """

    model: Model
    view_weights: Mapping[str, float]
    check: SelfCheck | None
    kept: Literal["scan", "start"]
    config: dict[str, Any]
    curve: tuple[tuple[str, int, float], ...]
    steps: int
    seconds: float

    @property
    def entry(self) -> dict[str, Any] | None:
        """For the record; None where nothing was fitted."""
        if not self.steps:
            return None
        curve = [{"step": step, "loss": loss} for _, step, loss in self.curve]
        return {"steps": self.steps, "seconds": self.seconds, "curve": curve}


def take_as_it_is(
    model: Model,
    acquisition: Acquisition,
    *,
    views: Sequence[str] = VIEWS,
    check: bool = True,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> FittedScan:
    """A trained model, not fitted but checked on slices of the scan as a fitted one is; arguments as for `fit_scan`."""
    began, weights = time.monotonic(), trained_view_weights(model, views, acquisition.grid)
    checked = selfcheck.check(
        model, acquisition, view_weights=weights, held_out=_set_aside(acquisition.grid, check=check),
        on_progress=on_progress,
    )  # fmt: skip
    return FittedScan(model, weights, checked, "start", {}, (), 0, time.monotonic() - began)


def trained_view_weights(model: Model, views: Sequence[str], grid: SliceGrid) -> Mapping[str, float]:
    """Of the views of a model that learned from other scans: less where it extrapolates (`extrapolation_weight`)."""
    return view_weights(model, views, total=extrapolation_weight(grid))


def fit_scan(
    acquisition: Acquisition,
    effort: Effort,
    *,
    config: FitConfig | None = None,
    device: torch.device | None = None,
    start: Model | None = None,
    views: Sequence[str] = VIEWS,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> FittedScan:
    """Fit a model to a scan, from nothing or from a trained one.

    Args:
        acquisition: the scan and its grid.
        effort: seconds or steps, seed, self-check. Without a self-check, what was fitted is kept.
        config: every choice of the fit; by default `FitConfig.for_views`, or `FitConfig.adapting` where there is a
            `start`, whose sizes count in any case and whose rates are `adapt_rate` times those named.
        device: where to compute; the CPU by default.
        start: a trained model to adapt; kept as it is where the self-check prefers it.
        views: that the synthesis will fuse, and the self-check scores.
        on_progress: called with (stage, done, total) for the stages "fit" and "self-check".
    """
    device, began, grid = device or torch.device("cpu"), time.monotonic(), acquisition.grid
    config = config or (FitConfig.for_views(views) if start is None else FitConfig.adapting())
    if start is not None:
        config = config.going_on(start.inplane.config, start.axial.config, rate=config.adapt_rate)
    held_out, before, seconds = _set_aside(grid, check=effort.check), None, effort.seconds
    scorer = partial(
        selfcheck.check, acquisition=acquisition, held_out=held_out, compares=start is not None, on_progress=on_progress
    )
    if start is not None:
        before = scorer(start.to(device), view_weights=trained_view_weights(start, views, grid))
        seconds = seconds and max(0.0, seconds - 2 * (time.monotonic() - began))  # the check afterwards takes as long
    elif seconds and effort.check:
        seconds *= 1 - _CHECK_SHARE
    building = time.monotonic()
    fit = ScanFit(acquisition, held_out=held_out, config=config, seed=effort.seed, device=device, start=start)
    seconds = seconds and max(0.0, seconds - (time.monotonic() - building))
    model = fit.run(replace(effort, seconds=seconds), on_progress=on_progress)
    kept: Literal["scan", "start"] = "scan"
    if start is None:
        model.fusion = config.fusion
    else:
        model.interpolate_towards(start, share=config.interpolate_towards)
    weights = view_weights(model, views)
    checked = scorer(model, view_weights=weights)
    if start is not None and before is not None and checked is not None and not checked.beats(before):
        model, weights, checked, kept = start, trained_view_weights(start, views, grid), before, "start"
    if kept == "scan":
        model.facts = {
            "fitted_to": "one scan",
            "started_from": start and start.digest,
            "factor": grid.factor,
            "thickness_over_spacing": grid.thickness_mm / grid.spacing_mm,
            "flatness": grid.flatness,
            "steps": fit.steps,
            "seed": effort.seed,
            "config": asdict(config),
        }
    elapsed = time.monotonic() - began
    return FittedScan(model, weights, checked, kept, asdict(config), tuple(fit.curve), fit.steps, elapsed)


def _set_aside(grid: SliceGrid, *, check: bool) -> np.ndarray:
    """Indices of the acquired slices that nothing is learned from, all where the spacing is the usual one."""
    if not check:
        return np.empty(0, int)
    even = grid.even_run()
    return even.start + choose_held_out(even.stop - even.start)
