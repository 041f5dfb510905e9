"""The slice sensitivity profile: a box smoothed by a Gaussian, from the pure box to the pure Gaussian.

Two numbers describe it: its full width at half maximum T, and its flatness, from 1 (box) to 0 (Gaussian). The Gaussian
part has (1 - flatness) times the standard deviation of a Gaussian of width T; the box is as wide as T then asks for.
Slices of a sequential scan, and slices that a workstation averaged, are boxes; those of a helical scan are bells, near
to Gaussians. The triangle of linear helical interpolation lies 0.01 off a member of the family, weights of
slices a tenth of T thick taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, special

Profile = Literal["box", "gauss"]

FLATNESS: dict[Profile, float] = {"box": 1.0, "gauss": 0.0}
"""Of the shapes that have names."""

FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian over its standard deviation."""

_CUT = 1.5  # widths from the centre to where a profile that is no box ends
_NEAR = 1e-3  # of flatness: shapes nearer than this to a box or a Gaussian are one


def shape_of(flatness: float) -> str:
    """A word for a shape: "box", "gauss", or "rounded" between them."""
    return "box" if flatness > 1 - _NEAR else "gauss" if flatness < _NEAR else "rounded"


def share_below(distance: np.ndarray, thickness: float, flatness: float) -> np.ndarray:
    """Share of a profile that lies below places, from 0 to 1.

    Args:
        distance: of the places from the centre of the profile.
        thickness: full width at half maximum, in the same unit.
        flatness: from 0 (Gaussian) to 1 (box).
    """
    shape, x = shape_of(flatness), distance / thickness
    if shape == "box":
        return np.clip(x + 0.5, 0, 1)
    x = np.clip(x, -_CUT, _CUT)
    tail = _smooth_share(np.array(-_CUT), shape, flatness)
    return (_smooth_share(x, shape, flatness) - tail) / (1 - 2 * tail)


def _smooth_share(x: np.ndarray, shape: str, flatness: float) -> np.ndarray:
    """Share below x of a profile of width 1 that is not cut off."""
    if shape == "gauss":
        return special.ndtr(x * FWHM)
    sigma, box = (1 - flatness) / FWHM, box_width(flatness)
    rise, fall = (x + box / 2) / sigma, (x - box / 2) / sigma
    return (_integral_of_ndtr(rise) - _integral_of_ndtr(fall)) * sigma / box


def _integral_of_ndtr(u: np.ndarray) -> np.ndarray:
    return u * special.ndtr(u) + np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)


@lru_cache(maxsize=256)
def box_width(flatness: float) -> float:
    """Width of the box that, smoothed by the Gaussian of `flatness`, has a full width at half maximum of 1."""
    shape = shape_of(flatness)
    if shape != "rounded":
        return 1.0 if shape == "box" else 0.0
    sigma = (1 - flatness) / FWHM

    def over_half(width: float) -> float:
        at_half = special.ndtr((0.5 + width / 2) / sigma) - special.ndtr((0.5 - width / 2) / sigma)
        return float(at_half - (special.ndtr(width / 2 / sigma) - 0.5)) / width

    return float(optimize.brentq(over_half, 1e-3, 1.0))


def correlation(lag: float, thickness: np.ndarray, flatness: float, own: np.ndarray) -> np.ndarray:
    """Correlation of the noise of two slices `lag` apart whose profiles are alike.

    The noise of thin slices is taken to be independent but for their `own` profile, a Gaussian: what slices share is
    the autocorrelation of both profiles, one after the other: of the box a triangle, which the Gaussians smooth.

    Args:
        lag: distance of the slices.
        thickness: full width at half maximum of their profile, in the same unit.
        flatness: from 0 (Gaussian) to 1 (box).
        own: full width at half maximum of the thin slices' profile, over 0; thickness and this are broadcast.
    """
    sigma = np.sqrt(2 * (((1 - flatness) * thickness) ** 2 + own**2)) / FWHM
    box = np.maximum(box_width(flatness) * thickness, 0.05 * sigma)

    def shared(distance: float) -> np.ndarray:
        parts = (sigma * _integral_of_ndtr((distance + step * box) / sigma) for step in (1, 0, -1))
        after, at, before = parts
        return after - 2 * at + before

    return shared(lag) / shared(0.0)
