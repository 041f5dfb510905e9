"""The table of awkward inputs: how each is made, and what reading it must come to.

High-throughput JPEG 2000 is tested in test_transfer_syntaxes.py: no encoder is at hand for the phantom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from dicom_folders import (
    among_foreign_files,
    archive,
    big_endian,
    compressed,
    ct_beside_others,
    damaged_series_beside,
    deflated_multi_frame,
    empty_file,
    linked_folder,
    no_image,
    other_codestream,
    series_uid_per_slice,
    transcoded,
    truncated_file,
    twelve_bit_jpeg,
    two_series,
    two_series_of_one_number,
    two_syntaxes,
    unknown_syntax,
    with_directory,
    without_pixels,
    without_preamble,
)
from dicom_makers import (
    NOISE,
    OBLIQUE,
    by_turns,
    changing_pixel_spacing,
    colour,
    concatenation,
    copies,
    eight_bit,
    enhanced_rescale,
    flipped,
    frames_of_reference,
    from_slice,
    high_bits,
    in_parts,
    layout,
    localizer,
    localizer_matrix,
    lut,
    one_slice,
    own_rescale,
    own_sign,
    padded,
    put_text,
    raw_text,
    reformat,
    rescale_in_both_groups,
    rescaled,
    reversed_numbers,
    second_pass,
    setting,
    shuffled,
    split_by_acquisition,
    tilted,
    two_spacings,
    two_times_in_frames,
    with_bytes_after,
    with_icon,
    with_orientation_noise,
    without,
    without_positions,
    without_positions_and_orientation,
)
from dicom_phantom import ROOT, SLICES, Series, each, enhanced, moved, save, series
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: what is odd.
        make: makes data sets, or writes the input itself where `writes_itself`.
        refused: code of the error, or None where the input is read.
        warned: exactly the warnings, where it is read.
        options: for the reader.
        slices: how many must come out.
        writes_itself: `make` takes the path to write.
        within: HU that a voxel may be off.
        policy: reading or refusing is a matter of taste, or a lossy codec's: not in the scorecard of readers.
        unreadable: nobody can know the true volume, so that any result is wrong, whatever its values.
        above: HU above the truth of the volumes that lie at the same positions.
    """

    name: str
    make: Callable[[], Series] | Callable[[Path], None]
    refused: str | None = None
    warned: frozenset[str] = frozenset()
    options: dict[str, Any] = field(default_factory=dict)
    slices: int = SLICES
    writes_itself: bool = False
    within: float = 1.0
    policy: bool = False
    unreadable: bool = False
    above: tuple[int, ...] = (0,)

    def write(self, place: Path) -> None:
        """Write the input: a folder, or an archive in its place."""
        if self.writes_itself:
            self.make(place)  # type: ignore[call-arg, arg-type]
        else:
            save(self.make(), place)  # type: ignore[call-arg, arg-type]


def read(name: str, make: Callable[..., Any], *warned: str, **more: Any) -> Case:
    return Case(name, make, None, frozenset(warned), **more)


def refuse(name: str, code: str, make: Callable[..., Any], **more: Any) -> Case:
    return Case(name, make, code, **more)


def folder(
    name: str, make: Callable[..., Any], code: str | None = None, *, warned: set[str] | None = None, **more: Any
) -> Case:
    return Case(name, make, code, frozenset(warned or ()), writes_itself=True, **more)


