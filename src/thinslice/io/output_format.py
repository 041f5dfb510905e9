"""In what form a result is written: what was asked for on the command line or in Python, from one hand to the next."""

from __future__ import annotations

from dataclasses import dataclass

from thinslice.errors import UsageError

DTYPES = ("int16", "float32")
COMPRESSIONS = ("none", "jpegls", "j2k", "rle")  # all without loss
_SERIES_NUMBERS = 1 << 31  # an IS holds less, and 0 is the first that makes sense


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """In what form a result is written, and whether it may replace what is there.

    What can be decided without the source is checked here; whether it suits the output and the source, on writing
    (`thinslice.io.writing`).

    Attributes:
        dtype: of a file's voxels, "int16" (rounded to whole HU; float32 where a value does not fit) or "float32".
        compress: of a DICOM series: "none", "jpegls", "j2k" or "rle".
        series_number: SeriesNumber of a DICOM series, or None for the source's plus 9000.
        like_source: a DICOM series has the source's own bits, sign and intercept.
        sidecar: beside a synthetic volume in NIfTI goes a side-car, NAME.json.
        overwrite: replace what is there.

    Raises:
        UsageError: USE-DTYPE, DCM-COMPRESS, DCM-SERIES-NUMBER.
    """

    dtype: str = "int16"
    compress: str = "none"
    series_number: int | None = None
    like_source: bool = False
    sidecar: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError("USE-DTYPE", f"dtype must be int16 or float32, found {self.dtype}")
        if self.compress not in COMPRESSIONS:
            raise UsageError(
                "DCM-COMPRESS", f"compression {self.compress!r} is unknown; choose from {', '.join(COMPRESSIONS)}"
            )
        number = self.series_number
        if number is not None and not 0 <= number < _SERIES_NUMBERS:
            raise UsageError("DCM-SERIES-NUMBER", f"series number {number} is out of range 0 to {_SERIES_NUMBERS - 1}")
