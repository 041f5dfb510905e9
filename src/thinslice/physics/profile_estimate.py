"""The slice profile of a scan, estimated from its noise.

Noise of the raw data is independent along z, so the correlation of the noise of neighbouring slices is the
autocorrelation of their profile, whatever the anatomy is: 0 between contiguous boxes, 0.25 between contiguous
Gaussians, 0.15 to 0.2 between the bells of helical scans. It is compared with what profiles that a scan may have
would give (Bayes' rule): as wide as stated, or as slices are apart, boxes, Gaussians, or in between.

What thin slices have of their own counts: those asked for, of spacing d, are bells of about that width themselves. See
docs/method.md for the assumptions, and docs/experiments/consistency-and-profile.md for what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinslice.physics.grid import SliceGrid
from thinslice.physics.noise import NoiseCorrelation, noise_correlation
from thinslice.physics.profile import correlation, shape_of

_WIDTHS = np.geomspace(0.15, 2.5, 141)  # over s
_OWN, _OWN_SPREAD = 1.03, 0.32  # width of thin slices' profile over d: median and relative deviation in real thin scans
_ANATOMY, _ERROR = 0.01, 0.02  # correlation that is none of noise, and its deviation
_BELL, _BELL_FLATNESS, _BELL_SPREAD = 0.97, 0.4, 0.1  # bells of helical scans: width over the stated thickness
_AS_STATED = 0.02  # relative deviation of widths that are what is stated
_ROUNDED_SPREAD = 0.1
_NARROWEST = 1.02  # of d: thinner slices are copied (`SliceGrid.copies`)
_SHARES = {"gauss": 0.5, "bell": 0.4, "rounded": 0.1}  # of profiles that are no boxes
_FLATNESS = np.arange(0.1, 1.0, 0.1)
_FOREIGN = 1e-9  # likelihood of a correlation that no profile gives: of slices that were interpolated, for instance
_COST = 1.6  # dB lost where a box is taken for a bell, over dB lost the other way
_CERTAIN = 0.8  # probability of a shape from which on it is not doubtful
_INFORMED = 0.15  # change of a probability from which on it was the scan that decided
_DOUBTFUL, _FIRM = 0.15, 0.95  # probability of what a user says of slices that may be contiguous, and of all else
_OVERLAPPING_BOX = 0.3  # of the probability of a box, where a user says that slices are thicker than they are apart
_CONTIGUOUS = (0.65, 1.5)  # thickness over spacing that may be a mistaken word for contiguous slices


@dataclass(frozen=True)
class ProfileEstimate:
    """Width and shape of a slice profile, and how well they are known.

    Attributes:
        thickness_mm: T, full width at half maximum.
        flatness: from 1 (box) to 0 (Gaussian).
        error_mm: standard error of T; None where it was given.
        certainty: probability that the shape (box, or no box) is right; None where it was given.
        determined_by: "user"; "stated", of thin slices, whose profile counts for nothing; "scan", where its noise
            decided; "prior", where it could not.
        correlation: of the noise of neighbouring slices; None where it was not measured.
    """

    thickness_mm: float
    flatness: float
    error_mm: float | None = None
    certainty: float | None = None
    determined_by: str = "user"
    correlation: float | None = None

    @property
    def shape(self) -> str:
        """A word for the shape: "box", "gauss" or "rounded"."""
        return shape_of(self.flatness)

    @property
    def doubtful(self) -> bool:
        """Whether it may well be a box that was taken for none: assumed too round, A undoes blur that is not there."""
        return self.certainty is not None and self.certainty < _CERTAIN and self.flatness < 1

    def on(self, grid: SliceGrid) -> SliceGrid:
        """A grid with this profile."""
        return replace(grid, thickness_mm=self.thickness_mm, flatness=self.flatness, doubtful=self.doubtful)

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        return {
            "shape": self.shape,
            "flatness": self.flatness,
            "thickness_mm": self.thickness_mm,
            "error_mm": self.error_mm,
            "certainty": self.certainty,
            "determined_by": self.determined_by,
            "noise_correlation": self.correlation,
        }


@dataclass(frozen=True)
class Stated:
    """What is said of slices before their noise is looked at.

    Attributes:
        thickness_mm: what is said of T; the spacing where nothing is.
        firmly: whether a file says it, rather than a user who may be mistaken.
        box: probability that the profile is a box.
    """

    thickness_mm: float
    firmly: bool
    box: float

    def widths(self, spacing_mm: float) -> tuple[tuple[float, float], ...]:
        """Nominal widths over the spacing, with their probabilities: the stated one, and contiguous slices."""
        stated = self.thickness_mm / spacing_mm
        if abs(stated - 1) < _AS_STATED:
            return ((stated, 1.0),)
        doubtful = not self.firmly and _CONTIGUOUS[0] < stated < _CONTIGUOUS[1]
        trust = _DOUBTFUL if doubtful else _FIRM
        return (stated, trust), (1.0, 1 - trust)


@dataclass(frozen=True)
class _Kind:
    """One of the profiles that a scan may have: its name, its nominal width, its flatness, its prior, its widths."""

    name: str
    nominal: float
    flatness: float
    prior: float
    widths: np.ndarray  # (len(_WIDTHS),) probabilities


def find_profile(hu: np.ndarray, grid: SliceGrid, stated: Stated) -> ProfileEstimate:
    """The profile of acquired slices, from their noise.

    Of slices no thicker than output slices it is what is stated. No profile is narrower than an output slice.

    Args:
        hu: (m, y, x) acquired slices.
        grid: theirs, with the stated thickness.
        stated: what else is known.
    """
    d = grid.output_spacing_mm
    if grid.copies:
        return ProfileEstimate(stated.thickness_mm, 1.0, determined_by="stated")
    found = noise_correlation(hu[grid.even_run()])
    estimate = estimate_profile(found, stated, spacing_mm=grid.spacing_mm, output_spacing_mm=d)
    return replace(estimate, thickness_mm=max(estimate.thickness_mm, _NARROWEST * d))


def estimate_profile(
    found: NoiseCorrelation | None, stated: Stated, *, spacing_mm: float, output_spacing_mm: float
) -> ProfileEstimate:
    """The most probable profile.

    A box is taken where it is at least 1 / (1 + 1.6) probable: a box that is taken for a bell costs 1.6 times as many
    dB as a bell that is taken for a box.

    Args:
        found: correlation of the noise of slices (`physics.noise.noise_correlation`); None where there is none.
        stated: what else is known.
        spacing_mm: s.
        output_spacing_mm: d.
    """
    kinds = list(_kinds(stated, spacing_mm))
    if found is None:
        return _usual(stated)
    likelihoods = [_likelihood(found, kind.flatness, output_spacing_mm / spacing_mm) for kind in kinds]
    posterior = np.array([kind.prior * (kind.widths @ fit) for kind, fit in zip(kinds, likelihoods, strict=True)])
    posterior /= max(posterior.sum(), 1e-300)
    boxes = np.array([kind.name == "box" for kind in kinds])
    box = float(posterior[boxes].sum())
    is_box = _COST * box >= 1 - box
    best = int(np.argmax(np.where(boxes == is_box, posterior, -1)))
    kind = kinds[best]
    width = _moments(kind.widths * likelihoods[best])[0] if kind.name in ("bell", "rounded") else kind.nominal
    alike = np.where(boxes == is_box, posterior, 0)
    parts = [share * _share(one.widths * fit) for share, one, fit in zip(alike, kinds, likelihoods, strict=True)]
    spread = _moments(np.sum(parts, axis=0))[1]
    certainty = box if is_box else 1 - box
    informed = abs(box - stated.box) > _INFORMED or abs(posterior[best] - kind.prior) > _INFORMED
    basis = "scan" if informed else "prior"
    return ProfileEstimate(width * spacing_mm, kind.flatness, spread * spacing_mm, certainty, basis, found.values[0])


def _kinds(stated: Stated, spacing_mm: float) -> Iterator[_Kind]:
    """All profiles that a scan may have."""
    for nominal, share in stated.widths(spacing_mm):
        hinted = nominal > 1 + _AS_STATED and not stated.firmly
        box = stated.box * (_OVERLAPPING_BOX if hinted else 1.0)
        yield _Kind("box", nominal, 1.0, share * box, _around(nominal, _AS_STATED))
        round_share = share * (1 - box)
        yield _Kind("gauss", nominal, 0.0, round_share * _SHARES["gauss"], _around(nominal, _AS_STATED))
        yield _Kind(
            "bell", nominal, _BELL_FLATNESS, round_share * _SHARES["bell"], _around(_BELL * nominal, _BELL_SPREAD)
        )
        for flatness in _FLATNESS:
            prior = round_share * _SHARES["rounded"] / len(_FLATNESS)
            yield _Kind("rounded", nominal, float(flatness), prior, _around(nominal, _ROUNDED_SPREAD))


def _usual(stated: Stated) -> ProfileEstimate:
    """What is taken where nothing can be measured: the stated box, or the usual bell."""
    width, flatness = (1.0, 1.0) if stated.box >= 0.5 else (_BELL, _BELL_FLATNESS)
    error, certainty = _BELL_SPREAD * stated.thickness_mm, max(stated.box, 1 - stated.box)
    return ProfileEstimate(width * stated.thickness_mm, flatness, error, certainty, "prior")


def _around(width: float, spread: float) -> np.ndarray:
    """Probabilities of `_WIDTHS`: normal in their logarithm."""
    density = np.exp(-0.5 * (np.log(_WIDTHS / width) / spread) ** 2)
    return _share(density)


def _likelihood(found: NoiseCorrelation, flatness: float, output_over_spacing: float) -> np.ndarray:
    """(len(_WIDTHS),) likelihood of what was measured, mean over the widths that thin slices' own profile may have."""
    steps = np.linspace(-2.5, 2.5, 11)
    chances = np.exp(-0.5 * steps**2)
    own = output_over_spacing * _OWN * np.exp(_OWN_SPREAD * steps)
    squares = np.zeros((len(_WIDTHS), len(own)))
    for lag, value, error in zip((1.0, 2.0), found.values, found.errors, strict=True):
        expected = _ANATOMY + correlation(lag, _WIDTHS[:, None], flatness, own[None, :])
        squares += (value - expected) ** 2 / (error**2 + _ERROR**2)
    return np.exp(-0.5 * squares) @ (chances / chances.sum()) + _FOREIGN


def _share(density: np.ndarray) -> np.ndarray:
    return density / max(density.sum(), 1e-300)


def _moments(density: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the width."""
    share = _share(density)
    mean = float(share @ _WIDTHS)
    return mean, float(np.sqrt(share @ (_WIDTHS - mean) ** 2))
