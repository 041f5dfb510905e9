"""Volume: CT values in Hounsfield units with their place in the patient.

Axis order of arrays is (z, y, x), z being the slice axis: the axis along which the scan is coarse.
Affines map voxel indices in the order (x, y, z) to RAS+ millimetres, as nibabel does. A column of
the affine is the step in mm from one voxel to the next along that axis, so its length is the
spacing, and the last column is the centre of voxel (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thinslice.errors import GeometryError, InputError, Notice, counted

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS mm, as DICOM and ITK count them (to the left, to the back, up), to RAS mm (to the right, to the front, up).

Two signs change, so that changing them again leads back: it is its own inverse, and takes RAS to LPS as well.
"""
_FEWEST_SLICES, _LEAST_PIXELS = 3, 16


@dataclass(frozen=True, repr=False)
class Origin:
    """Where a volume came from, without anybody's identity.

    Attributes:
        kind: "nifti", "nrrd", "metaimage", "dicom", "array", "phantom", or a library's name.
        facts: JSON-ready facts for the record (no path, no patient data).
        warnings: what was noticed while reading.
        header: what a writer of the same format needs (DICOM headers, array axes); never shown.
        mark: None for what was acquired; for what was synthesised, JSON-ready facts of how (docs/decisions/marks.md).
    """

    kind: str = "array"
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    header: Any = field(default=None, compare=False)
    mark: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        codes = ", ".join(notice.code for notice in self.warnings)
        return f"<Origin: {self.kind}{f'; warnings {codes}' if codes else ''}>"

    def on_another_grid(self) -> Origin:
        """The same, but for what its mark states of single slices."""
        if self.mark is None:
            return self
        return replace(self, mark={key: value for key, value in self.mark.items() if key != "acquired_slices"})


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A CT volume. Its place and all else are fixed; its values are an array like any other.

        >>> import numpy as np
        >>> import thinslice
        >>> volume = thinslice.Volume(np.zeros((16, 48, 40)), np.diag([0.8, 0.8, 5.0, 1.0]), thickness=5.0)
        >>> volume
        <Volume: 16 slices 5 mm apart, of 40 x 48 pixels of 0.8 x 0.8 mm, 5 mm thick; array>
        >>> volume.shape, volume.voxel_mm, volume.hu.dtype
        ((16, 48, 40), (0.8, 0.8, 5.0), dtype('float32'))

    Attributes:
        hu: float32 (z, y, x), Hounsfield units. A float32 array that is given is kept, not copied, and may be written
            to where it may be. thinslice itself never does: `enhance` leaves the scan that it is given as it was.
        affine: float64 (4, 4), voxel (x, y, z) to RAS+ mm, read-only.
        thickness: slice thickness in mm (width of the slice sensitivity profile), or None.
        padding: bool (z, y, x), True where nothing was ever measured, or None.
        origin: where it came from, without identity.
        slice_positions_mm: float64 (z,), distance of each slice's plane from the first's along their normal,
            where slices are missing or unevenly spaced; else None. The affine then holds for the first slice
            and the usual spacing: slice k lies at `slice_positions_mm[k] / slice_spacing_mm` along z.

    Raises:
        GeometryError: GEO-SHAPE if `hu` is not three-dimensional, GEO-AFFINE if the affine is not
            finite or cannot be inverted.
    """

    hu: np.ndarray
    affine: np.ndarray
    thickness: float | None = None
    padding: np.ndarray | None = None
    origin: Origin = field(default_factory=Origin)
    slice_positions_mm: np.ndarray | None = None

    def __post_init__(self) -> None:
        hu = np.asarray(self.hu, dtype=np.float32)
        affine = _read_only(self.affine, np.float64)
        if hu.ndim != 3:
            raise GeometryError("GEO-SHAPE", f"a volume has 3 dimensions, found {hu.ndim}: {hu.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("GEO-AFFINE", f"the affine must be 4 x 4 and finite, found {affine.tolist()}")
        if not np.allclose(affine[3], [0, 0, 0, 1]):
            raise GeometryError("GEO-AFFINE", f"the affine's last row must be 0 0 0 1, found {affine[3].tolist()}")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / np.maximum(lengths, 1e-30))) < 1e-4:
            raise GeometryError(
                "GEO-AFFINE",
                f"the affine cannot be inverted: voxel steps {lengths.round(6).tolist()} mm, determinant "
                f"{np.linalg.det(affine[:3, :3]):.3g}; repair the file's orientation",
            )
        if self.thickness is not None and not (np.isfinite(self.thickness) and self.thickness > 0):
            raise GeometryError("GEO-THICKNESS", f"slice thickness must be over 0 mm, found {self.thickness}")
        if self.thickness is not None:
            object.__setattr__(self, "thickness", float(self.thickness))
        object.__setattr__(self, "hu", hu)
        object.__setattr__(self, "affine", affine)
        if self.padding is not None:
            padding = _read_only(self.padding, np.bool_)
            if padding.shape != hu.shape:
                raise GeometryError("GEO-SHAPE", f"padding mask {padding.shape} does not match the volume {hu.shape}")
            object.__setattr__(self, "padding", padding)
        if self.slice_positions_mm is not None:
            positions = _read_only(self.slice_positions_mm, np.float64)
            if positions.shape != hu.shape[:1] or positions[0] != 0 or not (np.diff(positions) > 0).all():
                raise GeometryError("GEO-POSITIONS", "slice positions must be one a slice, from 0 and increasing")
            object.__setattr__(self, "slice_positions_mm", positions)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What a copy or a pickle holds; where it lies is protected from writing again."""
        self.__dict__.update(state)
        self.__post_init__()

    def __repr__(self) -> str:
        thickness = "thickness unknown" if self.thickness is None else f"{self.thickness:.4g} mm thick"
        uneven = ", unevenly spaced" if self.slice_positions_mm is not None else ""
        return f"<Volume: {self.extent}, {thickness}{uneven}; {self.origin.kind}>"

    @property
    def extent(self) -> str:
        """In words: how many slices of how many pixels, and of which size."""
        slices, rows, columns = self.shape
        x, y, _ = self.voxel_mm
        return (
            f"{slices} slices {self.slice_spacing_mm:.4g} mm apart, of {columns} x {rows} pixels of "
            f"{x:.4g} x {y:.4g} mm"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.hu.shape

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Lengths of the voxel steps (x, y, z) in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between the planes of neighbouring slices, along their normal.

        Equal to `voxel_mm[2]` unless the grid is sheared (gantry tilt): there the step to the next
        slice is longer than the distance of the planes.
        """
        return float(slice_distance_mm(self.affine)[2])

    def with_slices(self, hu: np.ndarray, *, first: float, step: float, **changes: Any) -> Volume:
        """The same scan on another grid along z.

        Args:
            hu: (n, y, x), values on the new grid.
            first: index of the first new slice, in slices of this volume.
            step: new spacing over old spacing.
            **changes: other fields to replace.
        """
        affine = self.affine.copy()
        affine[:3, 3] += first * affine[:3, 2]
        affine[:3, 2] *= step
        changes = {"origin": self.origin.on_another_grid(), **changes}
        return replace(self, hu=hu, affine=affine, slice_positions_mm=None, **changes)

    def refuse_uneven(self) -> None:
        """Raise GeometryError GEO-UNEVEN where slices are missing or unevenly spaced: an affine cannot hold that."""
        if self.slice_positions_mm is not None:
            raise GeometryError(
                "GEO-UNEVEN", "slices are missing or unevenly spaced; only enhance takes such a volume, to fill it"
            )

    def refuse_nan(self) -> None:
        """Raise InputError FILE-NAN where HU are not numbers: no reader gives such a volume, but a caller may."""
        bad = sum(image.size - int(np.count_nonzero(np.isfinite(image))) for image in self.hu)
        if bad:
            raise InputError(
                "FILE-NAN",
                f"the volume holds {counted(bad, 'voxel that is', 'voxels that are')} NaN or infinite; "
                "put a value in HU there",
            )


def refuse_small(shape: tuple[int, int, int]) -> None:
    """Refuse what is too small for the networks.

    Raises:
        GeometryError: GEO-FEW, GEO-PLANE.
    """
    slices, rows, columns = shape
    if slices < _FEWEST_SLICES:
        raise GeometryError("GEO-FEW", f"{counted(slices, 'slice')} found; at least {_FEWEST_SLICES} are needed")
    if min(rows, columns) < _LEAST_PIXELS:
        raise GeometryError(
            "GEO-PLANE",
            f"slices of {columns} x {rows} pixels are too small; at least {_LEAST_PIXELS} x {_LEAST_PIXELS} are needed",
        )


def corner_shift_mm(affine: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> float:
    """How far apart two affines put the corners of a volume of that shape (z, y, x): the largest along an axis."""
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    corners[:, :3] *= np.array(shape[::-1]) - 1
    return float(np.abs((corners @ (affine - other).T)[:, :3]).max())


def slice_distance_mm(affine: np.ndarray) -> np.ndarray:
    """(3,) distance between neighbouring planes across each axis, along their normal; the voxel sizes where upright."""
    steps = affine[:3, :3]
    normals = np.stack([np.cross(steps[:, a - 2], steps[:, a - 1]) for a in range(3)])
    return np.abs(np.einsum("ai,ia->a", normals, steps)) / np.linalg.norm(normals, axis=1)


def lean(affine: np.ndarray) -> float:
    """By how much, in radian, the axes of a grid are off right angles to one another: the largest of the three."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.arcsin(min(1.0, np.abs(unit.T @ unit - np.eye(3)).max())))


def squared(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The nearest affine whose axes are at right angles, voxel sizes and the middle of the volume kept.

    Of all rotations it is the one that moves the corners of a volume of that shape (z, y, x) least, by the mean square:
    the orthogonal factor of the unit steps, each weighted by the square of its extent.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    extent = sizes * np.maximum(np.array(shape[::-1]) - 1, 1)
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes * extent**2)
    middle = (np.array(shape[::-1]) - 1) / 2
    square = affine.copy()
    square[:3, :3] = left @ right * sizes
    square[:3, 3] += (affine[:3, :3] - square[:3, :3]) @ middle
    return square


def _read_only(array: Any, dtype: Any) -> np.ndarray:
    """The array in `dtype`, write-protected; the caller's own array is left writable."""
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view
