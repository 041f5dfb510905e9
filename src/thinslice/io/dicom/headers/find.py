"""Find the files of an input: a folder of any depth, a zip archive, or one file.

Nothing is extracted and no name out of an archive is ever used as a path: members are read into
memory by handle. Symbolic links to folders are not followed.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from thinslice.errors import InputError, named
from thinslice.io.dicom.headers.limits import FREELY_INFLATED, Limits
from thinslice.system.temporary import PREFIX


@dataclass(frozen=True, eq=False)
class Entry:
    """A file of the input.

    Attributes:
        name: relative to the input.
        size: bytes.
        path: where it lies, or None for a member of an archive.
        archive: the open archive, or None.
        member: its entry in the archive.
        number: from 1, in the order of names.
    """

    name: str
    size: int
    path: Path | None = None
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None
    number: int = 1

    @property
    def shown(self) -> str:
        """What messages call it: its path, or archive and member, as they would be typed; in records its number."""
        typed = f"{self.archive.filename}: {self.name}" if self.archive is not None else str(self.path)
        return named(typed, f"file {self.number} (in the order of names)")

    def open(self) -> BinaryIO:
        """A seekable stream of the file's bytes.

        Raises:
            InputError: DCM-UNREADABLE; DCM-ZIP where a member is damaged or longer than declared.
        """
        if self.path is not None:
            try:
                return self.path.open("rb")
            except OSError as error:
                raise InputError("DCM-UNREADABLE", f"cannot open {self.shown}: {error.strerror}") from error
        assert self.archive is not None
        assert self.member is not None
        try:
            with self.archive.open(self.member) as stream:
                data = stream.read(self.size + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
            raise InputError("DCM-ZIP", f"archive member {self.shown} cannot be read; pack the archive anew") from error
        if len(data) != self.size:
            raise InputError(
                "DCM-ZIP", f"archive member {self.shown} is not as long as declared; pack the archive anew"
            )
        return BytesIO(data)

    def start(self, count: int) -> bytes:
        """The first `count` bytes."""
        if self.path is not None:
            with self.open() as stream:
                return stream.read(count)
        assert self.archive is not None
        assert self.member is not None
        try:
            with self.archive.open(self.member) as stream:
                return stream.read(count)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
            raise InputError("DCM-ZIP", f"archive member {self.shown} cannot be read; pack the archive anew") from error


def find(path: Path, limits: Limits) -> list[Entry]:
    """All regular files of the input, sorted by name.

    Raises:
        InputError: DCM-NONE where there is no such input, DCM-UNREADABLE, DCM-LIMIT, DCM-ZIP.
    """
    if path.is_dir() or is_directory_file(path):
        entries = _numbered(_walk(path if path.is_dir() else path.parent, limits))
    elif path.is_file():
        entries = list(_members(path, limits)) if is_zip(path) else [Entry(path.name, path.stat().st_size, path)]
    else:
        raise InputError("DCM-NONE", f"no file or folder called {named(path, '')}; check the path")
    return entries


def find_beside(file: Path, limits: Limits) -> list[Entry]:
    """The regular files of the folder that a file lies in, without those of folders below it, sorted by name.

    Raises:
        InputError: DCM-UNREADABLE, DCM-LIMIT.
    """
    return _numbered(_walk(file.parent, limits, deeper=False))


def find_named(folder: Path, names: Iterable[str], limits: Limits) -> list[Entry]:
    """Files of a folder that are known by name, relative to it, sorted by name.

    Raises:
        InputError: DCM-UNREADABLE where one of them is not there any more; DCM-LIMIT.
    """

    def entries() -> Iterator[Entry]:
        for count, name in enumerate(names, 1):
            limits.check("files", count, f"files under {named(folder, 'the input')}")
            file = folder / name
            try:
                yield Entry(name, file.stat().st_size, file)
            except OSError as error:
                what = named(file, "a file of the input")
                raise InputError("DCM-UNREADABLE", f"cannot read {what}: {error.strerror}; a slice is lost") from error

    return _numbered(entries())


def is_directory_file(path: Path) -> bool:
    """Whether a path is the DICOMDIR of a medium, whose folder holds what it lists."""
    return path.name.upper() in ("DICOMDIR", "DICOMDIR.DCM") and path.is_file()


def _numbered(entries: Iterator[Entry]) -> list[Entry]:
    in_order = sorted(entries, key=lambda entry: entry.name)
    return [replace(entry, number=number) for number, entry in enumerate(in_order, 1)]


def linked_folders(path: Path) -> list[Path]:
    """The links below a folder that lead to folders elsewhere, which `find` does not look into."""
    top, found = path.resolve(), []
    for folder, folders, _ in os.walk(path):
        for name in folders:
            link = Path(folder, name)
            if link.is_symlink() and not _within(link.resolve(), top):
                found.append(link)
    return sorted(found)


def _within(place: Path, top: Path) -> bool:
    """Whether one of two folders holds the other: what lies there is found anyway, or is a circle."""
    return place.is_relative_to(top) or top.is_relative_to(place)


def is_zip(path: Path) -> bool:
    """Whether a file starts as a zip archive does."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def is_meant(name: str) -> bool:
    """Whether a file's name says that it is DICOM."""
    return name.lower().endswith((".dcm", ".dicom", ".ima"))


