"""What a compressed image says about its own size, read before a decoder sees it.

Some decoders fill whatever size they are told from a larger image without a word.
"""

from __future__ import annotations

import struct

from thinslice.dicom.codes import refusal

_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_JPEG_LS = (f"{_JPEG_FAMILY}80", f"{_JPEG_FAMILY}81")
_JPEG2000 = (f"{_JPEG_FAMILY}9", f"{_JPEG_FAMILY}20")
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def check_codestream(data: bytes, syntax: str, *, rows: int, columns: int, name: str) -> None:
    """Compare a compressed image with the header of its file.

    Raises:
        InputError: DCM-CODESTREAM where matrix or number of components differ, or no image is found;
            DCM-UNREADABLE where the end of a JPEG-LS image is missing.
    """
    if not syntax.startswith(_JPEG_FAMILY):
        return
    found = jpeg2000_size(data) if syntax.startswith(_JPEG2000) else jpeg_size(data)
    if found != (rows, columns, 1):
        shown = "no image" if found is None else f"{found[0]}x{found[1]}, {found[2]} components"
        raise refusal(
            "DCM-CODESTREAM",
            f"{name} holds a compressed image ({shown}) other than its header's {rows}x{columns}; copy it anew",
        )
    if syntax in _JPEG_LS and b"\xff\xd9" not in data:  # its coded values never look like this end of image
        # The decoder takes ten seconds to find this out. Not asked of the older JPEG, whose writers leave the end
        # of image away at times. What follows the end is padding.
        raise refusal("DCM-UNREADABLE", f"the compressed image of {name} is cut short; copy it anew")


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG or JPEG-LS stream, from its frame header; None where there is none."""
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            position += 1
        elif marker in _FRAME_HEADERS:
            rows, columns, components = struct.unpack(">HHB", data[position + 5 : position + 10])
            return rows, columns, components
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG 2000 codestream, from its SIZ marker; None where there is none."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    (components,) = struct.unpack(">H", data[start + 40 : start + 42])
    return bottom - top, right - left, components
