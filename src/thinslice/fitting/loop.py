"""Fitting a model to one scan: three phases, one budget.

1. *Planes*: the in-plane network learns from acquired slices, one plane at a time.
2. *Context*: the same, with neighbouring planes from a first synthesis (`fit/context.py`).
3. *Increments*: the axial network (or whichever views `FitConfig.learners` names) learns from acquired
   slices at increments -1 and 0 and from the other views at increment +1.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.conventions import HU_RANGE, OnProgress
from thinslice.fitting import increments
from thinslice.fitting.average import Average
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import InplaneTeacher
from thinslice.fitting.losses import label_losses, over_base
from thinslice.fitting.optimiser import Optimiser
from thinslice.fitting.slice_noise import RowNoise
from thinslice.fitting.synthesised_planes import choose_blocks, contexts
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.networks.task import Task, patch_task
from thinslice.physics.grid import SliceGrid


@dataclass(frozen=True)
class Budget:
    """Seconds or steps, whichever is given; steps make weights repeatable."""

    seconds: float | None = 180.0
    steps: int | None = None


class ScanFit:
    """The state of one fit.

    Args:
        acquired: (m, y, x) float32 HU.
        grid: from the scan's slices to the output.
        pixel_mm: (x, y) pixel spacing.
        held_out: indices of slices that must not serve as labels.
        config: every choice.
        seed: of weights and draws.
        device: where to compute.
        start: model to go on from, of the sizes that `config` names; from nothing where None.
    """

    def __init__(
        self,
        acquired: np.ndarray,
        grid: SliceGrid,
        *,
        pixel_mm: tuple[float, float],
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
        self._grid, self._pixel_mm, self._config, self._device = grid, pixel_mm, config, device
        self._random = np.random.default_rng(seed)
        even = grid.even_run()  # increments and context are taught where the spacing is the usual one
        usable = np.ones(len(acquired), bool)
        usable[held_out] = False
        slices = acquired[usable]
        np.clip(slices, *HU_RANGE, out=slices)
        noise = RowNoise.of(slices, seed=0, random=self._random) if config.row_noise and grid.copies else None
        self._teacher = InplaneTeacher(slices, pixel_mm, grid=grid, config=config, random=self._random, noise=noise)
        self._blocks = choose_blocks(acquired[even], usable[even])
        self.curve: list[tuple[str, int, float]] = []
        self.steps = 0
        self._share = 0.0  # of the present phase

    def run(self, budget: Budget, *, on_progress: OnProgress = lambda stage, done, total: None) -> Model:
        """Run the phases and leave the averaged weights in the model."""
        c, start = self._config, time.monotonic()
        planes = c.plane_share + c.context_share
        planes_end = planes if c.increments_run else 1.0
        if planes_end > 0:
            shares = _shares(budget, start=start, begin=0.0, end=planes_end, on_progress=on_progress)
            context_from = c.plane_share / planes if c.context_share > 0 else np.inf
            self._phase("planes", self._plane_loss, [self.model.inplane], shares, context_from=context_from)
        if planes_end < 1 - 1e-6:
            shares = _shares(budget, start=start, begin=planes_end, end=1.0, on_progress=on_progress)
            networks: list[nn.Module] = [self.model.axial] if "axial" in c.learners else []
            networks += [self.model.inplane] if {"coronal", "sagittal"} & set(c.learners) else []
            self._phase("increments", self._increment_loss, networks, shares)
        total = float(budget.steps or budget.seconds or 1)
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
        means: dict[str, Any] = {self._name(average.source): average.network for average in averages}
        self._teachers = replace(self.model, **means)
        if name == "increments" and not self._config.moving_teachers:
            self._teachers = copy.deepcopy(self._teachers)
        recent: list[float] = []
        for share in shares:
            if share >= context_from:
                name, context_from = "context", np.inf
                self._teacher.context = list(
                    contexts(
                        self._blocks, self._grid, model=self._teachers, pixel_mm=self._pixel_mm,
                        device=self._device, noise=self._config.context_noise,
                    )
                )  # fmt: skip
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
            average.source.load_state_dict(average.network.state_dict())

    def _name(self, network: nn.Module) -> str:
        return "axial" if network is self.model.axial else "inplane"

    def _plane_loss(self) -> Tensor:
        """In-plane teacher."""
        return self._plane_losses()[0]

    def _plane_losses(self) -> tuple[Tensor, Tensor]:
        """In-plane teacher: loss of the network, and of the interpolation that it adds to."""
        c, patches = self._config, self._teacher.draw().to(self._device)
        thin = self.model.inplane.restore(patches.thick, patches.task)
        base = patches.task.base @ patches.thick[:, c.inplane.neighbours]
        return label_losses(thin, base, patches.truth, share=self._share, config=c)

    def _increment_loss(self) -> Tensor:
        """Weighted sum of the terms, each over what interpolation leaves: none is heard the louder for being hard."""
        terms = (self._plane_losses, self._minus_one_losses, self._zero_losses, self._plus_one_losses)
        weighted = zip(self._config.term_weights, terms, strict=True)
        losses = [(weight, *term()) for weight, term in weighted if weight]
        return torch.stack([weight * over_base(loss, base) for weight, loss, base in losses]).sum()

    def _minus_one_losses(self) -> tuple[Tensor, Tensor]:
        stack, usable = self._patch(self._config.patch_slices + 1)
        increment = increments.minus_one(len(stack), *self._grid.scale)
        between = slice(1, 2 * (len(stack[::2]) - 1), 2)
        return self._known_losses(stack[::2], increment, stack[between], usable[between])

    def _zero_losses(self) -> tuple[Tensor, Tensor]:
        stack, usable = self._patch(self._config.patch_slices // 2 + 1)
        forth, back = increments.zero(len(stack), *self._grid.scale)
        with torch.no_grad():
            views = increments.predict(self._teachers, stack, forth.task, plane_steps=self._plane_steps)
            half_way = increments.see(forth.seen, torch.stack(list(views.values())).mean(0))
        return self._known_losses(half_way, back, stack[1:-1], usable[1:-1])

    def _known_losses(
        self, given: Tensor, increment: increments.Increment, truth: Tensor, usable: Tensor
    ) -> tuple[Tensor, Tensor]:
        views = self._learn(given, increment.task)
        base = {"base": increments.interpolate(given, increment.task)}
        return (
            increments.known_loss(views, increment, truth, usable=usable),
            increments.known_loss(base, increment, truth, usable=usable),
        )

    def _plus_one_losses(self) -> tuple[Tensor, Tensor]:
        c, (stack, _) = self._config, self._patch(self._config.patch_slices // 2)
        task = patch_task(len(stack), *self._grid.scale)
        heard = [view for view in c.teaching if c.fused_labels or set(c.learners) - {view}]
        with torch.no_grad():
            teacher = increments.predict(self._teachers, stack, task, plane_steps=self._plane_steps, views=heard)
        views = self._learn(stack, task)
        base = dict.fromkeys(views, increments.interpolate(stack, task))
        loss, untaught = (
            increments.consensus_loss(student, teacher, gamma=c.gamma, fused=c.fused_labels)
            for student in (views, base)
        )
        return loss, untaught / len(views)

    def _learn(self, stack: Tensor, task: Task) -> dict[str, Tensor]:
        """The learning views' predictions, with gradient."""
        views = self._config.learners
        return increments.predict(self.model, stack, task, plane_steps=self._plane_steps, views=views)

    @property
    def _plane_steps(self) -> dict[str, int]:
        return plane_steps(self._grid, self._pixel_mm)

    def _patch(self, slices: int) -> tuple[Tensor, Tensor]:
        """Part of a block, (slices, y, x) HU, flipped at random, and which slices may serve as labels."""
        block = self._blocks[int(self._random.integers(len(self._blocks)))]
        size = [min(wanted, have) for wanted, have in zip((slices, 48, 48), block.acquired.shape, strict=True)]
        corner = [int(self._random.integers(have - n + 1)) for have, n in zip(block.acquired.shape, size, strict=True)]
        window = tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))
        flips = tuple(slice(None, None, int(step)) for step in self._random.choice([-1, 1], 3))
        cut = np.ascontiguousarray(block.acquired[window][flips])
        usable = np.ascontiguousarray(block.labels[window[0]][flips[0]])
        return torch.from_numpy(cut).to(self._device), torch.from_numpy(usable).to(self._device)


def _shares(budget: Budget, *, start: float, begin: float, end: float, on_progress: OnProgress) -> Iterator[float]:
    """Share of a phase that is over, before each of its steps; the phase lasts from `begin` to `end` of the budget.

    However short a time, there is one step: what says that it was fitted must have been.
    """
    if budget.steps is not None:
        since, until = round(begin * budget.steps), round(end * budget.steps)
        for step in range(since, until):
            on_progress("fit", step, budget.steps)
            yield (step - since) / (until - since)
        return
    total = float(budget.seconds or 0.0)
    now = first = max(begin * total, time.monotonic() - start)
    while True:
        on_progress("fit", min(now, total), total)
        yield min(1.0, (now - first) / max(end * total - first, 1e-9))
        if (now := time.monotonic() - start) >= end * total:
            return
