"""A few short attributes of a DICOM file, read from its first kilobytes without building a data set.

For looking at 100,000 files: pydicom takes 2 ms a file for the same attributes, this a tenth of that
(docs/scaling.md). It knows little-endian data sets of the two usual kinds. Whatever else it meets it leaves to pydicom.
"""

from __future__ import annotations

import struct

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

START = 16 << 10
"""So many bytes of a file are looked at."""
_EXPLICIT, _IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
_ENCAPSULATED = b"1.2.840.10008.1.2.4", b"1.2.840.10008.1.2.5"  # explicit, little-endian
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
_EXPLICIT_HEAD = struct.Struct("<HH2sH").unpack_from  # tag, VR and a short length
_IMPLICIT_HEAD = struct.Struct("<HHI").unpack_from
_LENGTH = struct.Struct("<I").unpack_from
_ITEM, _ITEM_ENDS, _SEQUENCE_ENDS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 16


class _Unusual(Exception):
    """Something that is left to pydicom."""


class Glance:
    """Reads some attributes of many files.

    Args:
        *keywords: of the attributes, none of them a sequence.
    """

    def __init__(self, *keywords: str) -> None:
        self.tags: dict[int, BaseTag] = {}
        for keyword in keywords:
            number = tag_for_keyword(keyword)
            assert number is not None
            self.tags[number] = Tag(number)
        self._last = max(self.tags)

    def of(self, start: bytes) -> Dataset | None:
        """The attributes that stand in the beginning of a file; None where pydicom has to look.

        Args:
            start: the first `START` bytes of a file that is marked as DICOM.
        """
        try:
            explicit, at = _after_meta(start)
            return self._elements(start, at, explicit=explicit)
        except (_Unusual, struct.error):
            return None

    def _elements(self, data: bytes, at: int, *, explicit: bool) -> Dataset:
        found: dict[BaseTag, RawDataElement] = {}
        previous = 0
        while True:
            number, vr, length, at = _head(data, at, explicit=explicit)
            if number <= previous:  # tags ascend: this is no data set
                raise _Unusual
            if number > self._last:
                break
            previous = number
            if length == _UNDEFINED:
                at = _behind_items(data, at, explicit=explicit)
                continue
            if (tag := self.tags.get(number)) is not None:
                if at + length > len(data):
                    raise _Unusual
                name = vr.decode("ascii") if vr else dictionary_VR(tag)
                found[tag] = RawDataElement(tag, name[:2], length, data[at : at + length], at, not explicit, True)
            at += length
        dataset = Dataset()
        dataset._dict.update(found)
        return dataset


def _after_meta(data: bytes) -> tuple[bool, int]:
    """Whether the data set writes its VRs, and where it begins."""
    if data[128:132] != b"DICM":
        raise _Unusual
    at, syntax = 132, b""
    while data[at : at + 2] == b"\x02\x00":
        element = data[at + 2 : at + 4]
        _, _, length, at = _head(data, at, explicit=True)
        if element == b"\x10\x00":
            syntax = data[at : at + length].rstrip(b"\0 ")
        at += length
    if syntax == _IMPLICIT:
        return False, at
    if syntax == _EXPLICIT or syntax.startswith(_ENCAPSULATED):
        return True, at
    raise _Unusual


def _head(data: bytes, at: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR (b"" where it is not written), length, and where the value of an element begins."""
    if not explicit:
        group, element, length = _IMPLICIT_HEAD(data, at)
        return group << 16 | element, b"", length, at + 8
    group, element, vr, length = _EXPLICIT_HEAD(data, at)
    if vr in _SHORT:
        return group << 16 | element, vr, length, at + 8
    if vr in _LONG:
        (length,) = _LENGTH(data, at + 8)
        return group << 16 | element, vr, length, at + 12
    raise _Unusual


def _behind_items(data: bytes, at: int, *, explicit: bool, depth: int = 0) -> int:
    """Where a sequence of undefined length, whose first item begins at `at`, has ended."""
    if depth > _DEEPEST:
        raise _Unusual
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        number = group << 16 | element
        if number == _SEQUENCE_ENDS:
            return at
        if number != _ITEM:
            raise _Unusual
        if length != _UNDEFINED:
            at += length
            continue
        while struct.unpack_from("<HH", data, at) != (_ITEM_ENDS >> 16, _ITEM_ENDS & 0xFFFF):
            _, _, length, at = _head(data, at, explicit=explicit)
            at = _behind_items(data, at, explicit=explicit, depth=depth + 1) if length == _UNDEFINED else at + length
        at += 8
