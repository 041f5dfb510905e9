"""A synthetic CT series whose HU are a linear function of the patient position.

HU = 2 X + 4 Y + 5 Z of the position in LPS mm: three different slopes, so that any flip, order,
spacing or origin error shows as an HU error at the position that a reader claims. Rows, columns and
spacings differ, so that no two axes can be swapped unseen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

ROWS, COLUMNS, SLICES = 24, 20, 12
ROW_SPACING, COLUMN_SPACING, SPACING = 0.9, 0.7, 5.0
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.8.498.7"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Series = list[Dataset]


def hu_at(positions_lps: np.ndarray) -> np.ndarray:
    """(..., 3) positions in mm to HU."""
    return positions_lps @ np.array([2.0, 4.0, 5.0])


def plane_positions(
    first: np.ndarray, orientation: np.ndarray, spacing: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """(rows, columns, 3) LPS positions of an image's pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return first + x[..., None] * spacing[1] * orientation[:3] + y[..., None] * spacing[0] * orientation[3:]


def series(
    *,
    slices: int = SLICES,
    orientation: tuple[float, ...] = AXIAL,
    step: np.ndarray | None = None,
    spacing: float = SPACING,
) -> Series:
    """A regular, valid series.

    Args:
        slices: number of slices.
        orientation: row and column direction.
        step: from slice to slice, mm; along the normal where None.
        spacing: length of that step.
    """
    directions = np.array(orientation)
    normal = np.cross(directions[:3], directions[3:])
    step = spacing * normal if step is None else step
    return [_slice(number, np.array([-7.0, 11.0, -20.0]) + number * step, orientation) for number in range(slices)]


def _slice(number: int, position: np.ndarray, orientation: tuple[float, ...]) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, f"{ROOT}.3.{number + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{ROOT}.1", f"{ROOT}.2", f"{ROOT}.4"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "Phantom Works", "M1"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Linear", "PID-77", "19700101", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200102", "030405", "1", "A1"
    ds.ReferringPhysicianName, ds.PositionReferenceIndicator, ds.PatientPosition = "", "", "HFS"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 3, number + 1, 1
    ds.SeriesDescription, ds.BodyPartExamined, ds.KVP, ds.ConvolutionKernel = "Thick axial", "CHEST", "120", "SOFT"
    ds.SliceThickness = f"{SPACING:g}"
    ds.PixelSpacing = [f"{ROW_SPACING:g}", f"{COLUMN_SPACING:g}"]
    ds.ImageOrientationPatient = [f"{value:.12g}"[:16] for value in orientation]
    ds.ImagePositionPatient = [f"{value:.6f}" for value in position]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "-1024"
    paint(ds)
    return ds


def true_hu(ds: Dataset) -> np.ndarray:
    """(rows, columns) HU of a slice, from the position that its header states."""
    orientation = np.array([float(value) for value in ds.ImageOrientationPatient])
    first = np.array([float(value) for value in ds.ImagePositionPatient])
    spacing = (float(ds.PixelSpacing[0]), float(ds.PixelSpacing[1]))
    return hu_at(plane_positions(first, orientation, spacing, (ds.Rows, ds.Columns)))


def paint(ds: Dataset, hu: np.ndarray | None = None) -> None:
    """Fill the pixels with `hu` (the truth of the stated position by default), by the header's rescale and layout."""
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", -1024))
    stored = np.rint(((true_hu(ds) if hu is None else hu) - intercept) / slope).astype(np.int64)
    store(ds, stored)


def store(ds: Dataset, stored: np.ndarray, *, extra: int = 0) -> None:
    """Put stored values (rows, columns) into the pixels; `extra` is or-ed into the bits above BitsStored."""
    data = (stored & ((1 << ds.BitsStored) - 1) | extra).astype(f"<u{ds.BitsAllocated // 8}")
    ds.add_new("PixelData", "OW", data.tobytes())


def save(datasets: Series, folder: Path, *, syntax: str = ExplicitVRLittleEndian, ending: str = ".dcm") -> None:
    """Write files whose names say nothing about the order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(datasets):
        (folder / f"f{number * 7 % 101:03d}_{number}{ending}").write_bytes(file_bytes(ds, syntax=syntax))


def file_bytes(ds: Dataset, *, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A DICOM file of a data set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.get("SOPInstanceUID", ROOT)
    meta.TransferSyntaxUID = getattr(ds, "made_syntax", syntax)
    ds.file_meta = meta
    stream = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def each(change: Callable[[int, Dataset], None], *, repaint: bool = False, **options: object) -> Series:
    """A regular series with a change made to every slice."""
    datasets = series(**options)  # type: ignore[arg-type]
    for number, ds in enumerate(datasets):
        change(number, ds)
        if repaint:
            paint(ds)
    return datasets


def moved(offset: Callable[[int], tuple[float, float, float]], **options: object) -> Series:
    """A regular series whose slices are moved by mm; the pixels stay true to the stated position."""

    def move(number: int, ds: Dataset) -> None:
        position = np.array([float(value) for value in ds.ImagePositionPatient]) + offset(number)
        ds.ImagePositionPatient = [f"{value:.6f}" for value in position]

    return each(move, repaint=True, **options)


def enhanced(datasets: Series, *, per_frame_rescale: bool = False, legacy: bool = False) -> Dataset:
    """One multi-frame object of the slices, in the order given."""
    first = datasets[0]
    ds = Dataset()
    frame_tags = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope")
    for element in first:
        if element.keyword not in (*frame_tags, "RescaleIntercept", "PixelData", "InstanceNumber"):
            ds.add(element)
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2" if legacy else "1.2.840.10008.5.1.4.1.1.2.1"
    ds.SOPInstanceUID = f"{ROOT}.9.1"
    ds.InstanceNumber, ds.NumberOfFrames = 1, len(datasets)
    shared = Dataset()
    shared.PlaneOrientationSequence = Sequence([_group(first, "ImageOrientationPatient")])
    shared.PixelMeasuresSequence = Sequence([_group(first, "PixelSpacing", "SliceThickness")])
    if not per_frame_rescale:
        shared.PixelValueTransformationSequence = Sequence([_rescale(first)])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for image in datasets:
        group = Dataset()
        group.PlanePositionSequence = Sequence([_group(image, "ImagePositionPatient")])
        if per_frame_rescale:
            group.PixelValueTransformationSequence = Sequence([_rescale(image)])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.add_new("PixelData", "OW", b"".join(image.PixelData for image in datasets))
    return ds


def _group(image: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, image[keyword].value)
    return item


def _rescale(image: Dataset) -> Dataset:
    item = _group(image, "RescaleSlope", "RescaleIntercept")
    item.RescaleType = "HU"
    return item
