"""Pairs from bodies made in code, whose edges are one voxel wide and free of noise.

No scan has such edges, so weights taught on scans alone blur them, and what is blurred must overshoot
beside the edge to stay consistent with thick slices. Implants, calcium and the phantoms of physicists
come near to them.
"""

from __future__ import annotations

import numpy as np
import torch

from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import Patches
from thinslice.networks.task import patch_task
from thinslice.training.pairs import draw_scale, thicken

_NOISY = 0.5  # share of draws with noise
_NOISE_HU = 20.0  # standard deviation, at most


def shape_pairs(random: np.random.Generator, config: FitConfig) -> Patches:
    """A batch for the network of the coronal and the sagittal view."""
    scale = draw_scale(random)
    task = patch_task(int(random.integers(4, config.patch_slices + 1)), scale)
    shape = (config.inplane.planes, len(task.grid.output_mm), config.patch_width)
    thin = np.stack([draw_bodies(random, shape) for _ in range(config.batch)])
    if random.random() < _NOISY:
        thin += random.uniform(0, _NOISE_HU) * random.standard_normal(thin.shape, np.float32)
    return thicken(torch.from_numpy(thin), task, config.inplane.neighbours)


def draw_bodies(random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """One to four half-spaces, plates, balls and rods in a uniform background.

    Args:
        random: source of the draws.
        shape: planes, output slices, pixels across; slices are a length of 1 apart, the others drawn.

    Returns:
        float32 of that shape, HU; a voxel takes the share of a body that covers it, to first order.
    """
    step = np.array([random.uniform(0.7, 1.2), 1.0, random.uniform(0.4, 1.0)])
    lines = [(np.arange(size) - (size - 1) / 2) * apart for size, apart in zip(shape, step, strict=True)]
    hu = np.full(shape, random.uniform(-1000, 500), np.float32)
    for _ in range(random.integers(1, 5)):
        centre = random.uniform(-0.4, 0.4, 3) * shape * step
        place = np.meshgrid(*(line - at for line, at in zip(lines, centre, strict=True)), indexing="ij", sparse=True)
        axis = random.standard_normal(3)
        axis /= np.linalg.norm(axis)
        along = sum(part * component for part, component in zip(place, axis, strict=True))
        away = sum(part**2 for part in place)
        kind = random.integers(4)
        if kind == 0:
            distance = along
        elif kind == 1:
            distance = np.abs(along) - random.uniform(0.5, 6)
        elif kind == 2:
            distance = np.sqrt(away) - random.uniform(2, 14)
        else:
            distance = np.sqrt(np.maximum(away - along**2, 0)) - random.uniform(0.7, 6)
        crossed = float(np.abs(axis[1:]) @ step[1:]) if kind < 2 else 1.0  # width over which a plane crosses a voxel
        covered = np.clip(0.5 - distance / crossed, 0, 1)
        hu += (covered * (random.uniform(-1000, 1500) - hu)).astype(np.float32)
    return hu
