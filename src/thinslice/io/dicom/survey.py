"""Which CT series lie in a folder of any size: a few attributes of every file, read once, in little memory.

An archive of 100,000 files is looked at before anything is done to it. What is kept of a file is its name and size;
of a series, what `inspect` shows of it. Whether its geometry is accepted, reading it will say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread

from thinslice.io.dicom.headers.attributes import Attributes
from thinslice.io.dicom.headers.checks import says_synthetic
from thinslice.io.dicom.headers.find import Entry, is_meant
from thinslice.io.dicom.headers.glance import START, Glance
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.headers.slices import CT_CLASSES, read_slices
from thinslice.io.dicom.headers.sniff import START_BYTES, kind_of

_ASKED = (
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "Manufacturer", "SeriesDescription", "SliceThickness",
    "KVP", "ConvolutionKernel", "SeriesInstanceUID", "SeriesNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "SyntheticData",
)  # fmt: skip


_GLANCE = Glance(*_ASKED)


@dataclass(frozen=True)
class SurveyedSeries:
    """A CT series as the headers of its files show it.

    Attributes:
        folder: the folder that all its files lie in, or below.
        names: its files, relative to that folder, and those beside them that cannot be read: they may be of it.
        size: bytes of its files.
        uid: SeriesInstanceUID; identity.
        number: SeriesNumber, or None.
        description: SeriesDescription; identity, as technologists type what they like.
        shape: images, rows, columns.
        pixel_mm: along x and y; None where missing.
        spacing_mm: usual distance of neighbouring slices; None where positions are missing.
        thickness_mm: SliceThickness; None where missing.
        kernel: ConvolutionKernel.
        manufacturer: of the scanner.
        kvp: tube voltage.
        synthetic: whether it says that its content was made artificially.
    """

    folder: Path
    names: tuple[str, ...]
    size: int
    uid: str
    number: int | None
    description: str
    shape: tuple[int, int, int]
    pixel_mm: tuple[float, float] | None
    spacing_mm: float | None
    thickness_mm: float | None
    kernel: str
    manufacturer: str
    kvp: float | None
    synthetic: bool


@dataclass(eq=False)
class Gathered:
    """What is known so far of the files of one series that lie in one folder.

    Attributes:
        folder: that folder.
        first: attributes of the first of them.
        names: of the files, within the folder.
        size: bytes.
        images: how many.
        along: positions of the slices along their normal, in mm.
        instances: hashes of their SOPInstanceUID.
    """

    folder: Path
    first: Attributes
    names: list[str] = field(default_factory=list)
    size: int = 0
    images: int = 0
    along: list[float] = field(default_factory=list)
    instances: set[int] = field(default_factory=set)


@quiet()
def survey_folder(folder: Path, names: Iterable[str]) -> tuple[dict[str, Gathered], list[str]]:
    """The CT series in one folder, by UID, and the names of DICOM files in it that cannot be read.

    Args:
        folder: which; folders in it are not looked into.
        names: of the files in it.
    """
    found: dict[str, Gathered] = {}
    broken: list[str] = []
    for name in names:
        try:
            attributes, size = _attributes(os.path.join(folder, name))
            if attributes is not None:
                _gather(found, folder, name, attributes, size)
            elif is_meant(name):
                broken.append(name)
        except Exception:  # pydicom lets many types escape on broken files
            broken.append(name)
    return found, broken


def _attributes(path: str) -> tuple[Attributes | None, int]:
    """What is asked of a file, None where it is no DICOM, and its size."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        start = os.read(file, START)
        size = os.fstat(file).st_size
    finally:
        os.close(file)
    kind = kind_of(start[:START_BYTES])
    if kind == "foreign":
        return None, size
    header = _GLANCE.of(start)
    if header is None:
        header = dcmread(path, stop_before_pixels=True, force=kind == "headerless", specific_tags=list(_ASKED))
    return Attributes(header), size


def _gather(found: dict[str, Gathered], folder: Path, name: str, attributes: Attributes, size: int) -> None:
    """Count a file to its series, where it is of CT and no localizer."""
    sop_class, modality = attributes.text("SOPClassUID"), attributes.text("Modality")
    if modality != "CT" and (modality or sop_class not in CT_CLASSES):
        return
    if sop_class and sop_class not in CT_CLASSES:
        return
    if "LOCALIZER" in [word.upper() for word in attributes.values("ImageType")[2:3]]:
        return
    series = found.setdefault(attributes.text("SeriesInstanceUID"), Gathered(folder, attributes))
    series.names.append(name)
    series.size += size
    series.instances.add(hash(attributes.text("SOPInstanceUID")))
    frames = attributes.integer("NumberOfFrames") or 1
    if frames > 1:  # positions, and all else, stand by the frames
        images = read_slices(Entry(name, size, folder / name), Limits()) or []
        series.images += len(images)
        series.first = images[0].attributes if images else series.first
        series.along += [_along(image.attributes) for image in images]
    else:
        series.images += 1
        series.along.append(_along(attributes))


def _along(attributes: Attributes) -> float:
    """Position of a slice along its normal, in mm; NaN where it is not stated."""
    position, orientation = attributes.numbers("ImagePositionPatient"), attributes.numbers("ImageOrientationPatient")
    if len(position) != 3 or len(orientation) != 6:
        return float("nan")
    a, b, c, d, e, f = orientation
    return position[0] * (b * f - c * e) + position[1] * (c * d - a * f) + position[2] * (a * e - b * d)


def joined(parts: list[Gathered]) -> list[list[Gathered]]:
    """Parts of one series in several folders: those that are one scan together, and copies of it apart."""
    seen: set[int] = set()
    for part in parts:
        if seen & part.instances:
            return [[part] for part in parts]
        seen |= part.instances
    return [parts]


def summary(uid: str, parts: list[Gathered], broken: dict[Path, list[str]]) -> SurveyedSeries:
    """The series that some parts make together.

    Args:
        uid: its SeriesInstanceUID.
        parts: of it, in their folders.
        broken: files that cannot be read, by folder.
    """
    folder = Path(os.path.commonpath([part.folder for part in parts]))
    names = [
        os.path.relpath(part.folder / name, folder)
        for part in parts
        for name in (*part.names, *broken.get(part.folder, ()))
    ]
    first = parts[0].first
    along = np.array([place for part in parts for place in part.along])
    gaps = np.diff(np.unique(np.round(along[np.isfinite(along)], 3)))
    pixel = first.numbers("PixelSpacing")
    return SurveyedSeries(
        folder=folder,
        names=tuple(sorted(names)),
        size=sum(part.size for part in parts),
        uid=uid,
        number=first.integer("SeriesNumber"),
        description=" ".join(first.text("SeriesDescription").split()),
        shape=(sum(part.images for part in parts), first.integer("Rows") or 0, first.integer("Columns") or 0),
        pixel_mm=(pixel[1], pixel[0]) if len(pixel) == 2 and np.isfinite(pixel).all() else None,
        spacing_mm=round(float(np.median(gaps)), 4) if len(gaps) else None,
        thickness_mm=first.finite("SliceThickness"),
        kernel=first.text("ConvolutionKernel")[:64],
        manufacturer=first.text("Manufacturer")[:64],
        kvp=first.finite("KVP"),
        synthetic=says_synthetic(first),
    )
