"""What one image must say about itself before its pixels are read as Hounsfield units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from thinslice.errors import counted
from thinslice.io.dicom.headers import syntaxes
from thinslice.io.dicom.headers.attributes import Attributes
from thinslice.io.dicom.headers.charset import text_of
from thinslice.io.dicom.headers.codes import Findings
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.slices import DicomFile, Slice, files_of, unlike_most
from thinslice.io.dicom.headers.terms import IMAGE_TYPES, PHOTOMETRIC, RESCALE_TYPES, shown, shown_uid

_LEAST_SLOPE, _MOST_SLOPE, _MOST_INTERCEPT = 1e-6, 1e6, 1e9  # beyond, HU are none, or no float32
_LEAST_MM, _MOST_MM = 1e-3, 100.0  # micro-CT has pixels of some micrometres; a patient has none of 10 cm
_LEAST_FRAMES, _OWN_FRAMES = 3, 0.9  # frames of reference, and their share of slices, that are one for each slice
SAID_ONCE = (
    *("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    "ReferringPhysicianName",
)


def check_values(
    slices: Sequence[Slice], limits: Limits, findings: Findings, *, rescale: tuple[float, float] | None
) -> None:
    """Note what forbids reading the pixels as Hounsfield units; raise nothing but DCM-LIMIT."""
    files = set[DicomFile]()
    excess: list[Slice] = []
    wrong: dict[str, list[tuple[str, Slice]]] = {}
    for image in slices:
        found = _faults_of_pixels(image, limits, first=image.file not in files)
        if image.file not in files and _excess_bytes(image) > 0:
            excess.append(image)
        files.add(image.file)
        for code, message in (*found, *(_faults_of_rescale(image) if rescale is None else ())):
            wrong.setdefault(code, []).append((message, image))
    for code, faults in wrong.items():
        findings.refuse(code, _said_of_all(faults))
    if excess:
        findings.warn(
            "DCM-EXCESS",
            f"{files_of(excess)}: up to {counted(max(map(_excess_bytes, excess)), 'byte')} after the pixels were "
            "ignored (PS3.5 8.1.1); look at the images: where the header's matrix is too small, they are wrong",
        )
    limits.check("slices", len(slices), "slices of the series")
    rows, columns = slices[0].shape
    limits.check("voxels", len(slices) * rows * columns, "voxels of the series")


def _said_of_all(faults: Sequence[tuple[str, Slice]]) -> str:
    """One line for the faults of one code: the first, the files that share it, and how many have a similar one."""
    message = faults[0][0]
    alike = [image for text, image in faults if text == message]
    others = len({image.file for _, image in faults} - {image.file for image in alike})
    return f"{files_of(alike)}: {message}" + (
        f" ({counted(others, 'other file')} in a similar state)" if others else ""
    )


def rescale_of(image: Slice) -> tuple[float, float]:
    """(slope, intercept) of a checked image."""
    slope, intercept = image.attributes.number("RescaleSlope"), image.attributes.number("RescaleIntercept")
    assert slope is not None
    assert intercept is not None
    return slope, intercept


def is_lossy(image: Slice) -> bool:
    """Whether the pixels went through lossy compression at any time."""
    flag = image.attributes.text("LossyImageCompression")
    return flag == "01" or image.file.syntax in (
        syntaxes.LOSSY - syntaxes.LOSSY_OR_NOT if flag == "00" else syntaxes.LOSSY
    )


def is_synthetic(image: Slice) -> bool:
    """Whether the image says that its content was made artificially, or is a result of this program."""
    return says_synthetic(image.attributes)


def says_synthetic(attributes: Attributes) -> bool:
    """Whether attributes say so."""
    return attributes.text("SyntheticData").upper() == "YES" or attributes.text("Manufacturer").lower() == "thinslice"


def check_origin(slices: Sequence[Slice], findings: Findings, *, allow_derived: bool) -> None:
    """Note synthetic, derived and lossy sources and missing file headers."""
    if synthetic := [image for image in slices if is_synthetic(image)]:
        message = f"the source is itself synthesised ({files_of(synthetic)})"
        if allow_derived:
            findings.warn("DCM-SYNTH", f"{message}; errors of both passes add up")
        else:
            findings.refuse("DCM-SYNTH", f"{message}; give the acquired series, or go on with --allow-derived")
    elif any(image.image_type[:1] == ("DERIVED",) for image in slices):
        kinds = "\\".join(shown(word, IMAGE_TYPES) for word in slices[0].image_type[:4])
        findings.warn("DCM-DERIVED", f"the source is already derived ({kinds}): its slice profile is not the scanner's")
    if lossy := [image for image in slices if is_lossy(image)]:
        findings.warn(
            "DCM-LOSSY", f"{files_of(lossy)}: the source went through lossy compression; the output carries the flag"
        )
    if headerless := [image for image in slices if image.file.headerless]:
        findings.warn("DCM-NOMETA", f"{files_of(headerless)}: no DICOM file header; little endian is assumed")


def check_uids(slices: Sequence[Slice], findings: Findings) -> None:
    """Note UIDs of images that are missing, or repeated among slices of which none is a copy."""
    uids = [(image.attributes.text("SOPInstanceUID"), image.frame) for image in slices]
    often = Counter(uids)
    if wrong := [image for image, uid in zip(slices, uids, strict=True) if not uid[0] or often[uid] > 1]:
        findings.warn(
            "DCM-UID",
            f"{files_of(wrong)}: SOPInstanceUIDs are missing or repeated: references to source images cannot be "
            "trusted",
        )


def check_series(slices: Sequence[Slice], findings: Findings) -> None:
    """Note what must be the same in all slices and is not, and positions that are missing."""
    lost = [image for image in slices if not np.isfinite(image.position).all()]
    if lost:
        findings.refuse(
            "DCM-IPP", f"{files_of(lost)}: ImagePositionPatient is missing or malformed; export the series again"
        )
    spacings = np.array([image.pixel_spacing for image in slices])
    sound = [bool(((mm >= _LEAST_MM) & (mm <= _MOST_MM)).all()) for mm in spacings]  # NaN is neither
    if not all(sound):
        wrong = [image for image, right in zip(slices, sound, strict=True) if not right]
        findings.refuse(
            "DCM-SPACING",
            f"{files_of(wrong)}: PixelSpacing is missing, malformed or not {_LEAST_MM:g} to {_MOST_MM:g} mm; "
            "export the series again",
        )
    elif (np.abs(spacings / spacings[0] - 1) > 1e-4).any():
        others = files_of(unlike_most(slices, [tuple(image.pixel_spacing) for image in slices]))
        findings.refuse(
            "DCM-MIXED",
            f"PixelSpacing changes inside the series ({spacings.min():g} to {spacings.max():g} mm; other than in most "
            f"slices in {others}); give one scan",
        )
    shapes = sorted({image.shape for image in slices})
    if len(shapes) > 1:
        listing = ", ".join(f"{rows}x{columns}" for rows, columns in shapes[:4])
        others = files_of(unlike_most(slices, [image.shape for image in slices]))
        findings.refuse(
            "DCM-MIXED",
            f"the matrix changes inside the series ({listing}; other than in most slices in {others}); give one scan",
        )
    frames = frames_of_reference(slices)
    if len(frames) > 1 and not has_frame_per_slice(slices):
        others = files_of(unlike_most(slices, [image.attributes.text("FrameOfReferenceUID") for image in slices]))
        findings.refuse(
            "DCM-FOR",
            f"{len(frames)} frames of reference in one series (other than in most slices in {others}): positions do "
            "not compare; give one scan",
        )
    for keyword, things in (("StudyInstanceUID", "studies"), ("PatientID", "patients")):
        stated = [image for image in slices if image.attributes.text(keyword)]
        texts = [image.attributes.text(keyword) for image in stated]
        if (several := len(set(texts))) > 1:
            others = files_of(unlike_most(stated, texts))
            findings.refuse(
                "DCM-MIXED",
                f"slices of {several} {things} under one series UID (other than in most slices in {others}); give one "
                "scan",
            )
    differing = [word for word in SAID_ONCE if len({text_of(image, word) for image in slices} - {""}) > 1]
    if differing:
        findings.warn("DCM-IDENTITY", f"slices differ in {', '.join(differing)}: left empty in a series made of them")


def frames_of_reference(slices: Sequence[Slice]) -> set[str]:
    """FrameOfReferenceUIDs, "" among them where a slice states none."""
    return {image.attributes.text("FrameOfReferenceUID") for image in slices}


def has_frame_per_slice(slices: Sequence[Slice]) -> bool:
    """Whether slices have a frame of reference each, as some anonymisers write: such UIDs say nothing of the patient.

    That positions compare all the same must follow from them. Copies of a slice share its frame, and a few slices
    may by chance; what comes in some groups is a frame that means something.
    """
    frames = frames_of_reference(slices)
    places = len({tuple(image.position) for image in slices})
    return "" not in frames and len(frames) >= max(_LEAST_FRAMES, _OWN_FRAMES * places)


def check_concatenation(slices: Sequence[Slice], findings: Findings) -> None:
    """Note missing parts of a multi-frame object that was sent in parts."""
    parts: dict[str, set[int]] = {}
    totals: dict[str, int] = {}
    for image in slices:
        uid = image.attributes.text("ConcatenationUID")
        if uid:
            parts.setdefault(uid, set()).add(image.attributes.integer("InConcatenationNumber") or 0)
            totals[uid] = max(
                totals.get(uid, 0), image.attributes.integer("InConcatenationTotalNumber") or 0, *parts[uid]
            )
    for uid, numbers in parts.items():
        missing = sorted(set(range(1, totals[uid] + 1)) - numbers)
        if missing:
            listing = ", ".join(map(str, missing[:8]))
            findings.refuse(
                "DCM-CONCAT",
                f"concatenation incomplete: parts {listing} of {totals[uid]} are missing; find them and read all",
            )


def _faults_of_pixels(image: Slice, limits: Limits, *, first: bool) -> Iterator[tuple[str, str]]:
    """Code and message of what is wrong with an image's pixels; with those of its file where it is the first of it."""
    attributes = image.attributes
    rows, columns = image.shape
    if rows <= 0 or columns <= 0:
        yield "DCM-UNREADABLE", f"the header states a matrix of {rows}x{columns}; export the series again"
        return
    limits.check("rows", max(rows, columns), f"matrix of {image.file.name}")
    photometric = attributes.text("PhotometricInterpretation")
    samples = attributes.integer("SamplesPerPixel")
    layout = tuple(attributes.integer(key) for key in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"))
    allocated, stored, high, representation = layout
    if photometric != "MONOCHROME2":
        yield (
            "DCM-PHOTOMETRIC",
            f"PhotometricInterpretation is {shown(photometric, PHOTOMETRIC)}, not MONOCHROME2; export as CT image",
        )
    valid = allocated in (8, 16, 32) and stored is not None and 1 <= stored <= allocated and high == stored - 1
    if not valid or representation not in (0, 1) or samples != 1:
        yield (
            "DCM-BITS",
            f"pixel layout {allocated} allocated, {stored} stored, high bit {high}, {samples} samples is unsupported; "
            "export the series anew",
        )
        return
    if image.file.pixel_offset is None:
        yield "DCM-UNREADABLE", "there are no pixel data; nothing was skipped, copy the series anew"
    elif image.file.syntax not in syntaxes.READABLE:
        yield (
            "DCM-CODEC",
            f"transfer syntax {shown_uid(image.file.syntax)} cannot be decoded here; export the series uncompressed",
        )
    elif image.file.pixel_length is not None and first and (message := _check_native_length(image)):
        yield "DCM-UNREADABLE", message


def _native_length(image: Slice) -> int:
    """Bytes that the pixels of an uncompressed file take, by its header."""
    rows, columns = image.shape
    bits = rows * columns * (image.attributes.integer("BitsAllocated") or 0)
    return bits // 8 * (image.attributes.integer("NumberOfFrames") or 1)


def _check_native_length(image: Slice) -> str:
    """What is wrong where uncompressed pixels are not there in full, before anything is allocated for them; else ""."""
    file, expected = image.file, _native_length(image)
    present = min(file.pixel_length or 0, file.size - (file.pixel_offset or 0))
    if present >= expected:
        return ""
    return f"{present} bytes of pixels, where the header asks for {expected}; nothing was skipped, copy the series anew"


def _excess_bytes(image: Slice) -> int:
    """Bytes after uncompressed pixels, the one that makes their length even left out (PS3.5 8.1.1)."""
    expected = _native_length(image)
    return (image.file.pixel_length or 0) - expected - expected % 2


def _faults_of_rescale(image: Slice) -> Iterator[tuple[str, str]]:
    """Code and message of what forbids to rescale an image's values to HU."""
    attributes = image.attributes
    kind = attributes.text("RescaleType").upper()
    if kind not in ("", "HU"):
        yield (
            "DCM-NOTHU",
            f"values are not Hounsfield units (RescaleType {shown(kind, RESCALE_TYPES)}); give HU, or --rescale S,I",
        )
    if attributes.has("ModalityLUTSequence"):
        yield "DCM-LUT", "a modality look-up table is not supported; export with rescale slope and intercept"
        return
    slope, intercept = attributes.number("RescaleSlope"), attributes.number("RescaleIntercept")
    sound = slope is not None and intercept is not None and _LEAST_SLOPE <= abs(slope) <= _MOST_SLOPE
    if not (sound and abs(intercept or 0.0) <= _MOST_INTERCEPT):  # NaN is neither
        found = ", ".join(_shown(attributes.text(keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
        yield (
            "DCM-RESCALE",
            f"rescale slope and intercept ({found}) are missing, zero, absurd or no numbers; give --rescale S,I",
        )


def _shown(text: str) -> str:
    return (text[:24] if re.fullmatch(r"[-+.,eE0-9 ]*", text) else "no number") or "missing"
