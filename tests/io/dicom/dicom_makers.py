"""Makers of awkward series: what is odd about each, written into valid ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    series,
    store,
    true_hu,
)
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

NOISE = np.random.default_rng(5).uniform(-1, 1, (SLICES, 6))


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

    return each(lambda _, ds: put_text(ds, keyword, text))


def put_text(ds: Dataset, keyword: str, text: str) -> None:
    """Replace a value by any text, which pydicom would not write: under its own VR, as the bytes they are."""
    element = ds[keyword]
    data = text.encode() + b" " * (len(text) % 2)
    ds[element.tag] = RawDataElement(element.tag, element.VR, len(data), data, 0, False, True)


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
        ds.SOPInstanceUID, ds.InstanceNumber = f"{ROOT}.5.{number + 1}", SLICES + number + 1
        paint(ds, true_hu(ds) + 100)
        for keyword, value in second.items():
            setattr(ds, keyword, value)
    return first + later


def second_pass(places: Iterable[float], *, above: float = 100, **values: Any) -> Series:
    """A regular series, and a second pass whose slices lie at these places, in spacings from its first slice."""
    first = series()
    origin, step = (np.array([float(v) for v in first[k].ImagePositionPatient]) for k in (0, 1))
    later = []
    for number, place in enumerate(places):
        (ds,) = series(slices=1)
        ds.ImagePositionPatient = [f"{value:.6f}" for value in origin + place * (step - origin)]
        ds.SOPInstanceUID, ds.InstanceNumber = f"{ROOT}.5.{number + 1}", SLICES + number + 1
        paint(ds, true_hu(ds) + above)
        for keyword, value in values.items():
            setattr(ds, keyword, value(number) if callable(value) else value)
        later.append(ds)
    return first + later


def frames_of_reference(group_of: Callable[[int], int]) -> Series:
    """A regular series whose slices have the frame of reference of their group."""
    return each(lambda number, ds: setattr(ds, "FrameOfReferenceUID", f"{ROOT}.44.{group_of(number)}"))


def with_bytes_after(count: int) -> Series:
    """Bytes after the pixels, which belong to no image."""
    return each(lambda _, ds: setattr(ds, "PixelData", ds.PixelData + b"\1" * count))


def by_turns(**second: Any) -> Series:
    """Every other slice is of another volume: its values set, its voxels 100 HU higher."""

    def change(number: int, ds: Dataset) -> None:
        if number % 2:
            paint(ds, true_hu(ds) + 100)
            for keyword, value in second.items():
                setattr(ds, keyword, value)

    return each(change)


def from_slice(first: int, **values: Any) -> Series:
    """A regular series with attributes set from a slice on."""

    def change(number: int, ds: Dataset) -> None:
        for keyword, value in values.items() if number >= first else ():
            setattr(ds, keyword, value)

    return each(change)


def two_times_in_frames() -> Series:
    """A multi-frame object of two volumes, distinguished by TemporalPositionIndex."""
    ds = enhanced(in_parts())
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        content = Dataset()
        content.TemporalPositionIndex = 1 + number // SLICES
        group.FrameContentSequence = Sequence([content])
    return [ds]


def copies(numbers: range, *, different: bool = False, own_uids: bool = True) -> Series:
    datasets = series()
    again = series()
    for number in numbers:
        if own_uids:
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


def lut(*, beside: bool = False) -> Series:
    """A look-up table from stored values to HU, in place of rescale or beside it."""

    def change(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "SS", [4096, 0, 16])
        item.ModalityLUTType = "HU"
        item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
        ds.ModalityLUTSequence = Sequence([item])
        if not beside:
            del ds.RescaleSlope, ds.RescaleIntercept

    return each(change)


def enhanced_rescale() -> Series:
    def change(number: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = f"{0.5 + 0.1 * number:.1f}", f"{-1000 - number}"

    return [enhanced(each(change, repaint=True), per_frame_rescale=True)]


def rescale_in_both_groups() -> Series:
    """Rescale by frame, and another one for all frames: which of them holds is not said."""
    (ds,) = enhanced_rescale()
    item = Dataset()
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = "7", "-7", "HU"
    ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = Sequence([item])
    return [ds]


def own_sign() -> Series:
    """Every other slice is signed, with an intercept of its own."""

    def change(number: int, ds: Dataset) -> None:
        ds.PixelRepresentation, ds.RescaleIntercept = number % 2, "0" if number % 2 else "-1024"

    return each(change, repaint=True)


def with_icon() -> Series:
    """Each image carries a small picture of itself, with a matrix and pixels of its own."""

    def change(_: int, ds: Dataset) -> None:
        icon = Dataset()
        icon.Rows, icon.Columns, icon.SamplesPerPixel, icon.PhotometricInterpretation = 8, 8, 1, "MONOCHROME2"
        icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
        icon.add_new("PixelData", "OB", bytes(64))
        ds.IconImageSequence = Sequence([icon])

    return each(change)


def flipped(ds: Dataset) -> None:
    """The image plane is seen from behind: rows run as before, columns the other way."""
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "-1", "0"]
    paint(ds)


def high_bits() -> Series:
    """12 bits at the top of 16, as before 1993."""

    def change(_: int, ds: Dataset) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 15, 0
        stored = np.rint(true_hu(ds) + 1024).astype("<u2") << 4
        ds.add_new("PixelData", "OW", stored.tobytes())

    return each(change)


def changing_pixel_spacing() -> Series:
    datasets = series()
    for ds in datasets[6:]:
        ds.PixelSpacing = ["1.2", "0.9"]
        paint(ds)
    return datasets


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


def without_positions_and_orientation() -> Series:
    datasets = without_positions()
    for ds in datasets:
        del ds.ImageOrientationPatient
    return datasets


def reformat(orientation: tuple[float, ...]) -> Series:
    """Planes cut out of another series by the scanner's console."""
    datasets = series(orientation=orientation)
    for ds in datasets:
        ds.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    return datasets


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


def localizer_matrix() -> Series:
    datasets = series()[6:]
    for ds in datasets:
        ds.Rows = 30
        paint(ds)
    return datasets


def eight_bit(ds: Dataset) -> Dataset:
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    low = float(np.floor(true_hu(ds).min()))
    ds.RescaleSlope, ds.RescaleIntercept = "1", f"{low:g}"
    paint(ds)
    return ds


def shuffled(datasets: Series) -> Series:
    return [datasets[number] for number in np.random.default_rng(1).permutation(len(datasets))]


OBLIQUE = rotated(20, -15, 10)
