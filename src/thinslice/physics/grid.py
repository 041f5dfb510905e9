"""Where slices lie: acquired ones and those of the output, in mm along the normal; how thick they are.

Acquired slices have a spacing s and a thickness T, output slices a spacing d. See docs/method.md for the regimes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from thinslice.errors import GeometryError, UsageError, counted
from thinslice.physics.profile import shape_of

Placement = Literal["slabs", "centres"]  # of output slices: over the field of view, or from the first acquired centre

_ON_GRID = 1e-4  # of an output spacing: positions closer than this coincide
_AS_THIN = 5e-3  # of an output spacing: slices thicker than it by less are as thin as it; headers round both
_ILL_POSED_FROM = 1.3
SMALLEST_FACTOR, LARGEST_FACTOR = 1.2, 8.0
MOST_OVERLAP = 2.0
"""T/s up to which networks were trained."""


@dataclass(frozen=True)
class Scale:
    """A grid without its place and its length: what tasks are made from, and kept by. Lengths in output spacings.

    Attributes:
        factor: s / d.
        thickness: T / d.
        flatness: shape of the slice profile, from 1 (box) to 0 (Gaussian).
        splits: whether slabs are split over the field of view, however narrow their profile is.
        doubtful: as of a `SliceGrid`.
    """

    factor: float
    thickness: float
    flatness: float = 1.0
    splits: bool = False
    doubtful: bool = False

    def grid(self, slices: int, output_spacing_mm: float = 1.0) -> SliceGrid:
        """The grid of so many acquired slices."""
        d = output_spacing_mm
        grid = plan_grid(
            slices, self.factor * d, d, thickness_mm=self.thickness * d, flatness=self.flatness,
            nominal_mm=max(self.thickness, self.factor) * d if self.splits else None,
        )  # fmt: skip
        return replace(grid, doubtful=self.doubtful)


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """Acquired and output slices along the normal, in mm from the first acquired slice's centre.

    Attributes:
        acquired_mm: (m,) increasing centres of the acquired slices.
        output_mm: (n,) increasing centres of the output slices, equally spaced.
        thickness_mm: T, full width at half maximum of the slice profile.
        flatness: its shape, from 1 (box) to 0 (Gaussian); see `physics.profile`.
        doubtful: whether the profile may well be another one: projections are damped then.
    """

    acquired_mm: np.ndarray
    output_mm: np.ndarray
    thickness_mm: float
    flatness: float = 1.0
    doubtful: bool = False

    @property
    def spacing_mm(self) -> float:
        """s: distance of acquired slices; should they be uneven, the median, and the lower one of two.

        Of one slice alone, its thickness.
        """
        if len(self.acquired_mm) == 1:
            return self.thickness_mm
        return float(np.quantile(np.diff(self.acquired_mm), 0.5, method="lower"))

    @property
    def closest_mm(self) -> float:
        """Distance of the nearest two acquired slices: s, unless they are uneven."""
        return float(np.diff(self.acquired_mm).min())

    @property
    def output_spacing_mm(self) -> float:
        """d: distance of output slices."""
        return float((self.output_mm[-1] - self.output_mm[0]) / (len(self.output_mm) - 1))

    @property
    def factor(self) -> float:
        """s / d: how many times finer the output is."""
        return self.spacing_mm / self.output_spacing_mm

    @property
    def scale(self) -> Scale:
        """Spacings, thickness and profile, rounded; slices that are copied count as boxes no thicker than d."""
        factor, thickness = round(self.factor, 6), round(self.thickness_mm / self.output_spacing_mm, 6)
        if self.copies:
            return Scale(factor, min(thickness, 1.0))
        return Scale(factor, thickness, round(self.flatness, 4), self._splits, self.doubtful)

    @property
    def shape(self) -> str:
        """Word for the shape of the slice profile: "box", "gauss" or "rounded"."""
        return shape_of(self.flatness)

    @property
    def _splits(self) -> bool:
        """True where output slices begin before the first acquired centre: slabs are split over the field of view."""
        return bool(self.output_mm[0] < self.acquired_mm[0] - _ON_GRID * self.output_spacing_mm)

    @property
    def copies(self) -> bool:
        """True where acquired slices are slices of the output grid (T <= d): they are copied."""
        return self.thickness_mm <= self.output_spacing_mm * (1 + _AS_THIN)

    @property
    def ill_posed(self) -> bool:
        """True where T is over 1.3 s: A A^T is close to singular, and projections are damped."""
        return self.thickness_mm > _ILL_POSED_FROM * self.closest_mm

    @property
    def usual_damping(self) -> float:
        """lambda of projections where no noise determines it: 0.1 where they are ill-posed or A is doubtful, else 0."""
        return 0.1 if self.ill_posed or self.doubtful else 0.0

    def on_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices (acquired, output) of the acquired slices that lie on the output grid."""
        index = (self.acquired_mm - self.output_mm[0]) / self.output_spacing_mm
        nearest = np.rint(index).astype(int)
        hit = (np.abs(index - nearest) < _ON_GRID) & (nearest >= 0) & (nearest < len(self.output_mm))
        return np.flatnonzero(hit), nearest[hit]

    def synthesised(self) -> np.ndarray:
        """Indices of the output slices that are no copies of acquired ones."""
        every = np.arange(len(self.output_mm))
        return np.setdiff1d(every, self.on_grid()[1]) if self.copies else every

    def held(self) -> np.ndarray:
        """Indices of the acquired slices that a result gives back: all, or those on its grid where they are copied.

        A thin slice between two output slices is no mean of them, whatever A is: held to that, a result would
        need neighbours that swing to give it back.
        """
        return self.on_grid()[0] if self.copies else np.arange(len(self.acquired_mm))

    def places(self) -> np.ndarray:
        """(n,) where output slices lie among the acquired ones: k + t at t of the way from k to k + 1.

        Beyond the ends it goes on in steps of `spacing_mm`.
        """
        last = len(self.acquired_mm) - 1
        before = np.minimum(self.output_mm - self.acquired_mm[0], 0) / self.spacing_mm
        after = np.maximum(self.output_mm - self.acquired_mm[-1], 0) / self.spacing_mm
        return np.interp(self.output_mm, self.acquired_mm, np.arange(last + 1)) + before + after

    def even_run(self) -> slice:
        """The longest run of acquired slices whose distances differ by no more than 10 %; all where none has 4."""
        gaps = np.diff(self.acquired_mm)
        longest, start = slice(0, 0), 0
        for index in range(1, len(gaps) + 1):
            if index == len(gaps) or abs(gaps[index] - gaps[start]) > 0.1 * gaps[start]:
                if index + 1 - start > longest.stop - longest.start:
                    longest = slice(start, index + 1)
                start = index
        return longest if longest.stop - longest.start >= 4 else slice(0, len(self.acquired_mm))


