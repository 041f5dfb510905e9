"""Which axis of a file is the slice axis, and the way there and back.

A file (or a library's image) has index axes x, y, z of its own, in any anatomical order. A Volume
has its slice axis last in index order, first in the array. The two in-plane axes keep the order
they had. `FileAxes` remembers the permutation, so that a result is written as the file was.

Arrays named `kji` here are in file order, slowest axis first: element (k, j, i) is voxel (i, j, k).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thinslice.errors import Notice, UsageError
from thinslice.volume import Volume

_NAMES = ("x", "y", "z")
_DIRECTIONS = ("left-right", "front-back", "head-foot")
_TIE = 1e-3  # relative: spacings closer than this are equal, header fields being rounded
_CLEARLY = 1.2  # times the next spacing: slices so far apart can be made thinner, and pixels are never so oblong


@dataclass(frozen=True)
class FileAxes:
    """Where the axes of a volume stood in its file.

    Attributes:
        order: the file's axes (0, 1, 2 for its x, y, z) that became x, y and z of the volume.
        forms: what a NIfTI header says of its place beside the affine (`thinslice.io.files.forms`), or None.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    forms: Any = field(default=None, repr=False, compare=False)

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
    """The slice axis: the named one, else the one with the largest spacing, or the third where that is a pixel's side.

    Args:
        affine: (4, 4), the file's voxel (x, y, z) to RAS mm.
        axis: "x", "y", "z" or 0, 1, 2: an index axis of the file.

    Raises:
        UsageError: USE-AXIS where `axis` is none of those.
    """
    if axis is not None:
        name = str(axis).strip().lower()
        chosen = "xyz".find(name) if name in _NAMES else "012".find(name) if name in ("0", "1", "2") else -1
        if chosen < 0:
            raise UsageError("USE-AXIS", f"slice axis must be x, y or z (of the file's index order), found {axis!r}")
        return _slices_along(chosen)
    return _slices_along(_coarsest(affine)[0])


def axis_remark(affine: np.ndarray) -> tuple[Notice, ...]:
    """What the user should know where `choose_axes` had to guess: the slice axis is named nowhere."""
    axis, clear = _coarsest(affine)
    if clear:
        return ()
    sizes = " x ".join(f"{size:.4g}" for size in np.linalg.norm(affine[:3, :3], axis=0))
    message = (
        f"voxels of {sizes} mm do not show along which axis slices lie; {_NAMES[axis]} ({_direction(affine, axis)}) is "
        "taken: where it is another, name it with --axis"
    )
    return (Notice("GEO-AXIS", message),)


def in_file_order(volume: Volume, values: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The volume's values (kji, a view) and affine, in the axis order of the file it came from.

    Args:
        volume: what to turn.
        values: (z, y, x) on its grid, such as labels, in place of its HU.

    Raises:
        GeometryError: GEO-UNEVEN.
    """
    volume.refuse_uneven()
    axes = volume.origin.header if isinstance(volume.origin.header, FileAxes) else FileAxes()
    affine = volume.affine.copy()
    affine[:, list(axes.order)] = volume.affine[:, :3]
    return (volume.hu if values is None else values).transpose(axes.to_file), affine


def _coarsest(affine: np.ndarray) -> tuple[int, bool]:
    """The slice axis by the sizes of voxels, and whether they leave no doubt.

    The largest size is the spacing of slices where it is that of the third axis, is `_CLEARLY` larger than both others,
    or where the others are the two equal sides of square pixels. Else it is a pixel's side, or nothing decides it:
    slices are stored one after another, along the third axis.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    widest = int(sizes.argmax())
    others = np.delete(sizes, widest)
    ratio = sizes[widest] / others.max()
    if ratio >= _CLEARLY or (widest == 2 and ratio > 1 + _TIE):
        return widest, True
    square = others.max() <= others.min() * (1 + _TIE)
    return (widest if square and ratio > 1 + _TIE else 2), False


def _slices_along(axis: int) -> FileAxes:
    x, y = (a for a in range(3) if a != axis)
    return FileAxes((x, y, axis))


def _direction(affine: np.ndarray, axis: int) -> str:
    return _DIRECTIONS[int(np.abs(affine[:3, axis]).argmax())]
