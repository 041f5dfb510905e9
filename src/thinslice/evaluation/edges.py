"""Sharpness along z: the 10-90 % width of the truth's strong, isolated edges.

An edge is a place where the truth, along z, goes from one plateau to another at least 300 HU away:
within a window of 2 acquired spacings (at least 4 mm) on either side, the outer thirds are flat
to a tenth of the step. Before that, planes are smoothed in plane by a Gaussian of one pixel, which
takes away noise and leaves edges along z alone. The truth fixes place and levels; a result is then
asked how far its profile goes, outwards from its half-way crossing, to reach 10 % and 90 % of that
step. A profile that never does so within the window counts as wide as the window allows. The
median over edges is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

STEP_HU = 300.0
_MOST_EDGES = 20_000  # evenly spread over those found; the median moves by less than 1 % beyond


@dataclass(frozen=True, eq=False)
class Edges:
    """Strong, isolated edges of a truth.

    Attributes:
        centre: int (e,), slice just before the half-way crossing.
        column: int (e,), flat index of the column in the plane.
        low: (e,), HU of the plateau before the edge.
        high: (e,), HU of the plateau behind it.
        reach: slices on either side that belong to the window.
        step_mm: spacing of slices.
    """

    centre: np.ndarray
    column: np.ndarray
    low: np.ndarray
    high: np.ndarray
    reach: int
    step_mm: float


def find_edges(truth: np.ndarray, *, step_mm: float, acquired_mm: float) -> Edges:
    """The strong, isolated edges of a truth (z, y, x)."""
    reach = int(np.ceil(max(2 * acquired_mm, 4.0) / step_mm))
    third = max(2, reach // 3)
    columns = _smooth(truth).reshape(len(truth), -1)
    found: list[tuple[np.ndarray, ...]] = []
    for centre in range(reach - 1, len(truth) - reach):
        window = columns[centre - reach + 1 : centre + reach + 1]
        before, behind = window[:third], window[-third:]
        low, high = before.mean(0), behind.mean(0)
        step = np.abs(high - low)
        middle = (low + high) / 2
        crossing = (window[reach - 1] - middle) * (window[reach] - middle) <= 0
        flat = np.maximum(np.ptp(before, axis=0), np.ptp(behind, axis=0)) < 0.1 * step
        column = np.flatnonzero((step >= STEP_HU) & crossing & flat)
        found.append((np.full(len(column), centre), column, low[column], high[column]))
    if found:
        centre_, column_, low_, high_ = (np.concatenate(parts) for parts in zip(*found, strict=True))
    else:
        centre_ = column_ = np.zeros(0, dtype=int)
        low_ = high_ = np.zeros(0)
    kept = np.linspace(0, len(centre_) - 1, min(len(centre_), _MOST_EDGES)).astype(int)
    return Edges(centre_[kept], column_[kept], low_[kept], high_[kept], reach, step_mm)


def edge_width_mm(result: np.ndarray, edges: Edges) -> float:
    """Median 10-90 % width along z, in mm, of a result (z, y, x) at the edges; nan without any."""
    if len(edges.centre) == 0:
        return float("nan")
    columns = _smooth(result).reshape(len(result), -1)
    offsets = np.arange(-edges.reach + 1, edges.reach + 1)
    profiles = columns[edges.centre[:, None] + offsets[None, :], edges.column[:, None]]
    rise = (profiles - edges.low[:, None]) / (edges.high - edges.low)[:, None]
    # From the half-way crossing nearest to the truth's own, outwards on either side.
    above = rise >= 0.5
    crossings = ~above[:, :-1] & above[:, 1:]
    distance = np.where(crossings, np.abs(offsets[:-1])[None, :], np.inf)
    start = np.argmin(distance, axis=1)
    widths = (
        _reach(rise, start + 1, 0.9) + _reach(1 - rise[:, ::-1], len(offsets) - 1 - start, 0.9) - (len(offsets) - 1)
    )
    widths = np.where(crossings.any(axis=1), np.maximum(widths, 0), len(offsets) - 1)  # lost, or inverted
    return float(np.median(widths) * edges.step_mm)


def _reach(rise: np.ndarray, start: np.ndarray, level: float) -> np.ndarray:
    """Where each profile (e, w) first reaches `level` at or behind `start`, between samples; its end if never."""
    index = np.arange(rise.shape[1])[None, :]
    hit = (rise >= level) & (index >= start[:, None])
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), rise.shape[1] - 1)
    each = np.arange(len(rise))
    here, before = rise[each, first], rise[each, np.maximum(first - 1, 0)]
    back = np.divide(here - level, here - before, out=np.zeros_like(here), where=here - before > 1e-6)
    return first - np.clip(back, 0, 1)


def _smooth(volume: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(volume.astype(np.float32, copy=False), (0, 1, 1), mode="nearest")
