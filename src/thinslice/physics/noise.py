"""How noisy slices are, and noise of the same strength and spectrum."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft, ndimage

from thinslice.physics.grid import SliceGrid

_SOME = 24  # slices: enough to know noise by
_TRIPLES = 16  # of slices that follow each other
_FEWEST_TRIPLES, _FEWEST_PIXELS = 3, 100
_LAG = 12  # pixels: noise of CT is not correlated farther
_LOCAL_MEAN = 6.0  # pixels: what is smoother counts as anatomy


def noise_of(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid) -> dict[str, Any]:
    """Noise of the acquired slices, of the slices between them, and its ratio; None where there is no tissue."""
    return noise_entry(noise_hu(acquired), noise_hu(out, grid.synthesised()))


def noise_entry(before: float | None, after: float | None) -> dict[str, Any]:
    """Both and their ratio, for the record."""
    ratio = after / before if before and after is not None else None
    return {"acquired_hu": before, "synthesised_hu": after, "ratio": ratio}


def noise_hu(slices: np.ndarray, among: np.ndarray | None = None) -> float | None:
    """Noise of soft tissue in HU: robust deviation of the high-pass along x and y.

    The high-pass is the slice minus its 3 x 3 median; the median absolute deviation over voxels
    of flat soft tissue is scaled to a standard deviation of white noise.

    Args:
        slices: (k, y, x) HU.
        among: indices of the slices to look at some of; all by default.

    Returns:
        HU; None where there is too little soft tissue.
    """
    # Evenly spread ones of the slices between might all lie at one place between acquired ones.
    chosen = some_of(len(slices)) if among is None else np.random.default_rng(0).permutation(among)[:_SOME]
    kept = []
    for image in (slices[k] for k in chosen):
        kept.append(_median_high_pass(image)[flat_tissue(image)])
    values = np.concatenate(kept)
    return None if values.size < 100 else _deviation(values)


def shared_noise(slices: np.ndarray) -> float:
    """Share of their noise that neighbouring slices (k, y, x) have in common, 0 to 1, in flat soft tissue.

    That of slices which overlap, or were averaged, is correlated; where there is too little tissue to know, 0.
    """
    together = apart = 0.0
    for k in some_of(len(slices) - 1):
        tissue = flat_tissue(slices[k]) & flat_tissue(slices[k + 1])
        one, other = (_median_high_pass(image)[tissue] for image in slices[k : k + 2])
        together += float(one @ other)
        apart += float(one @ one + other @ other) / 2
    return float(np.clip(together / apart, 0, 1)) if apart else 0.0


@dataclass(frozen=True)
class NoiseCorrelation:
    """How alike the noise of slices is that lie one and two spacings apart, in flat soft tissue.

    Attributes:
        values: correlation coefficients.
        errors: their standard errors, from place to place in the scan.
    """

    values: tuple[float, float]
    errors: tuple[float, float]


def noise_correlation(slices: np.ndarray, *, fewest_pixels: int = _FEWEST_PIXELS) -> NoiseCorrelation | None:
    """Correlation of the noise of slices (k, y, x) HU that follow each other; None where too little of it is found.

    Noise of a scanner's raw data is independent from place to place along z: what noise two slices share tells how
    far their profiles overlap. It is measured over `_TRIPLES` triples of slices, where soft tissue is flat: what is
    smooth is taken away (a Gaussian of 1 pixel), and the rest clipped, so that no vessel counts much. A triple counts
    where its slices have `fewest_pixels` of flat tissue in common.
    """
    if len(slices) < 3:
        return None
    starts = np.unique(np.linspace(0, len(slices) - 3, _TRIPLES).astype(int))
    together, apart = np.zeros((len(starts), 2)), np.zeros((len(starts), 2))
    for place, start in enumerate(starts):
        rests, tissues = zip(*(_noise_in_tissue(slices[start + step]) for step in range(3)), strict=True)
        for lag in (1, 2):
            both = tissues[0] & tissues[lag]
            one, other = rests[0][both], rests[lag][both]
            together[place, lag - 1] = float(one @ other)
            apart[place, lag - 1] = float(one @ one + other @ other) / 2 if both.sum() >= fewest_pixels else 0.0
    used = (apart > 0).all(axis=1)
    if used.sum() < _FEWEST_TRIPLES:
        return None
    together, apart = together[used], apart[used]
    sums = together.sum(0), apart.sum(0)
    others = (sums[0] - together) / (sums[1] - apart)  # leaving out one triple each
    errors = np.sqrt((len(others) - 1) * others.var(axis=0))
    return NoiseCorrelation(_pair(sums[0] / sums[1]), _pair(errors))


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _noise_in_tissue(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A slice (y, x) without what is smooth, clipped, and where in it flat soft tissue is."""
    image = np.asarray(image, np.float32)
    rest, smooth = image - ndimage.gaussian_filter(image, 1.0), ndimage.gaussian_filter(image, 3.0)
    tissue = (smooth > -200) & (smooth < 250)
    if not tissue.any():
        return rest, tissue
    noise = 1.4826 * float(np.median(np.abs(rest[tissue])))
    slope = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)) / 8
    return np.clip(rest, -3.5 * noise, 3.5 * noise), tissue & (slope < max(1.0, 0.15 * noise)) & (noise > 0)


