"""The data set of a derived series: built new from an allow-list, nothing else of the source is carried.

Each attribute's reason is in docs/dicom.md. What describes an acquisition (dose, tube current, table
motion) is not carried: the derived slices were not acquired, and copies would count dose twice.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.tag import Tag

from thinslice.io.dicom.headers.carried import NUMERIC
from thinslice.io.dicom.headers.kept import COPIED, EQUIPMENT, FACELESS_BODY_PARTS, UNPAIRED_BODY_PARTS
from thinslice.io.dicom.headers.layout import PixelLayout
from thinslice.io.dicom.headers.slices import CT_IMAGE
from thinslice.io.dicom.headers.source import Reference, SourceSeries, tag
from thinslice.io.dicom.headers.validity import is_uid_in_form
from thinslice.io.dicom.write.uid import uid_from

_EMPTY_IF_ABSENT = frozenset({"PositionReferenceIndicator", "AcquisitionNumber", "KVP", "PatientPosition"})
_EMPTY_IF_LEFT_OUT = frozenset(
    {"PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"}
    | {"AccessionNumber", "ReferringPhysicianName"}
    # of an animal
    | {"ResponsiblePerson", "ResponsibleOrganization", "PatientSexNeutered", "PatientBreedDescription"}
    | {"PatientBreedCodeSequence", "BreedRegistrationSequence"}
)
"""Required, if only empty (type 2). Where the source lacks one, so does the result: both say the same of the study."""
SERIES_NUMBER_OFFSET = 9000
_MOST = (1 << 31) - 1
_IN_PLANE_MM = 0.02  # positions are rounded: so near, a slice lies in the plane of another
_LATEST = 253_402_300_800 - 86_400  # seconds: the last day but one of the year 9999, the last that a date can hold


@dataclass(frozen=True)
class Provenance:
    """How a derived series was made.

    Attributes:
        version: version of thinslice.
        method: one line on the method, and on what was mended in the source before.
        settings: digest or text of the settings.
        model: digest of the model's weights, or "".
        thickness_mm: nominal thickness of the output slices.
        part: number, from 1, of the regular part of the source that it was made from.
    """

    version: str
    method: str
    settings: str
    model: str
    thickness_mm: float
    part: int = 1


def series_dataset(
    source: SourceSeries,
    provenance: Provenance,
    *,
    series_uid: str,
    spacing_mm: float,
    series_number: int | None,
    layout: PixelLayout,
    padding: int | None,
    identity: str,
) -> Dataset:
    """What all slices of the derived series have in common.

    Args:
        source: what was kept of the source.
        provenance: how the values were made.
        series_uid: SeriesInstanceUID of the result.
        spacing_mm: distance of the result's slices.
        series_number: SeriesNumber, or None for the source's plus 9000.
        layout: how pixels are stored.
        padding: PixelPaddingValue as it is stored, or None where the volume holds no padding.
        identity: distinguishes this source from all others; UIDs that it lacks are made of it.
    """
    dataset = Dataset()
    if source.carried.charset:
        dataset.SpecificCharacterSet = list(source.carried.charset)
    _carry(source, dataset, identity)
    moment = run_time(source.carried.text("TimezoneOffsetFromUTC"))
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(dataset, f"{name}Date", moment.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", moment.strftime("%H%M%S"))
    dataset.SOPClassUID = CT_IMAGE
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = series_uid
    number = _series_number(source.series_number or 0, provenance.part) if series_number is None else series_number
    dataset.SeriesNumber = number
    dataset.SeriesDescription = _description(source.series_description, spacing_mm)
    dataset.Manufacturer = dataset.ManufacturerModelName = "thinslice"
    dataset.SoftwareVersions = provenance.version
    dataset.ContributingEquipmentSequence = _equipment(source, provenance, moment)
    dataset.SyntheticData = "YES"
    dataset.DerivationDescription = _derivation(provenance)
    dataset.DerivationCodeSequence = ItemSequence([_code("113085", "Spatial resampling")])
    dataset.SliceThickness = decimal(provenance.thickness_mm)
    dataset.SpacingBetweenSlices = decimal(spacing_mm)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, layout.bits, layout.bits - 1
    dataset.PixelRepresentation = int(layout.signed)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(layout.intercept), "1", "HU"
    if padding is not None:
        dataset.add(DataElement(tag("PixelPaddingValue"), "SS" if layout.signed else "US", padding))
    dataset.WindowCenter, dataset.WindowWidth = source.window or ("40", "400")
    dataset.BurnedInAnnotation = "YES" if source.burned_in else "NO"
    _carry_recognizable(source, dataset)
    dataset.LossyImageCompression = "01" if source.lossy else "00"
    if source.lossy and source.lossy_ratio:
        dataset.LossyImageCompressionRatio = list(source.lossy_ratio)
    if source.lossy and source.lossy_method:
        dataset.LossyImageCompressionMethod = list(source.lossy_method)
    return dataset


def _series_number(of_source: int, part: int) -> int:
    """The source's plus 9000, and one more for each part before; within an integer string."""
    offset = SERIES_NUMBER_OFFSET + part - 1
    return min(max(of_source, 0), _MOST - offset) + offset


