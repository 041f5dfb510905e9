"""A volume or a label map into a file, by the library that its ending calls for.

These libraries are imported when a file of theirs is written.
"""

from __future__ import annotations

from contextlib import ExitStack
from os import PathLike

import numpy as np

from thinslice.errors import Notice
from thinslice.io.files.names import check_name, parts
from thinslice.io.files.sidecar import remove_own_sidecar, sidecar_path, sidecar_text
from thinslice.io.output_format import OutputFormat
from thinslice.system.output import none_left, whole_file
from thinslice.system.paths import as_path
from thinslice.volume import Volume

_INT16 = np.iinfo(np.int16)
_DEFAULT = OutputFormat()


def write(volume: Volume, path: str | PathLike[str], form: OutputFormat = _DEFAULT) -> tuple[Notice, ...]:
    """Write a volume to a file, in the axis order of the file that it came from.

    A volume that is synthetic (`origin.mark`) is marked so in the file, and beside NIfTI in a side-car, NAME.json.

    Args:
        volume: HU and their place.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.
        form: its dtype, sidecar and overwrite; the rest goes with DICOM.

    Returns:
        What the user should know: FILE-FLOAT where int16 could not hold the values.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE, OUT-FULL.
        GeometryError: GEO-SHEAR for a sheared grid in other formats than NIfTI.
    """
    path = as_path(path)
    ending, overwrite = check_name(path), form.overwrite
    stored, notices = _stored(volume, form.dtype)
    if ending.startswith(".nii"):
        from thinslice.io.files import nifti

        sidecar = form.sidecar and volume.origin.mark is not None
        files = parts(path, sidecar=sidecar)
        with none_left(files), ExitStack() as stack:
            beside = [stack.enter_context(whole_file(file, overwrite=overwrite)) for file in files[1:]]
            nifti.write(volume, stack.enter_context(whole_file(path, overwrite=overwrite)), dtype=stored)
            for temporary in beside:
                temporary.write_text(sidecar_text(volume), encoding="utf-8")
        if overwrite and not sidecar:
            remove_own_sidecar(sidecar_path(path, ending))
    else:
        from thinslice.io.files import itk

        itk.write(volume, path, dtype=stored, overwrite=overwrite)
    return notices


def _stored(volume: Volume, dtype: str) -> tuple[np.dtype, tuple[Notice, ...]]:
    """The type that holds a volume's values: the one asked for where it does; and what to warn of."""
    lowest, highest = float(volume.hu.min()), float(volume.hu.max())
    if dtype == "int16" and not (_INT16.min - 0.5 <= lowest and highest < _INT16.max + 0.5):
        message = f"values reach from {lowest:g} to {highest:g} HU: written as float32"
        return np.dtype(np.float32), (Notice("FILE-FLOAT", message),)
    return np.dtype(dtype), ()


def write_labels(labels: np.ndarray, path: str | PathLike[str], *, like: Volume, overwrite: bool = False) -> None:
    """Write a label map to a file, in the type that it has.

    Args:
        labels: (z, y, x) int16 or int32.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.
        like: the volume on whose grid it lies.
        overwrite: replace an existing file.

    Raises:
        OutputError, GeometryError: as in `write`.
    """
    path = as_path(path)
    if check_name(path).startswith(".nii"):
        from thinslice.io.files import nifti

        with whole_file(path, overwrite=overwrite) as temporary:
            nifti.write(like, temporary, dtype=labels.dtype, values=labels)
    else:
        from thinslice.io.files import itk

        itk.write(like, path, dtype=labels.dtype, overwrite=overwrite, values=labels)


def check_target(
    path: str | PathLike[str], *, affine: np.ndarray, shape: tuple[int, int, int], upright: bool = False
) -> None:
    """Refuse, before any work, an output file that could not hold the result; whether it exists is not asked here.

    Args:
        path: the output.
        affine: (4, 4), voxel (x, y, z) to RAS mm, of what is to be written.
        shape: (z, y, x), no smaller.
        upright: the grid's shear will be gone by then.

    Raises:
        OutputError: OUT-FORMAT.
        GeometryError: GEO-SHEAR.
    """
    if not check_name(as_path(path)).startswith(".nii"):
        from thinslice.io.files.itk import refuse_shear

        refuse_shear(affine, shape, upright=upright)