def _walk(top: Path, limits: Limits, *, deeper: bool = True) -> Iterator[Entry]:
    """Files in a folder, and below it where `deeper`.

    Links that lead nowhere or in a circle are left out, unless named as a slice is.

    Raises:
        InputError: DCM-UNREADABLE for what may not be looked at: it might hold slices.
    """

    def refuse(error: OSError) -> None:
        what = named(Path(error.filename or top), "a folder or file of the input")
        raise InputError("DCM-UNREADABLE", f"cannot read {what}: {error.strerror}; a slice may be lost") from error

    count = 0
    for folder, folders, names in os.walk(top, onerror=refuse):
        folders[:] = [name for name in folders if deeper and not name.startswith(PREFIX)]  # results in the making
        depth = len(Path(folder).relative_to(top).parts)
        limits.check("depth", depth, f"folder depth under {named(top, 'the input')}")
        for name in names:
            file = Path(folder, name)
            try:
                status = file.stat()
            except OSError as error:
                if is_meant(name) or isinstance(error, PermissionError):
                    refuse(error)
                continue
            if stat.S_ISREG(status.st_mode):
                count += 1
                limits.check("files", count, f"files under {named(top, 'the input')}")
                yield Entry(str(file.relative_to(top)), status.st_size, file)


def _members(path: Path, limits: Limits) -> Iterator[Entry]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError("DCM-ZIP", f"archive {named(path, '')} cannot be read; pack it anew") from error
    members = [member for member in archive.infolist() if not member.is_dir()]
    limits.check("files", len(members), f"members of {named(path, 'the archive')}")
    limits.check(
        "archive_bytes", sum(member.file_size for member in members), f"unpacked size of {named(path, 'the archive')}"
    )
    for number, member in enumerate(sorted(members, key=lambda member: member.filename), 1):
        _refuse_unsafe(member, named(path, ""), limits)
        yield Entry(member.filename, member.file_size, archive=archive, member=member, number=number)


def _refuse_unsafe(member: zipfile.ZipInfo, archive: str, limits: Limits) -> None:
    """Raise DCM-ZIP for members that no honest export holds."""
    name = member.filename.replace("\\", "/")
    reason, shown = None, named(f" ({member.filename})", "")
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        reason = f"the name of a member{shown} leads out of the archive"
    elif stat.S_ISLNK(member.external_attr >> 16):
        reason = f"a member{shown} is a link"
    elif member.flag_bits & 1:
        reason = "it is encrypted"
    elif name.lower().endswith(".zip"):
        reason = f"it holds another archive{shown}"
    elif member.file_size > max(FREELY_INFLATED, limits.inflate_ratio * member.compress_size):
        reason = f"a member{shown} grows more than {limits.inflate_ratio} times"
    if reason:
        raise InputError("DCM-ZIP", f"archive {archive} is refused: {reason}; unpack it and give the folder")
