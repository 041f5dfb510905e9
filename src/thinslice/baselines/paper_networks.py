"""The networks of Fang et al. (CVPR 2022), narrowed to what two cores can fit: rows `paper-1` and `paper`.

Slice-wise (axial): two neighbouring slices are folded 8 x 8 pixels into channels, pass groups of
channel-attention blocks and a memory of a few prototypes, and are unfolded into the slices between.
Pixel-wise (coronal and sagittal, one network for both): groups of the same blocks, weighed across
groups (layer attention) and across channels and pixels (channel-spatial attention); the last
convolution gives the rows between two rows as channels, which are shuffled out along z.

Both add to linear interpolation, and start as it: minutes of fitting on one scan do not suffice to
learn what a CT slice looks like at all. Intensities are scaled, not HU (fit/paper.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FOLD = 8  # pixels of a plane that become channels, in y and in x
_WATER = 0.25  # intensity of water
_CONTRAST = 8.0  # features are given intensities about water, stretched; residuals are shrunk as much
_SEPARATION = 1.0  # margin between the nearest and the second nearest prototype, as squared distance


class AxialView(NamedTuple):
    """What the slice-wise network gives.

    Attributes:
        slices: (m - 1, ratio - 1, y, x), the slices between each two neighbours.
        compactness: squared distance of features from their nearest prototype.
        separateness: how far the second nearest prototype is from being a margin further away.
    """

    slices: Tensor
    compactness: Tensor
    separateness: Tensor


class AttentionBlock(nn.Module):
    """x + w * conv(relu(conv(x))), with a weight w per channel from the mean over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.squeeze = nn.Linear(channels, max(channels // 8, 4))
        self.excite = nn.Linear(max(channels // 8, 4), channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, h, w)."""
        change = self.second(torch.relu(self.first(x)))
        weight = torch.sigmoid(self.excite(torch.relu(self.squeeze(change.mean((2, 3))))))
        return x + change * weight[:, :, None, None]


class ResidualGroup(nn.Module):
    """x + conv(blocks(x))."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(AttentionBlock(channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, h, w)."""
        return x + self.leave(self.blocks(x))


class Memory(nn.Module):
    """Prototypes of features: every feature is put together with a mixture of those most like it."""

    def __init__(self, channels: int, items: int) -> None:
        super().__init__()
        self.items = nn.Parameter(functional.normalize(torch.randn(items, channels), dim=1))
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, c, h, w) to the same shape, with compactness and separateness."""
        queries = functional.normalize(x.float().movedim(1, -1), dim=-1)  # (b, h, w, c)
        items = functional.normalize(self.items.float(), dim=-1)
        alike = queries @ items.T  # (b, h, w, items)
        read = (alike.softmax(-1) @ items).movedim(-1, 1)
        # Squared distance of unit vectors, 2 - 2 cos, from the nearest and the second nearest.
        distance = 2 - 2 * alike.topk(2, dim=-1).values
        nearest, second = distance[..., 0], distance[..., 1]
        merged = self.merge(torch.cat([x, read.to(x.dtype)], 1))
        return x + merged, nearest.mean(), torch.relu(nearest - second + _SEPARATION).mean()


class SliceWise(nn.Module):
    """The axial view: from two neighbouring slices to the ratio - 1 slices between them."""

    def __init__(self, *, ratio: int, channels: int, groups: int, blocks: int, items: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.enter = nn.Conv2d(2 * FOLD**2, channels, 3, padding=1)
        self.groups = nn.Sequential(*(ResidualGroup(channels, blocks) for _ in range(groups)))
        self.memory = Memory(channels, items)
        self.leave = nn.Conv2d(channels, (ratio - 1) * FOLD**2, 3, padding=1)
        _start_at_zero(self.leave)

    def forward(self, slices: Tensor) -> AxialView:
        """(m, y, x) scaled intensities to the slices between."""
        pairs = torch.stack([slices[:-1], slices[1:]], 1)
        height, width = slices.shape[1:]
        folded = functional.pixel_unshuffle(_pad_to_fold(pairs), FOLD)
        x, compactness, separateness = self.memory(self.groups(_features(self.enter, folded)))
        residual = functional.pixel_shuffle(self.leave(x).float(), FOLD)[:, :, :height, :width]
        return AxialView(between(slices, self.ratio) + residual / _CONTRAST, compactness, separateness)


class PixelWise(nn.Module):
    """The coronal and the sagittal view: from rows of a (z, w) image to the rows between them."""

    def __init__(self, *, ratio: int, channels: int, groups: int, blocks: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.enter = nn.Conv2d(1, channels, 3, padding=1)
        self.groups = nn.ModuleList(ResidualGroup(channels, blocks) for _ in range(groups))
        self.layer_attention = LayerAttention(groups, channels)
        self.pixel_attention = ChannelSpatialAttention(channels)
        self.leave = nn.Conv2d(channels, ratio - 1, (2, 3), padding=(0, 1))
        _start_at_zero(self.leave)

    def coronal(self, slices: Tensor) -> Tensor:
        """(m, y, x) scaled intensities to (m - 1, ratio - 1, y, x), row by row of y."""
        return self(slices.transpose(0, 1)).permute(2, 1, 0, 3)

    def sagittal(self, slices: Tensor) -> Tensor:
        """(m, y, x) scaled intensities to (m - 1, ratio - 1, y, x), column by column of x."""
        return self(slices.permute(2, 0, 1)).permute(2, 1, 3, 0)

    def forward(self, images: Tensor) -> Tensor:
        """(b, m, w) to (b, ratio - 1, m - 1, w): the rows between k and k + 1 as channels at k."""
        enter = _features(self.enter, images[:, None])
        x, kept = enter, []
        for group in self.groups:
            x = group(x)
            kept.append(x)
        x = enter + self.layer_attention(kept) + self.pixel_attention(x)
        residual = self.leave(x).float()
        return between(images.transpose(0, 1), self.ratio).permute(2, 1, 0, 3) + residual / _CONTRAST


class LayerAttention(nn.Module):
    """Mix the outputs of all groups by how they correlate over the whole image."""

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        self.merge = nn.Conv2d(groups * channels, channels, 1)

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """(b, c, h, w) of every group to (b, c, h, w)."""
        stack = torch.stack(outputs, 1)
        flat = stack.flatten(2)
        weight = (flat @ flat.transpose(1, 2) / flat.shape[2]).softmax(-1).to(stack.dtype)
        mixed = torch.einsum("bij,bjchw->bichw", weight, stack)
        together = (stack + self.strength * mixed).flatten(1, 2)
        return self.merge(together.contiguous(memory_format=torch.channels_last))


class ChannelSpatialAttention(nn.Module):
    """Weigh every feature of every pixel by its neighbours in channel, row and column.

    A convolution of 3 x 3 x 3 over (channel, row, column), written as a two-dimensional one whose
    weights are a band: seven times as fast on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(3, 3, 3).uniform_(-(27**-0.5), 27**-0.5))
        self.bias = nn.Parameter(torch.zeros(1))
        self.strength = nn.Parameter(torch.zeros(1))
        band = torch.stack([torch.diag(torch.ones(channels - abs(shift)), shift) for shift in (-1, 0, 1)])
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, h, w)."""
        weight = torch.einsum("doi,dhw->oihw", self.band, self.kernel).contiguous(memory_format=torch.channels_last)
        attention = torch.sigmoid(functional.conv2d(x, weight, padding=1) + self.bias)
        return x + self.strength * x * attention


def between(slices: Tensor, ratio: int) -> Tensor:
    """Linear interpolation: (m, ...) to the (m - 1, ratio - 1, ...) slices between neighbours."""
    steps = [j / ratio for j in range(1, ratio)]
    return torch.stack([torch.lerp(slices[:-1], slices[1:], t) for t in steps], 1)


def _pad_to_fold(images: Tensor) -> Tensor:
    """(b, c, y, x) with y and x made multiples of FOLD by reflection; by the edge where too small for it."""
    missing_y, missing_x = (-size % FOLD for size in images.shape[2:])
    fits = missing_y < images.shape[2] and missing_x < images.shape[3]
    return functional.pad(images, (0, missing_x, 0, missing_y), mode="reflect" if fits else "replicate")


def _features(enter: nn.Conv2d, images: Tensor) -> Tensor:
    """First features of scaled intensities; in fp32, since bf16 would round lung by some HU."""
    with torch.autocast(images.device.type, enabled=False):
        return enter((_CONTRAST * (images - _WATER)).contiguous(memory_format=torch.channels_last))


def _start_at_zero(convolution: nn.Conv2d) -> None:
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
