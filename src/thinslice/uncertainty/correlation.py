"""How the errors of neighbouring voxels go together: without it, no figure over many voxels has an interval.

The errors of voxels i and j have the covariance `sigma_i sigma_j rho`. With lags dz, dy, dx in mm,

    rho = (1 - shared) rho_z(|dz|) rho_xy(sqrt(dy^2 + dx^2)) + shared

What shipped weights leave as errors on thin scans of which slices were set aside (docs/experiments/intervals.md) has

* in the plane a short range, 0.6 at one pixel and 0.2 at two, and a weak tail of 0.1 to 0.03 over ten pixels;
* along z a rebound below 0, since what is too bright in one slice is too dark in another of the same slab
  (`A x = y`): after averaged slices the correlations sum to about 0, and the mean over a large label is much better
  known than if errors were independent. No decaying curve says that, so both parts are tables;
* next to nothing that a whole scan shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy import fft

_ALONG_Z, _IN_PLANE = 12, 24  # lags looked at, in slices and pixels
_BLOCK = (96, 160, 160)  # voxels at a time
_FEWEST_PAIRS = 200  # of voxels, for a lag to be believed


@dataclass(frozen=True)
class Correlation:
    """The correlation of errors over distance.

    Attributes:
        along_z: of voxels 1, 2, 3 ... slices apart; 0 beyond.
        spacing_mm: distance between these slices.
        in_plane: of voxels 1, 2, 3 ... pixels apart, in any direction of the plane; 0 beyond.
        pixel_mm: side of these pixels.
        shared: share of the variance that all voxels of the scan have in common.
        within: share of it that the voxels of one structure have in common. A label that follows HU picks out errors
            that go together, as where a structure comes out too pale, or its outline too wide.
    """

    along_z: tuple[float, ...]
    spacing_mm: float
    in_plane: tuple[float, ...]
    pixel_mm: float
    shared: float = 0.0
    within: float = 0.0

    @property
    def along_z_mm(self) -> float:
        """Distance along z at which the correlation has fallen to 1/e."""
        return _length(self.along_z, self.spacing_mm)

    @property
    def in_plane_mm(self) -> float:
        """Distance in the plane at which the correlation has fallen to 1/e."""
        return _length(self.in_plane, self.pixel_mm)

    @classmethod
    def found_in(cls, mark: Mapping[str, Any] | None) -> Correlation | None:
        """What the mark of an uncertainty map says of it (docs/decisions/marks.md), or None."""
        entry = (mark or {}).get("correlation") or {}
        whole = {"along_z", "spacing_mm", "in_plane", "pixel_mm", "shared", "within"} <= set(entry)
        return cls.from_entry(entry) if whole else None

    @property
    def of_structure(self) -> Correlation:
        """For voxels of one structure: what these have in common in place of what the scan has."""
        return replace(self, shared=max(self.shared, self.within))

    @property
    def entry(self) -> dict[str, Any]:
        """JSON-ready: what `from_entry` reads, and the two lengths in mm."""
        lengths = {"along_z_mm": round(self.along_z_mm, 3), "in_plane_mm": round(self.in_plane_mm, 3)}
        return asdict(self) | {"along_z": list(self.along_z), "in_plane": list(self.in_plane)} | lengths

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Correlation:
        """From what `entry` gave; what else it holds does not matter."""
        return cls(
            along_z=tuple(map(float, entry["along_z"])), spacing_mm=float(entry["spacing_mm"]),
            in_plane=tuple(map(float, entry["in_plane"])), pixel_mm=float(entry["pixel_mm"]),
            shared=float(entry["shared"]), within=float(entry["within"]),
        )  # fmt: skip

    @property
    def nearby(self) -> Correlation:
        """Without the weak tail, for what neighbours decide: the last lags kept are those above a tenth."""
        along_z, in_plane = (_ended(table, least=0.1) for table in (self.along_z, self.in_plane))
        return replace(self, along_z=along_z, in_plane=in_plane)

    def to_power(self, power: int) -> Correlation:
        """With the correlation in the plane to a power: shorter, of the same form."""
        return replace(self, in_plane=_ended([value**power for value in self.in_plane]))

    def reach(self, voxel_mm: Sequence[float]) -> tuple[int, int, int]:
        """How many voxels (z, y, x) apart errors still go together, but for what all share."""
        along_z, in_plane = (len(self.along_z) + 1) * self.spacing_mm, (len(self.in_plane) + 1) * self.pixel_mm
        z, y, x = (int(np.ceil(mm / step)) for mm, step in zip((along_z, in_plane, in_plane), voxel_mm, strict=True))
        return z, y, x

    def near(self, shape: Sequence[int], voxel_mm: Sequence[float]) -> tuple[np.ndarray, tuple[int, int, int]]:
        """The part of rho that decays, by lag, on a grid that repeats itself.

        Args:
            shape: (z, y, x) of what it is to be applied to.
            voxel_mm: (z, y, x).

        Returns:
            (n, n, n) correlations by lag, lag 0 first as `fft.fftfreq` counts; and the shape, large enough that nothing
            of the array reaches round to its other side.
        """
        reach = self.reach(voxel_mm)
        padded = tuple(fft.next_fast_len(n + r, real=True) for n, r in zip(shape, reach, strict=True))
        z, y, x = (np.abs(fft.fftfreq(n, 1 / n)) * mm for n, mm in zip(padded, voxel_mm, strict=True))
        radius = np.sqrt(y[:, None] ** 2 + x**2)
        kernel = (
            _looked_up(self.along_z, self.spacing_mm, z)[:, None, None]
            * _looked_up(self.in_plane, self.pixel_mm, radius)[None]
        )
        return kernel.astype(np.float32), padded


TYPICAL = Correlation(
    along_z=(0.4, -0.05, -0.1, -0.05), spacing_mm=1.0, in_plane=(0.55, 0.2, 0.1, 0.07, 0.05, 0.03), pixel_mm=0.75,
    shared=0.0005, within=0.06,
)  # fmt: skip
"""Where nothing was estimated: between what was measured after averaged and after single slices."""


def estimate_correlation(errors: np.ndarray, sigma: np.ndarray, voxel_mm: Sequence[float]) -> Correlation:
    """The correlation of errors, from slices whose truth is known.

    Errors are divided by what was expected of them, so that places with large errors count as much as others, and
    every product of two voxels at one lag is averaged.

    Args:
        errors: (k, y, x) HU, result minus truth, in neighbouring slices of the result's spacing: along z nothing else
            shows how errors go together. One slice alone tells of the plane; along z its errors count as independent.
        sigma: (k, y, x) HU, the error to be expected; 0 where there is none to learn from, as in copied slices.
        voxel_mm: (z, y, x).

    Returns:
        It, with what the voxels of a structure have in common as in `TYPICAL`: it cannot be seen at twice the distance.

    Raises:
        ValueError: the arrays differ in shape, or sigma is 0 everywhere.
    """
    if errors.shape != sigma.shape or not (sigma > 0).any():
        raise ValueError(f"errors {errors.shape} need a sigma over 0 of the same shape, found {sigma.shape}")
    known = sigma > 0
    unit = np.where(known, errors / np.where(known, sigma, 1), 0).astype(np.float32)
    unit = np.clip(unit, -6, 6)  # one metal edge must not decide
    unit /= float(np.sqrt(np.square(unit[known], dtype=np.float64).mean()))
    planes = [list(_lags(unit, known, axis, most=_IN_PLANE)) for axis in (1, 2)]
    return Correlation(
        along_z=_ended(list(_lags(unit, known, 0, most=_ALONG_Z))), spacing_mm=float(voxel_mm[0]),
        in_plane=_ended([float(np.mean(pair)) for pair in zip(*planes, strict=False)]),
        pixel_mm=float(np.sqrt(voxel_mm[1] * voxel_mm[2])),
        shared=round(min(float(unit[known].mean(dtype=np.float64)) ** 2, 0.5), 6), within=TYPICAL.within,
    )  # fmt: skip


def variance_of_sum(
    weights: np.ndarray, correlation: Correlation, voxel_mm: Sequence[float], *, power: int = 1
) -> float:
    """The double sum of `w_i w_j rho^power` over all voxels: the variance of their sum, for weights times sigma.

    Block by block, each with what lies around it, so that memory does not grow with the scan.

    Args:
        weights: (z, y, x).
        correlation: of the errors.
        voxel_mm: (z, y, x).
        power: of rho; above 1 for the terms of what is not linear in the errors (`thinslice.measures.intervals`).
    """
    size = [min(n, most) for n, most in zip(weights.shape, _BLOCK, strict=True)]
    reach = correlation.reach(voxel_mm)
    kernel, padded = correlation.near([n + r for n, r in zip(size, reach, strict=True)], voxel_mm)
    shared = correlation.shared
    spectrum = fft.rfftn(((1 - shared) * kernel + shared) ** power - shared**power)
    near = 0.0
    for start in product(*(range(0, n, step) for n, step in zip(weights.shape, size, strict=True))):
        inner = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        if not weights[inner].any():
            continue
        first = [max(0, a - r) for a, r in zip(start, reach, strict=True)]
        around = weights[tuple(slice(f, a + n + r) for f, a, n, r in zip(first, start, size, reach, strict=True))]
        blurred = fft.irfftn(fft.rfftn(around.astype(np.float32), padded) * spectrum, padded)
        there = tuple(slice(a - f, a - f + n) for a, f, n in zip(start, first, weights[inner].shape, strict=True))
        near += float(np.einsum("zyx,zyx->", weights[inner], blurred[there], dtype=np.float64))
    return max(near, 0.0) + shared**power * float(weights.sum(dtype=np.float64)) ** 2


def correlated_draws(
    shape: tuple[int, int, int],
    correlation: Correlation,
    voxel_mm: Sequence[float],
    *,
    draws: int,
    generator: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Gaussian fields (z, y, x) float32 of variance 1 that are correlated as errors are; times sigma, they are errors.

    Args:
        shape: of a field.
        correlation: of the errors.
        voxel_mm: (z, y, x).
        draws: how many.
        generator: where chance comes from.
    """
    kernel, padded = correlation.near(shape, voxel_mm)
    spectrum = np.maximum(fft.rfftn(kernel).real, 0)  # a table may be no correlation of anything, if only just
    wave = np.sqrt(spectrum / _mean_of(spectrum, padded[-1]))
    window = tuple(slice(0, n) for n in shape)
    for _ in range(draws):
        white = generator.standard_normal(padded, dtype=np.float32)
        field = fft.irfftn(fft.rfftn(white) * wave, padded)[window]
        yield np.float32(1 - correlation.shared) ** 0.5 * field + np.float32(
            correlation.shared**0.5 * generator.standard_normal()
        )


