"""Textures of tissue, and the noise of a CT scanner."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

_KERNEL_MM = 1.3  # full width at half maximum


def grain(
    shape: tuple[int, int, int], sigma_voxels: tuple[float, float, float], generator: np.random.Generator
) -> np.ndarray:
    """A smooth random field of zero mean and unit variance, float32 (z, y, x)."""
    field = ndimage.gaussian_filter(generator.standard_normal(shape, dtype=np.float32), sigma_voxels, mode="wrap")
    return (field - field.mean()) / field.std()


def scanner_noise(
    shape: tuple[int, int, int], pixel_mm: tuple[float, float], generator: np.random.Generator
) -> np.ndarray:
    """CT noise of unit variance: correlated in plane as filtered back-projection does, white along z.

    The noise power of filtered back-projection grows with frequency (the ramp) and falls with the
    reconstruction kernel, here a Gaussian of `_KERNEL_MM`. Slices are independent of one another.
    """
    fy = fft.fftfreq(shape[1], pixel_mm[0])[:, None]
    fx = fft.rfftfreq(shape[2], pixel_mm[1])[None, :]
    frequency = np.hypot(fy, fx)
    sigma = _KERNEL_MM / (2 * np.sqrt(2 * np.log(2)))
    amplitude = np.sqrt(frequency + 0.02) * np.exp(-2 * np.square(np.pi * sigma * frequency))
    noise = np.empty(shape, dtype=np.float32)
    for plane in noise:
        white = fft.rfft2(generator.standard_normal(shape[1:], dtype=np.float32))
        plane[:] = fft.irfft2(white * amplitude, s=shape[1:])
    return noise / noise.std()
