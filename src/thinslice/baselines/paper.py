"""The recipe of Fang et al. (CVPR 2022): rows `paper-1` and `paper` of the evaluation (docs/method.md).

What is the paper's: three views, trained together on cubes of the scan; labels from dropped slices
(increment -1); mutual distillation where views agree on synthesised slices (increments 0 and +1);
wavelet and memory losses and their weights; the mean of the views as the result; slices taken as
points without thickness. What differs from it: the width of the networks and of the cubes, the linear base, a
learning rate that falls, an end to gradients that would throw a fit off, prototypes that learn by
gradient, and repeated doubling in place of larger factors.

Doubling: a factor f is fitted as the ratio 2 (label spacing s from slices 2 s apart) and applied
until the slices are at least f times finer; only f = 3 is fitted as a ratio of 3, where slices
suffice. Fitting a ratio of 4 would leave 9 of 33 slices as input, 4 s apart. Output slices between
the finer ones (thick regimes, factors that are no power of 2) come from a cubic spline through them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.baselines.paper_networks import AxialView, PixelWise, SliceWise
from thinslice.baselines.wavelet import wavelet_loss
from thinslice.conventions import VIEWS, OnProgress
from thinslice.errors import UsageError
from thinslice.fitting.effort import Effort
from thinslice.networks.device import arithmetic, choose_device
from thinslice.networks.threads import seeded
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid
from thinslice.physics.operator import along_z

_OFFSET_HU, _RANGE_HU = 1024.0, 4096.0  # intensities: (HU + 1024) / 4096
_PIXELS = 2**18  # pixels in a batch of the synthesis
_LARGEST_GRADIENT = 10.0  # norm of a step; usual ones are 0.5 to 8. Without an end one fit of a dozen went astray


@dataclass(frozen=True)
class PaperConfig:
    """Sizes and weights of the recipe; a weight of 0 leaves its term out.

    Attributes:
        axial_channels: features of the slice-wise network, for 8 x 8 pixels each.
        axial_groups: its residual groups.
        axial_blocks: channel-attention blocks in each.
        memory_items: prototypes of its memory.
        inplane_channels: features of the pixel-wise network.
        inplane_groups: its residual groups.
        inplane_blocks: channel-attention blocks in each.
        cube: acquired slices, rows and columns of a training cube; fewer where the scan is smaller. The
            paper's, 33 x 64 x 64, leave a third of the steps in minutes on two cores.
        learning_rate: of Adam at the start; falls to a hundredth along a cosine.
        reconstruction: weight of the L1 loss of each view at increment -1.
        wavelet: weight of the wavelet loss of each view at increment -1.
        wavelet_levels: levels of the transform.
        distillation: weight of each of the four distillation terms.
        gamma: share of voxels kept by a distillation term, those on which views agree best.
        compactness: weight of the memory's compactness.
        separateness: weight of the memory's separateness.
    """

    axial_channels: int = 96
    axial_groups: int = 2
    axial_blocks: int = 3
    memory_items: int = 10
    inplane_channels: int = 32
    inplane_groups: int = 2
    inplane_blocks: int = 1
    cube: tuple[int, int, int] = (17, 48, 48)
    learning_rate: float = 1e-3
    reconstruction: float = 1.0
    wavelet: float = 0.1
    wavelet_levels: int = 3
    distillation: float = 0.15
    gamma: float = 0.25
    compactness: float = 0.1
    separateness: float = 0.1


class PaperNetworks(nn.Module):
    """The two networks of the three views, for one ratio of slice spacings."""

    def __init__(self, config: PaperConfig, *, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.slicewise = SliceWise(
            ratio=ratio,
            channels=config.axial_channels,
            groups=config.axial_groups,
            blocks=config.axial_blocks,
            items=config.memory_items,
        )
        self.pixelwise = PixelWise(
            ratio=ratio,
            channels=config.inplane_channels,
            groups=config.inplane_groups,
            blocks=config.inplane_blocks,
        )
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, slices: Tensor) -> tuple[AxialView, Tensor, Tensor]:
        """Axial, coronal and sagittal view of the slices between: (m, y, x) to (m - 1, ratio - 1, y, x) each."""
        with arithmetic(slices.device):
            return self.slicewise(slices), self.pixelwise.coronal(slices), self.pixelwise.sagittal(slices)


def paper_result(
    thick: np.ndarray,
    grid: SliceGrid,
    effort: Effort,
    *,
    distil: bool,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    config: PaperConfig | None = None,
) -> np.ndarray:
    """The scan on the output grid by the paper's recipe, fitted to the scan itself.

    Args:
        thick: (m, y, x) float32 HU.
        grid: where acquired and output slices lie.
        effort: seconds for all but the synthesis, or steps of the fit; seed of weights and draws.
        distil: True for `paper` (all increments), False for `paper-1` (increment -1 alone).
        device: as in `choose_device`.
        on_progress: called with ("paper" or "paper-1", done, total).
        config: sizes and weights; None takes the recipe's.

    Returns:
        (n, y, x) float32 HU; in the gap regime acquired slices are copied.

    Raises:
        UsageError: USE-BUDGET with neither budget nor iterations.
    """
    start = time.perf_counter()
    stage = "paper" if distil else "paper-1"
    config = config or PaperConfig()
    if not distil:
        config = replace(config, distillation=0.0)
    where = choose_device(device)
    with seeded(effort.seed):
        networks = PaperNetworks(config, ratio=fitted_ratio(grid)).to(where)
    fit_paper(
        networks,
        scaled(thick).to(where),
        config,
        effort,
        start=start,
        on_progress=partial(on_progress, stage) if on_progress else None,
    )
    return restored(networks, thick, grid)


def restored(
    networks: PaperNetworks, thick: np.ndarray, grid: SliceGrid, *, views: Sequence[str] = VIEWS
) -> np.ndarray:
    """The scan on the output grid by networks that were trained.

    Args:
        networks: on the device that computes.
        thick: (m, y, x) float32 HU.
        grid: where acquired and output slices lie.
        views: whose mean is taken.

    Returns:
        (n, y, x) float32 HU; in the gap regime acquired slices are copied.
    """
    slices, steps = scaled(thick).to(next(networks.parameters()).device), 1
    while steps < grid.factor * (1 - 1e-6):
        slices, steps = synthesise(networks, slices, views=views), steps * networks.ratio
    return _on_output_grid(slices.cpu().numpy() * _RANGE_HU - _OFFSET_HU, thick, grid)


def scaled(hu: np.ndarray) -> Tensor:
    """Intensities 0 to 1 of HU, float32; what is beyond the range is cut off."""
    inside = np.clip(hu, -_OFFSET_HU, _RANGE_HU - _OFFSET_HU - 1)
    return torch.from_numpy(((inside + _OFFSET_HU) / _RANGE_HU).astype(np.float32))


def fitted_ratio(grid: SliceGrid) -> int:
    """3 for a factor of 3 with slices enough to drop two of three, else 2."""
    return 3 if abs(grid.factor - 3) < 1e-6 and len(grid.acquired_mm) >= 10 else 2


class Learner:
    """One step after another for the networks, at a rate that falls along a cosine.

    Attributes:
        networks: that learn.
        steps: that were taken.
        seconds: that they took.
    """

    def __init__(self, networks: PaperNetworks, config: PaperConfig) -> None:
        self.networks, self.config = networks, config
        self.optimiser = torch.optim.Adam(networks.parameters(), lr=config.learning_rate)
        self.steps, self.seconds = 0, 0.0

    def step(self, cube: Tensor, *, share: float) -> float:
        """Follow the gradient on one cube (d, y, x); `share` of the run is over. Returns the loss."""
        began = time.perf_counter()
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * (0.505 + 0.495 * math.cos(math.pi * share))
        loss = training_loss(self.networks, cube, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        self.steps, self.seconds = self.steps + 1, self.seconds + time.perf_counter() - began
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        states = {"networks": self.networks.state_dict(), "optimiser": self.optimiser.state_dict()}
        return states | {"steps": self.steps, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.networks.load_state_dict(state["networks"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.seconds = state["steps"], state["seconds"]


def fit_paper(
    networks: PaperNetworks,
    slices: Tensor,
    config: PaperConfig,
    effort: Effort,
    *,
    start: float,
    on_progress: Callable[[float, float], None] | None = None,
) -> list[float]:
    """Fit the networks in place to the acquired slices; returns the loss of every step.

    Args:
        networks: to be fitted.
        slices: (m, y, x) scaled intensities.
        config: sizes and weights.
        effort: steps, or seconds since `start` at which the fit ends; seed of the draws.
        start: when the seconds began, as `time.perf_counter` has it.
        on_progress: called with seconds or steps, done and in all.

    Raises:
        UsageError: USE-BUDGET with neither budget nor iterations.
    """
    if effort.steps is not None:
        total = float(effort.steps)
    elif effort.seconds is not None:
        total = effort.seconds
    else:
        raise UsageError("USE-BUDGET", "neither seconds nor iterations are given; give one")
    learner = Learner(networks, config)
    random = np.random.default_rng(effort.seed)
    losses: list[float] = []
    longest = 0.0
    while True:
        begun = time.perf_counter()
        done = begun - start if effort.steps is None else float(len(losses))
        # The next step must end within the budget, too.
        if done + (longest if effort.steps is None else 0.0) >= total:
            break
        cube = draw_cube(slices, config.cube, ratio=networks.ratio, random=random)
        losses.append(learner.step(cube, share=done / total))
        longest = max(longest if len(losses) > 2 else 0.0, time.perf_counter() - begun)
        if on_progress:
            on_progress(min(done, total), total)
    return losses


def draw_cube(slices: Tensor, size: tuple[int, int, int], *, ratio: int, random: np.random.Generator) -> Tensor:
    """A cube of acquired slices, flipped along each axis by chance.

    Its depth is one more than a multiple of the ratio, so that dropped slices have neighbours.
    """
    window = draw_window(slices.shape, size, ratio=ratio, random=random)
    return slices[window].flip(draw_flips(random))


def draw_window(
    shape: Sequence[int], size: tuple[int, int, int], *, ratio: int, random: np.random.Generator
) -> tuple[slice, ...]:
    """A place for a cube in a scan, by chance.

    Args:
        shape: (z, y, x) of the scan.
        size: of the cube; less where there is less.
        ratio: its depth is one more than a multiple of it.
        random: source of the draw.

    Returns:
        Ranges of slices, rows and columns.
    """
    depth, height, width = (min(wanted, there) for wanted, there in zip(size, shape, strict=True))
    depth -= (depth - 1) % ratio
    window = []
    for there, extent in zip(shape, (depth, height, width), strict=True):
        first = int(random.integers(there - extent + 1))
        window.append(slice(first, first + extent))
    return tuple(window)


def draw_flips(random: np.random.Generator) -> list[int]:
    """The axes along which a cube is mirrored."""
    return [axis for axis in range(3) if random.integers(2)]


def training_loss(networks: PaperNetworks, cube: Tensor, config: PaperConfig) -> Tensor:
    """All terms on one cube (d, y, x), where d - 1 is a multiple of the ratio."""
    ratio = networks.ratio
    views = networks(cube[::ratio])
    labels = cube[:-1].unflatten(0, (-1, ratio))[:, 1:]
    loss = config.compactness * views[0].compactness + config.separateness * views[0].separateness
    for result in (views[0].slices, *views[1:]):
        loss = loss + config.reconstruction * (result - labels).abs().mean()
        if config.wavelet:
            images, truth = result.flatten(0, 1), labels.flatten(0, 1)
            loss = loss + config.wavelet * wavelet_loss(images, truth, levels=config.wavelet_levels)
    if config.distillation:
        # As many slices in as at increment -1, so that all increments weigh alike on the time.
        acquired = cube[: max(len(cube[::ratio]), 3)]
        loss = loss + config.distillation * distillation_loss(networks, acquired, config.gamma)
    return loss


def distillation_loss(networks: PaperNetworks, acquired: Tensor, gamma: float) -> Tensor:
    """Four terms: coronal and sagittal against axial, at increments +1 and 0. (d, y, x), d >= 3.

    Increment +1 synthesises the slices between acquired ones. Increment 0 predicts the acquired
    slices back from synthesised ones alone: those of one phase, which are as far apart as acquired ones.
    """
    axial, coronal, sagittal = networks(acquired)
    synthesised = (axial.slices + coronal + sagittal)[:, 0] / 3
    back_axial, back_coronal, back_sagittal = networks(synthesised)
    terms = [
        agreement(coronal, axial.slices, gamma),
        agreement(sagittal, axial.slices, gamma),
        agreement(back_coronal[:, -1], back_axial.slices[:, -1], gamma),
        agreement(back_sagittal[:, -1], back_axial.slices[:, -1], gamma),
    ]
    return torch.stack(terms).sum()


def agreement(one: Tensor, other: Tensor, gamma: float) -> Tensor:
    """Mean of the smallest squared differences: of the share gamma of voxels on which both agree best."""
    squared = (one - other).square().flatten()
    kept = max(1, round(gamma * len(squared)))
    return squared.topk(kept, largest=False, sorted=False).values.mean()


@torch.inference_mode()
def synthesise(networks: PaperNetworks, slices: Tensor, *, views: Sequence[str] = VIEWS) -> Tensor:
    """Put the mean of the views between slices: (m, y, x) scaled intensities to (ratio (m - 1) + 1, y, x)."""
    m, rows, columns = slices.shape
    ratio = networks.ratio
    out = torch.zeros(ratio * (m - 1) + 1, rows, columns, device=slices.device)
    new = out[:-1].unflatten(0, (-1, ratio))[:, 1:]
    with arithmetic(slices.device):
        for part in _parts(m - 1, rows * columns) if "axial" in views else ():
            new[part] += networks.slicewise(slices[part.start : part.stop + 1]).slices
        for part in _parts(rows, m * columns) if "coronal" in views else ():
            new[:, :, part] += networks.pixelwise.coronal(slices[:, part])
        for part in _parts(columns, m * rows) if "sagittal" in views else ():
            new[:, :, :, part] += networks.pixelwise.sagittal(slices[:, :, part])
    new /= len(views)
    out[::ratio] = slices
    return out


def _parts(count: int, pixels: int) -> list[slice]:
    """Ranges of images of so many pixels that fit a batch."""
    step = max(1, _PIXELS // pixels)
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]


def _on_output_grid(finer: np.ndarray, thick: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """From slices at least as fine as the output, the first and last acquired ones at the ends."""
    places = np.linspace(grid.acquired_mm[0], grid.acquired_mm[-1], len(finer))
    there = SliceGrid(places, grid.output_mm, grid.output_spacing_mm)
    out = along_z(interpolation.as_sparse(interpolation.cubic(there)), finer)
    if grid.copies:
        acquired, output = grid.on_grid()
        out[output] = thick[acquired]
    return out
