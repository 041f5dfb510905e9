"""Tell DICOM from other files by their first bytes."""

from __future__ import annotations

import struct
from pathlib import Path

from thinslice.io.dicom.headers.find import is_zip

START_BYTES = 140


def kind_of(start: bytes) -> str:
    """What a file is by its start.

    Returns:
        "dicom" (marked, or beginning with file meta information), "headerless" (a bare data set) or "foreign".
    """
    if start[128:132] == b"DICM" or start[:4] in (b"\x02\x00\x00\x00", b"\x02\x00\x01\x00", b"\x02\x00\x02\x00"):
        return "dicom"
    group, element, length = struct.unpack("<HHI", start[:8]) if len(start) >= 8 else (0, 0, 0)
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return "headerless" if group == 8 and element <= 0x18 and (length <= 64 or explicit) else "foreign"


def looks_like_dicom(path: str | Path) -> bool:
    """Whether a path is for this package: a folder, a zip archive, or a file that begins as DICOM does."""
    path = Path(path)
    if path.is_dir():
        return True
    try:
        with path.open("rb") as stream:
            start = stream.read(START_BYTES)
    except OSError:
        return False
    return is_zip(path) or kind_of(start) != "foreign"
