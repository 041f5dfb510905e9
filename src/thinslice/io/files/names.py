"""Names of files: what their ending says, which files go together, and what cannot be read or written under a name."""

from __future__ import annotations

import re
import stat
from os import PathLike
from pathlib import Path

from thinslice.errors import InputError, OutputError, named
from thinslice.io.files.integrity import voxel_file
from thinslice.io.files.sidecar import sidecar_path

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")

_PAIRED = (".nhdr", ".mhd")  # headers that name a .raw beside them, by rules of their own
_TAKEN_OTHERWISE = re.compile(r"^[\s~=:]|^LIST|^.:|[%\\\x00-\x1f\x7f]")  # names that ITK does not find again there


def has_known_ending(path: str | PathLike[str]) -> bool:
    """True where the name says that the file is one of `ENDINGS`."""
    return bool(ending_of(Path(path)))


def ending_of(path: Path) -> str:
    """The one of `ENDINGS` that a name ends in, in lower case; "" where it ends in none."""
    name = path.name.lower()
    return max((ending for ending in ENDINGS if name.endswith(ending)), key=len, default="")


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


def check_name(path: Path) -> str:
    """The ending of an output file that can be written under its name.

    Raises:
        OutputError: OUT-FORMAT.
    """
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
        refuse_bytes(path, OutputError, "OUT-FORMAT", "output")
    return ending


def refuse_bytes(path: Path, kind: type[InputError | OutputError], code: str, what: str) -> None:
    """Raise an error of that kind and code where a path is no text: SimpleITK ends the process over it."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError as error:
        raise kind(
            code, f"the path of the {what} is no UTF-8, which SimpleITK needs; rename it, or use .nii.gz"
        ) from error
