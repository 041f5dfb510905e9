"""The slice sensitivity profile as a linear operator along z: y = A x.

x lives on the output grid (slices of spacing d), y are the acquired slices (spacing s, thickness
T). Row k of A holds the profile of width T centred on acquired slice k, integrated over each
output voxel, and sums to 1. See docs/method.md for regimes and the choice of damping.

Three facts fix the details:

* An output slice is itself d wide, so a profile narrower than d is taken as d wide. A box of width
  d centred between two output slices weighs them as linear interpolation does, and one centred on
  a slice copies it: where T <= d and the centre lies on the grid, the row is a unit vector.
* Beyond the first and the last output slice `slice_operator` takes the scan to go on unchanged: what a profile
  covers there is put on the end slice. Of measured slices that would put a part in a wrong place: for them
  the scan is taken to go on straight (`acquired_operator`).
* Rows touch few columns, so A is sparse and A A^T is banded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import linalg, sparse, special

from thinslice.errors import GeometryError, UsageError, counted

Profile = Literal["box", "gauss"]
Placement = Literal["slabs", "centres"]  # of output slices: over the field of view, or from the first acquired centre

_ON_GRID = 1e-4  # of an output spacing: positions closer than this coincide
_AS_THIN = 5e-3  # of an output spacing: slices thicker than it by less are as thin as it; headers round both
_ILL_POSED_FROM = 1.3


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """Acquired and output slices along the normal, in mm from the first acquired slice's centre.

    Attributes:
        acquired_mm: (m,) increasing centres of the acquired slices.
        output_mm: (n,) increasing centres of the output slices, equally spaced.
        thickness_mm: T, width (box) or full width at half maximum (gauss) of the slice profile.
        profile: shape of the slice profile.
    """

    acquired_mm: np.ndarray
    output_mm: np.ndarray
    thickness_mm: float
    profile: Profile = "box"

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
    def scale(self) -> tuple[float, float, Profile]:
        """s / d, T / d (1 at most where `copies`) and the profile, rounded: what tasks are made from, and kept by."""
        thickness = self.thickness_mm / self.output_spacing_mm
        return round(self.factor, 6), round(min(thickness, 1.0) if self.copies else thickness, 6), self.profile

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
        """lambda of projections where no noise says how much of it is needed: 0.1 where they are ill-posed, else 0."""
        return 0.1 if self.ill_posed else 0.0

    def on_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices (acquired, output) of the acquired slices that lie on the output grid."""
        index = (self.acquired_mm - self.output_mm[0]) / self.output_spacing_mm
        nearest = np.rint(index).astype(int)
        hit = (np.abs(index - nearest) < _ON_GRID) & (nearest >= 0) & (nearest < len(self.output_mm))
        return np.flatnonzero(hit), nearest[hit]

    def held(self) -> np.ndarray:
        """Indices of the acquired slices that a result gives back: all, or those on its grid where they are copied.

        A thin slice between two output slices is no mean of them, whatever A says: held to that, a result would
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
    profile: Profile = "box",
    acquired_mm: np.ndarray | None = None,
    placement: Placement = "slabs",
) -> SliceGrid:
    """Place the output slices.

    Gap regime (`regime`), and wherever `placement` is "centres": the first output centre is the first
    acquired centre, the last one is not beyond the last acquired centre. Otherwise the slabs are split, the
    field of view [-s/2, last + s/2] is filled from its middle, so that both ends are treated alike.

    Args:
        slices: m, number of acquired slices.
        spacing_mm: s.
        output_spacing_mm: d, below s.
        thickness_mm: T.
        profile: shape of the slice profile.
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
    if not 1.2 - 1e-6 <= s / d <= 8 + 1e-6:
        raise UsageError(
            "USE-FACTOR",
            f"{s:g} mm to {d:g} mm is {s / d:.3g} times finer; 1.2 to 8 times is possible: "
            f"choose a spacing from {s / 8:.3g} to {s / 1.2:.3g} mm",
        )
    acquired = np.arange(slices) * s if acquired_mm is None else np.asarray(acquired_mm, float)
    if placement == "centres" or regime(thickness_mm, s) == "gap":
        output = np.arange(int(np.floor(acquired[-1] / d + 1e-3)) + 1) * d
    else:
        count = int(np.floor((acquired[-1] + s) / d + 1e-3))
        output = (acquired[-1] - (count - 1) * d) / 2 + np.arange(count) * d
    return SliceGrid(acquired, output, float(thickness_mm), profile)


