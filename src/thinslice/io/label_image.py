"""A label map as it is stored: whole numbers and their place, before it is compared with a scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thinslice.errors import InputError, Notice
from thinslice.system.memory import check_room_for

MOST_LABELS = 1000
_LARGEST = np.iinfo(np.int32).max
_ROUNDED = 1e-3  # how far off a whole number floats are that were computed with (3.0000457, 7014.9999)
_HALF_A_STEP = 0.51  # of the stored step, and what float32 rounds of slope and intercept


@dataclass(frozen=True, eq=False)
class LabelImage:
    """A label map and where it lies.

    Attributes:
        values: (k, j, i) int16, or int32 where a label exceeds it.
        affine: (4, 4), voxel (i, j, k) to RAS mm.
        name: what messages call it.
        placed: whether the map itself says where it lies; else it can only be as large as the scan.
        warnings: what the user should know.
        names: of labels, where the file has them.
    """

    values: np.ndarray
    affine: np.ndarray
    name: str
    placed: bool = True
    warnings: tuple[Notice, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


def whole_numbers(
    slabs: Iterable[Any], shape: tuple[int, ...], *, name: str, scale: tuple[float, float] = (1.0, 0.0)
) -> np.ndarray:
    """Labels from slabs of stored values; masked voxels have no label.

    A program that works with floats but stores integers writes a slope, and 7014 comes back as 7014.003. Stored in
    steps below 1, every label is the whole number nearest to its value, and at most half a step away from it: what is
    farther away was never a label.

    Args:
        slabs: consecutive blocks (n, j, i) along the slowest axis.
        shape: (k, j, i) of the whole.
        name: what messages call the map.
        scale: slope and intercept from stored values to labels.

    Returns:
        (k, j, i) int16, or int32 where a label exceeds it.

    Raises:
        InputError: LABEL-VALUES where a value is no whole number from 0 to 2147483647, LABEL-MANY where there are more
            than `MOST_LABELS` labels.
    """
    check_room_for(shape)
    labels = np.empty(shape, np.int32)
    found: set[int] = set()
    start = 0
    for slab in slabs:
        for stored in np.ma.filled(slab, 0):
            labels[start] = _whole(stored, name=name, scale=scale)
            found.update(np.unique(labels[start]).tolist())
            start += 1
            if len(found - {0}) > MOST_LABELS:
                raise InputError(
                    "LABEL-MANY", f"{name} holds more than {MOST_LABELS} labels; give a segmentation, not an image"
                )
    return narrowed(labels, largest=max(found, default=0))


def narrowed(labels: np.ndarray, *, largest: int) -> np.ndarray:
    """The labels in 16 bits where the largest fits into them."""
    return labels.astype(np.int16) if largest <= np.iinfo(np.int16).max else labels


def overlapping(voxels: int) -> Notice:
    """What to warn of where segments overlap: a label map holds one label a voxel."""
    return Notice(
        "LABEL-OVERLAP", f"{voxels} voxels of the label map lie in several segments; each has the label of the last one"
    )


def _whole(stored: np.ndarray, *, name: str, scale: tuple[float, float]) -> np.ndarray:
    """A plane of stored values as whole numbers."""
    if stored.dtype.kind in "biu" and scale == (1.0, 0.0):
        wrong = (stored < 0) | (stored > _LARGEST) if stored.dtype.kind != "b" else np.zeros(stored.shape, bool)
        values = whole = stored
    else:
        step = abs(scale[0]) if stored.dtype.kind in "biu" else 0.0
        most = max(_ROUNDED, min(_HALF_A_STEP * step, 0.499) if step < 1 else 0.0)
        with np.errstate(all="ignore"):
            values = stored.astype(np.float64) * scale[0] + scale[1]
            whole = np.rint(values)
            wrong = ~((np.abs(values - whole) <= most) & (whole >= 0) & (whole <= _LARGEST))  # NaN is wrong as well
    if wrong.any():
        raise InputError(
            "LABEL-VALUES",
            f"{name} holds {values[wrong][0]:.10g}; labels are whole numbers from 0 to {_LARGEST}: threshold "
            "probabilities, and round what was stored with a scale",
        )
    return whole
