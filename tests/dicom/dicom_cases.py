"""The table of awkward series: how each is made, and what reading it must come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dicom_phantom import (
    ROOT,
    SLICES,
    SPACING,
    Series,
    each,
    enhanced,
    moved,
    paint,
    save,
    series,
    store,
    true_hu,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

NOISE = np.random.default_rng(5).uniform(-1, 1, (SLICES, 6))


@dataclass(frozen=True)
class Case:
    """A row: its name, its maker (a list of data sets, or a function that writes a folder), and what must come.

    `refused` is the code of the error, or None where the series is read; `warned` are exactly the
    warnings then; `options` go to the reader. `slices` is how many must come out.
    """

    name: str
    make: Callable[[], Series] | Callable[[Path], None]
    refused: str | None = None
    warned: frozenset[str] = frozenset()
    options: dict[str, Any] = field(default_factory=dict)
    slices: int = SLICES
    writes_itself: bool = False

    def write(self, folder: Path) -> None:
        """Write the case into a folder."""
        if self.writes_itself:
            self.make(folder)  # type: ignore[call-arg, arg-type]
        else:
            save(self.make(), folder)  # type: ignore[call-arg, arg-type]


def read(name: str, make: Callable[..., Any], *warned: str, **more: Any) -> Case:
    return Case(name, make, None, frozenset(warned), **more)


def refuse(name: str, code: str, make: Callable[..., Any], **more: Any) -> Case:
    return Case(name, make, code, **more)


def setting(**values: Any) -> Series:
    """A regular series with attributes set, None deleting one; pixels painted anew by the new header."""

    def change(_: int, ds: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)

    return each(change)


def raw_text(keyword: str, text: str) -> Series:
    """A regular series with a decimal string written as it stands, valid or not."""

    def change(_: int, ds: Dataset) -> None:
        tag = ds[keyword].tag
        del ds[tag]
        ds.add_new(tag, "LO", text)  # any text may be written under this VR; the reader looks at the bytes

    return each(change)


def tilted(degrees: float, **values: Any) -> Series:
    """Positions sheared along y, as with gantry tilt; GantryDetectorTilt only where given."""
    angle = np.radians(degrees)
    normal = np.array([0.0, -np.sin(angle), np.cos(angle)])
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))
    assert np.allclose(np.cross(orientation[:3], orientation[3:]), normal)
    datasets = series(orientation=orientation, step=np.array([0.0, 0.0, SPACING]))
    for ds in datasets:
        for keyword, value in values.items():
            setattr(ds, keyword, value)
    return datasets


def rotated(*angles: float) -> tuple[float, ...]:
    """Row and column direction after turns about x, y and z, in degrees."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        turn = np.eye(3)
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return tuple(float(value) for value in [*matrix[:, 0], *matrix[:, 1]])


def with_orientation_noise(size: float) -> Series:
    def change(number: int, ds: Dataset) -> None:
        noisy = np.array([float(value) for value in ds.ImageOrientationPatient]) + size * NOISE[number]
        ds.ImageOrientationPatient = [f"{value:.9f}" for value in noisy]

    return each(change)


def in_parts(**second: Any) -> Series:
    """Two volumes at the same positions in one series; the second's values set, its voxels 100 HU higher."""
    first, later = series(), series()
    for number, ds in enumerate(later):
        ds.SOPInstanceUID = f"{ROOT}.5.{number + 1}"
        paint(ds, true_hu(ds) + 100)
        for keyword, value in second.items():
            setattr(ds, keyword, value)
    return first + later


def copies(numbers: range, *, different: bool = False) -> Series:
    datasets = series()
    again = series()
    for number in numbers:
        again[number].SOPInstanceUID = f"{ROOT}.6.{number}"
        if different:
            paint(again[number], true_hu(again[number]) + 50)
        datasets.append(again[number])
    return datasets


def localizer(*, rows: int | None = None, typed: bool = True) -> Series:
    ds = series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))[0]
    ds.SOPInstanceUID = f"{ROOT}.7.1"
    if typed:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    if rows:
        ds.Rows = rows
        paint(ds)
    return [*series(), ds]


def layout(allocated: int, stored: int, signed: int, *, extra: int = 0, intercept: str = "-1024") -> Series:
    """A pixel layout; `extra` fills the bits above BitsStored."""

    def change(_: int, ds: Dataset) -> None:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, stored, stored - 1, signed
        ds.RescaleIntercept = intercept
        values = np.rint(true_hu(ds) - float(intercept)).astype(np.int64)
        store(ds, values, extra=extra)

    return each(change)


