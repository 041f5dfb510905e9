"""A fitted model: two networks, how their views are fused, and what they were fitted to."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from os import PathLike
from typing import Any

import torch
from torch import nn

from thinslice.conventions import VIEWS
from thinslice.errors import UsageError
from thinslice.networks.axial import AxialConfig, AxialNetwork
from thinslice.networks.blocks import as_before
from thinslice.networks.inplane import InplaneConfig, InplaneNetwork
from thinslice.networks.stored import read_weights, write_weights
from thinslice.networks.threads import seeded
from thinslice.system.paths import as_path


@dataclass(eq=False, repr=False)
class Model:
    """Networks of the three views; the coronal and the sagittal view share one.

        >>> import thinslice
        >>> model = thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False).model
        >>> model.save("weights.safetensors")
        >>> thinslice.Model.load("weights.safetensors").digest == model.digest
        True

    Attributes:
        inplane: coronal and sagittal network.
        axial: axial network.
        fusion: weight of each view, summing to 1.
        facts: JSON-ready: how it was fitted (no patient data).
    """

    inplane: InplaneNetwork
    axial: AxialNetwork
    fusion: Mapping[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def new(cls, inplane: InplaneConfig, axial: AxialConfig, *, seed: int = 0) -> Model:
        """Untrained networks: the result is the base interpolation.

        Args:
            inplane: size of the coronal and sagittal network.
            axial: size of the axial network.
            seed: of the weights; torch's own random numbers are left alone.
        """
        with seeded(seed):
            model = cls(InplaneNetwork(inplane), AxialNetwork(axial), dict.fromkeys(VIEWS, 1 / 3))
        for network in model.networks.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def __repr__(self) -> str:
        parameters = sum(value.numel() for network in self.networks.values() for value in network.parameters())
        fusion = ", ".join(f"{view} {weight:.2g}" for view, weight in self.fusion.items())
        return f"<Model: {parameters} parameters; views weighted {fusion}>"

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Both networks by the name that their weights carry."""
        return {"inplane": self.inplane, "axial": self.axial}

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.inplane.parameters()).device

    def to(self, device: torch.device) -> Model:
        """Move the networks in place."""
        for network in self.networks.values():
            network.to(device)
        return self

    def interpolate_towards(self, other: Model, *, share: float) -> None:
        """Move all weights `share` of the way to those of a model of the same sizes, in place."""
        with torch.no_grad():
            for name, network in self.networks.items():
                for value, aim in zip(network.parameters(), other.networks[name].parameters(), strict=True):
                    value.lerp_(aim.to(value.device), share)

    def deepened(self, blocks: int, *, seed: int) -> Model:
        """A copy whose coronal and sagittal network has `blocks` residual blocks; added ones change nothing yet.

        Args:
            blocks: in all, at least as many as it has.
            seed: of the weights that are added.

        Raises:
            UsageError: USE-SIZE where it has more than that already.
        """
        config, own = replace(self.inplane.config, blocks=blocks), self.inplane.config.blocks
        if blocks < own:
            raise UsageError("USE-SIZE", f"the weights have {own} blocks; {blocks} were asked for")
        deeper = Model.new(config, self.axial.config, seed=seed)
        deeper.inplane.load_state_dict(deeper.inplane.state_dict() | self.inplane.state_dict())
        deeper.axial.load_state_dict(self.axial.state_dict())
        return replace(deeper, fusion=dict(self.fusion), facts=dict(self.facts))

    def state(self) -> dict[str, torch.Tensor]:
        """All weights by name, contiguous, on the CPU."""
        return {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, network in self.networks.items()
            for key, value in network.state_dict().items()
        }

    @property
    def digest(self) -> str:
        """SHA-256 over names, shapes, values and fusion weights."""
        digest = hashlib.sha256(json.dumps(dict(self.fusion), sort_keys=True).encode())
        for name, value in sorted((as_before(*weight) for weight in self.state().items()), key=itemgetter(0)):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write weights and settings as safetensors.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        about = {
            "inplane": asdict(self.inplane.config),
            "axial": asdict(self.axial.config),
            "fusion": dict(self.fusion),
            "facts": self.facts,
        }
        write_weights(as_path(path), self.state(), about, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Model:
        """Read what `save` wrote.

        Raises:
            ModelError: MODEL-READ, the file is no thinslice model.
        """
        with read_weights(as_path(path), "thinslice model") as (about, state):
            if "recipe" in about:
                raise ValueError(f"its weights are of the recipe {about['recipe']!r}, for evaluate alone")
            model = cls.new(InplaneConfig(**about["inplane"]), AxialConfig(**about["axial"]))
            for name, network in model.networks.items():
                part = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
                network.load_state_dict(part)
            model.fusion, model.facts = {view: float(about["fusion"][view]) for view in VIEWS}, dict(about["facts"])
            if not math.isclose(sum(model.fusion.values()), 1, abs_tol=1e-6):
                raise ValueError("the weights of its views do not sum to 1")
        return model
