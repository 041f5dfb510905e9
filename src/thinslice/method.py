"""How thin slices are made: what users choose of the method, checked, and the fit that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, get_args

import torch

from thinslice.conventions import PIXEL_WISE, VIEWS, OnProgress
from thinslice.errors import Notice, UsageError
from thinslice.fitting.config import FitConfig
from thinslice.fitting.effort import Effort
from thinslice.fitting.scan import FittedScan, fit_scan, take_as_it_is
from thinslice.networks.device import choose_device
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.plan import Job, check_effort
from thinslice.weights import shipped

Fit = Literal["auto", "scan", "none"]
Texture = Literal["keep", "match"]


@dataclass(frozen=True, eq=False)
class Method:
    """What users choose of the method.

    Attributes:
        fit: "none" uses the weights as they are, "auto" adapts them to the scan, "scan" fits from nothing; None for
            "none" where a model is given, else "auto".
        effort: of the fit.
        model: weights to use or to start from, in place of the shipped ones.
        views: those that run.
        consistency: damping of the projection, "off", or None to choose it.
        texture: "keep", or "match" for a viewing copy.
        detilt: whether the result of a scan with gantry tilt is made upright.
        uncertainty: whether the error to be expected is estimated.
        config: every choice of the fit; None for its defaults.
        device_name: "auto", "cpu", "cuda" or "mps".
        threads: of the CPU; None for all.

    Raises:
        UsageError: USE-FIT, USE-BUDGET, USE-SEED, USE-CONSISTENCY, USE-TEXTURE, USE-UNCERTAINTY,
            USE-DEVICE.
    """

    fit: Fit | None
    effort: Effort
    model: Model | None = None
    views: tuple[str, ...] = VIEWS
    consistency: float | str | None = None
    texture: Texture = "keep"
    detilt: bool = False
    uncertainty: bool = False
    config: FitConfig | None = None
    device_name: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.fit is None:
            object.__setattr__(self, "fit", "auto" if self.model is None else "none")
        check_effort(str(self.fit), self.effort, consistency=self.consistency, given=self.model is not None)
        if self.texture not in get_args(Texture):
            raise UsageError("USE-TEXTURE", f"unknown texture {self.texture!r}; choose keep or match")
        if self.uncertainty and self.texture == "match":
            message = "texture match makes a viewing copy, noisier than what is synthesised: it has no uncertainty"
            raise UsageError("USE-UNCERTAINTY", f"{message}; leave one of them out")
        choose_device(self.device_name)

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return choose_device(self.device_name)

    @property
    def start(self) -> Model | None:
        """Weights to use or to start from; None for a fit from nothing."""
        return None if self.fit == "scan" else self.model or shipped()

    @property
    def adapts(self) -> bool:
        """Whether anything of trained weights would be adapted to a scan: the axial network alone is not."""
        increments = self.config is not None and self.config.increments_run
        return bool(set(PIXEL_WISE) & set(self.views)) or increments

    def fitted(self, acquisition: Acquisition, on_progress: OnProgress) -> FittedScan:
        """The model for a scan: fitted to it, or as it is."""
        start = self.start
        if start is not None and (self.fit == "none" or not self.adapts):
            return take_as_it_is(
                start.to(self.device), acquisition, views=self.views, check=self.effort.check, on_progress=on_progress
            )
        return fit_scan(
            acquisition, self.effort, config=self.config, device=self.device, start=start, views=self.views,
            on_progress=on_progress,
        )  # fmt: skip

    def weights_from(self, fitted: FittedScan) -> str:
        """Where the weights of a result come from: "shipped", "file" or "scan"."""
        return "scan" if fitted.kept == "scan" else "shipped" if self.model is None else "file"

    def entry(self, job: Job, fitted: FittedScan, *, texture: Texture) -> dict[str, Any]:
        """For the record, with the texture that came of it."""
        timed = self.fit != "none"
        return {
            "fit": self.fit,
            "profile": job.grid.shape,
            "grid": job.placement,
            "views": [view for view in self.views if fitted.view_weights[view]],
            "texture": texture,
            "budget_s": float(self.effort.seconds or 0) if timed and self.effort.steps is None else None,
            "iterations": self.effort.steps if timed else None,
            "settings": {"fit": fitted.config} if fitted.config else {},
        }

    def warnings(self, fitted: FittedScan, *, threads: int) -> list[Notice]:
        """What to know about the weights and how they came about; `threads` are those that were had."""
        warnings = []
        if fitted.check is None:
            why = "too few slices to set some aside" if self.effort.check else "the self-check was left out"
            warnings.append(Notice("FIT-UNCHECKED", f"{why}: nothing has checked this result on the scan itself"))
        elif fitted.check.verdict == "worse":
            found, cubic = f"{fitted.check.psnr_db:.1f}", f"{fitted.check.psnr_cubic_db:.1f}"
            warnings.append(
                Notice(
                    "FIT-WORSE", f"on held-out slices cubic is better ({cubic} against {found} dB): it may serve better"
                )
            )
        if self.threads is not None and threads < self.threads:
            message = f"{self.threads} threads were asked for; a forked process has one: spawn it"
            warnings.append(Notice("RES-THREADS", message))
        if not set(PIXEL_WISE) & set(self.views):
            as_it_is = "; its weights are used as they are" if self.fit == "auto" and not self.adapts else ""
            message = "the axial view alone was 0.4 to 2.7 dB below the usual views (shipped weights, three scans)"
            warnings.append(Notice("FIT-AXIAL", message + as_it_is))
        return warnings


def effort_of(*, budget: float, iterations: int | None, seed: int, check: bool) -> Effort:
    """The effort that arguments of `enhance` and `fit` ask for; numpy's whole numbers become Python's own."""
    return Effort(budget, iterations if iterations is None else int(iterations), int(seed), check)


def loaded(model: Model | str | PathLike[str] | None) -> Model | None:
    """The weights, read where they are in a file.

    Raises:
        ModelError: MODEL-READ.
    """
    return Model.load(model) if isinstance(model, str | PathLike) else model