def _mean_of(spectrum: np.ndarray, last: int) -> float:
    """Mean over all frequencies of a real array, of which half are stored."""
    twice = np.full(spectrum.shape[-1], 2.0)
    twice[0] = 1
    if last % 2 == 0:
        twice[-1] = 1
    return float((spectrum * twice).sum() / (spectrum.shape[0] * spectrum.shape[1] * twice.sum()))


def _lags(unit: np.ndarray, known: np.ndarray, axis: int, *, most: int) -> Iterator[float]:
    """Mean products of voxels 1, 2, 3 ... apart along an axis, as far as there are enough of them."""
    unit, known = np.moveaxis(unit, axis, 0), np.moveaxis(known, axis, 0)
    for lag in range(1, min(most, len(unit) - 1) + 1):
        pairs = int(np.count_nonzero(known[:-lag] & known[lag:]))
        if pairs < _FEWEST_PAIRS:
            return
        yield float(np.einsum("zyx,zyx->", unit[:-lag], unit[lag:], dtype=np.float64)) / pairs


def _ended(values: Sequence[float], *, least: float = 0.01) -> tuple[float, ...]:
    """The table up to the last value that counts: by default, that is more than chance."""
    kept = [index for index, value in enumerate(values) if abs(value) > least]
    return tuple(round(float(np.clip(value, -1, 1)), 4) for value in values[: kept[-1] + 1 if kept else 0])


def _looked_up(table: Sequence[float], step_mm: float, lags_mm: np.ndarray) -> np.ndarray:
    """The table at any lag: 1 at 0, straight lines between, 0 beyond."""
    values = np.array([1.0, *table, 0.0])
    return np.interp(lags_mm, np.arange(len(values)) * step_mm, values)


def _length(table: Sequence[float], step_mm: float) -> float:
    values = np.array([1.0, *table, 0.0])
    below = int(np.argmax(values < np.exp(-1)))
    high, low = values[below - 1], values[below]
    return float((below - 1 + (high - np.exp(-1)) / (high - low)) * step_mm)
