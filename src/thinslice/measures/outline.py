"""Where the outline of a label is unsure, and what that means for its volume and its extents.

A label follows an edge where what lies inside its outline differs from what lies outside. Half-way between the two
(medians, within 3 mm of the outline) stands the limit that decides. An error moves the outline where it takes a voxel
from one side of that limit to the other: a voxel of the label that falls to the side of the surroundings leaves it, a
voxel beside it that rises to its side joins it. Voxels that a reader drew in or left out against their HU stay as they
were drawn. The same rule, given the HU of a thin scan, says what outline that scan would have (`redrawn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from thinslice.measures.intervals import LEVEL, Figure, around, count_above
from thinslice.uncertainty.correlation import Correlation, correlated_draws

_REACH_MM = 3.0  # from the outline: a slice or two, and some pixels
_LEAST_AGREEMENT = 0.75  # of voxels beside the outline that lie on their side of the limit; 0.5 is none
_MOST_DRAWS, _FEWEST_DRAWS, _VOXELS_DRAWN = 120, 40, 1e7
_AT_ONCE = 60_000  # voxels of a label whose errors are drawn for all of it; of larger ones at their ends alone
_DEPTH = 4  # of such an end, in reaches of an outline: one lies outside
_WHOLE = slice(None)


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of a label that follows an edge.

    Attributes:
        limit: HU half-way between inside and outside.
        sign: 1 where the label is brighter than what surrounds it, else -1.
        fixed: (z, y, x) bool, voxels that stay in the label whatever their errors.
        open: (z, y, x) bool, voxels whose HU decide.
    """

    limit: float
    sign: int
    fixed: np.ndarray
    open: np.ndarray

    def part(self, window: tuple[slice, ...]) -> Outline:
        """What lies in a window of the array."""
        return replace(self, fixed=self.fixed[window], open=self.open[window])

    def over(self, hu: np.ndarray) -> np.ndarray:
        """By how many HU voxels lie on the label's side of the limit."""
        return self.sign * (hu - np.float32(self.limit))

    def redrawn(self, hu: np.ndarray) -> np.ndarray:
        """(z, y, x) bool, the label by other HU, as those of a thin scan."""
        return self.fixed | (self.open & (self.over(hu) > 0))


def reach_of(voxel_mm: Sequence[float]) -> tuple[int, int, int]:
    """How many voxels (z, y, x) from where it was drawn an outline may lie."""
    z, y, x = (max(1, round(_REACH_MM / mm)) for mm in voxel_mm)
    return z, y, x


def find_outline(hu: np.ndarray, mask: np.ndarray, voxel_mm: Sequence[float]) -> Outline | None:
    """The outline of a label; None where it follows no edge, or the label fills the array.

    Args:
        hu: (z, y, x), the label and `reach_of` around it.
        mask: (z, y, x) bool, the label.
        voxel_mm: (z, y, x).
    """
    size = [2 * n + 1 for n in reach_of(voxel_mm)]
    near_out = ndimage.maximum_filter(mask, size) & ~mask
    near_in = mask & ndimage.maximum_filter(~mask, size)
    if not near_out.any():
        return None
    inside, outside = float(np.median(hu[near_in])), float(np.median(hu[near_out]))
    limit, sign = (inside + outside) / 2, 1 if inside > outside else -1
    theirs = sign * (hu - np.float32(limit)) > 0
    if (theirs[near_in].mean() + (~theirs)[near_out].mean()) / 2 < _LEAST_AGREEMENT:
        return None
    leaves, joins = near_in & theirs, near_out & ~theirs
    return Outline(limit, sign, fixed=mask & ~leaves, open=leaves | joins)


def volume_figure(
    hu: np.ndarray, outline: Outline, sigma: np.ndarray, correlation: Correlation, voxel_mm: Sequence[float]
) -> Figure:
    """The volume of a label in mm^3.

    Args:
        hu: (z, y, x).
        outline: of the label.
        sigma: (z, y, x) HU.
        correlation: of the errors.
        voxel_mm: (z, y, x).
    """
    expected, variance = count_above(outline.over(hu), outline.open, sigma, correlation, voxel_mm)
    counted = around(int(outline.redrawn(hu).sum()), int(outline.fixed.sum()) + expected, variance)
    return counted.limited(0).scaled(float(np.prod(voxel_mm)))


