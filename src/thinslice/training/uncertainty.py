"""Training of the network of the uncertainty: results whose truth is known, and how wrong they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.conventions import HU_RANGE
from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.interpolation import as_sparse
from thinslice.physics.operator import SliceOperator, along_z
from thinslice.synthesis.consistency import finish
from thinslice.uncertainty.features import Features, pooled
from thinslice.uncertainty.network import UncertaintyNetwork

_SIDE = 40  # pixels of a map in a patch
_BATCH = 12
_RATE = 4e-3
_LEAST = 1e-4  # of the noise's variance, added to squares of errors
_TOGETHER = 8  # slices
_FEWER_VIEWS = 0.15  # weight of results by one view, and of the base interpolation alone


@dataclass(frozen=True, eq=False)
class Example:
    """A result whose truth is known.

    Attributes:
        features: (k, features, h, w) float16 of its new slices.
        squares: (k, h, w) mean squares of the errors, in units of the scan's noise.
        weight: how often it is drawn.
    """

    features: Tensor
    squares: Tensor
    weight: float


def examples(
    acquisition: Acquisition, truth: np.ndarray, new: np.ndarray, out: np.ndarray, disagreement: np.ndarray
) -> Iterator[Example]:
    """A result by both views, the one that the coronal view alone would have given, and the base interpolation.

    Args:
        acquisition: what the result was made from.
        truth: (n, y, x) HU.
        new: (n,) bool, slices that are no copies.
        out: (n, y, x) HU, by both views with equal weights.
        disagreement: (n, y, x) HU, coronal minus sagittal residual.
    """
    none = np.zeros_like(disagreement)
    half = 0.5 * disagreement
    if not acquisition.grid.copies:
        half = SliceOperator(acquisition.grid).null_projector(half).astype(np.float32)
    base = along_z(as_sparse(base_matrix(acquisition.grid)), acquisition.hu).astype(np.float32)
    finish(base, acquisition)
    for views, result, differs in ((2, out, disagreement), (1, out + half, none), (0, base, none)):
        features, where, parts = Features(acquisition, views=views), np.flatnonzero(new), []
        for start in range(0, len(where), _TOGETHER):
            k = where[start : start + _TOGETHER]
            here = torch.from_numpy(np.clip(result[k], *HU_RANGE))
            parts.append(features.of(k, here, torch.from_numpy(differs[k])).half())
        errors = torch.from_numpy(np.clip(result[where], *HU_RANGE) - truth[where].astype(np.float32))
        squares = pooled(errors.square()) / features.noise_hu**2
        yield Example(torch.cat(parts), squares, 1.0 if views == 2 else _FEWER_VIEWS)


def train_network(given: Sequence[Example], *, steps: int, seed: int = 0) -> UncertaintyNetwork:
    """A network trained to the Gaussian likelihood of the errors of examples.

    Args:
        given: examples of many scans and grids.
        steps: of 12 patches each; 3,000 are enough.
        seed: of weights and draws.
    """
    network, random = UncertaintyNetwork(seed=seed), np.random.default_rng(seed)
    means = torch.stack([example.features[::7].float().mean((0, 2, 3)) for example in given])
    squares = torch.stack([example.features[::7].float().square().mean((0, 2, 3)) for example in given])
    network.mean.copy_(means.mean(0))  # type: ignore[operator]
    network.deviation.copy_((squares.mean(0) - means.mean(0).square()).clamp_min(0.09).sqrt())  # type: ignore[operator]
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    chances = np.array([example.weight for example in given])
    for _ in range(steps):
        drawn = random.choice(len(given), _BATCH, p=chances / chances.sum())
        patches = [_patch(given[index], random) for index in drawn]
        features, square = (torch.stack(parts) for parts in zip(*patches, strict=True))
        logarithm = network(features)
        loss = (logarithm + 0.5 * (square + _LEAST) * torch.exp(-2 * logarithm)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def _patch(example: Example, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Features and squares of a part of a slice, mirrored at random."""
    k = int(random.integers(len(example.squares)))
    window = [k]
    for size in example.squares.shape[1:]:
        side = min(_SIDE, size)
        start = int(random.integers(size - side + 1))
        window.append(slice(start, start + side))  # type: ignore[arg-type]
    mirrored = [axis for axis in (-1, -2) if random.random() < 0.5]
    _, rows, columns = window
    return example.features[k, :, rows, columns].float().flip(mirrored), example.squares[k, rows, columns].flip(
        mirrored
    )