def _without(keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(ds, keyword)


def _detector_spacing(_: int, ds: Dataset) -> None:
    ds.ImagerPixelSpacing = ds.PixelSpacing
    del ds.PixelSpacing


def _same_bytes_other_rescale() -> Series:
    datasets = copies(range(3, 5))
    datasets[-1].RescaleIntercept = "-1000"
    return datasets


GEOMETRY = [
    read("plain", series),
    read("reversed instance numbers", lambda: each(reversed_numbers)),
    read("head to foot", lambda: list(reversed(series()))),
    read("no instance numbers", lambda: setting(InstanceNumber=None)),
    read("jitter 0.01 mm", lambda: moved(lambda k: (0, 0, 0.01 * NOISE[k, 0]))),
    read("jitter 0.05 mm", lambda: moved(lambda k: (0, 0, 0.05 * (-1) ** k)), "DCM-JITTER"),
    refuse("jitter 0.11 mm", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.11 * (-1) ** k))),
    refuse("jitter 0.05 mm of 1 mm", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.05 * (-1) ** k), spacing=1.0)),
    read(
        "jitter 0.5 mm, filled",
        lambda: moved(lambda k: (0, 0, 0.5 * NOISE[k, 0])),
        "DCM-REPAIRED",
        options={"on_gap": "fill"},
    ),
    refuse("jitter 0.5 mm", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.5 * NOISE[k, 0]))),
    refuse("in-plane jitter", "DCM-DRIFT", lambda: moved(lambda k: (0.5 * NOISE[k, 0], 0.5 * NOISE[k, 1], 0))),
    refuse("one missing", "DCM-GAP", lambda: without(5)),
    refuse("four missing", "DCM-GAP", lambda: without(3, 4, 7, 9)),
    read("four missing, filled", lambda: without(3, 4, 7, 9), "DCM-REPAIRED", options={"on_gap": "fill"}, slices=8),
    refuse("five missing in a row, to be filled", "DCM-GAP", lambda: without(*range(4, 9)), options={"on_gap": "fill"}),
    read(
        "three missing in a row, filled", lambda: without(4, 5, 6), "DCM-REPAIRED", options={"on_gap": "fill"}, slices=9
    ),
    read("end missing", lambda: without(11), slices=11),
    refuse("two spacings", "DCM-UNEVEN", two_spacings),
    read("two spacings, filled", two_spacings, "DCM-REPAIRED", options={"on_gap": "fill"}),
    refuse("alternating spacings", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.15 * (-1) ** k))),
    refuse("position NaN", "DCM-IPP", lambda: one_slice(lambda ds: put_text(ds, "ImagePositionPatient", "NaN\\1\\2"))),
    refuse("no positions", "DCM-IPP", without_positions),
    refuse("no positions, no orientation", "DCM-IPP", without_positions_and_orientation),
    refuse("one slice", "DCM-FEW", lambda: series()[:1], policy=True),
    refuse("two slices", "DCM-FEW", lambda: series()[:2], policy=True),
    read("three slices", lambda: series()[:3], slices=3),
    read("tilt 15", lambda: tilted(15), "DCM-TILT"),
    read("tilt -15 with tag", lambda: tilted(-15, GantryDetectorTilt="-15"), "DCM-TILT"),
    read("tilt 2", lambda: tilted(2), "DCM-TILT"),
    read("tilt 0.5", lambda: tilted(0.5), "DCM-TILT"),
    read("tilt tag lies", lambda: setting(GantryDetectorTilt="15"), "DCM-TILT-TAG"),
    read("orientation noise 1e-4", lambda: with_orientation_noise(1.5e-4), "DCM-IOP-NOISE"),
    refuse("orientation noise 1e-3", "DCM-IOP", lambda: with_orientation_noise(1.5e-3)),
    refuse("orientation noise 1e-2", "DCM-IOP", lambda: with_orientation_noise(1e-2)),
    refuse(
        "orientation skewed", "DCM-IOP", lambda: setting(ImageOrientationPatient=["1", "0.01", "0", "0", "1.02", "0"])
    ),
    refuse("orientation zero", "DCM-IOP", lambda: setting(ImageOrientationPatient=["0"] * 6), unreadable=True),
    refuse(
        "rows that cancel",
        "DCM-IOP",
        lambda: from_slice(SLICES // 2, ImageOrientationPatient=["-1", "0", "0", "0", "1", "0"]),
    ),
    refuse("no orientation", "DCM-IOP", lambda: setting(ImageOrientationPatient=None)),
    read("oblique", lambda: series(orientation=OBLIQUE)),
    read("prone", lambda: series(orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0))),
    read("coronal", lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))),
    read("sagittal", lambda: series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))),
    refuse("no pixel spacing", "DCM-SPACING", lambda: setting(PixelSpacing=None)),
    refuse("zero pixel spacing", "DCM-SPACING", lambda: setting(PixelSpacing=["0", "0"])),
    refuse("pixel spacing changes", "DCM-MIXED", changing_pixel_spacing),
    refuse(
        "pixel spacing changes by 1 %",
        "DCM-MIXED",
        lambda: one_slice(lambda ds: setattr(ds, "PixelSpacing", ["0.909", "0.707"])),
    ),
    refuse(
        "two frames of reference",
        "DCM-FOR",
        lambda: one_slice(lambda ds: setattr(ds, "FrameOfReferenceUID", f"{ROOT}.44")),
        unreadable=True,
    ),
    refuse(
        "two studies under one series UID",
        "DCM-MIXED",
        lambda: one_slice(lambda ds: setattr(ds, "StudyInstanceUID", f"{ROOT}.45")),
    ),
    refuse(
        "two patients under one series UID", "DCM-MIXED", lambda: one_slice(lambda ds: setattr(ds, "PatientID", "P2"))
    ),
    read("PatientID missing in one slice", lambda: one_slice(_without("PatientID"))),
    refuse("three frames of reference", "DCM-FOR", lambda: frames_of_reference(lambda k: k // 4), unreadable=True),
    read("a frame of reference for every slice", lambda: frames_of_reference(lambda k: k), "DCM-FOR-SLICE"),
    read(
        "a frame of reference for every slice but two",
        lambda: frames_of_reference(lambda k: max(k, 1)),
        "DCM-FOR-SLICE",
    ),
    refuse("one frame of reference missing", "DCM-FOR", lambda: one_slice(_without("FrameOfReferenceUID"))),
    read("no frame of reference", lambda: setting(FrameOfReferenceUID=None)),
    refuse("pixel spacing at the detector only", "DCM-SPACING", lambda: each(_detector_spacing)),
    refuse("one slice seen from behind", "DCM-IOP", lambda: one_slice(flipped)),
    refuse("last slice seen from behind", "DCM-IOP", lambda: one_slice(flipped, -1)),
    read("two thicknesses", lambda: one_slice(lambda ds: setattr(ds, "SliceThickness", "2.5")), "DCM-THICK"),
    read("thickness lies", lambda: setting(SliceThickness="1"), "DCM-THICK"),
    read("no thickness", lambda: setting(SliceThickness=None)),
    read("spacing tag lies", lambda: setting(SpacingBetweenSlices="1.25")),
    read("spacing tag negative", lambda: setting(SpacingBetweenSlices="-5")),
    read("overlapping", lambda: series(spacing=2.5), "DCM-THICK"),
]

PLACES = np.arange(8) + 9.5
SECOND_PASS = {
    "AcquisitionNumber": 2,
    "AcquisitionTime": "040000",
    "AcquisitionDateTime": "20200102040000",
    "ContentTime": "040000",
    "SeriesTime": "040000",
    "TriggerTime": "300",
    "ConvolutionKernel": "SHARP",
    "KVP": "80",
    "ExposureTime": "700",
    "FilterType": "B",
    "ReconstructionDiameter": "300",
    "ImageComments": "second",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "B"],
    "InstanceNumber": lambda number: number + 1,
}