def extents_mm(mask: np.ndarray, voxel_mm: Sequence[float]) -> tuple[float, float, float]:
    """How far a mask reaches along z, y and x: from the outer face of its first voxel to that of its last one."""
    z, y, x = (
        0.0 if not len(span) else float(span[-1] + 1 - span[0]) * mm
        for span, mm in zip((np.flatnonzero(_seen_along(mask, axis)) for axis in range(3)), voxel_mm, strict=True)
    )
    return z, y, x


def extent_figures(
    hu: np.ndarray,
    outline: Outline,
    sigma: np.ndarray,
    correlation: Correlation,
    voxel_mm: Sequence[float],
    *,
    generator: np.random.Generator,
) -> tuple[Figure, Figure, Figure]:
    """How far a label reaches along z, y and x, in mm: errors are drawn at both of its ends.

    Args:
        hu: (z, y, x).
        outline: of the label.
        sigma: (z, y, x) HU.
        correlation: of the errors.
        voxel_mm: (z, y, x).
        generator: where chance comes from.
    """
    values = extents_mm(outline.redrawn(hu), voxel_mm)
    correlation = correlation.nearby
    if hu.size <= _AT_ONCE:
        fields = correlated_draws(hu.shape, correlation, voxel_mm, draws=_MOST_DRAWS, generator=generator)
        drawn = [extents_mm(outline.redrawn(hu + sigma * field), voxel_mm) for field in fields]
        z, y, x = (_shortest(value, np.array(own)) for value, own in zip(values, zip(*drawn, strict=True), strict=True))
        return z, y, x
    figures = []
    for axis, value in enumerate(values):
        length = np.full(_MOST_DRAWS, hu.shape[axis])
        for turn in (_WHOLE, slice(None, None, -1)):
            turned = tuple(turn if a == axis else _WHOLE for a in range(3))
            first = np.flatnonzero(_seen_along((outline.fixed | outline.open)[turned], axis))[0]
            depth = slice(first, first + _DEPTH * reach_of(voxel_mm)[axis] + 1)
            part = tuple(depth if a == axis else _WHOLE for a in range(3))
            end = outline.part(turned).part(part)
            fields = correlated_draws(
                end.fixed.shape, correlation, voxel_mm, draws=_draws(end.fixed.size), generator=generator
            )
            near, far = sigma[turned][part], hu[turned][part]
            starts = [first + _start(end.redrawn(far + near * field), axis) for field in fields]
            length -= np.resize(starts, _MOST_DRAWS)
        figures.append(_shortest(value, length * voxel_mm[axis]))
    return figures[0], figures[1], figures[2]


def _draws(voxels: int) -> int:
    """How many fields of errors are drawn at an end of that many voxels."""
    return int(np.clip(_VOXELS_DRAWN / voxels, _FEWEST_DRAWS, _MOST_DRAWS))


def _start(mask: np.ndarray, axis: int) -> int:
    """The first place along an axis where a mask is; its end where it is nowhere."""
    seen = _seen_along(mask, axis)
    return int(seen.argmax()) if seen.any() else len(seen)


def _shortest(value: float, drawn: np.ndarray) -> Figure:
    """The shortest interval that holds 90 % of what was drawn: lengths in whole voxels have no other fair one."""
    drawn = np.maximum(np.sort(drawn), 0)
    held = int(np.ceil(LEVEL * len(drawn)))
    widths = drawn[held - 1 :] - drawn[: len(drawn) - held + 1]
    first = int(widths.argmin())
    return Figure(value, float(drawn[first]), float(drawn[first + held - 1]))


def _seen_along(mask: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(mask.any(axis=tuple(a for a in range(3) if a != axis)))
