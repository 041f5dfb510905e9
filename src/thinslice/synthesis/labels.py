"""A label map carried to thin slices: shape-based interpolation (Raya and Udupa 1990).

Every label of an acquired slice becomes a signed distance to its outline in the plane, in mm,
positive inside. Distances are interpolated along z, and a voxel belongs to the label whose distance
is largest, where that of all labels together is positive. So an outline moves from where it is in one
slice to where it is in the next, which copying and blending of masks cannot do.

* Distances end at 3 mm. Beyond, they would depend on how large a structure is rather than where its outline
  runs, and a vessel that appears beside a large organ would be lost.
* Along z, Catmull and Rom's cubic through four slices: an outline bends, and four slices are enough to
  know how. (On five chest scans, bone: Dice 0.003 to 0.018 over linear interpolation of the distances.)
* A slice stands at the middle of its slab: split slabs take its label there and go half-way to the
  next beyond. Before the first and behind the last slice the map goes on unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from thinslice.physics.grid import SliceGrid

_FURTHEST_MM = 3.0

Window = tuple[slice, slice]
Distances = dict[int, tuple[Window, np.ndarray]]  # by label, 0 for all labels together; -_FURTHEST_MM elsewhere


def carry_labels(labels: np.ndarray, *, grid: SliceGrid, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Labels on the output slices; acquired slices that lie among them keep theirs, voxel for voxel.

    Output slices are made one at a time, and of every label only its surroundings are looked at.

    Args:
        labels: (m, y, x) whole numbers from 0, which is no label.
        grid: acquired and output slices.
        pixel_mm: (x, y) pixel spacing.

    Returns:
        (n, y, x) of the same type.
    """
    out = np.zeros((len(grid.output_mm), *labels.shape[1:]), labels.dtype)
    taken, given = grid.on_grid()
    out[given] = labels[taken]
    known: dict[int, Distances] = {}
    places = np.clip(grid.places(), 0, len(labels) - 1)
    for index in np.setdiff1d(np.arange(len(out)), given):
        slices, weights = _neighbours(float(places[index]), last=len(labels) - 1)
        known = {k: known[k] if k in known else _distances(labels[k], pixel_mm) for k in slices}
        _fill(out[index], [known[k] for k in slices], weights)
    return out


def _neighbours(place: float, *, last: int) -> tuple[list[int], list[float]]:
    """The acquired slices around a place among them, each once, and their weights, which sum to 1."""
    below = min(int(place), last - 1)
    t = place - below
    cubic = (
        t * (t * (2 - t) - 1) / 2,
        (t * t * (3 * t - 5) + 2) / 2,
        t * (t * (4 - 3 * t) + 1) / 2,
        t * t * (t - 1) / 2,
    )
    weights: dict[int, float] = {}
    for slice_, weight in zip(range(below - 1, below + 3), cubic, strict=True):
        end = min(max(slice_, 0), last)
        weights[end] = weights.get(end, 0.0) + weight
    return list(weights), list(weights.values())


def _distances(plane: np.ndarray, pixel_mm: tuple[float, float]) -> Distances:
    """Signed distances in mm of every label in a slice, in a window around it."""
    found: Distances = {}
    margin = [int(np.ceil(_FURTHEST_MM / mm)) + 1 for mm in pixel_mm[::-1]]
    boxes = [((plane > 0).astype(np.uint8), 1, 0)]  # image, label in it, name
    boxes += [(plane, int(label), int(label)) for label in np.unique(plane[plane > 0])]
    for image, label, name in boxes:
        mask = image == label
        if not mask.any():
            continue
        window = _around(mask, margin)
        found[name] = window, _signed(mask[window], pixel_mm)
    return found


def _around(mask: np.ndarray, margin: Iterable[int]) -> Window:
    """Bounding box of a mask and a margin of pixels."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (
        slice(max(0, int(span[0]) - more), int(span[-1]) + 1 + more) for span, more in zip(spans, margin, strict=True)
    )
    return rows, columns


def _signed(mask: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    step = pixel_mm[::-1]
    outside = ndimage.distance_transform_edt(~mask, sampling=step)
    inside = np.full(mask.shape, _FURTHEST_MM) if mask.all() else ndimage.distance_transform_edt(mask, sampling=step)
    return np.clip(np.where(mask, inside, -outside), -_FURTHEST_MM, _FURTHEST_MM).astype(np.float32)


def _fill(out: np.ndarray, slices: list[Distances], weights: list[float]) -> None:
    """Set the labels of an output slice from the distances in the acquired ones around it."""
    largest = np.full(out.shape, -np.inf, np.float32)
    for label in sorted({name for distances in slices for name in distances} - {0}):
        window, value = _interpolate(label, slices, weights)
        better = value > largest[window]
        largest[window][better] = value[better]
        out[window][better] = label
    if any(slices):
        window, value = _interpolate(0, slices, weights)
        labelled = np.zeros(out.shape, bool)
        labelled[window] = value > 0
        out[~labelled] = 0


def _interpolate(label: int, slices: list[Distances], weights: list[float]) -> tuple[Window, np.ndarray]:
    """A label's distance in an output slice, in the window that holds all it is known of."""
    known = [
        (*distances[label], weight) for distances, weight in zip(slices, weights, strict=True) if label in distances
    ]
    first = [min(window[axis].start for window, _, _ in known) for axis in (0, 1)]
    stop = [max(window[axis].start + near.shape[axis] for window, near, _ in known) for axis in (0, 1)]
    value = np.full((stop[0] - first[0], stop[1] - first[1]), -_FURTHEST_MM, np.float32)
    for (rows, columns), near, weight in known:
        top, left = rows.start - first[0], columns.start - first[1]
        value[top : top + near.shape[0], left : left + near.shape[1]] += weight * (near + _FURTHEST_MM)
    return (slice(first[0], stop[0]), slice(first[1], stop[1])), value
