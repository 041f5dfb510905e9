"""Label maps from files and library objects: read as scans are, but for what their values mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from thinslice.io.files.assemble import Stored
from thinslice.io.label_image import LabelImage, whole_numbers


def as_labels(
    slabs: Iterable[np.ndarray], stored: Stored, *, axis: str | int | None = None, thickness: float | None = None
) -> LabelImage:
    """A label map from slabs of stored values, in place of `thinslice.io.files.assemble.assemble`.

    Args:
        slabs: consecutive blocks (n, j, i) along the source's slowest axis.
        stored: what is known of the whole; without an orientation, the map does not say where it lies.
        axis: matters for scans alone.
        thickness: matters for scans alone.

    Raises:
        InputError: LABEL-VALUES, LABEL-MANY.
    """
    values = whole_numbers(slabs, stored.shape, name=stored.name, scale=stored.scale)
    placed = all(notice.code != "FILE-NOORIENT" for notice in stored.warnings)
    return LabelImage(values, np.asarray(stored.affine, float), stored.name, placed=placed)
