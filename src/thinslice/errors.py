"""Errors and warnings: codes, exit codes, one line each.

Every error that a user can meet is a `ThinsliceError` with a stable `code` and the `exit_code` of
the command line. A warning is a `Notice`: it never stops a run, it goes to stderr and the record.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import ClassVar

_KEPT = "\x05"  # a space within a name, two of which are two
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory")  # torch, of its RuntimeErrors
_NAMED = re.compile("\x02([^\x03\x04]*)\x04([^\x03\x04]*)\x03")


def named(path: PurePath | str, instead: str = "the file") -> str:
    """The path of a file or folder as it was typed, marked for messages: people name files after patients.

    Terminals and exceptions show it: whoever typed it knows it, and must find the file. Records, side-cars and pages
    show `instead` in its place.
    """
    return f"\x02{printable(path)}\x04{instead}\x03"


def printable(path: PurePath | str) -> str:
    """A path as it can stand in a line: what would end the line, or cannot be shown, is a question mark."""
    return "".join(c if c.isprintable() else "?" for c in str(path))


def _shown(text: str, *, names: bool) -> str:
    shown = _NAMED.sub(lambda found: found[1].replace(" ", _KEPT) if names else found[2], text)
    return " ".join(shown.split()).replace(_KEPT, " ")


def _led_by(path: PurePath, message: str) -> str:
    return message if _NAMED.search(message) else named(f"{path}: ", "") + message


def counted(number: int, noun: str, plural: str = "") -> str:
    """Such as ``1 slice`` and ``3 slices``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class ThinsliceError(Exception):
    """What is wrong, with the value found, and what to do about it.

        >>> import thinslice
        >>> try:
        ...     thinslice.enhance("thick.nii.gz", budget=0)
        ... except thinslice.ThinsliceError as error:
        ...     print(error.code, error.exit_code)
        ...     print(error.line)
        USE-BUDGET 2
        error[USE-BUDGET]: the budget in seconds must be a number over 0, found 0

    Args:
        code: stable code, such as ``"GEO-FEW"``.
        message: one line, without the code; paths are marked by `named`.

    `str` of an error names the files at fault.
    """

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(_shown(message, names=True))
        self.code = code
        self.marked = message

    def __reduce__(self) -> tuple[type[ThinsliceError], tuple[str, str]]:
        return type(self), (self.code, self.marked)

    def name(self, path: PurePath) -> None:
        """Put the path in front where no file is named."""
        self.__init__(self.code, _led_by(path, self.marked))  # type: ignore[misc]

    @property
    def message(self) -> str:
        """One line, without names of files and folders: for records."""
        return _shown(self.marked, names=False)

    @property
    def message_with_names(self) -> str:
        """The same line with the names, as `str` gives it: for whoever typed them."""
        return _shown(self.marked, names=True)

    @property
    def line(self) -> str:
        """The line for stderr, with the names: ``error[CODE]: message``."""
        return f"error[{self.code}]: {self.message_with_names}"


class UsageError(ThinsliceError):
    """An option is wrong or does not go with another (exit 2)."""

    exit_code = 2


class InputError(ThinsliceError):
    """The input is no readable CT volume (exit 3)."""

    exit_code = 3


class GeometryError(ThinsliceError):
    """The input's geometry is refused (exit 4)."""

    exit_code = 4


class ResourceError(ThinsliceError):
    """Not enough memory or disk, found before work starts (exit 5)."""

    exit_code = 5


class OutputError(ThinsliceError):
    """The output exists or cannot be written (exit 6)."""

    exit_code = 6


class ModelError(ThinsliceError):
    """The model or its self-check refuses (exit 7)."""

    exit_code = 7


def as_thinslice_error(error: Exception) -> ThinsliceError:
    """The error with a code of thinslice: usage (2), no memory (5), a bug (1)."""
    if isinstance(error, ThinsliceError):
        return error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return OutputError("OUT-WRITE", f"output cannot be written: {error.strerror}")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        return ResourceError("RES-MEMORY", "memory ran out; free some, or use a machine with more of it")
    what = type(error).__name__  # a library's words may hold what a header says of the patient
    return ThinsliceError("BUG", f"{what}: this is a fault of thinslice; run again with --verbose and report it")


@dataclass(frozen=True)
class Notice:
    """A warning: what it means for the result, in one line.

    Attributes:
        code: stable code, such as ``"FILE-PIXDIM"``.
        message: one line without names of files and folders, for records; paths are given marked by `named`.
    """

    code: str
    message: str
    marked: ClassVar[str]  # of each, but no field: `asdict` is what records hold

    def __post_init__(self) -> None:
        object.__setattr__(self, "marked", self.message)
        object.__setattr__(self, "message", _shown(self.message, names=False))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notice) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.code, self.message))

    def of(self, path: PurePath) -> Notice:
        """The notice with the path in front where it names no file."""
        return Notice(self.code, _led_by(path, self.marked))

    @property
    def message_with_names(self) -> str:
        """The same line with the names: for whoever typed them."""
        return _shown(self.marked, names=True)

    @property
    def line(self) -> str:
        """The line for stderr, with the names: ``warning[CODE]: message``."""
        return f"warning[{self.code}]: {self.message_with_names}"


def recorded(notices: Iterable[Notice]) -> list[dict[str, str]]:
    """Warnings as records hold them: without names, each once."""
    found = [asdict(notice) for notice in notices]
    return [entry for number, entry in enumerate(found) if entry not in found[:number]]
