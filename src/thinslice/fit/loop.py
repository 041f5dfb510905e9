"""Fitting a model to one scan: three phases, one budget.

1. *Planes*: the in-plane network learns from acquired slices, one plane at a time.
2. *Context*: the same, with neighbouring planes from a first synthesis.
3. *Increments*: the axial network joins; all three views learn from acquired slices at increments
   -1 and 0 and from one another at increment +1, with the in-plane teacher as an anchor.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.fit import increments
from thinslice.fit.config import FitConfig
from thinslice.fit.context import choose_blocks, contexts
from thinslice.fit.loss import slope_along_z, squared
from thinslice.fit.teacher import InplaneTeacher
from thinslice.networks.blocks import HU_RANGE
from thinslice.networks.model import VIEWS, Model
from thinslice.slice_profile import Profile, SliceGrid
from thinslice.synthesis.views import plane_step

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Budget:
    """Seconds or steps, whichever is given; steps make weights repeatable."""

    seconds: float | None = 180.0
    steps: int | None = None


class _Average:
    """Moving average of a network's weights: the teacher, and what is kept in the end."""

    def __init__(self, network: nn.Module, *, time_constant: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._source, self._time_constant, self._seen = network, time_constant, 0

    def update(self) -> None:
        """Take one more step into account; early steps weigh more, so that the start is forgotten."""
        self._seen += 1
        share = 1 / min(self._time_constant, self._seen / 2 + 1)
        for mean, value in zip(self.network.parameters(), self._source.parameters(), strict=True):
            mean.lerp_(value, share)


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
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Model.new(config.inplane, config.axial)
        for network in (self.model.inplane, self.model.axial):
            network.to(device)
        self._grid, self._pixel_mm, self._config, self._device = grid, pixel_mm, config, device
        self._random = np.random.default_rng(seed)
        usable = np.ones(len(acquired), bool)
        usable[held_out] = False
        slices = np.clip(acquired[usable], *HU_RANGE)
        self._teacher = InplaneTeacher(slices, pixel_mm, grid=grid, config=config, random=self._random)
        self._blocks = choose_blocks(acquired, usable)
        self.curve: list[tuple[str, int, float]] = []
        self.steps = 0

    def run(self, budget: Budget, *, on_progress: Progress = lambda stage, done, total: None) -> Model:
        """Run the three phases and leave the averaged weights in the model."""
        c, start = self._config, time.monotonic()
        ends = (c.plane_share, c.plane_share + c.context_share, 1.0)
        phases = (("planes", self._plane_loss), ("context", self._plane_loss), ("increments", self._increment_loss))
        begin = 0.0
        for (name, loss), end in zip(phases, ends, strict=True):
            if end - begin < 1e-6:
                continue
            if name == "context":
                self._teacher.context = list(
                    contexts(self._blocks, self._grid, model=self.model, pixel_mm=self._pixel_mm, device=self._device)
                )
            learners: list[nn.Module] = [self.model.inplane]
            if name == "increments":
                learners.append(self.model.axial)
            shares = _shares(budget, start=start, begin=begin, end=end, on_progress=on_progress)
            self._phase(name, loss, learners, shares, rate=c.learning_rate * (1.0 if name == "planes" else 0.5))
            begin = end
        return self.model

    def _phase(
        self, name: str, loss: Callable[[], Tensor], learners: list[nn.Module], shares: Iterator[float], *, rate: float
    ) -> None:
        """Steps until `shares`, the share of the phase that is over, ends."""
        parameters = [p for network in learners for p in network.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=1e-4)
        averages = [_Average(network, time_constant=self._config.average) for network in learners]
        if len(averages) == 2:
            inplane, axial = (cast(Any, average.network) for average in averages)
            self._teachers = Model(inplane, axial, self.model.fusion)
        recent: list[float] = []
        for step, share in enumerate(shares):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 20) * max(1 - share, 0.01)
            optimiser.zero_grad(set_to_none=True)
            value = loss()
            value.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            for average in averages:
                average.update()
            self.steps += 1
            recent.append(float(value.detach()))
            if len(recent) == 50:
                self.curve.append((name, self.steps, float(np.mean(recent))))
                recent.clear()
        for network, average in zip(learners, averages, strict=True):
            network.load_state_dict(average.network.state_dict())

    def _plane_loss(self) -> Tensor:
        """In-plane teacher."""
        c, patches = self._config, self._teacher.draw()
        thin = self.model.inplane.restore(patches.thick, patches.task)
        value = squared(thin, patches.truth)
        if c.gradient:
            value = value + c.gradient * slope_along_z(thin, patches.truth, axis=1)
        return value

    def _increment_loss(self) -> Tensor:
        """One of the four terms, drawn by its weight."""
        c = self._config
        terms = (self._plane_loss, self._minus_one_loss, self._zero_loss, self._plus_one_loss)
        weights = np.array([c.teacher, c.increment_minus1, c.increment_0, c.increment_plus1])
        return terms[int(self._random.choice(4, p=weights / weights.sum()))]()

    def _minus_one_loss(self) -> Tensor:
        stack, usable = self._patch(self._config.patch_slices + 1)
        increment = increments.minus_one(len(stack), *self._scale)
        given = stack[::2]
        views = increments.predict(self.model, given, increment.task, plane_step=self._plane_step)
        between = slice(1, 2 * (len(given) - 1), 2)
        return increments.known_loss(views, increment, stack[between], usable=usable[between])

    def _zero_loss(self) -> Tensor:
        stack, usable = self._patch(self._config.patch_slices // 2 + 1)
        forth, back = increments.zero(len(stack), *self._scale)
        with torch.no_grad():
            views = increments.predict(self._teachers, stack, forth.task, plane_step=self._plane_step)
            half_way = increments.see(forth.seen, torch.stack(list(views.values())).mean(0))
        views = increments.predict(self.model, half_way, back.task, plane_step=self._plane_step)
        return increments.known_loss(views, back, stack[1:-1], usable=usable[1:-1])

    def _plus_one_loss(self) -> Tensor:
        c, (stack, _) = self._config, self._patch(self._config.patch_slices // 2)
        task = increments.plus_one(len(stack), *self._scale)
        teaching = [view for view in VIEWS if set(c.learners) - {view}]
        with torch.no_grad():
            teacher = increments.predict(self._teachers, stack, task, plane_step=self._plane_step, views=teaching)
        student = increments.predict(self.model, stack, task, plane_step=self._plane_step, views=c.learners)
        return increments.consensus_loss(student, teacher, gamma=c.gamma)

    @property
    def _scale(self) -> tuple[float, float, Profile]:
        """Factor, thickness in output spacings, profile."""
        g = self._grid
        return round(g.factor, 6), round(g.thickness_mm / g.output_spacing_mm, 6), g.profile

    @property
    def _plane_step(self) -> int:
        return plane_step(self._grid, self._pixel_mm[0])

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


def _shares(budget: Budget, *, start: float, begin: float, end: float, on_progress: Progress) -> Iterator[float]:
    """Share of a phase that is over, before each of its steps; the phase lasts from `begin` to `end` of the budget."""
    if budget.steps is not None:
        since, until = round(begin * budget.steps), round(end * budget.steps)
        for step in range(since, until):
            on_progress("fit", step, budget.steps)
            yield (step - since) / (until - since)
        return
    total = float(budget.seconds or 0.0)
    first = max(begin * total, time.monotonic() - start)
    while (now := time.monotonic() - start) < end * total:
        on_progress("fit", now, total)
        yield (now - first) / max(end * total - first, 1e-9)