def regime(thickness_mm: float, spacing_mm: float) -> Literal["gap", "contiguous", "overlap"]:
    """Thickness against spacing: equal within 2 % is contiguous."""
    ratio = thickness_mm / spacing_mm
    return "gap" if ratio < 0.98 else "overlap" if ratio > 1.02 else "contiguous"


def plan_grid(
    slices: int,
    spacing_mm: float,
    output_spacing_mm: float,
    *,
    thickness_mm: float,
    flatness: float = 1.0,
    nominal_mm: float | None = None,
    acquired_mm: np.ndarray | None = None,
    placement: Placement = "slabs",
) -> SliceGrid:
    """Place the output slices.

    Gap regime (`regime` of the nominal thickness), and wherever `placement` is "centres": the first output centre is
    the first acquired centre, the last one is not beyond the last acquired centre. Otherwise the slabs are split, the
    field of view [-s/2, last + s/2] is filled from its middle, so that both ends are treated alike.

    Args:
        slices: m, number of acquired slices.
        spacing_mm: s.
        output_spacing_mm: d, below s.
        thickness_mm: T.
        flatness: shape of the slice profile, from 1 (box) to 0 (Gaussian).
        nominal_mm: thickness that slices are said to have, T where None: contiguous slices fill the field of view, and
            their profiles may be narrower than they are apart.
        acquired_mm: (m,) centres of the acquired slices from the first, where they are not spaced evenly.
        placement: what becomes of the halves of the end slabs that lie beyond their centres: "slabs" keeps them.

    Raises:
        GeometryError: GEO-FEW with fewer than 2 slices, GEO-NOTTHICK where d is not below s.
        UsageError: USE-FACTOR outside 1.2 to 8 times.
    """
    s, d = float(spacing_mm), float(output_spacing_mm)
    if slices < 2:
        raise GeometryError("GEO-FEW", f"{counted(slices, 'slice')} found; at least 2 make a grid")
    if d >= s * (1 - 1e-6):
        raise GeometryError(
            "GEO-NOTTHICK", f"slice spacing {s:g} mm is already at or below the requested {d:g} mm; ask for less"
        )
    if not SMALLEST_FACTOR - 1e-6 <= s / d <= LARGEST_FACTOR + 1e-6:
        raise UsageError(
            "USE-FACTOR",
            f"{s:g} mm to {d:g} mm is {s / d:.3g} times finer; 1.2 to 8 times is possible: "
            f"choose a spacing from {s / 8:.3g} to {s / 1.2:.3g} mm",
        )
    acquired = np.arange(slices) * s if acquired_mm is None else np.asarray(acquired_mm, float)
    if placement == "centres" or regime(thickness_mm if nominal_mm is None else nominal_mm, s) == "gap":
        output = np.arange(int(np.floor(acquired[-1] / d + 1e-3)) + 1) * d
    else:
        count = int(np.floor((acquired[-1] + s) / d + 1e-3))
        output = (acquired[-1] - (count - 1) * d) / 2 + np.arange(count) * d
    return SliceGrid(acquired, output, float(thickness_mm), float(flatness))
