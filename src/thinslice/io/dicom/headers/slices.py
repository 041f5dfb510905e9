"""Pass 1: read headers, one `Slice` per image, without touching pixels.

A file that is no DICOM is skipped and counted. A file that is meant to be DICOM (by its mark, its
name, or being empty) and cannot be read is an error that names it: a lost slice is never taken for
a gap in the scan.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from thinslice.errors import InputError, ThinsliceError
from thinslice.io.dicom.headers.attributes import Attributes, frame_attributes, is_uid, items
from thinslice.io.dicom.headers.find import Entry, is_meant
from thinslice.io.dicom.headers.kept import WANTED
from thinslice.io.dicom.headers.limits import FREELY_INFLATED, Limits
from thinslice.io.dicom.headers.sniff import START_BYTES, kind_of

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
CT_CLASSES = frozenset({CT_IMAGE, ENHANCED_CT, LEGACY_ENHANCED_CT})
_OF_AN_IMAGE = ("ImagePositionPatient", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")
_DICOMDIR = "1.2.840.10008.1.3.10"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_MARK_ENDS = 132  # bytes: preamble and mark
_APPLE_DOUBLE = bytes.fromhex("00051607")  # what macOS keeps beside a file on other file systems
_FOREIGN_ENDINGS = frozenset(
    [
        ".txt",
        ".json",
        ".xml",
        ".csv",
        ".md",
        ".html",
        ".htm",
        ".pdf",
        ".jpg",
        ".jpeg",
        ".png",
        ".gif",
        ".log",
        ".ini",
        ".inf",
        ".exe",
        ".zip",
        ".nii",
        ".gz",
    ]
)


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A readable DICOM file.

    Attributes:
        entry: where it is.
        header: the attributes that are wanted, without pixels.
        syntax: UID of the transfer syntax.
        pixel_offset: where the value of PixelData begins, in the stream that `open` gives; None without PixelData.
        pixel_length: its length in bytes, or None where it is encapsulated.
        pixel_vr: VR of PixelData; "" where it is implicit.
        size: bytes of that stream.
        headerless: whether the file meta information is missing.
    """

    entry: Entry
    header: Dataset
    syntax: str
    pixel_offset: int | None
    pixel_length: int | None
    pixel_vr: str
    size: int
    headerless: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        """What messages call it (`Entry.shown`)."""
        return self.entry.shown

    def open(self) -> BinaryIO:
        """A stream of the data set, inflated where the syntax is deflated."""
        stream = self.entry.open()
        if self.syntax != DeflatedExplicitVRLittleEndian:
            return stream
        with stream:
            return _inflated(stream, self.entry, self.limits)


