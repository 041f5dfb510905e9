"""Pairs of thick and thin for training on many scans: any factor, thickness and profile in one model.

* *In the plane*, from every scan: acquired slices thickened along x or y (`fitting/inplane_pairs.py`), with the
  scan's own slices as neighbouring planes where it is thin.
* *Along z*, from thin scans: coronal and sagittal images, and stacks of slices for the axial
  network, thickened as a scanner would have. These are what a patient's own thick scan cannot give.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import InplaneTeacher, Patches
from thinslice.fitting.synthesised_planes import Context
from thinslice.networks.task import Task, patch_task
from thinslice.physics.grid import Scale
from thinslice.training.scans import TrainingScan

_FINEST_MM, _COARSEST_MM = 0.7, 2.0  # label spacings of pairs in the plane
_AXIAL_SLICES, _AXIAL_SIDE = 5, 64
_NARROWEST = 1.02  # output spacings: profiles of slices that are not copied


def draw_scale(random: np.random.Generator) -> Scale:
    """A scale for training: gap, contiguous and overlapping slices alike.

    In half of the draws T is 0.6 to 1.3 of the nominal one: what a scanner calls its thickness is rarely the width of
    its profile.
    """
    whole = random.random() < 0.6
    factor = float(random.integers(2, 6)) if whole else float(np.exp(random.uniform(np.log(1.5), np.log(6))))
    regime = random.choice(4, p=[0.35, 0.15, 0.35, 0.15])
    thickness = (1.0, random.uniform(1, factor), factor, random.uniform(1, 2) * factor)[regime]
    if thickness > 1 and random.random() < 0.5:
        thickness = np.clip(random.uniform(0.6, 1.3) * thickness, _NARROWEST, 2 * factor)
    flatness = random.choice([0.0, 1.0, random.random()], p=[0.3, 0.4, 0.3])
    return Scale(factor, float(thickness), float(flatness), splits=bool(regime >= 2))


def inplane_pairs(scan: TrainingScan, random: np.random.Generator, config: FitConfig) -> Patches:
    """A batch for the network of the coronal and the sagittal view."""
    pairs = _inplane_pairs(scan, random, config)
    offset = draw_offset(random)
    return Patches(pairs.thick + offset, pairs.truth + offset, pairs.task)


def draw_offset(random: np.random.Generator) -> float:
    """HU added to a draw: scanners are not always calibrated."""
    return float(random.uniform(-150, 150)) if random.random() < 0.15 else 0.0


def _inplane_pairs(scan: TrainingScan, random: np.random.Generator, config: FitConfig) -> Patches:
    scale = draw_scale(random)
    along_z = scan.thin and random.random() < 0.6
    if along_z:
        pairs = _pairs_along_z(scan, random, config, scale)
        if pairs is not None:
            return pairs
    label_mm = max(max(scan.pixel_mm), float(np.exp(random.uniform(np.log(_FINEST_MM), np.log(_COARSEST_MM)))))
    teacher = InplaneTeacher(scan.hu, scan.pixel_mm, grid=scale.grid(6, label_mm), config=config, random=random)
    if scan.thin:
        reach = config.inplane.neighbours
        step = max(1, round(label_mm / scan.spacing_mm))
        if 2 * reach * step < len(scan.hu):
            planes = sliding_window_view(scan.hu, 2 * reach * step + 1, axis=0)[..., ::step].transpose(0, 3, 1, 2)
            teacher.context = [Context(planes, planes)]
    return teacher.draw()


def _pairs_along_z(scan: TrainingScan, random: np.random.Generator, config: FitConfig, scale: Scale) -> Patches | None:
    """Coronal or sagittal images with their neighbours; None where the scan has too few slices."""
    slices = int(min(config.patch_slices, (len(scan.hu) - 1) // scale.factor))
    if slices < 4:
        return None
    task = patch_task(slices, scale)
    n, reach = len(task.grid.output_mm), config.inplane.neighbours
    if n > len(scan.hu):
        return None
    coronal = bool(random.integers(2))
    hu = scan.hu if coronal else scan.turned  # (z, plane, across)
    step = max(1, round(scan.spacing_mm / scan.pixel_mm[1 if coronal else 0]))
    width = min(config.patch_width, hu.shape[2])
    out = np.empty((config.batch, 2 * reach + 1, n, width), np.float32)
    for patch in out:
        z, plane, start = (
            int(random.integers(size)) for size in (len(hu) - n + 1, hu.shape[1], hu.shape[2] - width + 1)
        )
        planes = np.clip(plane + step * np.arange(-reach, reach + 1), 0, hu.shape[1] - 1)
        image = hu[z : z + n, planes, start : start + width].transpose(1, 0, 2)
        flips = random.choice([-1, 1], 3)
        patch[:] = image[:: flips[0], :: flips[1], :: flips[2]]
    return thicken(torch.from_numpy(out), task, reach)


def thicken(thin: Tensor, task: Task, neighbours: int) -> Patches:
    """The pairs of thin images with `neighbours` planes on either side: (b, planes, n, w)."""
    return Patches(task.observation @ thin, thin[:, neighbours], task)


def has_axial_pairs(scan: TrainingScan) -> bool:
    """Whether a scan is thin, and long enough for the smaller tasks of the axial network."""
    return scan.thin and len(scan.hu) >= 2 * _AXIAL_SLICES


def axial_pairs(scan: TrainingScan, random: np.random.Generator) -> Patches | None:
    """A stack of thick slices (m, y, x), its thin ones (n, y, x) and their task; None where the scan has none."""
    task = patch_task(_AXIAL_SLICES, draw_scale(random))
    n = len(task.grid.output_mm)
    if not scan.thin or n > len(scan.hu):
        return None
    side = [min(_AXIAL_SIDE, size) for size in scan.hu.shape[1:]]
    z, y, x = (int(random.integers(size - kept + 1)) for size, kept in zip(scan.hu.shape, (n, *side), strict=True))
    cut = scan.hu[z : z + n, y : y + side[0], x : x + side[1]]
    flips = random.choice([-1, 1], 3)
    cut = cut[:: flips[0], :: flips[1], :: flips[2]]
    cut = cut.transpose(0, 2, 1) if random.integers(2) else cut
    thin = torch.from_numpy(np.ascontiguousarray(cut, np.float32)) + draw_offset(random)
    thick = torch.einsum("mn,nyx->myx", task.observation, thin)
    return Patches(thick, thin, task)
