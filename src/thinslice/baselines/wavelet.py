"""Wavelet loss: edges and texture weighed apart from what is smooth.

Daubechies wavelets with three vanishing moments (db3), images continued periodically, so that the
transform is orthonormal where sizes are even at every level.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def daubechies3() -> tuple[Tensor, Tensor]:
    """Low-pass and high-pass analysis filters of six taps, float64, each of unit norm."""
    # Closed form of the spectral factor (Daubechies, Ten Lectures on Wavelets, section 6.4).
    a, b = math.sqrt(10), math.sqrt(5 + 2 * math.sqrt(10))
    taps = [1 + a + b, 5 + a + 3 * b, 10 - 2 * a + 2 * b, 10 - 2 * a - 2 * b, 5 + a - 3 * b, 1 + a - b]
    low = torch.tensor(taps, dtype=torch.float64) / (16 * math.sqrt(2))
    high = low.flip(0) * torch.tensor([1.0, -1.0] * 3, dtype=torch.float64)
    return low, high


def bands(images: Tensor, *, levels: int) -> tuple[Tensor, list[Tensor]]:
    """The two-dimensional transform of images.

    Args:
        images: (b, y, x).
        levels: how often the smooth part is split again; an odd size repeats its last line.

    Returns:
        The smooth part (b, 1, y', x'), and the high bands (b, 3, y', x') of each level, finest first.
    """
    low, high = (f.to(images) for f in daubechies3())
    pair = [torch.outer(v, h) for v in (low, high) for h in (low, high)]
    filters = torch.stack(pair)[:, None]
    smooth, details = images[:, None], []
    for _ in range(levels):
        smooth = functional.pad(smooth, (0, smooth.shape[3] % 2, 0, smooth.shape[2] % 2), mode="replicate")
        parts = functional.conv2d(_continue(smooth, len(low) - 2), filters, stride=2)
        smooth, detail = parts[:, :1], parts[:, 1:]
        details.append(detail)
    return smooth, details


def wavelet_loss(result: Tensor, truth: Tensor, *, levels: int) -> Tensor:
    """Mean absolute difference of the high bands, averaged over levels: (b, y, x) both to a scalar."""
    _, details = bands(result - truth, levels=levels)  # the transform is linear
    return torch.stack([detail.abs().mean() for detail in details]).mean()


def _continue(images: Tensor, lines: int) -> Tensor:
    """(b, c, y, x) continued periodically behind its last row and column, even where it has fewer."""
    for axis in (2, 3):
        size = images.shape[axis]
        index = torch.arange(size + lines, device=images.device) % size
        images = images.index_select(axis, index)
    return images
