"""How fast a training goes, how long it waits for pairs, and how much of its device it uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import nn

from thinslice.fitting.inplane_pairs import Patches
from thinslice.networks.device import arithmetic_type, convolution_rate

_KERNEL = 4  # dimensions of a convolution's weights
_PASSES = 3  # the gradient takes twice the work of the way forth


class Pace:
    """Times of the steps since they were last described.

    Args:
        device: that computes.
        step: that the run begins at.
    """

    def __init__(self, device: torch.device, *, step: int) -> None:
        self._device = device
        self._begin(step)

    def _begin(self, step: int) -> None:
        self._step, self._began, self._waited, self._operations = step, time.monotonic(), 0.0, 0.0

    def next(self, pairs: Iterator[Patches], network: nn.Module) -> Patches:
        """The next pairs, on the device, for a network to learn from; how long they were waited for counts.

        Args:
            pairs: of the run.
            network: that learns from them.
        """
        began = time.monotonic()
        found = next(pairs)
        self._waited += time.monotonic() - began
        kernels = sum(weights.numel() for weights in network.parameters() if weights.dim() == _KERNEL)
        images = found.thick if found.thick.dim() == found.truth.dim() else found.thick[:, 0]
        self._operations += 2 * _PASSES * kernels * images.numel()
        return found.to(self._device)

    def describe(self, step: int) -> str:
        """Steps a second, what was waited for, and the share of what the device's convolutions can do; begins anew."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        text = (
            f"{(step - self._step) / seconds:.2f} steps/s, {self._waited / seconds:.0%} of the time waiting for pairs, "
            f"{self._operations / seconds / self._rate:.0%} of {self._rate / 1e9:.0f} GFLOP/s"
        )
        self._begin(step)
        return text

    @cached_property
    def _rate(self) -> float:
        return convolution_rate(self._device, arithmetic_type(self._device), seconds=0.3)
