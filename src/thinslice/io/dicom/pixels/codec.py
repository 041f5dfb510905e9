"""Decode one compressed image. Called in a worker process only (`decoders.py`): native decoders may crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import gdcm  # type: ignore[import-untyped]
import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder  # type: ignore[attr-defined]
from pydicom.uid import UID

from thinslice.io.dicom.headers.syntaxes import JPEG, JPEG_LS, PLUGINS


@dataclass(frozen=True)
class FrameHeader:
    """What the header says of an image: transfer syntax, matrix, bits allocated and stored, sign."""

    syntax: str
    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool


def decode_image(codestream: bytes, header: FrameHeader) -> np.ndarray:
    """(rows, columns) unsigned container values.

    Raises:
        ModuleNotFoundError: naming the decoder that is not installed.
        Exception: of any type, on damaged data.
    """
    plugin = PLUGINS.get(header.syntax)
    decoder = cast(Any, get_decoder)(UID(header.syntax)) if plugin else None
    missing = decoder is not None and plugin not in decoder.available_plugins
    if header.syntax in JPEG or (missing and header.syntax in JPEG_LS):
        return _decode_by_gdcm(codestream, header)
    if decoder is None or missing:
        raise ModuleNotFoundError(name=plugin)
    options: Any = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": header.allocated,
        "bits_stored": header.stored,
        "pixel_representation": int(header.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    array, _ = decoder.as_array(encapsulate([codestream]), raw=True, decoding_plugin=plugin, **options)
    return np.asarray(array).reshape(header.rows, header.columns)


def _decode_by_gdcm(codestream: bytes, header: FrameHeader) -> np.ndarray:
    """(rows, columns) unsigned container values of a one-component image of the JPEG family.

    GDCM is asked directly, since pydicom's own bridge to it declines the 12-bit extended process.

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
    image.SetDimensions((header.columns, header.rows, 1))
    image.SetDataElement(element)
    monochrome = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(monochrome))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(header.syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, header.allocated, header.stored, header.stored - 1, int(header.signed)))
    data = image.GetBuffer().encode("utf-8", "surrogateescape")  # GDCM gives char* as str
    if len(data) != header.rows * header.columns * header.allocated // 8:
        raise ValueError(
            f"{len(data)} bytes decoded for {header.rows}x{header.columns} pixels of {header.allocated} bits"
        )
    return np.frombuffer(data, f"u{header.allocated // 8}").reshape(header.rows, header.columns)
