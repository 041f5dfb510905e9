"""How weights move: Muon for the convolutions of the residual blocks, AdamW for all else.

Muon (Jordan et al., 2024) makes every update of a matrix orthogonal, so that no direction of the
features waits for the loud ones; in a fit of minutes it is worth 0.1 to 0.2 dB over AdamW alone
(docs/experiments/network.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thinslice.fitting.config import FitConfig
from thinslice.networks.blocks import Block

_WARM_UP = 20  # steps


class Optimiser:
    """One step after another for several networks, at a rate that falls linearly to zero.

    Args:
        networks: what learns; their convolutions are channels_last.
        config: the two learning rates.
    """

    def __init__(self, networks: Sequence[nn.Module], config: FitConfig) -> None:
        blocks = [part for network in networks for part in network.modules() if isinstance(part, Block)]
        self._kernels = [layer.weight for block in blocks for layer in (block.first, block.second)]
        self._parameters = [parameter for network in networks for parameter in network.parameters()]
        taken = {id(kernel) for kernel in self._kernels}
        others = [parameter for parameter in self._parameters if id(parameter) not in taken]
        # torch's Muon takes matrices only: these share their memory with the kernels.
        self._matrices = [nn.Parameter(_as_matrix(kernel.detach())) for kernel in self._kernels]
        adam = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)
        muon = torch.optim.Muon(self._matrices, lr=config.kernel_rate, weight_decay=0.0)
        self._optimisers = ((adam, config.learning_rate), (muon, config.kernel_rate))
        self._steps = 0

    def step(self, loss: Tensor, *, share: float) -> None:
        """Follow the gradient of `loss`; `share` of the phase is over."""
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else _as_matrix(kernel.grad)
        self._steps += 1
        slowed = min(1.0, self._steps / _WARM_UP) * float(np.clip(1 - share, 0.01, 1))
        for optimiser, rate in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * slowed
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes; the weights themselves are the networks'."""
        return {"optimisers": [optimiser.state_dict() for optimiser, _ in self._optimisers], "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for (optimiser, _), saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self._steps = state["steps"]


def _as_matrix(kernel: Tensor) -> Tensor:
    """(outputs, inputs * 9) of a (outputs, inputs, 3, 3) kernel; a view where it is channels_last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)
