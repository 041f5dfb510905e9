"""How noisy slices are."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from thinslice.slice_profile import SliceGrid

_SOME = 24  # slices: enough to know noise by


def noise_of(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid) -> dict[str, Any]:
    """Noise of the acquired slices, of the slices between them, and its ratio; None where there is no tissue."""
    between = np.arange(len(out))
    if grid.copies:
        between = np.setdiff1d(between, grid.on_grid()[1])
    return noise_entry(noise_hu(acquired), noise_hu(out, between))


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
        kept.append(_high_pass(image)[flat_tissue(image)])
    values = np.concatenate(kept)
    return None if values.size < 100 else _deviation(values)


def shared_noise(slices: np.ndarray) -> float:
    """Share of their noise that neighbouring slices (k, y, x) have in common, 0 to 1, in flat soft tissue.

    That of slices which overlap, or were averaged, is correlated; where there is too little tissue to know, 0.
    """
    together = apart = 0.0
    for k in some_of(len(slices) - 1):
        tissue = flat_tissue(slices[k]) & flat_tissue(slices[k + 1])
        one, other = (_high_pass(image)[tissue] for image in slices[k : k + 2])
        together += float(one @ other)
        apart += float(one @ one + other @ other) / 2
    return float(np.clip(together / apart, 0, 1)) if apart else 0.0


def some_of(count: int) -> np.ndarray:
    """Indices of at most `_SOME` of so many slices, spread evenly."""
    return np.unique(np.linspace(0, count - 1, _SOME).astype(int))


def noise_of_plane(plane: np.ndarray) -> float:
    """Noise of a plane (y, x) that holds nothing else, measured in the same way."""
    return _deviation(_high_pass(plane))


def _high_pass(plane: np.ndarray) -> np.ndarray:
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