@dataclass(frozen=True, eq=False)
class Slice:
    """One image: a file, or a frame of a multi-frame file.

    Attributes:
        file: the file that holds it.
        frame: number of the frame, from 0.
        attributes: its header.
    """

    file: DicomFile
    frame: int
    attributes: Attributes

    @cached_property
    def position(self) -> np.ndarray:
        """ImagePositionPatient, LPS mm (3,); NaN where missing or malformed."""
        return self._vector("ImagePositionPatient", 3)

    @cached_property
    def orientation(self) -> np.ndarray:
        """ImageOrientationPatient (6,): direction of a row, direction of a column; NaN where missing or malformed."""
        return self._vector("ImageOrientationPatient", 6)

    @cached_property
    def pixel_spacing(self) -> np.ndarray:
        """PixelSpacing (2,): between rows (y), between columns (x), mm; NaN where missing or malformed."""
        return self._vector("PixelSpacing", 2)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns); 0 where missing."""
        return self.attributes.integer("Rows") or 0, self.attributes.integer("Columns") or 0

    @property
    def image_type(self) -> tuple[str, ...]:
        """The frame's type, else the image's, in capitals."""
        values = self.attributes.values("FrameType") or self.attributes.values("ImageType")
        return tuple(value.upper() for value in values)

    def _vector(self, keyword: str, length: int) -> np.ndarray:
        numbers = self.attributes.numbers(keyword)
        return np.array(numbers if len(numbers) == length else [np.nan] * length)


def files_of(images: Iterable[Slice]) -> str:
    """What messages call the files of some images: the first and how many more, ``slices/IM0062.dcm and 3 more``."""
    first, *others = sorted({image.file for image in images}, key=lambda file: file.entry.number)
    return f"{first.name} and {len(others)} more" if others else first.name


def unlike_most(images: Sequence[Slice], values: Sequence[object]) -> list[Slice]:
    """The images whose value is not the one that most of them have."""
    ((usual, _),) = Counter(values).most_common(1)
    return [image for image, value in zip(images, values, strict=True) if value != usual]


def read_slices(entry: Entry, limits: Limits) -> list[Slice] | None:
    """Read the header of a file.

    Returns:
        Its images; [] where it is a DICOM object without image; None where it is no DICOM at all.

    Raises:
        InputError: DCM-UNREADABLE, DCM-LIMIT.
    """
    kind = _kind(entry)
    if kind == "foreign":
        return None
    limits.check("file_bytes", entry.size, f"size of {entry.shown}")
    try:
        file = _read_file(entry, limits, headerless=kind == "headerless")
        return [] if file is None else _images(file, limits)
    except ThinsliceError:
        raise
    except Exception as error:  # pydicom lets many types escape on broken files
        raise _unreadable(entry, "its header is damaged") from error


def _images(file: DicomFile, limits: Limits) -> list[Slice]:
    """One slice of a single-frame file, or one per frame."""
    attributes = Attributes(file.header)
    frames = attributes.integer("NumberOfFrames")
    if frames is None and not attributes.text("NumberOfFrames"):
        frames = 1
    if frames is None or frames < 1:
        raise _unreadable(file.entry, "it states a wrong number of frames")
    described = "PerFrameFunctionalGroupsSequence" in file.header
    if frames == 1 and not described:
        return [Slice(file, 0, attributes)]
    sop_class = attributes.text("SOPClassUID")
    if is_uid(sop_class) and sop_class not in CT_CLASSES:  # no CT: the first frame shows where it belongs
        return [Slice(file, 0, frame_attributes(file.header, 0))]
    limits.check("slices", frames, f"frames of {file.name}")
    if described and len(items(file.header, "PerFrameFunctionalGroupsSequence")) != frames:
        raise _unreadable(file.entry, "it describes more or fewer frames than it states")
    return [Slice(file, frame, frame_attributes(file.header, frame)) for frame in range(frames)]


def _kind(entry: Entry) -> str:
    """What the entry is: "dicom", "headerless" (no preamble, no file meta) or "foreign"."""
    name = PurePath(entry.name).name
    ending = PurePath(name).suffix.lower()
    meant = is_meant(name)
    named_otherwise = not meant and (name.startswith(".") or ending in _FOREIGN_ENDINGS)
    if named_otherwise and (entry.size < _MARK_ENDS or entry.start(_MARK_ENDS)[-4:] != b"DICM"):
        return "foreign"
    if name.startswith("._") and entry.start(4) == _APPLE_DOUBLE:
        return "foreign"
    if entry.size == 0:
        raise _unreadable(entry, "it is empty")
    kind = kind_of(entry.start(START_BYTES))
    if kind != "foreign":
        return kind
    if meant:
        raise _unreadable(entry, "it carries a DICOM name but no DICOM data")
    return "foreign"


def _read_file(entry: Entry, limits: Limits, *, headerless: bool) -> DicomFile | None:
    """The file's header, or None for objects that hold no image."""
    with entry.open() as stream:
        source: BinaryIO = stream
        syntax: str = ImplicitVRLittleEndian
        if not headerless:
            syntax = _syntax(stream, entry)
            if syntax == DeflatedExplicitVRLittleEndian:
                source = _inflated(stream, entry, limits)
        # What is deferred is read from the file's name later on: a stream in memory has none.
        later = limits.header_bytes if source is stream and entry.path is not None else None
        header = dcmread(source, stop_before_pixels=True, force=True, specific_tags=list(WANTED), defer_size=later)
        if header.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR:
            return None
        offset, length, vr = _locate_pixels(source, big_endian=syntax == ExplicitVRBigEndian)
        header_bytes = source.tell()
        size = source.seek(0, os.SEEK_END)
    attributes = Attributes(header)
    if offset is None and not (attributes.has("Rows") and attributes.has("Columns")):
        _refuse_remains_of_an_image(entry, attributes, header.file_meta.get("MediaStorageSOPClassUID"))
        return None
    per_frame = max(1, (attributes.integer("NumberOfFrames") or 1) / 64)
    limits.check("header_bytes", int(header_bytes / per_frame), f"header of {entry.shown}")
    _check_sizes(header, entry.shown, limits)
    return DicomFile(entry, header, str(syntax), offset, length, vr, size, headerless, limits)


