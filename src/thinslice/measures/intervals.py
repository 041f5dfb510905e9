"""Sums over many voxels whose errors are correlated: the mean, and how many voxels lie above a limit.

A mean is linear in the errors: its variance is the double sum of the covariances. A count is not. With errors that are
Gaussian, whether a voxel lies above a limit is a series of Hermite polynomials in its error z, in units of sigma
(a = limit, in units of sigma, from the voxel's value; phi and Phi the normal density and distribution),

    1[z > a] = Phi(-a) + sum over n >= 1 of phi(a) He_{n-1}(a) He_n(z) / n!,

and by Mehler's formula the covariance of two voxels is the sum over n of the product of their coefficients times
rho^n / n!. Three terms are taken with their correlations; what the rest adds is each voxel's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from thinslice.uncertainty.correlation import Correlation, variance_of_sum

LEVEL = 0.9
"""Of intervals: the share of cases in which they are to hold the truth."""
_WIDE = float(ndtri((1 + LEVEL) / 2))
_UNKNOWN = 1.15**2  # sigma and its correlation are estimates, and errors have longer tails than a Gaussian (measured)
_SIGMA_OFF = 0.1  # by how much, of itself, sigma may be off: it moves every probability the same way
_FURTHEST = 8.0  # sigmas: what is farther off the limit is sure


@dataclass(frozen=True)
class Figure:
    """A figure, and between what it lies with a probability of 90 %.

    Attributes:
        value: as counted in the result's voxels.
        low, high: ends of the interval of what a thin scan would give; None where nothing is known of that. They may
            leave the value out: a result holds less noise than a scan, and so fewer voxels beyond a threshold.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> Figure:
        """In another unit."""
        ends = (None if end is None else end * factor for end in (self.low, self.high))
        return Figure(self.value * factor, *ends)

    def limited(self, least: float, most: float = np.inf) -> Figure:
        """The interval cut to what can be."""
        ends = (None if end is None else float(np.clip(end, least, most)) for end in (self.low, self.high))
        return Figure(self.value, *ends)


def mean_figure(
    hu: np.ndarray, mask: np.ndarray, sigma: np.ndarray | None, correlation: Correlation, voxel_mm: Sequence[float]
) -> Figure:
    """The mean over a mask, in HU.

    Args:
        hu: (z, y, x).
        mask: (z, y, x) bool, True somewhere.
        sigma: (z, y, x) HU, or None where errors are not known.
        correlation: of the errors.
        voxel_mm: (z, y, x).
    """
    value = float(hu[mask].mean(dtype=np.float64))
    if sigma is None:
        return Figure(value)
    variance = variance_of_sum(np.where(mask, sigma, 0), correlation, voxel_mm) / int(mask.sum()) ** 2
    return around(value, value, variance)


def count_above(
    over: np.ndarray, mask: np.ndarray, sigma: np.ndarray, correlation: Correlation, voxel_mm: Sequence[float]
) -> tuple[float, float]:
    """How many voxels of a mask lie above a limit once errors are added: expectation and variance.

    Args:
        over: (z, y, x) HU above the limit.
        mask: (z, y, x) bool, the voxels that count.
        sigma: (z, y, x) HU, their errors.
        correlation: of the errors.
        voxel_mm: (z, y, x).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(sigma > 0, -over / sigma, np.where(over > 0, -np.inf, np.inf))
    probable = np.where(mask, ndtr(-a), 0).astype(np.float32)
    unsure = mask & (np.abs(a) < _FURTHEST)
    expected = float(probable.sum(dtype=np.float64))
    if not unsure.any():
        return expected, 0.0
    a = np.where(unsure, a, 0).astype(np.float32)
    density = np.where(unsure, np.exp(-np.square(a) / 2) / np.sqrt(2 * np.pi), 0).astype(np.float32)
    own = float((probable * (1 - probable)).sum(dtype=np.float64))
    variance = (_SIGMA_OFF * float((density * a).sum(dtype=np.float64))) ** 2
    for power, polynomial, factorial in ((1, 1.0, 1), (2, a, 2), (3, np.square(a) - 1, 6)):
        term = density * polynomial
        variance += variance_of_sum(term, correlation, voxel_mm, power=power) / factorial
        own -= float(np.square(term, dtype=np.float64).sum()) / factorial
    return expected, variance + max(own, 0.0)


def around(value: float, expected: float, variance: float) -> Figure:
    """A figure with the interval of a normal distribution of that mean and variance."""
    half = _WIDE * float(np.sqrt(_UNKNOWN * variance))
    return Figure(value, expected - half, expected + half)


def within(value: float, expected: float, variance: float, *, most: int) -> Figure:
    """A count from 0 to `most` with the interval of a beta distribution of that mean and variance, in whole voxels.

    Errors come in clumps, so that a small count is often none and sometimes many: no interval about its mean says that.
    """
    mean, spread = expected / most, _UNKNOWN * variance / most**2
    known = around(value, expected, variance).limited(0, most)
    if 0 < mean < 1 and 0 < spread < mean * (1 - mean):
        both = mean * (1 - mean) / spread - 1
        ends = betaincinv(mean * both, (1 - mean) * both, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * most
        if np.isfinite(ends).all():  # else so narrow, or so near an end, that it does not matter
            known = Figure(value, float(ends[0]), float(ends[1]))
    return Figure(value, float(np.floor(known.low or 0.0)), float(np.ceil(known.high or 0.0)))
