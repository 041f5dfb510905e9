"""Parts that the networks share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thinslice.networks.device import arithmetic
from thinslice.networks.task import CONDITIONS

HU_SCALE = 500.0  # HU in one unit of the networks
EMBEDDING = 16  # features made of a task's condition
_BEFORE = "tell."  # the embedding, in the names of weights that were stored before it was called so
_CONDITIONS_BEFORE = 2


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU: a network of plain ones can die in its first steps, when gradients are large."""
    return nn.functional.leaky_relu(x, 0.1)


def contrast(images: Tensor, rows: int) -> Tensor:
    """Local contrast of images, from 0 where all is flat towards 1.

    v / (v + 2 HU^2), v the variance over `rows` x 5 pixels. What networks add is multiplied by it: uniform
    water stays what it is, and the noise of any real scan makes it next to 1.

    Args:
        images: (b, 1, h, w) HU.
        rows: of the window; an even number gives a row more than there is, those between the rows and at both ends.

    Returns:
        (b, 1, h, w) for odd `rows`, (b, 1, h + 1, w) for even ones.
    """
    images = images - images.mean((2, 3), keepdim=True)  # squares of small numbers lose no digits
    images = nn.functional.pad(images, (2, 2, rows // 2, rows // 2), mode="replicate")
    mean, square = (nn.functional.avg_pool2d(x, (rows, 5), stride=1) for x in (images, images.square()))
    variance = (square - mean.square()).clamp_min(0)
    return variance / (variance + 2)


class Block(nn.Module):
    """x + conv(activate(scale * conv(x) + shift)); scale and shift follow from the task.

    The second convolution, the shift and what the scale adds to 1 start at zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulate = nn.Linear(EMBEDDING, 2 * channels, bias=False)
        for parameter in (*self.second.parameters(), self.modulate.weight):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(b, c, h, w) and (EMBEDDING,) to (b, c, h, w)."""
        scale, shift = self.modulate(embedding).float().chunk(2)
        # Into the kernel and its bias: a pass over all features would cost more than the sum is worth.
        weight = self.first.weight * (1 + scale)[:, None, None, None]
        return x + self.second(activate(nn.functional.conv2d(x, weight, self.first.bias + shift, padding=1)))


class Body(nn.Module):
    """Residual blocks between a first convolution and a last one.

    The first stays in fp32, for bf16 would round lung by 4 HU; the others run in whatever
    `arithmetic` says. Nothing outside this class does: bases and sums are fp32.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, *, blocks: int, last: tuple[int, int]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, channels, 3, padding=1)
        self.embed = nn.Linear(CONDITIONS, EMBEDDING)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.leave = nn.Conv2d(channels, outputs, last, padding=1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)
        self.register_load_state_dict_pre_hook(_as_now)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(b, inputs, h, w) to (b, outputs, h', w) float32; h' = h + 1 where the last kernel is 2 high."""
        x = activate(self.enter(x.contiguous(memory_format=torch.channels_last)))
        embedding = nn.functional.silu(self.embed(condition))
        with arithmetic(x.device):
            for block in self.blocks:
                x = block(x, embedding)
            return self.leave(activate(x)).float()


def _as_now(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Let weights be loaded that were stored under the names of before, or before a condition was added.

    A condition that weights were not trained with counts for nothing.
    """
    for name in ("weight", "bias"):
        if f"{prefix}{_BEFORE}{name}" in state:
            state[f"{prefix}embed.{name}"] = state.pop(f"{prefix}{_BEFORE}{name}")
    weight = state.get(f"{prefix}embed.weight")
    if weight is not None and weight.shape[1] < CONDITIONS:
        state[f"{prefix}embed.weight"] = nn.functional.pad(weight, (0, CONDITIONS - weight.shape[1]))


def as_before(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Name and value of a weight as they were stored before; conditions that it makes no use of are left out.

    So the same weights have the same digest, whenever they were stored.
    """
    if name.endswith("embed.weight") and not value[:, _CONDITIONS_BEFORE:].any():
        value = value[:, :_CONDITIONS_BEFORE].contiguous()
    return name.replace("embed.", _BEFORE), value
