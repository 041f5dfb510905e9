"""Transfer syntaxes: which are read, by which decoder, and which may have lost data (PS3.5 section 10)."""

from __future__ import annotations

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

_JPEG = "1.2.840.10008.1.2.4."

JPEG = frozenset(_JPEG + last for last in ("50", "51", "57", "70"))
"""JPEG of the older family: baseline, extended 12-bit, lossless (process 14). GDCM decodes it."""
JPEG_LS = frozenset(_JPEG + last for last in ("80", "81"))
"""GDCM decodes it where pyjpegls is missing, which has no build for Python 3.14."""
PLUGINS = {
    "1.2.840.10008.1.2.5": "pylibjpeg",
    **dict.fromkeys(sorted(JPEG_LS), "pyjpegls"),
    **{_JPEG + last: "pylibjpeg" for last in ("90", "91", "201", "202", "203")},
}
"""The decoder of pydicom that was tested for a transfer syntax."""
UNCOMPRESSED = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}
)
READABLE = UNCOMPRESSED | JPEG | PLUGINS.keys()
"""Of a vendor's own syntax not even the byte order is known."""
LOSSY_OR_NOT = frozenset(_JPEG + last for last in ("91", "203"))
"""JPEG 2000 and HTJ2K allow both: they count as lossy unless the header denies it."""
LOSSY = frozenset(_JPEG + last for last in ("50", "51", "53", "55", "81")) | LOSSY_OR_NOT
"""Syntaxes that may lose data."""
