"""Parts that the networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thinslice.networks.task import CONDITIONS

HU_SCALE = 500.0  # HU in one unit of the networks
HU_RANGE = (-1024.0, 3071.0)  # what the networks are shown; the base keeps values beyond


class Block(nn.Module):
    """x + conv(relu(conv(x) + shift(condition))); the second convolution and the shift start at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.shift = nn.Linear(CONDITIONS, channels, bias=False)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(b, c, h, w) and (CONDITIONS,) to (b, c, h, w)."""
        return x + self.second(torch.relu(self.first(x) + self.shift(condition)[None, :, None, None]))


class Body(nn.Module):
    """Residual blocks after a first convolution, which stays in fp32: bf16 would round lung by 4 HU."""

    def __init__(self, inputs: int, channels: int, *, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(b, inputs, h, w) to (b, channels, h, w)."""
        with torch.autocast(x.device.type, enabled=False):
            x = torch.relu(self.enter(x))
        for block in self.blocks:
            x = block(x, condition)
        return torch.relu(x)
