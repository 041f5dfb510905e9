"""The paper's recipe trained on many scans (`thinslice train --recipe paper`), and its weights in a file.

Cubes come from acquired slices as they are, and from every second, third or fourth of them, or means of so many, up to
6 mm apart: what the networks meet in use. All else is as in a fit to one scan (`paper.py`): labels are slices that were
dropped, and what the views agree on.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinslice.baselines.paper import Learner, PaperConfig, PaperNetworks, draw_flips, draw_window, scaled
from thinslice.conventions import OnProgress
from thinslice.networks.stored import read_weights, write_weights
from thinslice.networks.threads import seeded
from thinslice.system.paths import as_path
from thinslice.training import ScanPool, TrainConfig
from thinslice.training.checkpoint import load_checkpoint, write_checkpoint
from thinslice.training.scans import TrainingScan

RECIPE = "paper"
_RATIO = 2
_COARSEST_MM, _MOST_TOGETHER = 6.0, 4
_FEWEST_SLICES = 9
_CHECKPOINT_S = 120.0


def train_paper(
    pool: ScanPool,
    *,
    config: PaperConfig | None = None,
    iterations: int,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> tuple[PaperNetworks, dict[str, Any]]:
    """Train the three views on cubes of many scans, on the CPU.

    Args:
        pool: the scans.
        config: sizes and weights; without distillation it is the recipe of `paper-1`.
        iterations: steps in all, of one cube each.
        seed: of weights and draws.
        checkpoint: file that a run is continued from where it exists, and kept in while it lasts.
        on_progress: called with ("train", step, steps).

    Returns:
        The networks, for a ratio of 2, and facts about their training.

    Raises:
        InputError: TRAIN-CHECKPOINT where the checkpoint is not of these settings and scans.
    """
    config = config or PaperConfig()
    with seeded(seed):
        learner = Learner(PaperNetworks(config, ratio=_RATIO), config)
    facts = {"config": asdict(config), "scans": pool.digest, "seed": seed, "iterations": iterations}
    about = json.dumps({"recipe": RECIPE} | facts, sort_keys=True)
    if checkpoint is not None and checkpoint.exists():
        load_checkpoint(checkpoint, about, learner.load_state_dict, device=torch.device("cpu"))
    saved = time.monotonic()
    for step in range(learner.steps, iterations):
        on_progress("train", step, iterations)
        random = np.random.default_rng([seed, step])
        scan = pool.draw(random, enough_body=TrainConfig.enough_body)
        learner.step(draw_thick_cube(scan, config.cube, random), share=step / iterations)
        if checkpoint is not None and time.monotonic() - saved > _CHECKPOINT_S:
            write_checkpoint(checkpoint, learner.state_dict(), about)
            saved = time.monotonic()
    on_progress("train", iterations, iterations)
    return learner.networks.eval(), facts | {"seconds": round(learner.seconds)}


def draw_thick_cube(scan: TrainingScan, size: tuple[int, int, int], random: np.random.Generator) -> Tensor:
    """A cube of acquired slices, of every second to fourth of them, or of means of so many.

    Args:
        scan: it is cut from.
        size: slices, rows and columns; fewer where the scan has fewer.
        random: source of the draw.

    Returns:
        (d, y, x) float32 scaled intensities, where d - 1 is even.
    """
    most = min(_MOST_TOGETHER, int(_COARSEST_MM / scan.spacing_mm), len(scan.hu) // _FEWEST_SLICES)
    together = int(random.integers(1, most + 1)) if most > 1 else 1
    averaged = random.random() < 0.5
    shape = (len(scan.hu) // together, *scan.hu.shape[1:])
    slices, rows, columns = draw_window(shape, size, ratio=_RATIO, random=random)
    block = scan.hu[slices.start * together : slices.stop * together, rows, columns]
    blocks = block.reshape(-1, together, *block.shape[1:])
    return scaled(blocks.mean(axis=1) if averaged else blocks[:, 0]).flip(draw_flips(random))


def save_paper(
    networks: PaperNetworks, path: str | PathLike[str], *, config: PaperConfig, facts: dict[str, Any], overwrite: bool
) -> None:
    """Write weights of the recipe as safetensors.

    Args:
        networks: trained.
        path: of the file.
        config: their sizes and weights.
        facts: JSON-ready: how they were trained (no patient data).
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    about = {"recipe": RECIPE, "ratio": networks.ratio, "config": asdict(config), "facts": facts}
    state = {name: value.detach().cpu().contiguous() for name, value in networks.state_dict().items()}
    write_weights(as_path(path), state, about, overwrite=overwrite)


def load_paper(path: str | PathLike[str]) -> PaperNetworks:
    """Read what `save_paper` wrote.

    Raises:
        ModelError: MODEL-READ, the file holds no weights of the recipe.
    """
    with read_weights(as_path(path), "file of weights of the paper's recipe") as (about, state):
        if about.get("recipe") != RECIPE:
            raise ValueError("its weights are thinslice's own")
        config = PaperConfig(**about["config"] | {"cube": tuple(about["config"]["cube"])})
        networks = PaperNetworks(config, ratio=int(about["ratio"]))
        networks.load_state_dict(state)
    return networks.eval()
