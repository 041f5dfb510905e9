"""In-plane teacher: real labels from the sharp directions of the acquired slices.

An acquired slice is sharp along x and y. Taken as a coronal image whose z is x (or y), it is
sampled and thickened by the same operator A that the scanner applied along z, and the network
learns to undo that: labels that are real, at the scale of the task, by the million (after
SMORE, Zhao et al., IEEE TMI 2021).

Neighbouring planes are what an acquired slice lacks: the next one is a whole spacing away. With a
`Context` they come from a first synthesis of the scan itself. Patches whose z is x take them from
the sagittal view and those whose z is y from the coronal view: its images do not run along the direction in
which the patch is about to be thickened, so that little of the label leaks (through neighbouring planes, which
a trained network uses and a new one ignores).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinslice.fitting.config import FitConfig
from thinslice.fitting.slice_noise import SliceNoise
from thinslice.fitting.synthesised_planes import Context
from thinslice.networks.task import Task, patch_task
from thinslice.physics.grid import SliceGrid
from thinslice.physics.operator import SliceOperator


@dataclass(frozen=True)
class Patches:
    """One step's pairs and their task: thick (b, planes, m, w) and truth (b, n, w), HU float32.

    Of the axial network: thick (m, y, x) and truth (n, y, x).
    """

    thick: Tensor
    truth: Tensor
    task: Task

    def to(self, device: torch.device) -> Patches:
        """The same on another device; from pinned memory without waiting."""
        thick, truth = (pairs.to(device, non_blocking=True) for pairs in (self.thick, self.truth))
        return Patches(thick, truth, self.task.to(device))

    def pin_memory(self) -> Patches:
        """The same in memory that a graphics card copies from directly."""
        return Patches(self.thick.pin_memory(), self.truth.pin_memory(), self.task)


def label_operator(pixels: int, labels: int, *, step: float, aperture: float, offset: float) -> np.ndarray:
    """Means of `pixels` pixels over `labels` windows, `step` apart and `aperture` wide. (labels, pixels).

    All lengths in pixels; window 0 is centred `offset` from the centre of pixel 0. A window of one
    pixel's width between two pixels weighs them as linear interpolation does.
    """
    centres = offset + np.arange(labels) * step
    edges = np.arange(pixels + 1) - 0.5
    below = np.clip((edges[None, :] - centres[:, None]) / max(aperture, 1.0) + 0.5, 0, 1)
    return np.diff(below, axis=1)


class InplaneTeacher:
    """Draws pairs from the slices of one scan.

    Args:
        slices: (k, y, x) acquired slices that may serve as labels, within the networks' range.
        pixel_mm: (x, y) pixel spacing.
        grid: the scan's own grid; the pairs repeat its s/d, T/s and profile.
        config: patch sizes.
        random: source of the draws.
        noise: what thick slices are given on top; nothing where None.
    """

    def __init__(
        self,
        slices: np.ndarray,
        pixel_mm: tuple[float, float],
        *,
        grid: SliceGrid,
        config: FitConfig,
        random: np.random.Generator,
        noise: SliceNoise | None = None,
    ) -> None:
        self._slices, self._pixel_mm, self._grid, self._config, self._random = slices, pixel_mm, grid, config, random
        self.context: list[Context] = []
        self._noise = noise

    def draw(self) -> Patches:
        """One batch; direction, label spacing and offset are shared by its patches."""
        along_x = bool(self._random.integers(2))
        if self.context:
            sources = [block.along_x if along_x else block.along_y for block in self.context]
        else:
            sources = [self._slices[:, None]]
        if not along_x:
            sources = [source.transpose(0, 1, 3, 2) for source in sources]
        length, across = min(s.shape[3] for s in sources), min(s.shape[2] for s in sources)
        step = self._label_step(length, pixel_mm=self._pixel_mm[0 if along_x else 1])
        task = self._task(length / step)
        n, aperture = len(task.grid.output_mm), step * min(1.0, self._grid.thickness_mm / self._grid.output_spacing_mm)
        offset = max(0.0, (aperture - 1) / 2)  # the first window lies within the image
        offset += self._random.uniform(0, 1) if step > 1 else 0.0
        pixels = min(length, int(np.ceil(offset + (n - 1) * step + aperture / 2 + 1)))
        cut = self._cut(sources, pixels, min(self._config.patch_width, across))
        labels = label_operator(pixels, n, step=step, aperture=aperture, offset=offset)
        thin = torch.from_numpy(labels.astype(np.float32)) @ torch.from_numpy(cut)
        thick = task.observation @ thin
        if self._noise is not None:
            thick = self._noise.add(thick, SliceOperator(task.grid).matrix.toarray() @ labels, along_x=along_x)
        return Patches(self._with_planes(thick), thin[:, cut.shape[1] // 2], task)

    def _label_step(self, length: int, *, pixel_mm: float) -> float:
        """Label spacing in pixels, such that at least six acquired slices fit into an image."""
        coarsest = max(1.0, self._grid.output_spacing_mm / pixel_mm)
        drawn = self._random.random() < self._config.fine_share
        step = float(np.exp(self._random.uniform(0, np.log(coarsest)))) if drawn else coarsest
        return min(step, max(1.0, (length - 2) / (6 * self._grid.factor)))

    def _task(self, labels: float) -> Task:
        """The scan's grid on a patch at most `labels` label spacings long."""
        slices = int(np.clip((labels - 2) // self._grid.factor, 2, self._config.patch_slices))
        return patch_task(slices, self._grid.scale)

    def _cut(self, sources: list[np.ndarray], pixels: int, width: int) -> np.ndarray:
        """(b, planes, pixels, width) float32 from random places, flipped at random in all directions."""
        random = self._random
        chances = np.array([source.shape[0] for source in sources], float)
        out = np.empty((self._config.batch, sources[0].shape[1], pixels, width), np.float32)
        for patch in out:
            source = sources[int(random.choice(len(sources), p=chances / chances.sum()))]
            k, i, j = (
                int(random.integers(n))
                for n in (len(source), source.shape[3] - pixels + 1, source.shape[2] - width + 1)
            )
            image = source[k, :, j : j + width, i : i + pixels].transpose(0, 2, 1)
            flips = random.choice([-1, 1], 3)
            patch[:] = image[:: flips[0], :: flips[1], :: flips[2]]
        return out

    def _with_planes(self, thick: Tensor) -> Tensor:
        """Without context every neighbour is the image itself: differences of zero."""
        planes = self._config.inplane.planes
        return thick if thick.shape[1] == planes else thick.expand(-1, planes, -1, -1)