def _check_sizes(header: Dataset, name: str, limits: Limits) -> None:
    """Raise DCM-LIMIT for sequences too deep and for attributes of too many values."""
    level, depth = [header], 0
    while level:
        limits.check("sequence_depth", depth, f"depth of sequences in {name}")
        deeper: list[Dataset] = []
        for dataset in level:
            for tag in dataset.keys():  # noqa: SIM118 - what is iterated over otherwise are elements, all parsed
                element: Any = dataset.get_item(tag)
                if isinstance(element, RawDataElement) and not _is_sequence(element):
                    limits.check("values", (element.value or b"").count(b"\\") + 1, f"values of an attribute of {name}")
                elif _is_sequence(element):
                    deeper += dataset[tag].value or []
        level, depth = deeper, depth + 1


def _is_sequence(element: DataElement | RawDataElement) -> bool:
    """Whether an element holds a sequence; in implicit VR the dictionary says so."""
    vr = element.VR or (dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN")
    return vr == "SQ"


def _refuse_remains_of_an_image(entry: Entry, attributes: Attributes, stated_class: str | None) -> None:
    """Raise DCM-UNREADABLE for a file without image that once was one: one wrong length, and its rest is lost."""
    classes = {str(stated_class or ""), attributes.text("SOPClassUID")} - {""}
    if classes & CT_CLASSES or any(map(attributes.has, _OF_AN_IMAGE)):
        raise _unreadable(entry, "it is an image that ends within its header")
    if not classes or not all(map(is_uid, classes)):
        raise _unreadable(entry, "its header is damaged")


def _file_meta(stream: BinaryIO) -> FileMetaDataset:
    """The file meta information, with or without preamble; the stream is left behind it."""
    stream.seek(0)
    marked = stream.read(132)[128:] == b"DICM"
    stream.seek(132 if marked else 0)
    return FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2))


def _syntax(stream: BinaryIO, entry: Entry) -> str:
    """The transfer syntax; the stream is left at its beginning."""
    syntax = _file_meta(stream).get("TransferSyntaxUID")
    stream.seek(0)
    if not syntax:
        raise _unreadable(entry, "its transfer syntax is not stated")
    return str(syntax)


def _locate_pixels(stream: BinaryIO, *, big_endian: bool) -> tuple[int | None, int | None, str]:
    """Offset, length and VR of PixelData's value; the stream stands where pydicom stopped reading.

    Whether the VR is written is seen as pydicom sees it, whatever the syntax says: its letters begin with one
    of an odd code, and lengths are even.
    """
    order = ">" if big_endian else "<"
    start = stream.read(8)
    if len(start) < 8 or struct.unpack(f"{order}HH", start[:4]) != (0x7FE0, 0x0010):
        return None, None, ""
    vr = start[4:6].decode("latin-1")
    explicit = vr in ("OB", "OW", "UN")
    (length,) = struct.unpack(f"{order}I", stream.read(4) if explicit else start[4:])
    return stream.tell(), None if length == _UNDEFINED_LENGTH else length, vr if explicit else ""


def _inflated(stream: BinaryIO, entry: Entry, limits: Limits) -> BinaryIO:
    """The same file with its data set inflated, in pieces and up to a limit."""
    meta = _file_meta(stream)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    body = bytearray()
    most = min(limits.inflate_bytes, max(FREELY_INFLATED, limits.inflate_ratio * entry.size))
    try:
        while not engine.eof and (piece := stream.read(1 << 16)):
            while piece and len(body) <= most:
                body += engine.decompress(piece, 1 << 20)
                piece = engine.unconsumed_tail
            if len(body) > most:
                limits.check("inflate_ratio", -(-len(body) // entry.size), f"inflating {entry.shown}")
                limits.check("inflate_bytes", len(body), f"inflating {entry.shown}")
    except zlib.error as error:
        raise _unreadable(entry, "its deflated data are damaged") from error
    if not engine.eof:
        raise _unreadable(entry, "its deflated data are cut short")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = BytesIO()
    whole.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(DicomFileLike(whole), meta, enforce_standard=False)
    whole.write(body)
    whole.seek(0)
    return whole


def _unreadable(entry: Entry, reason: str) -> InputError:
    return InputError(
        "DCM-UNREADABLE",
        f"{entry.shown} cannot be read: {reason}; nothing was skipped, copy the series anew or take the file away",
    )
