"""Decode JPEG of the older family with GDCM: lossless (process 14), extended 12-bit and baseline; JPEG-LS at need.

Lossless JPEG is the commonest compression of CT. GDCM is asked directly, since pydicom's own bridge
to it declines the 12-bit extended process, which GDCM decodes.
"""

from __future__ import annotations

import gdcm  # type: ignore[import-untyped]
import numpy as np

SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in ("50", "51", "57", "70"))
LS_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in ("80", "81"))
"""Decoded here where pyjpegls is missing: it has no build for Python 3.14."""


def decode_jpeg(
    codestream: bytes, syntax: str, *, rows: int, columns: int, allocated: int, stored: int, signed: bool
) -> np.ndarray:
    """(rows, columns) unsigned container values of a one-component JPEG image.

    Args:
        codestream: from SOI to EOI.
        syntax: UID of the transfer syntax.
        rows: of the image, already compared with the codestream.
        columns: of the image.
        allocated: BitsAllocated, 8 or 16.
        stored: BitsStored.
        signed: PixelRepresentation 1.

    Raises:
        ValueError: where the decoder gives another number of bytes than the image has.
    """
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    monochrome = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(monochrome))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, stored, stored - 1, int(signed)))
    data = image.GetBuffer().encode("utf-8", "surrogateescape")  # GDCM gives char* as str
    if len(data) != rows * columns * allocated // 8:
        raise ValueError(f"{len(data)} bytes decoded for {rows}x{columns} pixels of {allocated} bits")
    return np.frombuffer(data, f"u{allocated // 8}").reshape(rows, columns)
