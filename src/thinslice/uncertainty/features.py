"""What tells how far a synthesised voxel may be wrong: features of the slices around it and of the synthesis.

Energies (local mean squares) in units of the scan's noise, on a logarithmic scale, so that a kernel twice as noisy
gives the same features; then anatomy, the place between acquired slices, and the grid. All are (h, w) planes at half
the resolution in the plane: errors come in edges some pixels wide.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import MOST_OVERLAP, SliceGrid
from thinslice.physics.interpolation import as_sparse
from thinslice.physics.noise import noise_correlation, noise_deviation, some_of
from thinslice.physics.operator import SliceOperator

POOL = 2  # pixels, either way, that one of a map stands for
LOCAL = ("noise", "noise around", "between slices", "bend", "residual", "views", "slope", "texture", "far", "near")
"""Energies: of the high-pass of acquired slices, here and around; of the difference of the slices on either side, and
of their second difference; of what networks add; of coronal minus sagittal; of the slope and the high-pass of the
result in the plane; of second differences in the plane at the distance of acquired and of output slices."""
ANATOMY = ("HU", "air", "soft tissue")
PLACE = ("between", "outside", "aperture", "output", "floor")
SCAN = ("shared noise", "roundness", "views that run")
FEATURES = (*LOCAL, *ANATOMY, *PLACE, *SCAN)

_AROUND = 6.0  # pixels of a map: what is noisy around
_LEAST = 0.01  # of the noise's variance, added to energies
_QUIETEST_HU = 1.0
_MOST_ALIKE = {True: 0.25, False: 0.4}
"""Correlation of the noise of neighbouring slices, thin and thick ones: what is above is anatomy, taken for noise."""
_FEWEST_PIXELS = 25  # of flat tissue that two slices share: a rough value serves better than none
_USUALLY_ALIKE = {True: 0.0, False: 0.07}
_ACROSS_LIMIT = 24  # pixels: second differences in the plane reach no farther


class Features:
    """The features of a scan's output slices.

    Args:
        acquisition: acquired slices, clipped to the range of HU, and the grid.
        views: how many of the coronal and the sagittal view run, 0 to 2 (`expected.views_that_run`).
    """

    def __init__(self, acquisition: Acquisition, *, views: float) -> None:
        self.acquisition, grid = acquisition, acquisition.grid
        self.noise_hu = scan_noise(acquisition.hu)
        """Noise of the acquired slices in HU, the unit of the energies."""
        places, last = grid.places(), len(grid.acquired_mm) - 1
        self._first = np.clip(np.floor(places).astype(int), 0, last - 1)
        self._share = np.clip(places - self._first, 0, 1)
        self._base = as_sparse(base_matrix(grid)).astype(np.float32)  # in float64 the product would copy the scan
        self._kept: dict[int, Tensor] = {}
        spacing = np.diff(grid.acquired_mm)[self._first]
        hu = acquisition.hu
        shared = noise_correlation(hu) or noise_correlation(hu, fewest_pixels=_FEWEST_PIXELS)
        # Nothing by which a network could know a scan again: no spacing in mm, no size of pixels, no noise in HU.
        alike = min(max(shared.values[0], 0.0), _MOST_ALIKE[grid.copies]) if shared else _USUALLY_ALIKE[grid.copies]
        scan = (alike, 0.0 if grid.copies else 1 - grid.flatness, views / 2)
        self._numbers = np.stack([
            4 * self._share * (1 - self._share),
            np.maximum(0, np.maximum(-places, places - last)),
            np.minimum(grid.thickness_mm / spacing, MOST_OVERLAP),
            grid.output_spacing_mm / spacing,
            np.log(noise_floor(grid)),
            *(np.full(len(places), number) for number in scan),
        ], axis=1).astype(np.float32)  # fmt: skip

    def of(self, slices: np.ndarray, out: Tensor, disagreement: Tensor) -> Tensor:
        """Features of output slices.

        Args:
            slices: (k,) their indices.
            out: (k, y, x) the result there in HU.
            disagreement: (k, y, x) residual of the coronal view minus that of the sagittal one, in HU; 0 where one
                alone runs.

        Returns:
            (k, len(FEATURES), ceil(y / 2), ceil(x / 2)) float32.
        """
        first, share = self._first[slices], torch.from_numpy(self._share[slices]).float()[:, None, None, None]
        for gone in [k for k in self._kept if k < first.min()]:
            del self._kept[gone]
        before, after = (torch.stack([self._of_acquired(int(k) + step) for k in first]) for step in (0, 1))
        mixed = before * (1 - share) + after * share
        hu = self.acquisition.hu
        difference = torch.from_numpy(hu[first + 1] - hu[first])
        residual = out - torch.from_numpy(self._base[slices] @ hu.reshape(len(hu), -1)).view_as(out).to(out.dtype)
        noisy, around, bend, far, near = mixed.unbind(1)
        energies = torch.stack([
            noisy, around, pooled(difference.square()), bend, pooled(residual.square()), pooled(disagreement.square()),
            pooled(_slope(out)), pooled(_high_pass(out).square()), far, near,
        ], dim=1)  # fmt: skip
        local = 0.5 * torch.log(energies / self.noise_hu**2 + _LEAST)
        mean = pooled(out)
        anatomy = torch.stack([
            mean.clamp(-1024, 1500) / 500, ((mean + 1024) / 100).clamp(0, 3), torch.exp(-(((mean - 40) / 150) ** 2))
        ], dim=1)  # fmt: skip
        numbers = torch.from_numpy(self._numbers[slices])[:, :, None, None].expand(-1, -1, *mean.shape[1:])
        return torch.cat([local, anatomy, numbers], dim=1)

    def _of_acquired(self, k: int) -> Tensor:
        """Energies of an acquired slice: noise, noise around, bend, far and near; (5, h, w), kept while needed."""
        if k not in self._kept:
            hu, grid = self.acquisition.hu, self.acquisition.grid
            middle = min(max(k, 1), len(hu) - 2)
            image = torch.from_numpy(hu[k : k + 1])
            bend = torch.zeros_like(image)  # two slices have none
            if len(hu) > 2:
                bend = torch.from_numpy(hu[middle - 1] - 2 * hu[middle] + hu[middle + 1])[None].square()
            noisy = pooled(_high_pass(image).square())
            far, near = (self._across(image, mm / 2) for mm in (grid.spacing_mm, grid.output_spacing_mm))
            self._kept[k] = torch.cat([noisy, _blurred(noisy, _AROUND), pooled(bend), far, near])
        return self._kept[k]

    def _across(self, image: Tensor, distance_mm: float) -> Tensor:
        """Energy of second differences along x and y, at a distance in mm: how much anatomy bends that far away."""
        energies = []
        for axis, pixel_mm in zip((2, 1), self.acquisition.pixel_mm, strict=True):
            step = min(max(1, round(distance_mm / pixel_mm)), _ACROSS_LIMIT, image.shape[axis] - 1)
            index = torch.arange(image.shape[axis])
            ahead, behind = (image.index_select(axis, (index + by).clamp(0, len(index) - 1)) for by in (step, -step))
            energies.append((ahead - 2 * image + behind).square())
        return pooled((energies[0] + energies[1]) / 2)


def scan_noise(hu: np.ndarray) -> float:
    """Noise of slices (m, y, x) in HU, at least 1: of flat soft tissue, or of all voxels where there is none.

    All of it, not what a high-pass finds: smooth kernels have little of that (`physics.noise.noise_deviation`).
    """
    known = noise_deviation(hu)
    if known is None:
        some = torch.from_numpy(np.ascontiguousarray(hu[some_of(len(hu))]))
        known = 1.4826 * float(_high_pass(some).abs().median())
    return max(known, _QUIETEST_HU)


def noise_floor(grid: SliceGrid) -> np.ndarray:
    """(n,) root mean square error that white noise alone causes, over the noise of the acquired slices.

    No method foretells noise that is independent from slice to slice: of thick slices, it is what remains of thin ones
    behind the null projector; of thin ones, the noise of the slice that is not there.
    """
    if grid.copies:
        return np.ones(len(grid.output_mm))
    operator = SliceOperator(grid)
    left = np.diag(operator.null_projector(np.eye(len(grid.output_mm))))
    thin_over_thick = float(np.median(np.square(operator.matrix.toarray()).sum(axis=1)))  # ends go on straight
    return np.sqrt(np.maximum(left, 1e-3) / thin_over_thick)


def pooled(values: Tensor) -> Tensor:
    """Means over 2 x 2 pixels: (k, y, x) to (k, ceil(y / 2), ceil(x / 2)); an odd edge is repeated."""
    odd = [-size % POOL for size in values.shape[-2:]]
    return functional.avg_pool2d(functional.pad(values[:, None], (0, odd[1], 0, odd[0]), mode="replicate"), POOL)[:, 0]


def _high_pass(images: Tensor) -> Tensor:
    """(k, y, x) less their means over 3 x 3 pixels."""
    return images - functional.avg_pool2d(functional.pad(images[:, None], (1,) * 4, mode="replicate"), 3, 1)[:, 0]


def _slope(images: Tensor) -> Tensor:
    """Squares of the differences of neighbours along y and x, summed: (k, y, x)."""
    along_y = functional.pad(images.diff(dim=1).square(), (0, 0, 0, 1))
    return along_y + functional.pad(images.diff(dim=2).square(), (0, 1))


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """(k, h, w) through a Gaussian, whose edges are repeated."""
    reach = int(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    kernel, maps = kernel / kernel.sum(), maps[:, None]
    maps = functional.conv2d(functional.pad(maps, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return functional.conv2d(functional.pad(maps, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))[
        :, 0
    ]
