"""Texts of an image by its own character set."""

from __future__ import annotations

import codecs

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement

from thinslice.io.dicom.headers.attributes import value_vr
from thinslice.io.dicom.headers.slices import Slice

_TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}
_NAME_DELIMITERS = _TEXT_DELIMITERS | {ord("^"), ord("=")}
_ENCODINGS = frozenset(codecs.lookup(encoding).name for encoding in python_encoding.values())


def text_of(image: Slice, keyword: str) -> str:
    """An attribute as a reader sees it, without padding; "" where absent or empty."""
    return decoded((stored_bytes(image, keyword) or b"").rstrip(b" \0"), image, keyword)


def stored_bytes(image: Slice, keyword: str) -> bytes | None:
    """The bytes of an attribute; None where it is absent or holds no such value."""
    element = image.attributes.raw(keyword)
    if element is None or value_vr(element) is None:
        return None
    if isinstance(element, RawDataElement):
        return element.value or b""
    return image.attributes.text(keyword).encode("utf-8")


def decoded(value: bytes, image: Slice, keyword: str) -> str:
    """Bytes of an attribute as text."""
    encodings = convert_encodings(list(charset_of(image)) or None)
    delimiters = _NAME_DELIMITERS if dictionary_VR(keyword) == "PN" else _TEXT_DELIMITERS
    return decode_bytes(value, encodings, delimiters)


def charset_of(image: Slice) -> tuple[str, ...]:
    """SpecificCharacterSet; () where it names an encoding of Python's that is none of DICOM's, such as "hex"."""
    values = image.attributes.values("SpecificCharacterSet")
    encodings = convert_encodings(list(values) or None)
    return values if {codecs.lookup(encoding).name for encoding in encodings} <= _ENCODINGS else ()
