"""Stacks with slices missing or unevenly spaced: where, how wide, and which parts are regular.

`along` is always the (n,) increasing positions of the slices along their normal, in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from thinslice.errors import counted
from thinslice.io.dicom.headers.codes import Findings, listed

FILL_LIMIT = 4  # spacings: three slices missing in a row; neighbours further apart share too little
SAME_SPACING = 0.05  # relative
_LEAST_OF_GRID, _MOST_GRIDS = 3, 4  # slices of a grid; grids of a stack


def regular_runs(along: np.ndarray, *, least: int) -> list[range]:
    """Stretches of slices whose neighbours are equally far apart (within 5 %), `least` slices long or longer.

    Where the spacing changes at a slice, the slice belongs to both stretches: no interval is lost.
    """
    gaps = np.diff(along)
    runs, start = [], 0
    for index in range(1, len(gaps) + 1):
        usual = lower_median(gaps[start:index])
        if index == len(gaps) or abs(gaps[index] - usual) > SAME_SPACING * usual:
            runs.append(range(start, index + 1))
            start = index
    return [run for run in runs if len(run) >= least]


def regular_grids(along: np.ndarray, *, spacing: float | None = None, within: bool = False) -> list[np.ndarray]:
    """Regular grids of one spacing that together make an irregular stack, as passes that overlap do.

    Args:
        along: positions, increasing.
        spacing: which spacing it may also be, where no two neighbours are that far apart: the slices' thickness.
        within: also grids of which one does not reach beyond another; a scan that is finer in its midst looks so, too.

    Returns:
        The indices of each grid's slices, three or more; [] where there are no such grids.
    """
    gaps = np.diff(along)
    common = [gap for gap in np.unique(gaps.round(3)) if (np.abs(gaps - gap) <= SAME_SPACING * gap).sum() > 1]
    for candidate in reversed(common):
        grids = _grids_of(along, candidate)
        reached = [grid[-1] for grid in grids]
        overlapping = all(later[0] < max(reached[:number]) for number, later in enumerate(grids[1:], 1))
        if len(grids) > 1 and overlapping and (within or reached == sorted(reached)):
            return grids
    if spacing is not None and gaps.max() < (1 - SAME_SPACING) * spacing:
        return _grids_of(along, spacing)
    return []


def _grids_of(along: np.ndarray, spacing: float) -> list[np.ndarray]:
    """Each slice with the one that lies a spacing after it, and so on; [] where fewer than three go together."""
    grids: list[list[int]] = []
    for index, place in enumerate(along):
        before = [grid for grid in grids if abs(place - along[grid[-1]] - spacing) <= SAME_SPACING * spacing]
        if before:
            before[0].append(index)
        else:
            grids.append([index])
        if len(grids) > _MOST_GRIDS:
            return []
    return [np.array(grid) for grid in grids] if min(map(len, grids)) >= _LEAST_OF_GRID else []


def wide_gaps(along: np.ndarray) -> list[tuple[float, float]]:
    """(position before it, width) in mm of each interval wider than one and a half times the usual one."""
    gaps = np.diff(along)
    wide = gaps > 1.5 * lower_median(gaps)
    return [(float(start), float(gap)) for start, gap in zip(along[:-1][wide], gaps[wide], strict=True)]


def between(runs: Sequence[range], along: np.ndarray) -> list[tuple[float, float]]:
    """(position before it, width) in mm of each place that breaks the stack into `runs`.

    The width is 0 where two runs share a slice. Slices before the first run and after the last count as well.
    """
    last = len(along) - 1
    edges = [(one[-1], other[0]) for one, other in pairwise(runs)]
    edges += [(start, stop) for start, stop in ((0, runs[0][0]), (runs[-1][-1], last)) if stop > start]
    return [(float(along[start]), float(along[stop] - along[start])) for start, stop in sorted(edges)]


def slice_numbers(along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the slices on a grid of the usual spacing, and (n - 1,) which intervals lack slices.

    0, 1, 2 ... where there is no such grid: then the fit will show that the stack is uneven.
    """
    gaps = np.diff(along)
    usual = lower_median(gaps)
    multiple = np.maximum(np.round(gaps / usual), 1)
    missing = (multiple >= 2) & (np.abs(gaps / (multiple * usual) - 1) <= SAME_SPACING)
    if missing.any() and np.abs(gaps[~missing] - usual).max() <= SAME_SPACING * usual:
        return np.concatenate([[0.0], np.cumsum(multiple)]), missing
    return np.arange(len(along), dtype=float), np.zeros(len(gaps), bool)


def is_fillable(along: np.ndarray, spacing: float, findings: Findings) -> bool:
    """Say what is filled; refuse intervals in which nothing can be known."""
    gaps = np.diff(along)
    widest = int(gaps.argmax())
    if gaps[widest] > FILL_LIMIT * spacing * 1.05:
        findings.refuse(
            "DCM-GAP",
            f"{gaps[widest]:.2f} mm without a slice after position {along[widest]:.2f} mm, over {FILL_LIMIT} times "
            f"the spacing {spacing:.3f} mm, cannot be filled; enhance --on-gap split makes a result of each part",
        )
        return False
    wide = wide_gaps(along)
    where = listed([f"{width:.2f} mm after {start:.2f} mm" for start, width in wide], 6)
    grids = regular_grids(along, within=True)
    mixed = f"; the slices make {len(grids)} regular grids: if these are different passes, the result mixes them"
    findings.warn(
        "DCM-REPAIRED",
        f"slices lie {gaps.min():.3f} to {gaps.max():.3f} mm apart and are synthesised across from their true "
        f"positions; {counted(len(wide), 'gap')}" + (f": {where}" if wide else "") + (mixed if len(grids) > 1 else ""),
    )
    return True


def refuse_gap(along: np.ndarray, missing: np.ndarray, findings: Findings) -> None:
    """Note DCM-GAP with the positions before the intervals that lack slices."""
    usual = lower_median(np.diff(along))
    where = listed([f"{value:.2f}" for value in along[:-1][missing]], 6)
    count = int(np.round(np.diff(along)[missing] / usual - 1).sum())
    findings.refuse(
        "DCM-GAP",
        f"{counted(count, 'slice')} missing after position {where} mm (spacing {usual:.3f} mm); find them and read "
        "all, or give enhance --on-gap split or fill",
    )


def refuse_uneven(along: np.ndarray, spacing: float, residual: float, findings: Findings) -> None:
    """Note DCM-UNEVEN with the place of the widest interval."""
    gaps = np.diff(along)
    widest = int(gaps.argmax())
    findings.refuse(
        "DCM-UNEVEN",
        f"slice spacing varies from {gaps.min():.3f} to {gaps.max():.3f} mm, widest after position "
        f"{along[widest]:.2f} mm (fit {spacing:.3f} mm, off by {residual:.3f} mm); "
        "give enhance --on-gap split or fill",
    )


def lower_median(values: np.ndarray) -> float:
    """The median; of an even number of values the lower of the middle two, so that it is a real gap."""
    return float(np.quantile(values, 0.5, method="lower"))
