"""What the header of a volume file says of its grid, without its voxels: for looking at many files."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from thinslice.errors import InputError, named
from thinslice.io.files.axes import choose_axes
from thinslice.io.files.mark import joined
from thinslice.io.files.names import ending_of
from thinslice.io.files.reading import marks_of
from thinslice.io.files.sidecar import read_sidecar, sidecar_path


@dataclass(frozen=True)
class FileHeader:
    """What is known of a volume file without its voxels.

    Attributes:
        shape: (z, y, x), z being the slice axis.
        voxel_mm: size of a voxel along x, y and z.
        thickness_mm: slice thickness, by the side-car; None where nothing states it.
        synthetic: whether it is marked as synthetic.
    """

    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    thickness_mm: float | None
    synthetic: bool


def read_header(path: Path) -> FileHeader:
    """What the header of a file, and its side-car, say.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.

    Raises:
        InputError: FILE-BROKEN, FILE-FORMAT, FILE-DIMS where the header cannot be read.
        GeometryError: GEO-SPACING, GEO-AFFINE.
    """
    try:
        kji, affine = _nifti(path) if ending_of(path).startswith(".nii") else _itk(path)
    except (OSError, EOFError, zlib.error, RuntimeError) as error:
        raise InputError("FILE-BROKEN", f"{named(path)} is cut short or damaged; copy it again") from error
    axes = choose_axes(affine)
    z, y, x = (kji[index] for index in axes.to_volume)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)[list(axes.order)]
    thickness = read_sidecar(sidecar_path(path, ending_of(path))).fields.get("SliceThickness")
    synthetic = joined(marks_of(path)) is not None
    return FileHeader((z, y, x), (float(sizes[0]), float(sizes[1]), float(sizes[2])), thickness, synthetic)


def _nifti(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    from thinslice.io.files.assemble import check_shape
    from thinslice.io.files.forms import read_forms
    from thinslice.io.files.nifti import read_header

    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        header = read_header(cast(BinaryIO, file), named(path))
    i, j, k = check_shape(header.get_data_shape(), named(path))
    return (k, j, i), read_forms(header, named(path))[0]


def _itk(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    from thinslice.io.files.assemble import check_shape
    from thinslice.io.files.itk import read_information

    size, affine = read_information(path)
    i, j, k = check_shape(size, named(path))
    return (k, j, i), affine
