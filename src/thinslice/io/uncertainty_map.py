"""An uncertainty map in: the error to be expected at each voxel of a result, in HU, on the result's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from thinslice.errors import InputError, named
from thinslice.io import files, scan
from thinslice.io.label_map import other_grid, place_in
from thinslice.system.paths import as_path
from thinslice.volume import Volume

_NEGATIVE_HU = -1e-3  # below that it is no error


@dataclass(frozen=True, eq=False)
class UncertaintyMap:
    """The error to be expected at each voxel.

    Attributes:
        sigma: (z, y, x) float32, HU, 0 where a slice is a copy of an acquired one.
        mark: what the file says of itself, or None (docs/decisions/marks.md).
    """

    sigma: np.ndarray
    mark: Mapping[str, Any] | None = None


def read_uncertainty(source: str | PathLike[str], *, result: Volume) -> UncertaintyMap:
    """Read an uncertainty map, which may be stored in another order of axes or sense than the result.

    Args:
        source: a file or folder that `thinslice.io.scan.read` reads, whatever its values are.
        result: what it is the uncertainty of.

    Raises:
        GeometryError: LABEL-GRID where its voxels are not the result's.
        InputError: UNC-VALUES where it holds values below 0, and as in `thinslice.io.scan.read`.
    """
    path = as_path(source)
    files.check_there(path, what="uncertainty map")
    name = named(path, "the uncertainty map")
    known = files.has_known_ending(path)
    volume = files.read_values(path) if known else scan.read(path, allow_derived=True)
    place = place_in(result, volume.affine, volume.shape, name)
    sigma = place.turned(volume.hu)
    if sigma.shape != result.shape or place.start.any():
        raise other_grid(result, volume.affine, volume.shape, name)
    if (least := float(sigma.min())) < _NEGATIVE_HU:
        raise InputError(
            "UNC-VALUES",
            f"{name} holds {least:.4g}; the error to be expected is 0 HU or more: give what --uncertainty wrote",
        )
    return UncertaintyMap(np.maximum(sigma, 0), volume.origin.mark)