def rescaled(slope: str, intercept: str) -> Series:
    def change(_: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept

    return each(change, repaint=True)


def padded(stored: int, tag: int | None, *, signed: int = 1, vr: str = "SS", limit: int | None = None) -> Series:
    """Corners outside a round field of view hold a stored value, declared by the tag or not."""

    def change(_: int, ds: Dataset) -> None:
        ds.PixelRepresentation = signed
        values = np.rint(true_hu(ds) + 1024).astype(np.int64)
        y, x = np.mgrid[: ds.Rows, : ds.Columns]
        values[np.hypot(y - ds.Rows / 2, x - ds.Columns / 2) > 11] = stored
        store(ds, values)
        if tag is not None:
            ds.add_new("PixelPaddingValue", vr, tag)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", vr, limit)

    return each(change)


def without(*numbers: int) -> Series:
    return [ds for number, ds in enumerate(series()) if number not in numbers]


def two_spacings() -> Series:
    return moved(lambda number: (0, 0, -3.0 * min(number, 5)))


def concatenation(*parts: int) -> Series:
    """A multi-frame object of three parts, of which some are there."""
    whole = series()
    datasets = []
    for part in parts:
        ds = enhanced(whole[4 * part : 4 * part + 4])
        ds.SOPInstanceUID = f"{ROOT}.9.{part + 1}"
        ds.ConcatenationUID, ds.InConcatenationNumber, ds.InConcatenationTotalNumber = f"{ROOT}.8", part + 1, 3
        ds.ConcatenationFrameOffsetNumber = 4 * part
        datasets.append(ds)
    return datasets


def lut() -> Series:
    def change(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "SS", [4096, 0, 16])
        item.ModalityLUTType = "HU"
        item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
        ds.ModalityLUTSequence = Sequence([item])
        del ds.RescaleSlope, ds.RescaleIntercept

    return each(change)


def enhanced_rescale() -> Series:
    def change(number: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = f"{0.5 + 0.1 * number:.1f}", f"{-1000 - number}"

    return [enhanced(each(change, repaint=True), per_frame_rescale=True)]


def own_rescale() -> Series:
    def change(number: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = f"{0.5 + 0.1 * number:.1f}", f"{-1000 - number}"

    return each(change, repaint=True)


def one_slice(change: Callable[[Dataset], None], number: int = 5) -> Series:
    datasets = series()
    change(datasets[number])
    return datasets


def reversed_numbers(number: int, ds: Dataset) -> None:
    ds.InstanceNumber = SLICES - number


def without_positions() -> Series:
    def change(number: int, ds: Dataset) -> None:
        ds.SliceLocation = f"{number * SPACING}"
        del ds.ImagePositionPatient

    return each(change)


def split_by_acquisition() -> Series:
    """One scan whose slices carry two acquisition numbers and many times: still one scan."""

    def change(number: int, ds: Dataset) -> None:
        ds.AcquisitionNumber, ds.AcquisitionTime = 1 + number // 6, f"0304{number:02d}"

    return each(change)


def colour() -> Series:
    def change(_: int, ds: Dataset) -> None:
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.add_new("PixelData", "OB", bytes(ds.Rows * ds.Columns * 3))

    return each(change)


OBLIQUE = rotated(20, -15, 10)

GEOMETRY = [
    read("plain", series),
    read("reversed instance numbers", lambda: each(reversed_numbers)),
    read("head to foot", lambda: list(reversed(series()))),
    read("no instance numbers", lambda: setting(InstanceNumber=None)),
    read("jitter 0.01 mm", lambda: moved(lambda k: (0, 0, 0.01 * NOISE[k, 0]))),
    read("jitter 0.05 mm", lambda: moved(lambda k: (0, 0, 0.05 * (-1) ** k)), "DCM-JITTER"),
    refuse("jitter 0.13 mm", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.13 * (-1) ** k))),
    refuse("jitter 0.5 mm", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.5 * NOISE[k, 0]))),
    refuse("in-plane jitter", "DCM-DRIFT", lambda: moved(lambda k: (0.5 * NOISE[k, 0], 0.5 * NOISE[k, 1], 0))),
    refuse("one missing", "DCM-GAP", lambda: without(5)),
    refuse("four missing", "DCM-GAP", lambda: without(3, 4, 7, 9)),
    read("end missing", lambda: without(11), slices=11),
    refuse("two spacings", "DCM-UNEVEN", two_spacings),
    refuse("alternating spacings", "DCM-UNEVEN", lambda: moved(lambda k: (0, 0, 0.15 * (-1) ** k))),
    refuse(
        "position NaN", "DCM-IPP", lambda: one_slice(lambda ds: ds.add_new("ImagePositionPatient", "LO", "NaN\\1\\2"))
    ),
    refuse("no positions", "DCM-IPP", without_positions),
    refuse("one slice", "DCM-FEW", lambda: series()[:1]),
    refuse("two slices", "DCM-FEW", lambda: series()[:2]),
    read("three slices", lambda: series()[:3], slices=3),
    read("tilt 15", lambda: tilted(15), "DCM-TILT"),
    read("tilt -15 with tag", lambda: tilted(-15, GantryDetectorTilt="-15"), "DCM-TILT"),
    read("tilt 2", lambda: tilted(2), "DCM-TILT"),
    read("tilt 0.6", lambda: tilted(0.6), "DCM-TILT"),
    read("tilt tag lies", lambda: setting(GantryDetectorTilt="15"), "DCM-TILT-TAG"),
    read("orientation noise 1e-4", lambda: with_orientation_noise(2e-4), "DCM-IOP-NOISE"),
    refuse("orientation noise 3e-3", "DCM-IOP", lambda: with_orientation_noise(3e-3)),
    refuse(
        "orientation skewed", "DCM-IOP", lambda: setting(ImageOrientationPatient=["1", "0.01", "0", "0", "1.02", "0"])
    ),
    refuse("orientation zero", "DCM-IOP", lambda: setting(ImageOrientationPatient=["0"] * 6)),
    refuse("no orientation", "DCM-IOP", lambda: setting(ImageOrientationPatient=None)),
    read("oblique", lambda: series(orientation=OBLIQUE)),
    read("prone", lambda: series(orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0))),
    read("coronal", lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))),
    read("sagittal", lambda: series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))),
    refuse("no pixel spacing", "DCM-SPACING", lambda: setting(PixelSpacing=None)),
    refuse("zero pixel spacing", "DCM-SPACING", lambda: setting(PixelSpacing=["0", "0"])),
    refuse(
        "pixel spacing changes", "DCM-MIXED", lambda: one_slice(lambda ds: setattr(ds, "PixelSpacing", ["0.8", "0.8"]))
    ),
    refuse(
        "two frames of reference",
        "DCM-FOR",
        lambda: one_slice(lambda ds: setattr(ds, "FrameOfReferenceUID", f"{ROOT}.44")),
    ),
    read("thickness lies", lambda: setting(SliceThickness="1"), "DCM-THICK"),
    read("no thickness", lambda: setting(SliceThickness=None)),
    read("spacing tag negative", lambda: setting(SpacingBetweenSlices="-5")),
    read("overlapping", lambda: series(spacing=2.5), "DCM-THICK"),
]

