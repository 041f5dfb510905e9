"""The moving average of a network's weights: the teacher, and what is kept in the end."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Moving average of a network's weights.

    Args:
        network: what learns.
        time_constant: in steps; early steps weigh more, so that the start is forgotten.
    """

    def __init__(self, network: nn.Module, *, time_constant: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.learner, self._time_constant, self._steps = network, time_constant, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take one more step into account."""
        self._steps += 1
        share = 1 / min(self._time_constant, self._steps / 2 + 1)
        for mean, value in zip(self.network.parameters(), self.learner.parameters(), strict=True):
            mean.lerp_(value, share)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"network": self.network.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self._steps = state["steps"]
