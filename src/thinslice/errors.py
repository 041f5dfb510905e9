"""Errors and warnings: codes, exit codes, one line each.

Every error that a user can meet is a `ThinsliceError` with a stable `code` and the `exit_code` of
the command line. A warning is a `Notice`: it never stops a run, it goes to stderr and the record.
"""

from __future__ import annotations

from dataclasses import dataclass


class ThinsliceError(Exception):
    """What is wrong, with the value found, and what to do about it.

    Args:
        code: stable code, such as ``"GEO-FEW"``.
        message: one line, without the code.
    """

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = " ".join(message.split())

    def __reduce__(self) -> tuple[type[ThinsliceError], tuple[str, str]]:
        return type(self), (self.code, self.message)

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
