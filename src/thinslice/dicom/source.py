"""What is kept of a source series, so that a derived series can be written from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as ItemSequence

from thinslice.dicom.attributes import is_uid
from thinslice.dicom.checks import is_lossy
from thinslice.dicom.kept import COPIED, EQUIPMENT
from thinslice.dicom.slices import CT_IMAGE, Slice

NUMERIC = ("US", "FD")
"""VRs whose values are kept as decimal text, since their bytes depend on the transfer syntax."""
_TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}


@dataclass(frozen=True)
class Reference:
    """A source image.

    Attributes:
        sop_class: its class.
        sop_instance: its UID, valid or not.
        frame: frame number from 1, or None in a single-frame object.
        along_mm: its position along the normal.
    """

    sop_class: str
    sop_instance: str
    frame: int | None
    along_mm: float


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """Of a source series, what its derived series carries on. Holds identity: never shown or logged.

    Attributes:
        texts: values by keyword, as bytes in the source's own character set; equal in all slices.
        sequences: sequences by keyword; equal in all slices.
        charset: SpecificCharacterSet of `texts`; () for the default repertoire.
        references: the slices, in order along the normal.
        normal: (3,) LPS unit vector of that order.
        series_uid: SeriesInstanceUID, valid or not.
        series_number: SeriesNumber, or None.
        series_description: SeriesDescription, decoded.
        window: (centre, width), first values, or None.
        burned_in: BurnedInAnnotation, or "".
        recognizable: whether RecognizableVisualFeatures says YES.
        lossy: whether any slice was ever compressed with loss.
        lossy_ratio: ratios, as texts.
        lossy_method: methods, as texts.
        orientation: ImageOrientationPatient as texts where all slices have the same, else ().
        pixel_spacing: PixelSpacing as texts.
    """

    texts: dict[str, bytes]
    sequences: dict[str, ItemSequence]
    charset: tuple[str, ...]
    references: tuple[Reference, ...]
    normal: np.ndarray
    series_uid: str
    series_number: int | None
    series_description: str
    window: tuple[str, str] | None
    burned_in: str
    recognizable: bool
    lossy: bool
    lossy_ratio: tuple[str, ...]
    lossy_method: tuple[str, ...]
    orientation: tuple[str, ...]
    pixel_spacing: tuple[str, ...]

    def equipment_text(self, keyword: str) -> str | None:
        """An attribute of the scanner as plain text for the record, or None."""
        value = self.texts.get(keyword, b"").decode("ascii", "replace").strip(" \0")
        return value[:64] or None


def keep_for_writing(slices: Sequence[Slice], normal: np.ndarray) -> SourceSeries:
    """Gather what a derived series needs from the slices of a stack, in order."""
    first = slices[0].attributes
    charsets = {image.attributes.values("SpecificCharacterSet") for image in slices}
    mixed = len(charsets) > 1
    texts = {
        keyword: text for keyword in (*COPIED, *EQUIPMENT) if (text := _same_text(slices, keyword, mixed)) is not None
    }
    sequences = {
        keyword: sequence
        for keyword in (*COPIED, "ContributingEquipmentSequence")
        if dictionary_VR(keyword) == "SQ" and (sequence := _same_sequence(slices, keyword)) is not None
    }
    description = _decoded(_bytes(slices[0], "SeriesDescription") or b"", slices[0])
    centre, width = first.values("WindowCenter"), first.values("WindowWidth")
    orientations = {image.attributes.values("ImageOrientationPatient") for image in slices}
    worst = next((image.attributes for image in slices if is_lossy(image)), first)
    return SourceSeries(
        texts=texts,
        sequences=sequences,
        charset=("ISO_IR 192",) if mixed else charsets.pop(),
        references=tuple(_reference(image, normal) for image in slices),
        normal=np.array(normal),
        series_uid=first.text("SeriesInstanceUID"),
        series_number=first.integer("SeriesNumber"),
        series_description=description.strip(" \0"),
        window=(centre[0], width[0]) if centre and width else None,
        burned_in=first.text("BurnedInAnnotation"),
        recognizable=first.text("RecognizableVisualFeatures") == "YES",
        lossy=any(map(is_lossy, slices)),
        lossy_ratio=worst.values("LossyImageCompressionRatio"),
        lossy_method=worst.values("LossyImageCompressionMethod"),
        orientation=orientations.pop() if len(orientations) == 1 else (),
        pixel_spacing=first.values("PixelSpacing"),
    )


def _reference(image: Slice, normal: np.ndarray) -> Reference:
    attributes = image.attributes
    frame = image.frame + 1 if attributes.has("PerFrameFunctionalGroupsSequence") else None
    return Reference(
        attributes.text("SOPClassUID") or CT_IMAGE,
        attributes.text("SOPInstanceUID"),
        frame,
        float(image.position @ normal),
    )


def _same_text(slices: Sequence[Slice], keyword: str, mixed: bool) -> bytes | None:
    """The bytes of a text attribute where all slices have the same, in UTF-8 where character sets are mixed."""
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return None
    found: set[bytes] = set()
    for image in slices:
        value = image.attributes.text(keyword).encode() if vr in NUMERIC else _bytes(image, keyword)
        if value is None or not image.attributes.has(keyword):
            return None
        value = value.rstrip(b" \0")
        found.add(_decoded(value, image).encode() if mixed else value)
        if len(found) > 1:
            return None
    value = found.pop()
    if vr == "UI" and not is_uid(value.decode("latin-1")):
        return None
    return value


def _same_sequence(slices: Sequence[Slice], keyword: str) -> ItemSequence | None:
    first: Any = None
    for image in slices[:1] if slices[0].file is slices[-1].file else slices:
        holder = next((dataset for dataset in image.attributes.datasets if keyword in dataset), None)
        if holder is None:
            return None
        try:
            value = holder[keyword].value
        except Exception:  # a damaged sequence is not carried on
            return None
        if first is None:
            first = value
        elif value != first:
            return None
    return first or None


def _bytes(image: Slice, keyword: str) -> bytes | None:
    element = image.attributes.raw(keyword)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        return element.value or b""
    return image.attributes.text(keyword).encode("utf-8")


def _decoded(value: bytes, image: Slice) -> str:
    """Text of an attribute by the image's own character set."""
    charset = list(image.attributes.values("SpecificCharacterSet")) or None
    return decode_bytes(value, convert_encodings(charset), _TEXT_DELIMITERS)


def tag(keyword: str) -> int:
    """The tag of a keyword that the dictionary knows."""
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found
