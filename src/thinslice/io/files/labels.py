"""Label maps from files and library objects: read as scans are, but for what their values mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from thinslice.errors import Notice
from thinslice.io.label_image import LabelImage, whole_numbers


def as_labels(
    slabs: Iterable[np.ndarray],
    shape: tuple[int, ...],
    *,
    affine: np.ndarray,
    name: str,
    scale: tuple[float, float] = (1.0, 0.0),
    warnings: tuple[Notice, ...] = (),
    **_: Any,
) -> LabelImage:
    """A label map from slabs of stored values, in place of `thinslice.io.files.assemble.assemble`.

    Args:
        slabs: consecutive blocks (n, j, i) along the source's slowest axis.
        shape: of the whole, kji.
        affine: (4, 4), the source's voxel (x, y, z) to RAS mm.
        name: what messages call the map.
        scale: slope and intercept from stored values to labels.
        warnings: noticed so far; without an orientation, the map does not say where it lies.
        **_: what matters for scans alone: slice axis, thickness, facts.

    Raises:
        InputError: LABEL-VALUES, LABEL-MANY.
    """
    values = whole_numbers(slabs, shape, name=name, scale=scale)
    placed = all(notice.code != "FILE-NOORIENT" for notice in warnings)
    return LabelImage(values, np.asarray(affine, float), name, placed=placed)