def _description(of_source: str, spacing_mm: float) -> str:
    """The source's, shortened to 40 bytes: converters cut what is longer than 64, and with it who made the series."""
    shortened = of_source.encode()[:40].decode(errors="ignore").strip()
    return f"{shortened} | thinslice {spacing_mm:.3g}mm" if shortened else f"thinslice {spacing_mm:.3g}mm"


def _derivation(provenance: Provenance) -> str:
    """What the slices are, in words, at most 1024 characters."""
    model = f"; model {provenance.model[:16]}" if provenance.model else ""
    return (
        f"Thin slices synthesised from thick slices by thinslice {provenance.version[:32]} "
        f"({provenance.method[:800]}{model}); not acquired data; research use, not a medical device"
    )


def _carry_recognizable(source: SourceSeries, dataset: Dataset) -> None:
    """YES is carried. NO only where no face can be: what thick slices of a head hide, thin ones may show."""
    body_part = source.carried.text("BodyPartExamined")
    if source.recognizable == "YES" or (source.recognizable == "NO" and body_part in FACELESS_BODY_PARTS):
        dataset.RecognizableVisualFeatures = source.recognizable


def slice_references(source: SourceSeries, corners: np.ndarray) -> list[Reference]:
    """The source slices that bracket an output slice; one where it lies in a slice's own plane.

    Args:
        source: what was kept of the source.
        corners: (4, 3) LPS mm, the centres of the output slice's corner pixels. Where they lie at several
            depths of the source (an upright slice of a tilted scan), the slices between belong to it too.
    """
    places = np.array([reference.along_mm for reference in source.references])
    along = corners @ source.normal
    below = int(np.searchsorted(places, along.min() + _IN_PLANE_MM)) - 1
    above = int(np.searchsorted(places, along.max() - _IN_PLANE_MM))
    last = len(places) - 1
    return list(source.references[min(max(below, 0), last) : min(above, last) + 1])


def add_references(dataset: Dataset, source: SourceSeries, references: list[Reference]) -> None:
    """Name the source images of a slice, those at least whose UIDs are such; frames only where they have a place."""
    named = [reference for reference in references if is_uid_in_form(reference.sop_instance)]
    if not named:
        return
    dataset.SourceImageSequence = ItemSequence([_source_image(reference) for reference in named])
    if is_uid_in_form(source.series_uid):
        series = Dataset()
        series.SeriesInstanceUID = source.series_uid
        objects = {reference.sop_instance: reference for reference in named}
        series.ReferencedInstanceSequence = ItemSequence([_reference(reference) for reference in objects.values()])
        dataset.ReferencedSeriesSequence = ItemSequence([series])


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters, with up to six decimals."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    if len(text) > 16:
        text = f"{value:.9g}"
    return "0" if text in ("-0", "") else text