def some_of(count: int) -> np.ndarray:
    """Indices of at most `_SOME` of so many slices, spread evenly."""
    return np.unique(np.linspace(0, count - 1, _SOME).astype(int))


def noise_of_plane(plane: np.ndarray) -> float:
    """Noise of a plane (y, x) that holds nothing else, measured in the same way."""
    return _deviation(_median_high_pass(plane))


def _median_high_pass(plane: np.ndarray) -> np.ndarray:
    return plane - ndimage.median_filter(plane, 3)


def _deviation(values: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))) * _WHITE_NOISE_GAIN)


def flat_tissue(image: np.ndarray) -> np.ndarray:
    """Pixels (y, x) of soft tissue with no edge near: what varies there is noise."""
    smooth = ndimage.gaussian_filter(image, 2.0)
    return (smooth > -100) & (smooth < 200) & flat(image)


def flat(image: np.ndarray) -> np.ndarray:
    """Pixels (y, x) of any tissue with no edge near."""
    return ndimage.generic_gradient_magnitude(ndimage.gaussian_filter(image, 2.0), ndimage.sobel) < 100


_WHITE_NOISE_GAIN = 1.157  # the deviation of x - median3x3(x) falls short of that of white x by this factor


def noise_kernel(slices: np.ndarray) -> np.ndarray | None:
    """What turns white noise into the scan's own: a convolution kernel (25, 25), from flat soft tissue.

    The autocovariance over pairs of flat pixels, of what is left of a slice without its local mean:
    that needs no rectangles of tissue. Its Fourier transform is the power, the root of which a
    convolution kernel takes, scaled such that its noise measures 1 (`noise_of_plane`).

    Args:
        slices: (k, y, x) HU, of which it looks at `some_of`.

    Returns:
        The kernel; None where there is too little flat soft tissue.
    """
    products, pairs = np.zeros((2 * _LAG + 1,) * 2), np.zeros((2 * _LAG + 1,) * 2)
    for rest, tissue in _rests(slices):
        products += _correlation(rest)
        pairs += _correlation(tissue.astype(np.float64))
    if pairs[_LAG, _LAG] < 1000 or products[_LAG, _LAG] <= 0:
        return None
    taper = np.hanning(2 * _LAG + 3)[1:-1]
    covariance = products / np.maximum(pairs, 1) * taper[:, None] * taper[None, :]
    power = np.maximum(fft.fft2(fft.ifftshift(covariance)).real, 0)
    kernel = fft.fftshift(fft.ifft2(np.sqrt(power)).real)
    return kernel / noise_of_plane(noise_plane(kernel, (256, 256), seed=0, number=0))


def noise_deviation(slices: np.ndarray) -> float | None:
    """Standard deviation of the noise of flat soft tissue in HU, coarse noise of smooth kernels included.

    Of what is left of a slice without its local mean, as for `noise_kernel`; `noise_hu` measures the high-pass alone.

    Args:
        slices: (k, y, x) HU, of which it looks at `some_of`.

    Returns:
        HU; None where there is too little flat soft tissue.
    """
    square, count = 0.0, 0
    for rest, tissue in _rests(slices):
        square += float(np.square(rest, dtype=np.float64).sum())
        count += int(tissue.sum())
    return None if count < _FEWEST_PIXELS else math.sqrt(square / count)


def _rests(slices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of some slices: what is left without the local mean in flat soft tissue, clipped, else 0; and where that is."""
    for image in (slices[k] for k in some_of(len(slices))):
        tissue = flat_tissue(image)
        if not tissue.any():
            continue
        share = ndimage.gaussian_filter(tissue.astype(np.float32), _LOCAL_MEAN)
        mean = ndimage.gaussian_filter(np.where(tissue, image, 0).astype(np.float32), _LOCAL_MEAN)
        rest = np.where(tissue, image - mean / np.maximum(share, 1e-3), 0)
        limit = 3 * 1.4826 * np.median(np.abs(rest[tissue]))
        yield np.clip(rest, -limit, limit), tissue


def _correlation(image: np.ndarray) -> np.ndarray:
    """Sums of products of pixels by their distance, up to `_LAG` pixels either way."""
    shape = [fft.next_fast_len(n + _LAG, real=True) for n in image.shape]
    spectrum = fft.rfft2(image, shape)
    whole = fft.irfft2(spectrum * spectrum.conj(), shape)
    index = np.arange(-_LAG, _LAG + 1)
    return whole[np.ix_(index, index)]


def noise_plane(kernel: np.ndarray, shape: tuple[int, int], *, seed: int, number: int) -> np.ndarray:
    """Noise of an output slice, (y, x): white noise through the kernel."""
    white = np.random.default_rng([seed, number]).standard_normal([n + 2 * _LAG for n in shape], dtype=np.float32)
    size = [fft.next_fast_len(n, real=True) for n in white.shape]
    mixed = fft.irfft2(fft.rfft2(white, size) * fft.rfft2(kernel.astype(np.float32), size), size)
    return mixed[2 * _LAG : white.shape[0], 2 * _LAG : white.shape[1]]
