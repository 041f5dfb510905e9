"""Fitting a model to one scan: three phases, one budget.

1. *Planes*: the in-plane network learns from acquired slices, one plane at a time.
2. *Context*: the same, with neighbouring planes from a first synthesis (`fitting/synthesised_planes.py`).
3. *Increments*: the axial network (or whichever views `IncrementConfig.learners` names) learns from acquired
   slices at increments -1 and 0 and from the other views at increment +1.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.conventions import HU_RANGE, OnProgress
from thinslice.fitting import increments
from thinslice.fitting.average import Average
from thinslice.fitting.config import FitConfig
from thinslice.fitting.effort import Effort
from thinslice.fitting.inplane_pairs import InplaneTeacher
from thinslice.fitting.losses import label_losses, relative_loss
from thinslice.fitting.optimiser import Optimiser
from thinslice.fitting.slice_noise import SliceNoise
from thinslice.fitting.synthesised_planes import choose_blocks, contexts
from thinslice.networks import axial, inplane
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.networks.task import Task, patch_task
from thinslice.physics.acquisition import Acquisition


class ScanFit:
    """The state of one fit.

    Args:
        acquisition: the scan.
        held_out: indices of slices that must not serve as labels.
        config: every choice.
        seed: of weights and draws.
        device: where to compute.
        start: model to go on from, of the sizes that `config` names; from nothing where None.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        *,
        held_out: np.ndarray,
        config: FitConfig,
        seed: int,
        device: torch.device,
        start: Model | None = None,
    ) -> None:
        if start is None:
            self.model = Model.new(config.inplane, config.axial, seed=seed)
        else:
            self.model = replace(start, inplane=copy.deepcopy(start.inplane), axial=copy.deepcopy(start.axial))
        self.model.to(device)
        self._config, self._device, self._random = config, device, np.random.default_rng(seed)
        grid, self._plane_steps = acquisition.grid, plane_steps(acquisition)
        self._scale = grid.scale
        usable = np.ones(len(acquisition.hu), bool)
        usable[held_out] = False
        slices = acquisition.hu[usable]
        np.clip(slices, *HU_RANGE, out=slices)
        noise = SliceNoise.of(slices, seed=0, random=self._random) if config.slice_noise and grid.copies else None
        self._teacher = InplaneTeacher(
            slices, acquisition.pixel_mm, grid=grid, config=config, random=self._random, noise=noise
        )
        self._blocks = choose_blocks(acquisition, usable)
        self.curve: list[tuple[str, int, float]] = []
        self.steps = 0
        self._share = 0.0  # of the present phase

    def run(self, effort: Effort, *, on_progress: OnProgress = lambda stage, done, total: None) -> Model:
        """Run the phases and leave the averaged weights in the model."""
        c, start = self._config, time.monotonic()
        planes = c.plane_share + c.context_share
        planes_end = planes if c.increments_run else 1.0
        if planes_end > 0:
            shares = _shares(effort, start=start, begin=0.0, end=planes_end, on_progress=on_progress)
            context_from = c.plane_share / planes if c.context_share > 0 else np.inf
            self._phase("planes", self._plane_loss, [self.model.inplane], shares, context_from=context_from)
        if planes_end < 1 - 1e-6:
            shares = _shares(effort, start=start, begin=planes_end, end=1.0, on_progress=on_progress)
            learners = c.increments.learners
            networks: list[nn.Module] = [self.model.axial] if "axial" in learners else []
            networks += [self.model.inplane] if {"coronal", "sagittal"} & set(learners) else []
            self._phase("increments", self._increment_loss, networks, shares)
        total = float(effort.steps or effort.seconds or 1)
        on_progress("fit", total, total)
        return self.model

    def _phase(
        self,
        name: str,
        loss: Callable[[], Tensor],
        learners: list[nn.Module],
        shares: Iterator[float],
        *,
        context_from: float = np.inf,
    ) -> None:
        """Steps until `shares`, the share of the phase that is over, ends; planes get context from a share on."""
        optimiser = Optimiser(learners, self._config)
        averages = [Average(network, time_constant=self._config.average) for network in learners]
        means: dict[str, Any] = {self._name(average.learner): average.network for average in averages}
        self._teachers = replace(self.model, **means)
        if name == "increments" and not self._config.increments.moving_teachers:
            self._teachers = copy.deepcopy(self._teachers)
        recent: list[float] = []
        for share in shares:
            if share >= context_from:
                name, context_from = "context", np.inf
                self._teacher.context = list(
                    contexts(self._blocks, model=self._teachers, noise=self._config.context_noise)
                )
            self._share = share
            value = loss()
            optimiser.step(value, share=share)
            for average in averages:
                average.update()
            self.steps += 1
            recent.append(float(value.detach()))
            if len(recent) == 50:
                self.curve.append((name, self.steps, float(np.mean(recent))))
                recent.clear()
        if recent:
            self.curve.append((name, self.steps, float(np.mean(recent))))
        for average in averages:
            average.learner.load_state_dict(average.network.state_dict())

    def _name(self, network: nn.Module) -> str:
        return "axial" if network is self.model.axial else "inplane"

    def _plane_loss(self) -> Tensor:
        """In-plane teacher."""
        return self._plane_losses()[0]

    def _plane_losses(self) -> tuple[Tensor, Tensor]:
        """In-plane teacher: loss of the network, and of the base interpolation."""
        patches = self._teacher.draw().to(self._device)
        thin = self.model.inplane(patches.thick, patches.task)
        base = inplane.interpolate(patches.thick, patches.task)
        return label_losses(thin, base, patches.truth, share=self._share, config=self._config)

    def _increment_loss(self) -> Tensor:
        """Weighted sum of the terms, each relative to that of the base interpolation: a hard one counts no more."""
        terms = (self._plane_losses, self._minus_one_losses, self._zero_losses, self._plus_one_losses)
        weighted = zip(self._config.increments.loss_weights, terms, strict=True)
        losses = [(weight, *term()) for weight, term in weighted if weight]
        return torch.stack([weight * relative_loss(loss, base) for weight, loss, base in losses]).sum()

    def _minus_one_losses(self) -> tuple[Tensor, Tensor]:
        stack, usable = self._patch(self._config.patch_slices + 1)
        increment = increments.minus_one(len(stack), self._scale)
        between = slice(1, 2 * (len(stack[::2]) - 1), 2)
        return self._known_losses(stack[::2], increment, stack[between], usable[between])

    def _zero_losses(self) -> tuple[Tensor, Tensor]:
        stack, usable = self._patch(self._config.patch_slices // 2 + 1)
        forth, back = increments.zero(len(stack), self._scale)
        with torch.no_grad():
            views = increments.predict(self._teachers, stack, forth.task, plane_steps=self._plane_steps)
            half_way = forth.observe(torch.stack(list(views.values())).mean(0))
        return self._known_losses(half_way, back, stack[1:-1], usable[1:-1])

    def _known_losses(
        self, given: Tensor, increment: increments.Increment, truth: Tensor, usable: Tensor
    ) -> tuple[Tensor, Tensor]:
        views = self._learn(given, increment.task)
        base = {"base": axial.interpolate(given, increment.task)}
        return (
            increments.known_loss(views, increment, truth, usable=usable),
            increments.known_loss(base, increment, truth, usable=usable),
        )

    def _plus_one_losses(self) -> tuple[Tensor, Tensor]:
        c, (stack, _) = self._config.increments, self._patch(self._config.patch_slices // 2)
        task = patch_task(len(stack), self._scale)
        active = [view for view in c.teaching if c.fused_labels or set(c.learners) - {view}]
        with torch.no_grad():
            teacher = increments.predict(self._teachers, stack, task, plane_steps=self._plane_steps, views=active)
        views = self._learn(stack, task)
        base = dict.fromkeys(views, axial.interpolate(stack, task))
        loss, of_base = (
            increments.consensus_loss(student, teacher, gamma=c.gamma, fused=c.fused_labels)
            for student in (views, base)
        )
        return loss, of_base / len(views)

    def _learn(self, stack: Tensor, task: Task) -> dict[str, Tensor]:
        """The learning views' predictions, with gradient."""
        views = self._config.increments.learners
        return increments.predict(self.model, stack, task, plane_steps=self._plane_steps, views=views)

    def _patch(self, slices: int) -> tuple[Tensor, Tensor]:
        """Part of a block, (slices, y, x) HU, flipped at random, and which slices may serve as labels."""
        block = self._blocks[int(self._random.integers(len(self._blocks)))]
        acquired = block.acquisition.hu
        size = [min(wanted, have) for wanted, have in zip((slices, 48, 48), acquired.shape, strict=True)]
        corner = [int(self._random.integers(have - n + 1)) for have, n in zip(acquired.shape, size, strict=True)]
        window = tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))
        flips = tuple(slice(None, None, int(step)) for step in self._random.choice([-1, 1], 3))
        cut = np.ascontiguousarray(acquired[window][flips])
        usable = np.ascontiguousarray(block.labels[window[0]][flips[0]])
        return torch.from_numpy(cut).to(self._device), torch.from_numpy(usable).to(self._device)


def _shares(effort: Effort, *, start: float, begin: float, end: float, on_progress: OnProgress) -> Iterator[float]:
    """Share of a phase that is over, before each of its steps; the phase lasts from `begin` to `end` of the budget.

    However short a time, there is one step: what is recorded as fitted must have been fitted.
    """
    if effort.steps is not None:
        since, until = round(begin * effort.steps), round(end * effort.steps)
        for step in range(since, until):
            on_progress("fit", step, effort.steps)
            yield (step - since) / (until - since)
        return
    total = float(effort.seconds or 0.0)
    now = first = max(begin * total, time.monotonic() - start)
    while True:
        on_progress("fit", min(now, total), total)
        yield min(1.0, (now - first) / max(end * total - first, 1e-9))
        if (now := time.monotonic() - start) >= end * total:
            return