def run_time(offset: str) -> datetime:
    """Now, or SOURCE_DATE_EPOCH; in the time zone of the source's TimezoneOffsetFromUTC where it has one."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    fixed = epoch.isdigit() and int(epoch) < _LATEST
    seconds = int(epoch) if fixed else time.time()
    if re.fullmatch(r"[+-](0\d|1[0-4])[0-5]\d", offset):
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
        return datetime.fromtimestamp(seconds, zone)
    return datetime.fromtimestamp(seconds, timezone.utc if fixed else None)


def _carry(source: SourceSeries, dataset: Dataset, identity: str) -> None:
    """Copy what the source's slices agree on; fill what a CT image must have."""
    carried = source.carried
    left_out = {*carried.invalid, *carried.differing}
    for keyword in COPIED:
        if keyword in carried.texts:
            _set_bytes(dataset, keyword, carried.texts[keyword])
        elif keyword in carried.sequences:
            setattr(dataset, keyword, carried.sequences[keyword])
        elif keyword in _EMPTY_IF_ABSENT or keyword in left_out & _EMPTY_IF_LEFT_OUT:
            dataset.add_new(tag(keyword), dictionary_VR(keyword), None)
    if "DeidentificationMethod" in left_out and "DeidentificationMethodCodeSequence" not in dataset:
        dataset.DeidentificationMethod = "stated by the source, not copied"  # one of both must be there
    if not {"ContrastBolusAgent", "ContrastBolusAgentSequence"} & {*carried.texts, *carried.sequences}:
        dataset.pop(tag("ContrastBolusRoute"), None)  # alone it is of no module
    elif "ContrastBolusAgent" not in dataset:  # type 2 beside its sequence
        dataset.ContrastBolusAgent = str(dataset.ContrastBolusAgentSequence[0].get("CodeMeaning", ""))[:64]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if keyword not in carried.texts:  # the source has none, or no valid one
            setattr(dataset, keyword, uid_from(keyword, identity))
    _settle_laterality(dataset, carried.text("BodyPartExamined"))


def _settle_laterality(dataset: Dataset, body_part: str) -> None:
    """Laterality is required, if only empty, unless the body part is an unpaired one; there it may not be (type 2C)."""
    regions = dataset.get("AnatomicRegionSequence") or []
    names = {body_part, *(re.sub(r"[^A-Z]", "", str(item.get("CodeMeaning", "")).upper()) for item in regions)}
    if names & UNPAIRED_BODY_PARTS:
        dataset.pop(tag("Laterality"), None)
    elif "Laterality" not in dataset:
        dataset.Laterality = ""


def _set_bytes(dataset: Dataset, keyword: str, value: bytes) -> None:
    """Set a text attribute to bytes in the data set's own character set, unchanged."""
    vr = dictionary_VR(keyword)
    if vr in NUMERIC:
        number = float(value) if value else None
        dataset.add(DataElement(tag(keyword), vr, int(number) if vr == "US" and number is not None else number))
        return
    padded = value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    dataset[tag(keyword)] = RawDataElement(Tag(tag(keyword)), vr, len(padded), padded, 0, False, True)


def _equipment(source: SourceSeries, provenance: Provenance, moment: datetime) -> ItemSequence:
    """Existing items, then the scanner, then this program as processor and as synthesiser."""
    items = list(source.carried.sequences.get("ContributingEquipmentSequence", []))
    scanner = Dataset()
    for keyword in EQUIPMENT:
        if source.carried.text(keyword):
            _set_bytes(scanner, keyword, source.carried.texts[keyword])
    if source.carried.text("Manufacturer").lower() != "thinslice":  # its own result names its scanner already
        if "Manufacturer" not in scanner:
            scanner.Manufacturer = "unknown"
        scanner.PurposeOfReferenceCodeSequence = ItemSequence([_code("109101", "Acquisition Equipment")])
        items.append(scanner)
    for value, meaning in (("109102", "Processing Equipment"), ("109100", "Synthesizing Equipment")):
        item = Dataset()
        item.Manufacturer = item.ManufacturerModelName = "thinslice"
        item.SoftwareVersions = provenance.version
        item.ContributionDateTime = moment.strftime("%Y%m%d%H%M%S")
        item.ContributionDescription = provenance.method[:1024]
        item.PurposeOfReferenceCodeSequence = ItemSequence([_code(value, meaning)])
        items.append(item)
    return ItemSequence(items)


def _reference(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class
    item.ReferencedSOPInstanceUID = reference.sop_instance
    return item


def _source_image(reference: Reference) -> Dataset:
    item = _reference(reference)
    if reference.frame is not None:
        item.ReferencedFrameNumber = reference.frame
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = ItemSequence([_code("121322", "Source image for image processing operation")])
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
