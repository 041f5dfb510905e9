"""What is kept of a source series, so that a derived series can be written from it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.datadict import tag_for_keyword

from thinslice.io.dicom.headers import syntaxes
from thinslice.io.dicom.headers.attributes import is_uid, parse_number
from thinslice.io.dicom.headers.carried import Carried, carried_from
from thinslice.io.dicom.headers.charset import text_of
from thinslice.io.dicom.headers.checks import is_lossy
from thinslice.io.dicom.headers.layout import PixelLayout, layout_of
from thinslice.io.dicom.headers.slices import CT_IMAGE, Slice
from thinslice.io.dicom.headers.validity import is_uid_in_form

_LOSSY_METHODS = {  # by the end of the transfer syntax, PS3.3 C.7.6.1.1.5.1
    "50": "ISO_10918_1",
    "51": "ISO_10918_1",
    "53": "ISO_10918_1",
    "55": "ISO_10918_1",
    "81": "ISO_14495_1",
    "91": "ISO_15444_1",
    "203": "ISO_15444_15",
}


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
        carried: attributes as they are in all slices.
        references: the slices, in order along the normal.
        normal: (3,) LPS unit vector of that order.
        series_uid: SeriesInstanceUID, valid or not.
        series_number: SeriesNumber, or None.
        series_description: SeriesDescription, decoded, one line.
        window: (centre, width), first values, or None where they are no window.
        burned_in: whether any slice's BurnedInAnnotation says YES.
        recognizable: RecognizableVisualFeatures: "YES" where any slice says so, "NO" where all do, else "".
        lossy: whether any slice was ever compressed with loss.
        lossy_ratio: ratios of the slice that was compressed most, as texts; () where unknown.
        lossy_method: methods of that slice, as texts; () where unknown.
        orientation: ImageOrientationPatient as texts where all slices have the same, else ().
        pixel_spacing: PixelSpacing as texts.
        layout: how pixels are stored, where all slices have one layout that can be written; else None.
    """

    carried: Carried
    references: tuple[Reference, ...]
    normal: np.ndarray
    series_uid: str
    series_number: int | None
    series_description: str
    window: tuple[str, str] | None
    burned_in: bool
    recognizable: str
    lossy: bool
    lossy_ratio: tuple[str, ...]
    lossy_method: tuple[str, ...]
    orientation: tuple[str, ...]
    pixel_spacing: tuple[str, ...]
    layout: PixelLayout | None

    def equipment_text(self, keyword: str) -> str | None:
        """An attribute of the scanner as plain text for the record, or None."""
        value = self.carried.texts.get(keyword, b"").decode("ascii", "replace").strip(" \0")
        return value[:64] or None


def keep_for_writing(
    slices: Sequence[Slice], normal: np.ndarray, *, rescale: tuple[float, float] | None = None
) -> SourceSeries:
    """Gather what a derived series needs from the slices of a stack, in order; `rescale` is as for `read_parts`."""
    first = slices[0].attributes
    carried = carried_from(slices)
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        uids = {image.attributes.text(keyword) for image in slices} - {""}
        if not all(map(is_uid_in_form, uids)):
            carried.invalid.append(keyword)
    recognizable = {image.attributes.text("RecognizableVisualFeatures") for image in slices}
    ratio, method = max(
        map(_lossy_history, slices), key=lambda history: (max(map(float, history[0]), default=0), len(history[1]))
    )
    orientations = {image.attributes.values("ImageOrientationPatient") for image in slices}
    return SourceSeries(
        carried=carried,
        references=tuple(_reference(image, normal) for image in slices),
        normal=np.array(normal),
        series_uid=first.text("SeriesInstanceUID"),
        series_number=first.integer("SeriesNumber"),
        series_description=_description(slices[0], carried),
        window=_window(slices[0]),
        burned_in=any(image.attributes.text("BurnedInAnnotation") == "YES" for image in slices),
        recognizable="YES" if "YES" in recognizable else "NO" if recognizable == {"NO"} else "",
        lossy=any(map(is_lossy, slices)),
        lossy_ratio=ratio,
        lossy_method=method,
        orientation=orientations.pop() if len(orientations) == 1 else (),
        pixel_spacing=first.values("PixelSpacing"),
        layout=layout_of(slices, rescale=rescale),
    )


def _description(image: Slice, carried: Carried) -> str:
    """SeriesDescription in one line; "" where its characters are not those of its character set."""
    text = text_of(image, "SeriesDescription")
    if "\N{REPLACEMENT CHARACTER}" in text or not (text.isascii() or any(carried.charset)):
        carried.invalid.append("SeriesDescription")
        return ""
    return " ".join(re.sub(r"[\\\x00-\x1f\x7f-\x9f]", " ", text).split())


def _reference(image: Slice, normal: np.ndarray) -> Reference:
    attributes = image.attributes
    sop_class = attributes.text("SOPClassUID")
    frame = image.frame + 1 if attributes.has("PerFrameFunctionalGroupsSequence") else None
    return Reference(
        sop_class if is_uid(sop_class) else CT_IMAGE,
        attributes.text("SOPInstanceUID"),
        frame,
        float(image.position @ normal),
    )


def _window(image: Slice) -> tuple[str, str] | None:
    """The first window of an image as (centre, width), where it is one: PS3.3 C.11.2.1.2 wants a width of 1 or more."""
    centres, widths = image.attributes.values("WindowCenter"), image.attributes.values("WindowWidth")
    if not (centres and widths and max(len(centres[0]), len(widths[0])) <= 16):
        return None
    valid = math.isfinite(parse_number(centres[0])) and parse_number(widths[0]) >= 1
    return (centres[0], widths[0]) if valid else None


def _lossy_history(image: Slice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ratios and methods of lossy compression as the image states them, else as its own file shows them."""
    if not is_lossy(image):
        return (), ()
    attributes, file = image.attributes, image.file
    ratios, methods = attributes.values("LossyImageCompressionRatio"), attributes.values("LossyImageCompressionMethod")
    if not all(len(ratio) <= 16 and parse_number(ratio) > 0 for ratio in ratios):
        ratios = ()
    if not all(re.fullmatch(r"[A-Z0-9_ ]{1,16}", method) for method in methods):
        methods = ()
    if file.syntax in syntaxes.LOSSY:
        methods = methods or (_LOSSY_METHODS[file.syntax.rpartition(".")[2]],)
        frames, allocated = attributes.integer("NumberOfFrames") or 1, attributes.integer("BitsAllocated") or 16
        compressed = max(1, file.entry.size - (file.pixel_offset or 0))
        rows, columns = image.shape
        ratios = ratios or (f"{frames * rows * columns * allocated / 8 / compressed:.2f}",)
    return ratios, methods


def tag(keyword: str) -> int:
    """The tag of a keyword that the dictionary knows."""
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found
