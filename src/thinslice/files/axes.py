"""Which axis of a file is the slice axis, and the way there and back.

A file (or a library's image) has index axes x, y, z of its own, in any anatomical order. A Volume
has its slice axis last in index order, first in the array. The two in-plane axes keep the order
they had. `FileAxes` remembers the permutation, so that a result is written as the file was.

Arrays named `kji` here are in file order, slowest axis first: element (k, j, i) is voxel (i, j, k).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinslice.errors import GeometryError, UsageError
from thinslice.volume import Volume

_NAMES = ("x", "y", "z")
_DIRECTIONS = ("left-right", "front-back", "head-foot")
_TIE = 1e-3  # relative: spacings closer than this are equal, header fields being rounded


@dataclass(frozen=True)
class FileAxes:
    """Where the axes of a volume stood in its file.

    Attributes:
        order: the file's axes (0, 1, 2 for its x, y, z) that became x, y and z of the volume.
    """

    order: tuple[int, int, int] = (0, 1, 2)

    @property
    def slice_axis(self) -> str:
        """The file's name for the slice axis: "x", "y" or "z"."""
        return _NAMES[self.order[2]]

    @property
    def to_volume(self) -> tuple[int, int, int]:
        """Transposition of a kji array into (z, y, x) of the volume."""
        x, y, z = self.order
        return 2 - z, 2 - y, 2 - x

    @property
    def to_file(self) -> tuple[int, int, int]:
        """Transposition of a (z, y, x) array into the file's kji."""
        i, j, k = (self.order.index(axis) for axis in range(3))
        return 2 - k, 2 - j, 2 - i


def choose_axes(affine: np.ndarray, axis: str | int | None = None) -> FileAxes:
    """The slice axis: the named one, else the one with the largest spacing.

    Args:
        affine: (4, 4), the file's voxel (x, y, z) to RAS mm.
        axis: "x", "y", "z" or 0, 1, 2: an index axis of the file.

    Raises:
        GeometryError: GEO-TIE where two or three axes share the largest spacing.
        UsageError: USE-AXIS where `axis` is none of those.
    """
    if axis is not None:
        name = str(axis).strip().lower()
        chosen = "xyz".find(name) if name in _NAMES else "012".find(name) if name in ("0", "1", "2") else -1
        if chosen < 0:
            raise UsageError("USE-AXIS", f"slice axis must be x, y or z (of the file's index order), found {axis!r}")
        return _slices_along(chosen)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    widest = [a for a in range(3) if spacing[a] >= spacing.max() * (1 - _TIE)]
    if len(widest) > 1:
        names = " and ".join(f"{_NAMES[a]} ({_direction(affine, a)})" for a in widest)
        raise GeometryError(
            "GEO-TIE",
            f"axes {names} share the largest spacing, {spacing.max():.4g} mm, so the slice axis is not "
            f"clear; name it with --axis {'|'.join(_NAMES[a] for a in widest)}",
        )
    return _slices_along(widest[0])


def in_file_order(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """The volume's values (kji, a view) and affine, in the axis order of the file it came from.

    Raises:
        GeometryError: GEO-UNEVEN.
    """
    volume.refuse_uneven()
    axes = volume.source.header if isinstance(volume.source.header, FileAxes) else FileAxes()
    affine = volume.affine.copy()
    affine[:, list(axes.order)] = volume.affine[:, :3]
    return volume.hu.transpose(axes.to_file), affine


def _slices_along(axis: int) -> FileAxes:
    x, y = (a for a in range(3) if a != axis)
    return FileAxes((x, y, axis))


def _direction(affine: np.ndarray, axis: int) -> str:
    return _DIRECTIONS[int(np.abs(affine[:3, axis]).argmax())]
