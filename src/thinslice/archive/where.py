"""Which scans of an archive are meant: conditions such as ``thickness >= 2.5 and slices >= 20``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thinslice.archive.extras import import_extra
from thinslice.errors import UsageError

if TYPE_CHECKING:
    from thinslice.io.survey import Scan

NAMES = {
    "slices": "number of slices", "spacing": "between slices, mm", "thickness": "of slices, mm",
    "pixel": "side of a pixel, mm", "rows": "of an image", "columns": "of an image", "bytes": "size of its files",
    "format": "dicom, nii, nii.gz, nrrd, nhdr, mha or mhd", "kernel": "ConvolutionKernel", "manufacturer": "",
    "kvp": "tube voltage", "number": "SeriesNumber", "description": "SeriesDescription", "path": "as found",
}  # fmt: skip
"""What a condition may speak of, and what it means; what a scan does not state is None."""


def condition(text: str) -> Callable[[Scan, str], bool]:
    """The condition that a text states, as a function of a scan and its path as it is shown.

    A comparison with what a scan does not state is false.

    Raises:
        UsageError: USE-WHERE where it is no condition, or speaks of what is not known; USE-EXTRA without simpleeval.
    """
    simpleeval: Any = import_extra("simpleeval", "batch")
    parser = simpleeval.SimpleEval(functions={"lower": lambda word: str(word or "").lower()})
    try:
        parsed = parser.parse(text)
    except (SyntaxError, simpleeval.InvalidExpression) as error:
        raise UsageError("USE-WHERE", f"--where {text!r} cannot be read: {_why(error)}") from error

    def holds(scan: Scan, shown: str) -> bool:
        parser.names = _values(scan, shown)
        try:
            return bool(parser.eval(text, previously_parsed=parsed))
        except simpleeval.NameNotDefined as error:
            known = ", ".join(NAMES)
            raise UsageError("USE-WHERE", f"--where {text!r} speaks of {error.name!r}; it knows {known}") from error
        except TypeError:  # compared with None: not stated
            return False
        except (simpleeval.InvalidExpression, ArithmeticError, ValueError, KeyError, AttributeError) as error:
            raise UsageError("USE-WHERE", f"--where {text!r} cannot be evaluated: {_why(error)}") from error

    return holds


def _values(scan: Scan, shown: str) -> dict[str, Any]:
    slices, rows, columns = scan.shape
    return {
        "slices": slices, "spacing": scan.spacing_mm, "thickness": scan.thickness_mm,
        "pixel": scan.pixel_mm and max(scan.pixel_mm), "rows": rows, "columns": columns, "bytes": scan.size,
        "format": scan.format, "kernel": scan.kernel or None, "manufacturer": scan.manufacturer or None,
        "kvp": scan.kvp, "number": scan.number, "description": scan.description or None, "path": shown,
    }  # fmt: skip


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
