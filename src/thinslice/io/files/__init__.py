"""NIfTI, NRRD and MetaImage in and out. DICOM has its own package.

Third-party libraries are imported when a file of theirs is met.
"""

from __future__ import annotations

import re
import stat
import zlib
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import numpy as np

from thinslice.errors import InputError, Notice, OutputError, UsageError, named
from thinslice.io.files.assemble import judged
from thinslice.io.files.mark import Marks
from thinslice.io.files.sidecar import (
    read_sidecar,
    refuse_other_modality,
    remove_own_sidecar,
    sidecar_path,
    sidecar_text,
    with_sidecar,
)
from thinslice.io.label_image import LabelImage
from thinslice.system.output import none_left, refuse_existing, whole_file
from thinslice.system.paths import as_path
from thinslice.volume import Volume

__all__ = [
    "ENDINGS",
    "check_target",
    "check_there",
    "ending_of",
    "has_known_ending",
    "judged",
    "marks_of",
    "parts",
    "parts_read",
    "read",
    "read_labels",
    "read_values",
    "write",
    "write_labels",
]

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")

_PAIRED = (".nhdr", ".mhd")  # headers that name a .raw beside them, by rules of their own
_TAKEN_OTHERWISE = re.compile(r"^[\s~=:]|^LIST|^.:|[%\\\x00-\x1f\x7f]")  # names that ITK does not find again there
_INT16 = np.iinfo(np.int16)


def has_known_ending(path: str | PathLike[str]) -> bool:
    """True where the name says that the file is one of `ENDINGS`."""
    return bool(ending_of(Path(path)))


def ending_of(path: Path) -> str:
    """The one of `ENDINGS` that a name ends in, in lower case; "" where it ends in none."""
    name = path.name.lower()
    return max((ending for ending in ENDINGS if name.endswith(ending)), key=len, default="")


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
        says it, else None: these formats do not say it. `source.mark` is set where the volume is marked as synthetic.

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
    return judged(volume, name=named(path), told=rescale is not None)


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
        from thinslice.io.files.labels import as_labels

        found: LabelImage = nifti.read(path, name=named(path, "the label map"), into=as_labels)
        return found
    from thinslice.io.files import itk

    return itk.read_labels(path)


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
        _refuse_bytes(path, InputError, "FILE-UNREADABLE", "input")
    return ending


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


def write(
    volume: Volume, path: str | PathLike[str], *, dtype: str = "int16", sidecar: bool = True, overwrite: bool = False
) -> tuple[Notice, ...]:
    """Write a volume to a file, in the axis order of the file that it came from.

    A volume that is synthetic (`source.mark`) is marked so in the file, and beside NIfTI in a side-car, NAME.json.

    Args:
        volume: HU and their place.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd.
        dtype: "int16" (HU rounded; float32 where a value does not fit) or "float32".
        sidecar: whether a synthetic volume gets a side-car.
        overwrite: replace an existing file.

    Returns:
        What the user should know: FILE-FLOAT where int16 could not hold the values.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE, OUT-FULL.
        GeometryError: GEO-SHEAR for a sheared grid in other formats than NIfTI.
        UsageError: USE-DTYPE.
    """
    path = as_path(path)
    sidecar = sidecar and volume.source.mark is not None
    check_target(path, affine=volume.affine, shape=volume.shape, sidecar=sidecar, overwrite=overwrite)
    if dtype not in ("int16", "float32"):
        raise UsageError("USE-DTYPE", f"dtype must be int16 or float32, found {dtype}")
    stored = np.dtype(dtype)
    notices: tuple[Notice, ...] = ()
    lowest, highest = float(volume.hu.min()), float(volume.hu.max())
    if dtype == "int16" and not (_INT16.min - 0.5 <= lowest and highest < _INT16.max + 0.5):
        stored = np.dtype(np.float32)
        notices = (Notice("FILE-FLOAT", f"values reach from {lowest:g} to {highest:g} HU: written as float32"),)
    if ending_of(path) in (".nii", ".nii.gz"):
        from thinslice.io.files import nifti

        files = parts(path, sidecar=sidecar)
        with none_left(files), ExitStack() as stack:
            beside = [stack.enter_context(whole_file(file, overwrite=overwrite)) for file in files[1:]]
            nifti.write(volume, stack.enter_context(whole_file(path, overwrite=overwrite)), dtype=stored)
            for temporary in beside:
                temporary.write_text(sidecar_text(volume), encoding="utf-8")
        if overwrite and not sidecar:
            remove_own_sidecar(sidecar_path(path, ending_of(path)))
    else:
        from thinslice.io.files import itk

        itk.write(volume, path, dtype=stored, overwrite=overwrite)
    return notices


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
    check_target(path, affine=like.affine, shape=like.shape, overwrite=overwrite)
    if ending_of(path).startswith(".nii"):
        from thinslice.io.files import nifti

        with whole_file(path, overwrite=overwrite) as temporary:
            nifti.write(like, temporary, dtype=labels.dtype, values=labels)
    else:
        from thinslice.io.files import itk

        itk.write(like, path, dtype=labels.dtype, overwrite=overwrite, values=labels)