GROUPS = [
    refuse("two phases", "DCM-PHASES", lambda: in_parts(TriggerTime="300")),
    refuse("two kernels", "DCM-PHASES", lambda: in_parts(ConvolutionKernel="SHARP")),
    refuse("two acquisitions", "DCM-PHASES", lambda: in_parts(AcquisitionNumber=2)),
    read("first phase", lambda: in_parts(AcquisitionNumber=2), options={"phase": 1}),
    read("one scan, two acquisitions", split_by_acquisition),
    read("two copies", lambda: copies(range(3, 5)), "DCM-DUP"),
    read("all twice", lambda: copies(range(SLICES)), "DCM-DUP"),
    refuse("two images at one place", "DCM-DUP-DIFF", lambda: copies(range(3, 5), different=True)),
    read("localizer", localizer, "DCM-LOCALIZER"),
    read("localizer of another matrix", lambda: localizer(rows=40), "DCM-LOCALIZER"),
    read("localizer without the name", lambda: localizer(typed=False), "DCM-LOCALIZER"),
    refuse("matrix changes", "DCM-MIXED", lambda: [*series()[:6], *localizer_matrix()]),
    read("same instance UID", lambda: setting(SOPInstanceUID=f"{ROOT}.3.1"), "DCM-UID"),
    read("derived", lambda: setting(ImageType=["DERIVED", "SECONDARY", "MPR"]), "DCM-DERIVED"),
    refuse("synthetic", "DCM-SYNTH", lambda: setting(SyntheticData="YES")),
    read("synthetic, allowed", lambda: setting(SyntheticData="YES"), "DCM-SYNTH", options={"allow_derived": True}),
    refuse("magnetic resonance", "DCM-NOTCT", lambda: setting(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")),
    refuse("colour capture", "DCM-NOTCT", colour),
]


def localizer_matrix() -> Series:
    datasets = series()[6:]
    for ds in datasets:
        ds.Rows = 30
        paint(ds)
    return datasets


VALUES = [
    read("unsigned 12 bit", lambda: layout(16, 12, 0)),
    read("signed 12 bit, not extended", lambda: layout(16, 12, 1, intercept="0")),
    read("overlay bits above", lambda: layout(16, 12, 0, extra=0xA000)),
    read("32 bit", lambda: layout(32, 32, 1)),
    read("8 bit", lambda: [*map(eight_bit, series())], "DCM-RESCALE-VARIES"),
    refuse("high bit 15 of 12", "DCM-BITS", lambda: setting(BitsStored=12, PixelRepresentation=0)),
    read("rescale by slice", own_rescale, "DCM-RESCALE-VARIES"),
    refuse("slope 0", "DCM-RESCALE", lambda: raw_text("RescaleSlope", "0")),
    *[
        read(f"intercept {text!r}", lambda text=text: raw_text("RescaleIntercept", text))
        for text in ("-1024.0", "-1.024e3", " -1024 ", "-1024.00000000000000")
    ],
    read("slope 0.37", lambda: rescaled("0.37", "-1000.5")),
    *[
        refuse(f"intercept {text!r}", "DCM-RESCALE", lambda text=text: raw_text("RescaleIntercept", text))
        for text in ("-1024,0", "nan", "inf", "0x400", "-1_024", "1" * 70)
    ],
    refuse("no rescale", "DCM-RESCALE", lambda: setting(RescaleSlope=None, RescaleIntercept=None)),
    read(
        "no rescale, given",
        lambda: setting(RescaleSlope=None, RescaleIntercept=None),
        options={"rescale": (1.0, -1024.0)},
    ),
    refuse("rescale type US", "DCM-NOTHU", lambda: setting(RescaleType="US")),
    read("rescale type HU", lambda: setting(RescaleType="HU")),
    refuse("modality LUT", "DCM-LUT", lut),
    refuse("inverted", "DCM-PHOTOMETRIC", lambda: setting(PhotometricInterpretation="MONOCHROME1")),
    read("padding -2000", lambda: padded(-2000, -2000), "DCM-PAD"),
    read("padding 63536 on signed", lambda: padded(-2000, 63536, vr="US"), "DCM-PAD"),
    read("padding 63536, unsigned", lambda: padded(63536, 63536, signed=0, vr="US"), "DCM-PAD"),
    read("padding -2000 on unsigned", lambda: padded(63536, -2000, signed=0), "DCM-PAD"),
    read("padding range", lambda: padded(-1990, -2000, limit=-1980), "DCM-PAD"),
    read("padding without tag", lambda: padded(-2000, None), "DCM-PAD"),
    read("padding of another value than declared", lambda: padded(-2000, -1500), "DCM-PAD"),
    read("near lossless flag", lambda: setting(LossyImageCompression="01"), "DCM-LOSSY"),
]


def eight_bit(ds: Dataset) -> Dataset:
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    low = float(np.floor(true_hu(ds).min()))
    ds.RescaleSlope, ds.RescaleIntercept = "1", f"{low:g}"
    paint(ds)
    return ds


def shuffled(datasets: Series) -> Series:
    return [datasets[number] for number in np.random.default_rng(1).permutation(len(datasets))]


MULTI_FRAME = [
    read("enhanced", lambda: [enhanced(series())]),
    read("enhanced, frames shuffled", lambda: [enhanced(shuffled(series()))]),
    read("enhanced, rescale by frame", enhanced_rescale, "DCM-RESCALE-VARIES"),
    refuse("enhanced, frame missing", "DCM-GAP", lambda: [enhanced(without(5))]),
    read("legacy converted", lambda: [enhanced(series(), legacy=True)]),
    read("concatenation", lambda: concatenation(2, 0, 1)),
    refuse("concatenation, part missing", "DCM-CONCAT", lambda: concatenation(0, 2)),
    refuse("concatenation, last part missing", "DCM-CONCAT", lambda: concatenation(0, 1)),
]

CASES = [*GEOMETRY, *GROUPS, *VALUES, *MULTI_FRAME]
