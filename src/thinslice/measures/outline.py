"""Where the outline of a label is unsure, and what that means for its volume and its extents.

A label follows an edge where what lies inside its outline differs from what lies outside. Half-way between the two
(medians, within 3 mm of the outline) stands the limit that decides. An error moves the outline where it takes a voxel
from one side of that limit to the other: a voxel of the label that falls to the side of the surroundings leaves it, a
voxel beside it that rises to its side joins it. Voxels that a reader drew in or left out against their HU stay as they
were drawn. The same rule, given the HU of a thin scan, says what outline that scan would have (`redrawn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from thinslice.measures.intervals import LEVEL, Figure, around, count_above
from thinslice.uncertainty.correlation import Correlation, correlated_draws

_REACH_MM = 3.0  # from the outline: a slice or two, and some pixels
_LEAST_AGREEMENT = 0.75  # of voxels beside the outline that lie on their side of the limit; 0.5 is none
_MOST_DRAWS, _FEWEST_DRAWS, _VOXELS_DRAWN = 200, 60, 1.5e8


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
    figures = []
    for axis, (value, mm, reach) in enumerate(zip(values, voxel_mm, reach_of(voxel_mm), strict=True)):
        length = np.zeros(_MOST_DRAWS)
        for end in (1, -1):
            turn = tuple(slice(None, None, end if a == axis else 1) for a in range(3))
            turned = Outline(outline.limit, outline.sign, outline.fixed[turn], outline.open[turn])
            last = np.flatnonzero(_seen_along(turned.fixed | turned.open, axis))[0]
            depth = slice(last, last + 4 * reach + 1)
            part = tuple(depth if a == axis else slice(None) for a in range(3))
            ends = _ends(
                hu[turn][part], Outline(turned.limit, turned.sign, turned.fixed[part], turned.open[part]),
                sigma[turn][part], correlation, voxel_mm, axis=axis, generator=generator,
            )  # fmt: skip
            length -= np.resize(np.array(list(ends)) + last, _MOST_DRAWS)
        figures.append(_shortest(value, (hu.shape[axis] + length) * mm))
    return figures[0], figures[1], figures[2]


def _ends(
    hu: np.ndarray,
    outline: Outline,
    sigma: np.ndarray,
    correlation: Correlation,
    voxel_mm: Sequence[float],
    *,
    axis: int,
    generator: np.random.Generator,
) -> Iterator[int]:
    """The first place along an axis where the label is, for each draw of the errors."""
    draws = int(np.clip(_VOXELS_DRAWN / hu.size, _FEWEST_DRAWS, _MOST_DRAWS))
    for field in correlated_draws(hu.shape, correlation, voxel_mm, draws=draws, generator=generator):
        seen = np.flatnonzero(_seen_along(outline.redrawn(hu + sigma * field), axis))
        yield int(seen[0]) if len(seen) else hu.shape[axis]


def _shortest(value: float, drawn: np.ndarray) -> Figure:
    """The shortest interval that holds 90 % of what was drawn: lengths in whole voxels have no other fair one."""
    drawn = np.maximum(np.sort(drawn), 0)
    held = int(np.ceil(LEVEL * len(drawn)))
    widths = drawn[held - 1 :] - drawn[: len(drawn) - held + 1]
    first = int(widths.argmin())
    return Figure(value, float(drawn[first]), float(drawn[first + held - 1]))


def _seen_along(mask: np.ndarray, axis: int) -> np.ndarray:
    return mask.any(axis=tuple(a for a in range(3) if a != axis))
