"""The codes that a DICOM input or output can end with, and how each stops or warns.

A problem found in the headers does not raise at once: all of them are collected, so that one line
can name every reason, and the exit code is the smallest that applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thinslice.errors import GeometryError, InputError, ModelError, Notice, ThinsliceError

GEOMETRIC = frozenset(
    {"DCM-FEW", "DCM-IPP", "DCM-IOP", "DCM-SPACING", "DCM-MIXED", "DCM-FOR", "DCM-GAP", "DCM-UNEVEN", "DCM-DRIFT"}
    | {
        "DCM-DUP-DIFF",
        "DCM-TILT",
        "DCM-TILT-TAG",
        "DCM-JITTER",
        "DCM-IOP-NOISE",
        "DCM-THICK",
        "DCM-DUP",
        "DCM-REPAIRED",
        "DCM-FOR-SLICE",
    }
)
"""Codes of geometry, also those of warnings that become errors under --strict."""


def refusal(code: str, message: str) -> ThinsliceError:
    """The error of this code: exit 4 for geometry, 7 for a synthesised source, 3 for all others."""
    if code == "DCM-SYNTH":
        return ModelError(code, message)
    return GeometryError(code, message) if code in GEOMETRIC else InputError(code, message)


def listed(texts: Sequence[str], most: int, *, separator: str = ", ") -> str:
    """The first texts in one line, and how many there are where that is not all."""
    more = f"{separator}... ({len(texts)} in all)" if len(texts) > most else ""
    return separator.join(texts[:most]) + more


@dataclass
class Findings:
    """Errors and warnings gathered while a series is looked at.

    Attributes:
        strict: every warning becomes an error.
        errors: what refuses the series, in the order found.
        notices: what is only reported.
    """

    strict: bool = False
    errors: list[ThinsliceError] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def refuse(self, code: str, message: str) -> None:
        """Note an error; a code is noted once."""
        if all(error.code != code for error in self.errors):
            self.errors.append(refusal(code, message))

    def warn(self, code: str, message: str) -> None:
        """Note a warning, or an error under `strict`; the same one is noted once, also of several parts."""
        if self.strict:
            self.refuse(code, f"{message} (an error under --strict)")
        elif (notice := Notice(code, message)) not in self.notices:
            self.notices.append(notice)

    def settle(self) -> None:
        """Raise the first error of the smallest exit code; the line names the codes of the others."""
        if not self.errors:
            return
        first = min(self.errors, key=lambda error: error.exit_code)
        others = [error.code for error in self.errors if error is not first]
        more = f" (also {', '.join(others)})" if others else ""
        raise type(first)(first.code, first.marked + more)