GROUPS = [
    refuse("two phases", "DCM-PHASES", lambda: in_parts(TriggerTime="300"), above=(0, 100)),
    refuse("two kernels", "DCM-PHASES", lambda: in_parts(ConvolutionKernel="SHARP"), above=(0, 100)),
    refuse("two acquisitions", "DCM-PHASES", lambda: in_parts(AcquisitionNumber=2), above=(0, 100)),
    refuse("two times", "DCM-PHASES", lambda: in_parts(AcquisitionTime="040000"), above=(0, 100)),
    refuse("two tube voltages", "DCM-PHASES", lambda: in_parts(KVP="80"), above=(0, 100)),
    refuse("two phases by turns", "DCM-PHASES", lambda: by_turns(TemporalPositionIdentifier=2), unreadable=True),
    refuse("two kernels by turns", "DCM-PHASES", lambda: by_turns(ConvolutionKernel="SHARP"), unreadable=True),
    read(
        "two kernels by turns, one chosen",
        lambda: by_turns(ConvolutionKernel="SHARP"),
        "DCM-THICK",
        options={"phase": 2},
        slices=6,
        policy=True,
    ),
    read("kernel changes once", lambda: from_slice(6, ConvolutionKernel="SHARP"), "DCM-KERNEL"),
    read("accession number changes once", lambda: from_slice(6, AccessionNumber="another"), "DCM-IDENTITY"),
    read("first phase", lambda: in_parts(AcquisitionNumber=2), options={"phase": 1}, policy=True),
    read("one scan, two acquisitions", split_by_acquisition),
    *[
        refuse(
            f"second pass between the first one's slices, by {key}",
            "DCM-PHASES",
            lambda key=key, value=value: second_pass(PLACES, **{key: value}),
            unreadable=True,
        )
        for key, value in SECOND_PASS.items()
    ],
    refuse(
        "second pass, to be filled",
        "DCM-PHASES",
        lambda: second_pass(PLACES, AcquisitionNumber=2),
        options={"on_gap": "fill"},
    ),
    read(
        "second pass, first chosen",
        lambda: second_pass(PLACES, AcquisitionNumber=2),
        options={"phase": 1},
        policy=True,
    ),
    refuse(
        "second pass between all slices of the first",
        "DCM-PHASES",
        lambda: second_pass(np.arange(12) + 0.5, AcquisitionNumber=2),
        unreadable=True,
    ),
    refuse(
        "second pass that shares the last position",
        "DCM-PHASES",
        lambda: second_pass(np.arange(11, 19), AcquisitionNumber=2),
        above=(0, 100),
    ),
    refuse(
        "second pass after a gap",
        "DCM-GAP",
        lambda: second_pass(np.arange(13, 19), above=0, AcquisitionNumber=2),
    ),
    refuse(
        "second pass after a gap, to be filled",
        "DCM-GAP",
        lambda: second_pass(np.arange(13, 19), above=0, AcquisitionNumber=2),
        options={"on_gap": "fill"},
    ),
    refuse(
        "second pass with one slice too few",
        "DCM-PHASES",
        lambda: [ds for number, ds in enumerate(second_pass(PLACES, AcquisitionNumber=2)) if number != 15],
        unreadable=True,
    ),
    read("two copies", lambda: copies(range(3, 5)), "DCM-DUP"),
    read("all twice", lambda: copies(range(SLICES)), "DCM-DUP"),
    read("files copied as they are", lambda: copies(range(3, 5), own_uids=False), "DCM-DUP"),
    refuse("two images at one place", "DCM-DUP-DIFF", lambda: copies(range(3, 5), different=True)),
    refuse("same bytes, other rescale, at one place", "DCM-DUP-DIFF", _same_bytes_other_rescale),
    read("localizer", localizer, "DCM-LOCALIZER"),
    read("localizer of another matrix", lambda: localizer(rows=40), "DCM-LOCALIZER"),
    read("localizer without the name", lambda: localizer(typed=False), "DCM-LOCALIZER"),
    refuse("matrix changes", "DCM-MIXED", lambda: [*series()[:6], *localizer_matrix()]),
    read("same instance UID", lambda: setting(SOPInstanceUID=f"{ROOT}.3.1"), "DCM-UID"),
    read("reformat, coronal", lambda: reformat((1.0, 0.0, 0.0, 0.0, 0.0, -1.0)), "DCM-DERIVED"),
    read("reformat, sagittal", lambda: reformat((0.0, 1.0, 0.0, 0.0, 0.0, -1.0)), "DCM-DERIVED"),
    read("reformat, oblique", lambda: reformat(OBLIQUE), "DCM-DERIVED"),
    refuse("synthetic", "DCM-SYNTH", lambda: setting(SyntheticData="YES"), policy=True),
    refuse("own result without its flag", "DCM-SYNTH", lambda: setting(Manufacturer="thinslice"), policy=True),
    read(
        "synthetic, allowed",
        lambda: setting(SyntheticData="YES"),
        "DCM-SYNTH",
        options={"allow_derived": True},
        policy=True,
    ),
    refuse(
        "magnetic resonance",
        "DCM-NOTCT",
        lambda: setting(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
        policy=True,
    ),
    refuse(
        "emission tomography",
        "DCM-NOTCT",
        lambda: setting(Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128"),
        policy=True,
    ),
    refuse("colour capture", "DCM-NOTCT", colour, policy=True),
]


VALUES = [
    read("unsigned 12 bit", lambda: layout(16, 12, 0)),
    read("signed 12 bit, not extended", lambda: layout(16, 12, 1, intercept="0")),
    read("overlay bits above", lambda: layout(16, 12, 0, extra=0xA000)),
    read("32 bit", lambda: layout(32, 32, 1)),
    read("8 bit", lambda: [*map(eight_bit, series())], "DCM-RESCALE-VARIES"),
    refuse("high bit 15 of 12", "DCM-BITS", high_bits),
    read("sign by slice", own_sign, "DCM-RESCALE-VARIES"),
    read("bytes after the pixels", lambda: with_bytes_after(2), "DCM-EXCESS"),
    read("many bytes after the pixels", lambda: with_bytes_after(512), "DCM-EXCESS"),
    read("negative slope", lambda: rescaled("-1", "0")),
    read("icon of another matrix", with_icon),
    read("rescale by slice", own_rescale, "DCM-RESCALE-VARIES"),
    refuse("slope 0", "DCM-RESCALE", lambda: raw_text("RescaleSlope", "0"), unreadable=True),
    *[
        read(f"intercept {text!r}", lambda text=text: raw_text("RescaleIntercept", text))
        for text in ("-1024.0", "-1.024e3", " -1024 ", "-1024.00000000000000")
    ],
    read("slope 0.37", lambda: rescaled("0.37", "-1000.5")),
    *[
        refuse(
            f"intercept {text!r}" if len(text) < 20 else f"intercept of {len(text)} digits",
            "DCM-RESCALE",
            lambda text=text: raw_text("RescaleIntercept", text),
        )
        for text in ("-1024,0", "nan", "inf", "0x400", "-1_024", "1" * 70)
    ],
    refuse("no rescale", "DCM-RESCALE", lambda: setting(RescaleSlope=None, RescaleIntercept=None)),
    read(
        "no rescale, given",
        lambda: setting(RescaleSlope=None, RescaleIntercept=None),
        options={"rescale": (1.0, -1024.0)},
        policy=True,
    ),
    refuse("rescale type US", "DCM-NOTHU", lambda: setting(RescaleType="US"), policy=True),
    read("rescale type HU", lambda: setting(RescaleType="HU")),
    refuse("modality LUT", "DCM-LUT", lut),
    refuse("modality LUT beside rescale", "DCM-LUT", lambda: lut(beside=True)),
    refuse("inverted", "DCM-PHOTOMETRIC", lambda: setting(PhotometricInterpretation="MONOCHROME1")),
    refuse("matrix of 65535", "DCM-LIMIT", lambda: setting(Rows=65535, Columns=65535)),
    read("padding -2000", lambda: padded(-2000, -2000), "DCM-PAD"),
    read("padding 63536 on signed", lambda: padded(-2000, 63536, vr="US"), "DCM-PAD"),
    read("padding 63536, unsigned", lambda: padded(63536, 63536, signed=0, vr="US"), "DCM-PAD"),
    read("padding -2000 on unsigned", lambda: padded(63536, -2000, signed=0), "DCM-PAD"),
    read("padding range", lambda: padded(-1990, -2000, limit=-1980), "DCM-PAD"),
    read("padding without tag", lambda: padded(-2000, None), "DCM-PAD"),
    read("padding of another value than declared", lambda: padded(-2000, -1500), "DCM-PAD"),
    read("lossy flag", lambda: setting(LossyImageCompression="01"), "DCM-LOSSY", policy=True),
]


MULTI_FRAME = [
    read("enhanced", lambda: [enhanced(series())]),
    read("enhanced, frames shuffled", lambda: [enhanced(shuffled(series()))]),
    read("enhanced, rescale by frame", enhanced_rescale, "DCM-RESCALE-VARIES"),
    refuse("enhanced, one rescale shared, others by frame", "DCM-UNREADABLE", rescale_in_both_groups, unreadable=True),
    refuse("enhanced, two times", "DCM-PHASES", two_times_in_frames, above=(0, 100)),
    refuse("enhanced, frame missing", "DCM-GAP", lambda: [enhanced(without(5))]),
    read("legacy converted", lambda: [enhanced(series(), legacy=True)]),
    read("concatenation", lambda: concatenation(2, 0, 1)),
    refuse("concatenation, part missing", "DCM-CONCAT", lambda: concatenation(0, 2), unreadable=True),
    refuse("concatenation, last part missing", "DCM-CONCAT", lambda: concatenation(0, 1), unreadable=True),
]

FILES = [
    folder("no endings, foreign files between", among_foreign_files),
    folder("DICOMDIR on top", with_directory),
    folder("two series", two_series, "DCM-MULTISERIES"),
    folder("two series, one chosen", two_series, options={"series": 4}, slices=5, policy=True),
    folder("two series of one number", two_series_of_one_number, "DCM-MULTISERIES"),
    folder("two series of one number, the second chosen", two_series_of_one_number, options={"series": "3.2"}),
    folder("a series UID for every slice", series_uid_per_slice, "DCM-MULTISERIES"),
    folder("one of two series damaged", damaged_series_beside, "DCM-MULTISERIES", policy=True),
    folder(
        "one of two series damaged, the other chosen",
        damaged_series_beside,
        warned={"DCM-LEFT-OUT"},
        options={"series": 3},
        policy=True,
    ),
    folder(
        "one of two series damaged, and chosen",
        damaged_series_beside,
        "DCM-UNREADABLE",
        options={"series": 4},
        policy=True,
    ),
    folder("one CT among others", ct_beside_others, warned={"DCM-LOCALIZER"}, policy=True),
    folder("a link to a folder elsewhere", linked_folder, warned={"DCM-LINK"}),
    folder("an empty file", empty_file, "DCM-UNREADABLE"),
    folder("a file cut short", truncated_file, "DCM-UNREADABLE"),
    folder("a file without pixels", without_pixels, "DCM-UNREADABLE"),
    folder("no image at all", no_image, "DCM-NONE", policy=True),
    folder("zip", archive),
    folder("zip that leads out", partial(archive, name="../{}.dcm"), "DCM-ZIP", policy=True),
    folder("no preamble", partial(without_preamble, meta=True)),
    folder("no preamble, no group 2", partial(without_preamble, meta=False), warned={"DCM-NOMETA"}),
]

SYNTAXES = [
    folder("implicit little endian", lambda place: save(series(), place, syntax=ImplicitVRLittleEndian)),
    folder("explicit big endian", big_endian),
    folder("deflated", lambda place: save(series(), place, syntax=DeflatedExplicitVRLittleEndian)),
    folder("RLE", partial(compressed, syntax=RLELossless)),
    folder("JPEG-LS", partial(compressed, syntax=JPEGLSLossless)),
    *[
        folder(name, lambda place, kind=kind: transcoded(series(), place, getattr(gdcm.TransferSyntax, kind)))
        for name, kind in (
            ("JPEG lossless, first order", "JPEGLosslessProcess14_1"),
            ("JPEG lossless", "JPEGLosslessProcess14"),
            ("JPEG 2000 lossless", "JPEG2000Lossless"),
        )
    ],
    folder("two transfer syntaxes", two_syntaxes),
    folder("multi-frame, deflated", deflated_multi_frame),
    folder(
        "JPEG-LS near lossless",
        partial(compressed, syntax=JPEGLSNearLossless, jls_error=2),
        warned={"DCM-LOSSY"},
        within=3,
        policy=True,
    ),
    folder("JPEG 12 bit", twelve_bit_jpeg, warned={"DCM-LOSSY"}, within=3, policy=True),
    folder("JPEG of a retired process", unknown_syntax, "DCM-CODEC", policy=True),
    folder("codestream of another size", other_codestream, "DCM-CODESTREAM", policy=True),
]

CASES = [*GEOMETRY, *GROUPS, *VALUES, *MULTI_FRAME, *FILES, *SYNTAXES]
