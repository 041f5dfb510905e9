"""Noise that thickening in the plane takes away.

A thick slice of the in-plane teacher is a mean over pixels, and less noisy than they are. An acquired slice is as
noisy as its pixels. What lacks is added to the slices that a network is given, never to its labels: else a network
that will be given real slices learns to take their noise for structure. Noise that neighbouring slices share, as
overlapping ones do, is predictable as structure is, and does not count.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from thinslice.physics.noise import noise_hu, noise_kernel, noise_plane, shared_noise

_SIDE = 512  # pixels of the plane that lines are taken from


class SliceNoise:
    """Lines of noise of a scan's own strength and spectrum, independent from slice to slice.

    Args:
        plane: (y, x) noise in HU.
        random: source of the draws.
        shared: share of its variance that neighbouring slices have in common.
    """

    def __init__(self, plane: np.ndarray, random: np.random.Generator, *, shared: float) -> None:
        self._plane, self._random, self._shared = plane, random, shared

    @classmethod
    def of(cls, slices: np.ndarray, *, seed: int, random: np.random.Generator) -> SliceNoise | None:
        """Of acquired slices (k, y, x); None where there is too little flat soft tissue to know it from."""
        kernel, strength = noise_kernel(slices), noise_hu(slices)
        if kernel is None or strength is None:
            return None
        plane = strength * noise_plane(kernel, (_SIDE, _SIDE), seed=seed, number=0)
        return cls(plane, random, shared=shared_noise(slices))

    def add(self, thick: Tensor, weights: np.ndarray, *, along_x: bool) -> Tensor:
        """Thick slices as noisy as pixels, as far as the noise of slices is independent.

        Args:
            thick: (b, planes, m, w) HU.
            weights: (m, pixels) of the pixels whose mean a thick slice is.
            along_x: whether those pixels lie along x, and w along y.

        Returns:
            The slices with noise, of the same shape.
        """
        plane = self._plane.T if along_x else self._plane  # (along those pixels, along w) is (x, y) or (y, x)
        few = np.trim_zeros(weights[len(weights) // 2])  # a few pixels; an image may be longer than the plane
        left = ndimage.correlate1d(plane, few, axis=0, mode="wrap").std() / plane.std()
        width = thick.shape[3]
        start = int(self._random.integers(_SIDE - width + 1))
        lines = plane[self._random.integers(_SIDE, size=thick.shape[:3]), start : start + width]
        lacking = float(np.sqrt(max(0.0, 1 - self._shared - left**2)))
        return thick + torch.from_numpy(np.ascontiguousarray(lines, np.float32)) * lacking
