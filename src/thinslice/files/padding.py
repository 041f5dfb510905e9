"""Voxels outside the field of view: values that a scanner writes where it measured nothing.

Scanners put a constant (-1500, -2000, -2048, -3024, ...) outside the circle of reconstruction. In
a file without DICOM's tag for it, such a constant is known by three things together: it is below
-1024 HU, it makes up most of what is below -1024 (noise in air spreads over many values, and falls
off), and it reaches in from the border of the slice. Resampling smears its rim towards air: values
below -1024 that touch it are padding as well.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_AIR_FLOOR = -1024.0  # HU: nothing measured in 12 bits is below
_MOST = 0.5  # share of the values below the floor that the constant must make up


def find_padding(hu: np.ndarray) -> tuple[np.ndarray | None, float | None]:
    """Mask of the padding (z, y, x) and the value found there; (None, None) where there is none.

    Args:
        hu: float32 (z, y, x).
    """
    value = _contrived_value(hu)
    if value is None:
        return None, None
    mask = np.zeros(hu.shape, bool)
    for image, out in zip(hu, mask, strict=True):
        _from_border(image < _AIR_FLOOR, out)
    return (mask, value) if mask.any() else (None, None)


def _contrived_value(hu: np.ndarray) -> float | None:
    border = np.concatenate([edge.ravel() for edge in (hu[:, 0], hu[:, -1], hu[:, :, 0], hu[:, :, -1])])
    values, counts = np.unique(border[border < _AIR_FLOOR], return_counts=True)
    if not len(values):
        return None
    value = values[counts.argmax()]
    same = sum(int(np.count_nonzero(image == value)) for image in hu)
    below = sum(int(np.count_nonzero(image < _AIR_FLOOR)) for image in hu)
    return float(value) if same >= _MOST * below else None


def _from_border(candidate: np.ndarray, out: np.ndarray) -> None:
    """Set `out` where `candidate` is joined to the border of the slice. Both (y, x) bool."""
    if not candidate.any():
        return
    labels, _ = ndimage.label(candidate)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    out[...] = np.isin(labels, touching[touching > 0])