def check_target(
    path: str | PathLike[str],
    *,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    upright: bool = False,
    sidecar: bool = False,
    overwrite: bool = False,
) -> None:
    """Refuse, before any work, an output file that could not be written afterwards.

    Args:
        path: the output.
        affine: of what is to be written.
        shape: (z, y, x), no smaller.
        upright: the grid's shear will be gone by then.
        sidecar: beside NIfTI a side-car will be written.
        overwrite: an existing output may be replaced.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE.
        GeometryError: GEO-SHEAR.
    """
    path = as_path(path)
    ending = ending_of(path)
    if not ending:
        raise OutputError("OUT-FORMAT", f"output {named(path, '')} must end in {', '.join(ENDINGS)}")
    if ending in (".mha", ".mhd", ".nhdr") and path.suffix != ending:
        raise OutputError("OUT-FORMAT", f"ITK reads no {ending} named with capitals in the ending; rename it")
    if ending in _PAIRED and (found := _TAKEN_OTHERWISE.search(path.name)):
        raise OutputError(
            "OUT-FORMAT",
            f"ITK does not find the voxels of a {ending} whose name has {found[0]!r} there; choose another name",
        )
    if not ending.startswith(".nii"):
        _refuse_bytes(path, OutputError, "OUT-FORMAT", "output")
    for part in parts(path, sidecar=sidecar):
        refuse_existing(part, overwrite=overwrite)
    if not ending.startswith(".nii"):
        from thinslice.io.files.itk import refuse_shear

        refuse_shear(affine, shape, upright=upright)


def parts(path: str | PathLike[str], *, sidecar: bool = False) -> tuple[Path, ...]:
    """The files that an output consists of: .mhd and .nhdr have a .raw beside them, NIfTI may have a side-car."""
    path = Path(path)
    if sidecar and ending_of(path).startswith(".nii"):
        return path, sidecar_path(path, ending_of(path))
    return (path, path.with_suffix(".raw")) if ending_of(path) in _PAIRED else (path,)


def parts_read(path: Path) -> tuple[Path, ...]:
    """The files that an input consists of: its side-car, and another one for its voxels where a header names one.

    Nothing is checked here.
    """
    if not has_known_ending(path):
        return (path,)
    beside = sidecar_path(path, ending_of(path))
    own = (path, beside) if beside.is_file() else (path,)
    if ending_of(path).startswith(".nii"):
        return own
    from thinslice.io.files.integrity import voxel_file

    elsewhere = voxel_file(path)
    return own if elsewhere is None else (*own, elsewhere)


def check_there(path: Path, *, what: str = "input") -> None:
    """Refuse a path that leads nowhere.

    Raises:
        InputError: FILE-MISSING, FILE-UNREADABLE (no permission, a loop of links), FILE-BROKEN (empty).
    """
    try:
        mode = path.stat().st_mode
        empty = False
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                empty = not file.read(1)
    except FileNotFoundError as error:
        raise InputError("FILE-MISSING", f"{what} {named(path, '')} does not exist; check the path") from error
    except OSError as error:
        raise InputError("FILE-UNREADABLE", f"{what} {named(path, '')} cannot be read: {error.strerror}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError("FILE-UNREADABLE", f"{what} {named(path, '')} is neither a file nor a folder")
    if empty:
        raise InputError("FILE-BROKEN", f"{what} {named(path, '')} is empty: 0 bytes; copy it again")


def _refuse_bytes(path: Path, kind: type[InputError | OutputError], code: str, what: str) -> None:
    """Refuse a path that is no text: SimpleITK ends the process over it."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError as error:
        raise kind(
            code, f"the path of the {what} is no UTF-8, which SimpleITK needs; rename it, or use .nii.gz"
        ) from error
