"""Errors and warnings: codes, exit codes, one line each.

Every error that a user can meet is a `ThinsliceError` with a stable `code` and the `exit_code` of
the command line. A warning is a `Notice`: it never stops a run, it goes to stderr and the record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

_NAMED = re.compile("\x02([^\x03\x04]*)\x04([^\x03\x04]*)\x03")


def named(path: PurePath | str, instead: str = "the file") -> str:
    """The name of a file or folder, marked for messages: people name files after patients.

    Messages show `instead` in its place; the name itself comes only where identity is asked for.
    """
    name = path.name if isinstance(path, PurePath) else path
    return f"\x02{printable(name)}\x04{instead}\x03"


def printable(path: PurePath | str) -> str:
    """A path as it can stand in a line: what would end the line, or cannot be shown, is a question mark."""
    return "".join(c if c.isprintable() else "?" for c in str(path))


def _shown(text: str, *, names: bool) -> str:
    return " ".join(_NAMED.sub(r"\1" if names else r"\2", text).split())


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
        message: one line, without the code; what may be a patient's name is marked by `named`.
    """

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(_shown(message, names=False))
        self.code = code
        self.marked = message

    def __reduce__(self) -> tuple[type[ThinsliceError], tuple[str, str]]:
        return type(self), (self.code, self.marked)

    @property
    def message(self) -> str:
        """One line, without names of files and folders."""
        return _shown(self.marked, names=False)

    @property
    def message_with_names(self) -> str:
        """The same line with the names: for those who may see whose scan it is."""
        return _shown(self.marked, names=True)

    @property
    def line_with_names(self) -> str:
        """The line for stderr, with the names."""
        return f"error[{self.code}]: {self.message_with_names}"

    @property
    def line(self) -> str:
        """The line for stderr: ``error[CODE]: message``."""
        return f"error[{self.code}]: {self.message}"


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


@dataclass(frozen=True)
class Notice:
    """A warning: what it means for the result, in one line."""

    code: str
    message: str

    @property
    def line(self) -> str:
        """The line for stderr: ``warning[CODE]: message``."""
        return f"warning[{self.code}]: {self.message}"
