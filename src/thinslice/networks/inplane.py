"""The coronal and sagittal network: pixel-wise interpolation along z, one set of weights for both.

It is given a coronal (z, x) or sagittal (z, y) image made of acquired slices, with a few neighbouring
planes on either side, and gives what to add to a plain interpolation of it. The body runs on the
acquired slices, f times fewer than output slices; the result is unfolded at the end (`unfold.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thinslice.networks.blocks import HU_SCALE, Body, contrast
from thinslice.networks.task import Task
from thinslice.networks.unfold import PHASES, Unfolding, unfold


@dataclass(frozen=True)
class InplaneConfig:
    """Size of the network.

    Attributes:
        channels: features per pixel; a multiple of 16 fits the processor's vectors.
        blocks: residual blocks of two 3 x 3 convolutions.
        neighbours: planes given on either side of the image.
    """

    channels: int = 48
    blocks: int = 4
    neighbours: int = 3

    @property
    def planes(self) -> int:
        """Planes in: the image and its neighbours."""
        return 2 * self.neighbours + 1

    @property
    def reach(self) -> int:
        """Pixels of an image that tell of one: as far as its convolutions reach, either way."""
        return 2 * self.blocks + 2


class InplaneNetwork(nn.Module):
    """Coronal or sagittal images on the output slices from images on the acquired ones."""

    def __init__(self, config: InplaneConfig) -> None:
        super().__init__()
        self.config = config
        self.body = Body(config.planes, config.channels, PHASES, blocks=config.blocks, last=(2, 3))
        self._start_with_the_image_alone()

    def _start_with_the_image_alone(self) -> None:
        """Neighbours start with weight 0: random weights would count in the synthesis until they are trained."""
        weight, middle = self.body.enter.weight, self.config.neighbours
        image = torch.empty_like(weight[:, :1])
        nn.init.kaiming_uniform_(image, a=5**0.5)
        with torch.no_grad():
            weight.zero_()
            weight[:, middle : middle + 1] = image

    def forward(self, planes: Tensor, task: Task) -> Tensor:
        """Output slices in HU, consistent with the acquired ones: (b, planes, m, w) to (b, n, w)."""
        task = task.to(planes.device)
        return interpolate(planes, task) + task.null_projector @ self.residual(planes, task.where, task.condition)

    def residual(self, planes: Tensor, where: Unfolding, condition: Tensor) -> Tensor:
        """What to add to an interpolation, in HU.

        Args:
            planes: (b, planes, m, w) HU, the image in the middle. Neighbours enter as differences
                from it, so that a neighbour equal to it (none known) adds nothing.
            where: unfolding of the n output slices.
            condition: as in `Task`.

        Returns:
            (b, n, w) float32.
        """
        middle = self.config.neighbours
        image = planes[:, middle : middle + 1]
        x = torch.cat([planes[:, :middle] - image, image, planes[:, middle + 1 :] - image], 1) / HU_SCALE
        return HU_SCALE * unfold(self.body(x, condition) * contrast(image, 4), where)


def interpolate(planes: Tensor, task: Task) -> Tensor:
    """The base interpolation of the image in the middle of planes: (b, planes, m, w) to (b, n, w) HU."""
    return task.to(planes.device).base @ planes[:, planes.shape[1] // 2]
