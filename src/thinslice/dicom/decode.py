"""Pass 2: pixels of one slice, from bytes to stored values.

Stored values are what PixelRepresentation and BitsStored say: bits above BitsStored (overlays of old)
are masked away, then the sign is extended, whether the writer extended it or not.
"""

from __future__ import annotations

import struct

import numpy as np
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian

from thinslice.dicom.codes import refusal
from thinslice.dicom.slices import Slice
from thinslice.errors import ThinsliceError

_JPEG = "1.2.840.10008.1.2.4."
_PLUGINS = {  # by transfer syntax: the decoder that was tested for it
    "1.2.840.10008.1.2.5": "pylibjpeg",
    **{_JPEG + last: "gdcm" for last in ("50", "51", "57", "70")},
    **{_JPEG + last: "pyjpegls" for last in ("80", "81")},
    **{_JPEG + last: "pylibjpeg" for last in ("90", "91", "201", "202", "203")},
}
_MOST_ENCAPSULATED = 1 << 31


def stored_values(image: Slice) -> np.ndarray:
    """(rows, columns) int32, or int64 for 32-bit pixels: the stored values of a checked slice.

    Raises:
        InputError: DCM-UNREADABLE, DCM-CODEC, DCM-CODESTREAM.
    """
    attributes = image.attributes
    stored, allocated = attributes.integer("BitsStored") or 0, attributes.integer("BitsAllocated") or 0
    signed = attributes.integer("PixelRepresentation") == 1
    try:
        raw = _native(image, allocated) if image.file.pixel_length is not None else _encapsulated(image, allocated)
    except ThinsliceError:
        raise
    except Exception as error:  # decoders raise many types on damaged data
        raise refusal(
            "DCM-UNREADABLE", f"the pixels of {image.file.name} cannot be decoded; copy the series anew"
        ) from error
    return extend_sign(raw, bits=stored, signed=signed)


def extend_sign(raw: np.ndarray, *, bits: int, signed: bool) -> np.ndarray:
    """Values of the lowest `bits` bits, as two's complement where `signed`; int32, or int64 above 16 bits."""
    values = raw.astype(np.int64 if bits > 16 else np.int32) & ((1 << bits) - 1)
    if signed:
        sign = 1 << (bits - 1)
        values = (values ^ sign) - sign
    return values


def _native(image: Slice, allocated: int) -> np.ndarray:
    rows, columns = image.shape
    count = rows * columns * allocated // 8
    order = ">" if image.file.syntax == ExplicitVRBigEndian else "<"
    with image.file.open() as stream:
        stream.seek((image.file.pixel_offset or 0) + image.frame * count)
        data = stream.read(count)
    if len(data) < count:
        raise refusal("DCM-UNREADABLE", f"the pixels of {image.file.name} are cut short; copy the series anew")
    if allocated == 8 and order == ">" and image.attributes.text("NumberOfFrames") in ("", "1"):
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()  # 8-bit pixels lie in 16-bit words, PS3.5 annex A
    return np.frombuffer(data, f"{order}u{allocated // 8}").reshape(rows, columns)


def _encapsulated(image: Slice, allocated: int) -> np.ndarray:
    file, attributes = image.file, image.attributes
    syntax = UID(file.syntax)
    plugin = _PLUGINS.get(file.syntax)
    if plugin is None:
        raise refusal(
            "DCM-CODEC",
            f"transfer syntax {file.syntax} cannot be decoded here; export uncompressed or losslessly compressed",
        )
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise refusal(
            "DCM-CODEC", f"transfer syntax {file.syntax} cannot be decoded here; export uncompressed"
        ) from error
    if plugin not in decoder.available_plugins:
        raise refusal(
            "DCM-CODEC", f"transfer syntax {file.syntax} needs the decoder {plugin}, which is not installed; install it"
        )
    with file.open() as stream:
        stream.seek(file.pixel_offset or 0)
        data = stream.read(_MOST_ENCAPSULATED)
    frames = attributes.integer("NumberOfFrames") or 1
    codestream = get_frame(data, image.frame, number_of_frames=frames)
    rows, columns = image.shape
    check_codestream(codestream, file.syntax, rows, columns, attributes.integer("BitsStored") or 0, file.name)
    array, _ = decoder.as_array(
        encapsulate([codestream]),
        raw=True,
        decoding_plugin=plugin,
        rows=rows,
        columns=columns,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=allocated,
        bits_stored=attributes.integer("BitsStored"),
        pixel_representation=attributes.integer("PixelRepresentation"),
        number_of_frames=1,
        pixel_keyword="PixelData",
    )
    return np.asarray(array).reshape(rows, columns)


def check_codestream(data: bytes, syntax: str, rows: int, columns: int, bits: int, name: str) -> None:
    """Raise DCM-CODESTREAM where the compressed image is not of the size that the header states.

    Some decoders fill whatever size they are told from a larger image without a word.
    """
    found = jpeg2000_size(data) if syntax.startswith(f"{_JPEG}9") or syntax.startswith(f"{_JPEG}20") else None
    if found is None and syntax.startswith(_JPEG):
        found = jpeg_size(data)
    if syntax.startswith(_JPEG) and (found is None or found[:2] != (rows, columns) or found[2] != 1):
        shown = "no image" if found is None else f"{found[0]}x{found[1]}, {found[2]} components"
        raise refusal(
            "DCM-CODESTREAM",
            f"{name} holds a compressed image ({shown}) other than its header's {rows}x{columns}; copy it anew",
        )


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS stream, from its frame header; None where there is none."""
    position = 2
    while data[:2] == b"\xff\xd8" and position + 9 < len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns, components = struct.unpack(">HHB", data[position + 5 : position + 10])
            return rows, columns, components
        position += 2 + length
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG 2000 codestream, from its SIZ marker; None where there is none."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 42:
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
    (components,) = struct.unpack(">H", data[start + 40 : start + 42])
    return y1 - y0, x1 - x0, components
