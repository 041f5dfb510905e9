"""Training on many scans, on one process or several, with checkpoints.

A step takes `groups` draws (`training/draws.py`) for the network of the coronal and the sagittal view, and as many for
the axial one where that learns. What is drawn depends on seed, step and group alone: a run that was cut off goes on as
if nothing had happened, and processes that share the groups of a step take the step that one would.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from thinslice.conventions import OnProgress
from thinslice.errors import UsageError
from thinslice.fitting.average import Average
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import Patches
from thinslice.fitting.losses import label_losses, relative_loss
from thinslice.fitting.optimiser import Optimiser
from thinslice.networks import axial, inplane
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.networks.task import CONDITIONS
from thinslice.training.checkpoint import load_checkpoint, write_checkpoint
from thinslice.training.draws import Draw, Draws, drawn, pairs_of
from thinslice.training.pace import Pace
from thinslice.training.pairs import has_axial_pairs
from thinslice.training.scans import ScanPool, TrainingScan

GO_ON_RATE = 0.5
CPU = torch.device("cpu")
_log = logging.getLogger("thinslice.training")


@dataclass(frozen=True)
class TrainConfig:
    """How weights are trained on many scans.

    Attributes:
        fit: sizes of networks and patches, losses and learning rates; `batch` patches a group.
        iterations: steps in all.
        groups: draws of each network a step, each with a scan and a task of its own.
        shapes: share of the draws of the coronal and sagittal network that are bodies made in code.
        enough_body: voxels of the body from which on a scan is drawn as often as any other; smaller ones less often.
        axial_every: steps from one in which the axial network learns to the next; with 0 it stays as it is.
        rate: share of the learning rates; None is 1, and `GO_ON_RATE` where training goes on from trained weights.
        validate_every: steps from one point of the validation curve to the next.
        validation_draws: batches of a point of the curve, the same ones at every point.
        checkpoint_s: seconds from one checkpoint to the next.
    """

    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            inplane=InplaneConfig(64, 5), axial=AxialConfig(48, 4), batch=16, slice_noise=False, bias=5.0, average=1000
        )
    )
    iterations: int = 20_000
    groups: int = 2
    shapes: float = 0.1
    enough_body: float = 5e6
    axial_every: int = 0
    rate: float | None = None
    validate_every: int = 500
    validation_draws: int = 40
    checkpoint_s: float = 120.0


class _Training:
    """Networks, their averages and optimiser, and how far they are."""

    def __init__(self, config: TrainConfig, seed: int, start: Model | None, device: torch.device) -> None:
        self.model = Model.new(config.fit.inplane, config.fit.axial, seed=seed).to(device)
        for name, network in start.networks.items() if start else ():
            self.model.networks[name].load_state_dict(network.state_dict())
        networks = self.model.networks
        self.optimisers = {name: Optimiser([network], config.fit) for name, network in networks.items()}
        self.averages = {name: Average(network, time_constant=config.fit.average) for name, network in networks.items()}
        self.step, self.seconds, self.curve = 0, 0.0, list[dict[str, float]]()

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: network.state_dict() for name, network in self.model.networks.items()},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
        }

    def load(self, state: dict[str, Any]) -> None:
        for name, network in self.model.networks.items():
            network.load_state_dict(state["networks"][name])
            self.averages[name].load_state_dict(state["averages"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]

    def facts(self) -> dict[str, Any]:
        return {"steps": self.step, "seconds": round(self.seconds), "curve": self.curve}

    def learn(self, name: str, loss: Tensor, *, share: float) -> None:
        """Let a network follow the gradient of its loss; `share` of the run is over."""
        self.optimisers[name].step(loss, share=share)
        self.averages[name].update()

    def averaged(self) -> Model:
        parts: dict[str, Any] = {name: average.network for name, average in self.averages.items()}
        return replace(self.model, **parts)


def train(
    pool: ScanPool,
    *,
    config: TrainConfig | None = None,
    seed: int = 0,
    start: Model | None = None,
    validation: Sequence[TrainingScan] = (),
    checkpoint: Path | None = None,
    device: torch.device = CPU,
    workers: int = 0,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Model:
    """Train a model on many scans. The axial network stays as it is but with `axial_every`, where a scan is thin.

    Args:
        pool: the scans.
        config: every choice.
        seed: of weights and draws.
        start: trained weights to go on from; their sizes count, not those of `config`.
        validation: scans that the curve is measured on; nothing is learned from them.
        checkpoint: file that a run is continued from where it exists, and kept in while it lasts.
        device: where networks learn; a checkpoint may go on elsewhere.
        workers: processes that draw pairs ahead of the device; what is drawn stays the same.
        on_progress: called with ("train", step, steps).

    Returns:
        The averaged weights, on the CPU, with the validation curve among their facts.

    Raises:
        InputError: TRAIN-CHECKPOINT where the checkpoint is not of this configuration and these scans.
        UsageError: USE-GROUPS where the groups of a step cannot be shared evenly among processes; USE-WORKERS where
            processes cannot be forked here.
    """
    config = config or TrainConfig()
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    if config.groups % processes:
        raise UsageError("USE-GROUPS", f"{config.groups} groups cannot be shared evenly by {processes} processes")
    sizes = (config.fit.inplane, config.fit.axial) if start is None else (start.inplane.config, start.axial.config)
    rate = config.rate or (1.0 if start is None else GO_ON_RATE)
    config = replace(config, fit=config.fit.going_on(*sizes, rate=rate))
    about = _describe(config, seed, start, pool.digest)
    run = _Training(config, seed, start, device)
    if checkpoint is not None and checkpoint.exists():
        load_checkpoint(checkpoint, about, run.load, device=device)
    teaches = bool(config.axial_every) and any(has_axial_pairs(pool[number]) for number in range(len(pool)))
    taught = ["inplane", "axial"] if teaches else ["inplane"]
    learning = {name: _shared(run.model.networks[name], device, processes) for name in taught}
    mine = range(rank, config.groups, processes)
    wanted = (
        Draw(name, step, group)
        for step in range(run.step, config.iterations)
        for name in _learners(taught, step, config)
        for group in mine
    )
    draws = Draws(pool, config.fit, seed=seed, shapes=config.shapes, enough_body=config.enough_body)
    pairs = drawn(draws, wanted, workers=workers, pin=device.type == "cuda")
    began, saved, pace = time.monotonic() - run.seconds, time.monotonic(), Pace(device, step=run.step)
    while run.step < config.iterations:
        on_progress("train", run.step, config.iterations)
        share = run.step / config.iterations
        for name in _learners(taught, run.step, config):
            network = learning[name]
            losses = [_loss(name, network, pace.next(pairs, network), share, config.fit) for _ in mine]
            run.learn(name, torch.stack(losses).mean(), share=share)
        run.step += 1
        run.seconds = time.monotonic() - began
        if run.step % config.validate_every == 0 or run.step == config.iterations:
            point = {"step": run.step, "seconds": run.seconds} | _validate(run.averaged(), validation, config)
            run.curve.append(point)
            _log.info("%s", " ".join(f"{key} {value:.3f}" for key, value in point.items()))
            _log.info("%s", pace.describe(run.step))
        if checkpoint is not None and rank == 0 and time.monotonic() - saved > config.checkpoint_s:
            write_checkpoint(checkpoint, run.state(), about)
            saved = time.monotonic()
    on_progress("train", config.iterations, config.iterations)
    model = run.averaged().to(CPU)
    model.fusion = config.fit.fusion
    facts = {"trained_on": f"{len(pool)} scans", "started_from": start and start.digest, "seed": seed}
    model.facts = facts | {"config": asdict(config)} | run.facts()
    return model


def _learners(taught: list[str], step: int, config: TrainConfig) -> list[str]:
    """The networks that learn in a step."""
    return taught if config.axial_every and step % config.axial_every == 0 else taught[:1]


def _shared(network: nn.Module, device: torch.device, processes: int) -> nn.Module:
    """A network whose gradients are averaged over all processes."""
    if processes == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _loss(name: str, network: nn.Module, pairs: Patches, share: float, config: FitConfig) -> Tensor:
    """The loss of a network on one draw, relative to that of the base interpolation: every task counts alike."""
    return relative_loss(*label_losses(*_restore(name, network, pairs), share=share, config=config))


def _restore(name: str, network: nn.Module, pairs: Patches) -> tuple[Tensor, Tensor, Tensor]:
    """(restored, base interpolation, truth)."""
    interpolate = inplane.interpolate if name == "inplane" else axial.interpolate
    return network(pairs.thick, pairs.task), interpolate(pairs.thick, pairs.task), pairs.truth


def _validate(model: Model, scans: Sequence[TrainingScan], config: TrainConfig) -> dict[str, float]:
    """Mean gain over interpolation in dB, of either network; nothing without scans."""
    gains: dict[str, float] = {}
    with torch.no_grad():  # not inference mode: tasks made here are kept, and training may meet them again
        for name, network in model.networks.items() if scans else ():
            values = []
            for draw in range(config.validation_draws):
                random = np.random.default_rng([draw, name == "axial"])
                pairs = pairs_of(name, scans[draw % len(scans)], random, config.fit)
                if pairs is not None:
                    restored, base, truth = _restore(name, network, pairs.to(model.device))
                    values.append(10 * float(torch.log10((base - truth).square().mean() + 1e-3))
                                  - 10 * float(torch.log10((restored - truth).square().mean() + 1e-3)))  # fmt: skip
            if values:
                gains[f"gain_{name}_db"] = float(np.mean(values))
    return gains


def _describe(config: TrainConfig, seed: int, start: Model | None, scans: str) -> str:
    """What a checkpoint is of: it goes on with nothing else."""
    about = {"config": asdict(config), "seed": seed, "start": start and start.digest, "scans": scans}
    return json.dumps(about | {"conditions": CONDITIONS}, sort_keys=True)
