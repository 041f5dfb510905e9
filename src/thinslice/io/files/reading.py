"""A scan or a label map from a file, by the library that its ending calls for.

These libraries are imported when a file of theirs is met.
"""

from __future__ import annotations

import zlib
from os import PathLike
from pathlib import Path

from thinslice.errors import InputError, named
from thinslice.io.files.assemble import check_values
from thinslice.io.files.labels import as_labels
from thinslice.io.files.mark import Marks
from thinslice.io.files.names import ENDINGS, check_there, ending_of, refuse_bytes
from thinslice.io.files.sidecar import read_sidecar, refuse_other_modality, sidecar_path, with_sidecar
from thinslice.io.label_image import LabelImage
from thinslice.system.paths import as_path
from thinslice.volume import Volume


def read(
    path: str | PathLike[str], *, axis: str | int | None = None, rescale: tuple[float, float] | None = None
) -> Volume:
    """Read a CT volume from a file.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.
        axis: slice axis ("x", "y" or "z" of the file's index order); by default the axis with the
            largest spacing, or z where that is a pixel's side.
        rescale: slope and intercept from stored values to HU, in place of what the file says; values
            that can be no HU are then remarked and not refused.

    Returns:
        The volume, its slice axis being z. Thickness is the side-car's, where a NAME.json lies beside the file and
        says it, else None: these formats do not say it. `origin.mark` is set where the volume is marked as synthetic.

    Raises:
        InputError: FILE-MISSING, FILE-UNREADABLE, FILE-FORMAT, FILE-BROKEN, FILE-DIMS, FILE-DTYPE,
            FILE-SCALE, FILE-NAN, FILE-NOTHU, FILE-NOTCT.
        GeometryError: GEO-SPACING, GEO-AFFINE.
        UsageError: USE-AXIS, USE-RESCALE.
    """
    path = as_path(path)
    sidecar = read_sidecar(sidecar_path(path, ending_of(path)))
    refuse_other_modality(sidecar, named(path))
    volume = with_sidecar(_read(path, axis=axis, rescale=rescale), sidecar)
    return check_values(volume, name=named(path), rescaled=rescale is not None)


def read_values(path: str | PathLike[str], *, axis: str | int = "z") -> Volume:
    """Read a volume from a file whatever its values are, such as labels; they stand where a scan has HU.

    Raises:
        InputError, GeometryError: as in `read`, but for FILE-NOTHU.
    """
    return _read(as_path(path), axis=axis, rescale=None)


def read_labels(path: str | PathLike[str]) -> LabelImage:
    """Read a label map from a file, as it is stored.

    Raises:
        InputError, GeometryError: as in `read`, but for FILE-NOTHU; LABEL-VALUES, LABEL-MANY.
    """
    path = as_path(path)
    if _ending_read(path).startswith(".nii"):
        from thinslice.io.files import nifti

        found: LabelImage = nifti.read(path, name=named(path, "the label map"), into=as_labels)
        return found
    from thinslice.io.files import itk

    return itk.read_labels(path)


def marks_of(path: Path) -> Marks:
    """What marks a file as synthetic, by where it stands: header and side-car; what cannot be read says nothing.

    Args:
        path: a file named as one of `ENDINGS`.
    """
    if not path.is_file():
        return {}
    try:
        if ending_of(path).startswith(".nii"):
            from thinslice.io.files import nifti

            found = nifti.marks_in(path)
        else:
            from thinslice.io.files import itk

            found = itk.marks_in(path)
    except (OSError, EOFError, zlib.error, InputError):
        found = {}
    return {**found, "side-car": read_sidecar(sidecar_path(path, ending_of(path))).mark}


def _read(path: Path, *, axis: str | int | None, rescale: tuple[float, float] | None) -> Volume:
    if _ending_read(path).startswith(".nii"):
        from thinslice.io.files import nifti

        volume: Volume = nifti.read(path, axis=axis, rescale=rescale)
        return volume
    from thinslice.io.files import itk

    return itk.read(path, axis=axis, rescale=rescale)


def _ending_read(path: Path) -> str:
    """The ending of a file that is there and can be read by it."""
    check_there(path)
    ending = ending_of(path)
    if not ending:
        raise InputError(
            "FILE-FORMAT", f"{named(path)} is neither DICOM nor one of {', '.join(ENDINGS)}; convert it to one of them"
        )
    if not path.is_file():
        raise InputError("FILE-UNREADABLE", f"{named(path)} is no file, though its name says so; give the file in it")
    if not ending.startswith(".nii"):
        refuse_bytes(path, InputError, "FILE-UNREADABLE", "input")
    return ending
