"""The network of the uncertainty: from features of a slice to the logarithm of the error to be expected."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.resources import files

import torch
from safetensors.torch import load
from torch import Tensor, nn

from thinslice.networks.threads import seeded
from thinslice.uncertainty.features import FEATURES, POOL

_CHANNELS = 24
_LAYERS = 4
_REACH = 6.0  # of the logarithm of error over noise: a factor of 400 either way


class UncertaintyNetwork(nn.Module):
    """Four convolutions on features of axial slices at half resolution; 20,000 weights.

    Trained to the Gaussian likelihood of errors that are known, whose optimum is the mean square error of voxels with
    the same features. Its last layer starts at zero: the error of everything is the noise.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        with seeded(seed):
            for inputs in (len(FEATURES), *(_CHANNELS,) * (_LAYERS - 1)):
                layers += [nn.Conv2d(inputs, _CHANNELS, 3, padding=1, padding_mode="replicate"), nn.LeakyReLU(0.1)]
            self.body = nn.Sequential(*layers)
            self.leave = nn.Conv2d(_CHANNELS, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("deviation", torch.ones(len(FEATURES)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor) -> Tensor:
        """Natural logarithm of error over noise, (k, h, w), of `Features.of`, (k, len(FEATURES), h, w)."""
        mean, deviation = self.mean[:, None, None], self.deviation[:, None, None]  # type: ignore[index]
        normal = ((features - mean) / deviation).contiguous(memory_format=torch.channels_last)
        return self.leave(self.body(normal))[:, 0].clamp(-_REACH, _REACH)

    def error_hu(self, features: Tensor, shape: tuple[int, int], *, noise_hu: float) -> Tensor:
        """Error to be expected in HU, (k, y, x), at full resolution.

        Args:
            features: of the slices.
            shape: (y, x) of the slices.
            noise_hu: unit of the features' energies.
        """
        logarithm = nn.functional.interpolate(self(features)[:, None], scale_factor=POOL, mode="bilinear")[:, 0]
        return torch.exp(logarithm[:, : shape[0], : shape[1]] + math.log(noise_hu))


@lru_cache(maxsize=1)
def shipped_network() -> UncertaintyNetwork:
    """The weights that come with the package."""
    network = UncertaintyNetwork()
    network.load_state_dict(load(files("thinslice.weights").joinpath("uncertainty.safetensors").read_bytes()))
    return network.eval()