def slice_operator(grid: SliceGrid) -> sparse.csr_matrix:
    """A: weights of the output slices in each acquired slice, (m, n), rows sum to 1."""
    d = grid.output_spacing_mm
    width = d if grid.copies else grid.thickness_mm
    edges = np.concatenate([grid.output_mm - d / 2, [grid.output_mm[-1] + d / 2]])
    from_centre = edges[None, :] - grid.acquired_mm[:, None]
    if grid.profile == "gauss" and not grid.copies:
        sigma = width / (2 * np.sqrt(2 * np.log(2)))
        cut = 1.5 * width
        below = special.ndtr(np.clip(from_centre, -cut, cut) / sigma)
        tail = special.ndtr(-cut / sigma)
        below = (below - tail) / (1 - 2 * tail)
    else:
        below = np.clip(from_centre / width + 0.5, 0, 1)
    below[:, 0], below[:, -1] = 0, 1  # what lies beyond the ends falls to the end slices
    weights = np.diff(below, axis=1)
    weights[weights < _ON_GRID] = 0
    return sparse.csr_matrix(weights / weights.sum(axis=1, keepdims=True))


def acquired_operator(grid: SliceGrid) -> sparse.csr_matrix:
    """A for slices that were measured, (m, n), rows sum to 1: beyond the end output slices the scan goes on straight.

    What a profile covers there is taken to lie on the line through the last two output slices, for an acquired spacing,
    and to stay level from there on. On a linear slope A x is then what is measured there, at the ends as well.
    """
    d, n = grid.output_spacing_mm, len(grid.output_mm)
    outside = max(grid.output_mm[0] - grid.acquired_mm[0], grid.acquired_mm[-1] - grid.output_mm[-1], 0.0)
    more = int(np.ceil((outside + 1.5 * max(grid.thickness_mm, d)) / d))
    beyond = np.arange(-more, n + more)
    weights = slice_operator(replace(grid, output_mm=grid.output_mm[0] + d * beyond))
    end = np.clip(beyond, 0, n - 1)
    inner = np.where(beyond < 0, 1, n - 2)
    steps = np.minimum(np.abs(beyond - end), grid.factor)
    everywhere = np.arange(len(beyond))
    continued = sparse.csr_matrix(
        (np.concatenate([1 + steps, -steps]), (np.tile(everywhere, 2), np.concatenate([end, inner]))),
        shape=(len(beyond), n),
    )
    operator = (weights @ continued).tocsr()
    operator.eliminate_zeros()
    return operator


class Projection:
    """P = A^T (A A^T + lambda I)^-1, the regularised pseudo-inverse of A (docs/method.md, "Synthesis").

    Args:
        operator: A, (m, n).
        damping: lambda >= 0. 0 asks for A x = y exactly.
    """

    def __init__(self, operator: sparse.csr_matrix, damping: float = 0.0) -> None:
        self.operator = operator
        self.damping = float(damping)
        gram = (operator @ operator.T).tocsr()
        offsets = gram.tocoo()
        band = int((offsets.col - offsets.row).max())
        banded = np.zeros((band + 1, gram.shape[0]))
        for offset in range(band + 1):
            banded[band - offset, offset:] = gram.diagonal(offset)
        # Two profiles may coincide on a coarse grid; the smallest damping keeps the factor positive.
        banded[band] += max(self.damping, 1e-10)
        self._factor = linalg.cholesky_banded(banded)

    def solve(self, residual: np.ndarray) -> np.ndarray:
        """(A A^T + lambda I)^-1 r for residuals (m, columns)."""
        return linalg.cho_solve_banded((self._factor, False), residual)

    def correction(self, residual: np.ndarray) -> np.ndarray:
        """P r: what to add to x, (n, columns), for residuals r = y - A x of shape (m, columns)."""
        return self.operator.T @ self.solve(residual)
