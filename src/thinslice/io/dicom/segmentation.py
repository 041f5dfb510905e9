"""DICOM segmentations as label maps: frames with their segments and places, read through highdicom.

A segmentation is one multi-frame object (PS3.3 A.51). BINARY has a frame for each segment and slice, in any order, and
none where a segment is absent; LABELMAP (A.51.5) has one for each slice, whose pixels are the numbers of segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from thinslice.errors import GeometryError, InputError, ThinsliceError, named
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.headers.source import SourceSeries
from thinslice.volume import LPS_TO_RAS, Volume

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # Segmentation, Label Map ...
_OTHERS = {
    "1.2.840.10008.5.1.4.1.1.481.3": "an RT structure set, which holds contours",
    "1.2.840.10008.5.1.4.1.1.66.5": "a surface segmentation, which holds meshes",
    "1.2.840.10008.5.1.4.1.1.2": "a CT image",
    "1.2.840.10008.5.1.4.1.1.2.1": "a CT image",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a segmentation.

    Attributes:
        labels: (rows, columns) int32, numbers of segments; 0 is none.
        affine: (4, 4), index (column, row, mm along the normal) to RAS mm.
    """

    labels: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A DICOM segmentation.

    Attributes:
        name: what messages call it.
        image: highdicom's object.
    """

    name: str
    image: Any

    def frames(self) -> Iterator[Frame]:
        """The frames, those of later segments later, one at a time.

        Raises:
            InputError: FILE-BROKEN, LABEL-VALUES where segments are fractional.
        """
        try:
            with quiet():
                groups = self.image.PerFrameFunctionalGroupsSequence
                shared = self.image.SharedFunctionalGroupsSequence[0]
                kind = str(self.image.SegmentationType)
                segments = [0 if kind == "LABELMAP" else _segment(group, shared) for group in groups]
            for index in np.argsort(segments, kind="stable").tolist():
                with quiet():
                    stored = self.image.get_stored_frame(index, as_index=True)
                    frame = Frame(self._labels(stored, kind, segments[index]), _affine(groups[index], shared))
                yield frame
        except ThinsliceError:
            raise
        except Exception as error:
            raise _broken(self.name) from error

    def names(self) -> dict[int, str]:
        """Of segments, by their numbers."""
        segments = self.image.get("SegmentSequence", [])
        found = {int(item.get("SegmentNumber", 0)): str(item.get("SegmentLabel", "")).strip() for item in segments}
        return {number: name for number, name in found.items() if name}

    def _labels(self, stored: np.ndarray, kind: str, segment: int) -> np.ndarray:
        if kind == "LABELMAP":
            background = self.image.get("PixelPaddingValue", 0)
            return np.where(stored == background, 0, stored.astype(np.int32))
        most = int(self.image.MaximumFractionalValue) if kind == "FRACTIONAL" else 1
        between = stored[(stored > 0) & (stored < most)]
        if between.size:
            raise InputError(
                "LABEL-VALUES",
                f"{self.name} is a fractional segmentation, found {int(between[0])} of {most}; write it with whole "
                "segments (BINARY or LABELMAP)",
            )
        return (stored > 0) * np.int32(segment)


def only_file(path: Path) -> Path | None:
    """The file itself, or the only one in a folder, as archives deliver segmentations; else None."""
    if path.is_file():
        return path
    try:
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
    except OSError:
        return None
    return inside[0] if len(inside) == 1 and inside[0].is_file() else None


@quiet()
def read_segmentation(path: Path, scan: Volume) -> Segmentation:
    """Read a DICOM segmentation, but for its pixels.

    Args:
        path: the file.
        scan: what it is taken to be of; where both name their frame of reference, it is the same.

    Raises:
        InputError: FILE-FORMAT where it is another object, FILE-BROKEN where it is damaged, LABEL-SEG where highdicom
            is not installed, DCM-LIMIT.
        GeometryError: LABEL-FOR.
    """
    name = named(path, "the label map")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        sop_class = str(header.get("SOPClassUID", ""))
        size = max(int(header.get(word, 1)) for word in ("Rows", "Columns"))
    except Exception as error:
        raise _broken(name) from error
    if sop_class not in _SEGMENTATIONS:
        what = _OTHERS.get(sop_class, "another object")
        raise InputError(
            "FILE-FORMAT",
            f"{name} is no DICOM segmentation (SEG) but {what}; convert it to a .nii.gz or .nrrd label map",
        )
    if size > Limits().rows:
        raise InputError("DCM-LIMIT", f"{name} has {size} rows or columns; no scan has")
    _refuse_other_frame(header, scan, name)
    try:
        from highdicom.seg import segread
    except ImportError as error:
        raise InputError(
            "LABEL-SEG", "a DICOM segmentation is read with highdicom, which is missing: pip install 'thinslice[seg]'"
        ) from error
    try:
        return Segmentation(name, segread(path))
    except Exception as error:
        raise _broken(name) from error


def _refuse_other_frame(header: Dataset, scan: Volume, name: str) -> None:
    kept = scan.origin.header
    texts = kept.carried.texts if isinstance(kept, SourceSeries) else {}
    own = texts.get("FrameOfReferenceUID", b"").decode("latin-1").strip(" \0")
    other = str(header.get("FrameOfReferenceUID", ""))
    if own and other and own != other:
        raise GeometryError(
            "LABEL-FOR",
            f"{name} and the scan have different frames of reference; give a segmentation of this very scan",
        )


def _segment(group: Dataset, shared: Dataset) -> int:
    return int(_item(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _affine(group: Dataset, shared: Dataset) -> np.ndarray:
    """Index (column, row, mm along the normal) to RAS mm."""
    spacing = [float(value) for value in _item(group, shared, "PixelMeasuresSequence").PixelSpacing]
    orientation = np.array(_item(group, shared, "PlaneOrientationSequence").ImageOrientationPatient, float)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = orientation[:3] * spacing[1], orientation[3:] * spacing[0]
    lps[:3, 2] = np.cross(orientation[:3], orientation[3:])
    lps[:3, 3] = np.array(_item(group, shared, "PlanePositionSequence").ImagePositionPatient, float)
    return LPS_TO_RAS @ lps


def _item(group: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """The item of a functional group, of the frame or of all frames."""
    return (group if keyword in group else shared)[keyword].value[0]


def _broken(name: str) -> ThinsliceError:
    return InputError("FILE-BROKEN", f"{name} is a damaged DICOM file, or is not as the standard says; write it again")
