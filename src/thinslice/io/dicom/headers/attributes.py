"""Look up attributes of one image, bounded and without interpretation by a library.

Values are parsed from their bytes: a decimal string is at most 64 characters of digits, sign, point
and exponent, so that "nan", "0x10", "1_000" or "-1024,0" never become a number by accident, and only
from a VR that holds text or numbers: what stands under AT, OB or an unknown VR is no value at all. In a
multi-frame object the frame's own functional groups come first, then the shared ones, then the
object itself, so that the same code reads both kinds.
"""

from __future__ import annotations

import math
import re
import struct
from functools import cache
from typing import Any, cast

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_UID = re.compile(r"[0-9.]{1,64}")
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXTS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_NO_VALUE = "?"  # no number, no UID and no term of the standard: whatever needs the value refuses it


def parse_number(text: str) -> float:
    """A finite float from a decimal or integer string, or NaN."""
    text = text.strip(" \0")
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        return math.nan
    value = float(text)
    return value if math.isfinite(value) else math.nan


def is_uid(text: str) -> bool:
    """Whether a text may be used as a DICOM UID."""
    return bool(_UID.fullmatch(text)) and not text.startswith(".") and not text.endswith(".") and ".." not in text


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(cast(int, tag_for_keyword(keyword)))


def value_vr(element: Any) -> str | None:
    """The VR that an element's value is read by; None where it can hold neither text nor numbers.

    UN stands for what the dictionary says, as does the VR that an implicit data set leaves out.
    """
    vr = element.VR
    if vr in (None, "UN"):
        vr = dictionary_VR(element.tag)[:2]  # of "US or SS" the first
    return vr if vr in _BINARY or vr in _TEXTS else None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; [] where it is absent or empty.

    Raises:
        ValueError: the attribute is there and is no sequence of items.
    """
    value = dataset.get(keyword)
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise ValueError(f"{keyword} is no sequence")
    return list(value)


class Attributes:
    """Attributes of one image: a chain of data sets, the most specific first."""

    def __init__(self, *datasets: Dataset) -> None:
        self.datasets = datasets

    def raw(self, keyword: str) -> Any:
        """The element as stored, or None."""
        tag = _tag(keyword)
        for dataset in self.datasets:
            if tag in dataset:
                return dataset.get_item(tag)
        return None

    def has(self, keyword: str) -> bool:
        """Whether the attribute is present, empty or not."""
        return self.raw(keyword) is not None

    def text(self, keyword: str) -> str:
        """The value as text (several joined by backslashes), without padding; "" where absent or empty.

        "?" where the element's VR can hold no such value.
        """
        element = self.raw(keyword)
        if element is None:
            return ""
        vr = value_vr(element)
        if vr is None:
            return _NO_VALUE
        if not isinstance(element, RawDataElement):
            value = element.value
            if value is None:
                return ""
            several = isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
            return "\\".join(map(str, value)) if several else str(value)
        code = _BINARY.get(vr)
        data = element.value or b""
        if code:
            order = "<" if element.is_little_endian else ">"
            size = struct.calcsize(code)
            return "\\".join(
                str(v) for v in struct.unpack(f"{order}{len(data) // size}{code}", data[: len(data) // size * size])
            )
        return "\\".join(part.strip(" \0") for part in data.decode("latin-1").split("\\"))

    def values(self, keyword: str) -> tuple[str, ...]:
        """The values as texts; () where absent or empty."""
        text = self.text(keyword)
        return tuple(text.split("\\")) if text else ()

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """The values as numbers, NaN for what is none; () where absent or empty."""
        return tuple(parse_number(value) for value in self.values(keyword))

    def number(self, keyword: str) -> float | None:
        """The value as a number (NaN where it is none, or several), or None where absent or empty."""
        numbers = self.numbers(keyword)
        if not numbers:
            return None
        return numbers[0] if len(numbers) == 1 else math.nan

    def finite(self, keyword: str) -> float | None:
        """The value as a number, or None where it is none."""
        number = self.number(keyword)
        return None if number is None or math.isnan(number) else number

    def integer(self, keyword: str) -> int | None:
        """The value as an integer, or None where absent, empty, no integer, or several."""
        number = self.number(keyword)
        if number is None or not abs(number) < 1 << 53 or number != int(number):  # beyond, a float is no integer
            return None
        return int(number)

    def word(self, keyword: str, *, signed: bool, bits: int) -> int | None:
        """A stored pixel value kept in a header: its bits are read as the pixels' bits are.

        Writers disagree on the VR (US or SS) of such values, and some write 63536 for -2000.
        """
        number = self.integer(keyword)
        if number is None:
            return None
        number &= (1 << bits) - 1
        return number - (1 << bits) if signed and number >> (bits - 1) else number


def frame_attributes(dataset: Dataset, index: int) -> Attributes:
    """Attributes of frame `index` (from 0) of a multi-frame object.

    Raises:
        ValueError: a functional group is no sequence, or is shared by all frames and another for this one.
    """
    own = _macros(items(dataset, "PerFrameFunctionalGroupsSequence")[index : index + 1])
    shared = _macros(items(dataset, "SharedFunctionalGroupsSequence")[:1])
    for keyword in _PLACE_AND_VALUES:  # which holds is not said, and readers differ (PS3.3 C.7.6.16.1.1 forbids both)
        if keyword in own and keyword in shared and own[keyword] != shared[keyword]:
            raise ValueError(f"{keyword} is stated twice")
    return Attributes(*own.values(), *shared.values(), dataset)


def _macros(groups: list[Dataset]) -> dict[str, Dataset]:
    """The first item of each functional group, by keyword; `groups` holds one item or none."""
    return {keyword: found[0] for group in groups for keyword in _MACROS if (found := items(group, keyword))}


_PLACE_AND_VALUES = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
_MACROS = (
    *_PLACE_AND_VALUES,
    "FrameContentSequence",
    "FrameAnatomySequence",
    "CTImageFrameTypeSequence",
    "CTAcquisitionDetailsSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
    "FrameVOILUTSequence",
    "CardiacSynchronizationSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)
