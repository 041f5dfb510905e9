"""Label maps in and out: a segmentation in the voxels of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thinslice.errors import GeometryError, InputError, Notice, UsageError, named
from thinslice.io import files
from thinslice.io.files.axes import FileAxes
from thinslice.io.files.objects import label_map_of, label_maps_of, labels_from_object
from thinslice.io.label_image import MOST_LABELS, LabelImage, narrowed, overlapping
from thinslice.system.paths import as_path
from thinslice.volume import Volume, corner_shift_mm

if TYPE_CHECKING:
    from thinslice.io.dicom.segmentation import Segmentation

_OFF = 0.1  # of the smallest voxel side: nearer than this, a voxel of the map is the scan's


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label map in the voxels of a scan.

    Attributes:
        values: (z, y, x) int16, or int32 where a label exceeds it; 0 where the map says nothing.
        warnings: what the user should know of it.
        names: of labels, where the file has them.
    """

    values: np.ndarray
    warnings: tuple[Notice, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


def read_label_map(source: Any, *, scan: Volume, axes: FileAxes | None = None) -> LabelMap:
    """The labels of a map in the voxels of a scan.

    The map may be stored in another order of axes or sense than the scan, as converters from DICOM do it, and may hold
    a part of the scan, or more than it; its voxels must be the scan's.

    Args:
        source: path (.nii, .nii.gz, .nrrd and .seg.nrrd, .mha, .mhd, a DICOM segmentation), a library's image, or an
            array or tensor, which must be as large as the scan.
        scan: what the map was drawn on.
        axes: those of an array; by default (z, y, x) of `scan`.

    Raises:
        GeometryError: LABEL-GRID where its voxels are not the scan's, LABEL-FOR where DICOM says so.
        InputError: FILE-FORMAT where it is no such file, LABEL-VALUES where they hold something else than whole
            numbers from 0, LABEL-MANY where there are too many labels, LABEL-SEG where a DICOM segmentation cannot be
            read; and as in `thinslice.io.files.read`.
        UsageError: USE-INPUT, USE-LABELS where an object holds no label map, or several.
    """
    if not isinstance(source, str | PathLike):
        return _in_voxels_of(scan, labels_from_object(source, scan=scan, axes=axes))
    path = as_path(source)
    files.check_there(path, what="label map")
    if files.has_known_ending(path):
        return _in_voxels_of(scan, files.read_labels(path))
    from thinslice.io import dicom

    alone = dicom.only_file(path)
    if alone is None or not dicom.looks_like_dicom(alone):
        raise InputError(
            "FILE-FORMAT",
            f"{named(path, 'the label map')} is none of {', '.join(files.ENDINGS)} and no DICOM segmentation; join a "
            "folder of masks to one of them",
        )
    return _frames_in_voxels_of(scan, dicom.read_segmentation(alone, scan))


def labels_with(source: Any, labels: Any) -> Any:
    """The labels that go with a scan: those that are given, else the label map that a torchio Subject holds.

    Raises:
        UsageError: USE-LABELS where the subject holds several, or holds one and another is given.
    """
    if labels is None:
        return label_map_of(source)
    own = label_maps_of(source)
    if own and not any(labels is image for image in own.values()):
        raise UsageError(
            "USE-LABELS",
            f"labels are given beside a subject with label maps of its own ({', '.join(own)}); give its image alone",
        )
    return labels


def labels_path(result: str | PathLike[str]) -> Path:
    """Where the labels of a result go: beside it, as NAME_labels in its format, or .nii.gz for a DICOM folder."""
    path = as_path(result)
    stem = path.name[: len(path.name) - len(files.ending_of(path))]
    return path.with_name(f"{stem}_labels{path.name[len(stem) :] or '.nii.gz'}")


@dataclass(frozen=True, eq=False)
class Place:
    """Where a stored array lies in a scan.

    Attributes:
        axes: of the array in index order, for x, y and z of the scan.
        senses: 1, or -1 where such an axis runs backwards.
        start: (z, y, x) index in the scan of the array's first voxel, once it is turned.
    """

    axes: np.ndarray
    senses: np.ndarray
    start: np.ndarray

    def turned(self, kji: np.ndarray) -> np.ndarray:
        """The array with the axes of the scan, (z, y, x)."""
        return kji.T.transpose(self.axes)[tuple(slice(None, None, sense) for sense in self.senses)].T

    def put(self, kji: np.ndarray, labels: np.ndarray) -> tuple[int, int, int]:
        """Set labels (z, y, x) from what of the array lies among them and is no 0.

        Returns:
            How many labelled voxels lie inside and outside, and on how many of them there was another label.
        """
        part = self.turned(kji)
        first = np.maximum(self.start, 0)
        stop = np.maximum(first, np.minimum(self.start + part.shape, labels.shape))
        part = part[tuple(slice(a, b) for a, b in zip(first - self.start, stop - self.start, strict=True))]
        there = labels[tuple(slice(a, b) for a, b in zip(first, stop, strict=True))]
        inside, overlap = int(np.count_nonzero(part)), int(np.count_nonzero(there[part > 0]))
        np.copyto(there, part, where=part > 0)
        return inside, int(np.count_nonzero(kji)) - inside, overlap


def place_in(scan: Volume, affine: np.ndarray, shape: tuple[int, ...], name: str) -> Place:
    """Where an array (k, j, i) lies in a scan.

    Raises:
        GeometryError: LABEL-GRID where its voxels are no voxels of the scan's lattice.
    """
    between = np.linalg.inv(scan.affine) @ affine  # index of the array to index of the scan, (x, y, z)
    turn = np.rint(between[:3, :3])
    if not (np.array_equal(np.abs(turn).sum(0), [1, 1, 1]) and np.array_equal(np.abs(turn).sum(1), [1, 1, 1])):
        raise other_grid(scan, affine, shape, name)
    axes = np.abs(turn).argmax(axis=1)
    senses = turn[np.arange(3), axes].astype(int)
    size = np.array(shape[::-1])[axes]
    turned = affine.copy()
    turned[:3, :3] = affine[:3, axes] * senses
    turned[:3, 3] -= turned[:3, :3] @ np.where(senses < 0, size - 1, 0)
    start = np.rint((np.linalg.inv(scan.affine) @ turned)[:3, 3])
    lattice = scan.affine.copy()
    lattice[:3, 3] += scan.affine[:3, :3] @ start
    apart = corner_shift_mm(turned, lattice, tuple(size[::-1]))
    if apart > _OFF * min(scan.voxel_mm):
        steps = np.linalg.norm(turned[:3, :3], axis=0)
        if not np.allclose(steps, scan.voxel_mm, rtol=1e-3):
            raise other_grid(scan, affine, shape, name)
        raise GeometryError(
            "LABEL-GRID", f"{name} lies up to {apart:.3g} mm off the scan's voxels; give a map drawn on this very scan"
        )
    return Place(axes, senses, start.astype(int)[::-1])


def _in_voxels_of(scan: Volume, found: LabelImage) -> LabelMap:
    """The map's values, turned and moved until its voxels are the scan's."""
    place = place_in(scan, found.affine, found.values.shape, found.name)
    turned = place.turned(found.values)
    if turned.shape == scan.shape and not place.start.any():
        return LabelMap(turned, found.warnings, found.names)
    if not found.placed or scan.slice_positions_mm is not None:  # a part could lie anywhere
        raise other_grid(scan, found.affine, found.values.shape, found.name)
    if (place.start >= scan.shape).any() or (place.start + turned.shape <= 0).any():
        raise _outside(found.name)
    labels = np.zeros(scan.shape, turned.dtype)
    _, lost, _ = place.put(found.values, labels)
    return LabelMap(labels, (*found.warnings, *_remarks(lost=lost)), found.names)


def _frames_in_voxels_of(scan: Volume, found: Segmentation) -> LabelMap:
    """The frames of a DICOM segmentation, each where it lies; where segments overlap, the later one counts."""
    labels = np.zeros(scan.shape, np.int32)
    counts = np.zeros(3, int)
    for frame in found.frames():
        affine, pixels = _on_slices(scan, frame.affine, found.name), frame.labels[None]
        counts += place_in(scan, affine, pixels.shape, found.name).put(pixels, labels)
    inside, lost, overlap = counts.tolist()
    if lost and not inside:
        raise _outside(found.name)
    if len(np.unique(labels)) - 1 > MOST_LABELS:
        raise InputError("LABEL-MANY", f"{found.name} holds more than {MOST_LABELS} segments; give some of them")
    remarks = _remarks(lost=lost, overlap=overlap)
    return LabelMap(narrowed(labels, largest=int(labels.max())), remarks, found.names())


def _on_slices(scan: Volume, frame: np.ndarray, name: str) -> np.ndarray:
    """The affine of a frame (x, y, normal) as that of a one-slice map whose slice step is a step of the scan.

    Where slices of the scan are missing or unevenly spaced, it is moved to where its slice would be if they were not.
    """
    affine = frame.copy()
    steps = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    along = int(np.abs(steps.T @ frame[:3, 2]).argmax())
    affine[:3, 2] = scan.affine[:3, along]
    if scan.slice_positions_mm is not None:
        if along != 2:
            raise GeometryError(
                "LABEL-GRID", f"frames of {name} lie across slices with gaps; give one drawn on these slices"
            )
        places = scan.slice_positions_mm / scan.slice_spacing_mm
        off = places - (np.linalg.inv(scan.affine) @ affine)[2, 3]
        slice_ = int(np.abs(off).argmin())
        if (apart := abs(off[slice_]) * scan.slice_spacing_mm) > _OFF * min(scan.voxel_mm):
            raise GeometryError(
                "LABEL-GRID", f"{name} has a frame {apart:.3g} mm off the nearest slice; give one drawn on these slices"
            )
        affine[:3, 3] -= (places[slice_] - slice_) * scan.affine[:3, 2]
    return affine


def _remarks(*, lost: int, overlap: int = 0) -> tuple[Notice, ...]:
    outside = f"{lost} labelled voxels of the label map lie outside the scan and are left out"
    return (
        *((Notice("LABEL-OUTSIDE", outside),) if lost else ()),
        *((overlapping(overlap),) if overlap else ()),
    )


def _outside(name: str) -> GeometryError:
    return GeometryError("LABEL-GRID", f"{name} lies wholly outside the scan; give a map drawn on this scan")


def other_grid(scan: Volume, affine: np.ndarray, shape: tuple[int, ...], name: str) -> GeometryError:
    """The error of a map on another grid, which names both."""
    sizes = [" x ".join(str(n) for n in size[::-1]) for size in (shape, scan.shape)]
    steps = [" x ".join(f"{mm:.3g}" for mm in np.linalg.norm(a[:3, :3], axis=0)) for a in (affine, scan.affine)]
    return GeometryError(
        "LABEL-GRID",
        f"{name} has {sizes[0]} voxels of {steps[0]} mm, the scan {sizes[1]} voxels of {steps[1]} mm; give a map drawn "
        "on this scan",
    )
