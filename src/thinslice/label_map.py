"""Label maps in and out: a segmentation on the grid of a scan."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from thinslice import files
from thinslice.errors import GeometryError, InputError, named
from thinslice.files.axes import FileAxes
from thinslice.files.objects import from_object
from thinslice.paths import as_path
from thinslice.volume import Volume, corner_shift_mm

MOST_LABELS = 1000
_LARGEST = np.iinfo(np.int16).max


def read_label_map(source: Any, *, scan: Volume, axes: FileAxes | None = None) -> np.ndarray:
    """The labels of a map, (z, y, x) int16, in the voxels of a scan.

    The map may be stored in another order of axes or sense than the scan, as converters from DICOM
    do it; its voxels must be the scan's.

    Args:
        source: path (.nii, .nii.gz, .nrrd, .mha, .mhd), a library's image, or an array or tensor.
        scan: what the map was drawn on.
        axes: those of an array; by default (z, y, x) of `scan`.

    Raises:
        GeometryError: LABEL-GRID where its voxels are not the scan's.
        InputError: FILE-FORMAT where it is no such file, LABEL-VALUES where they hold something else than whole
            numbers from 0 to 32767, LABEL-MANY where there are more than `MOST_LABELS` labels; and as in
            `thinslice.files.read`.
    """
    if str(getattr(source, "dtype", "")) == "torch.bool":
        source = source.byte()
    if type(source).__module__ == "torch":
        source = source.detach().cpu().numpy()
    if isinstance(source, str | PathLike):
        path = as_path(source)
        name = named(path, "the label map")
        files.check_there(path, what="label map")
        if not files.has_known_ending(path):
            raise InputError(
                "FILE-FORMAT",
                f"{name} is none of {', '.join(files.ENDINGS)}; convert a DICOM segmentation, or join a folder of "
                "masks, to one of them",
            )
        found = files.read_values(path)
    elif isinstance(source, np.ndarray):
        name = "the label array"
        stored = source.astype(np.uint8) if source.dtype == bool else source
        if axes is not None and stored.ndim == 3:
            stored = stored.transpose(axes.to_volume)
        found = from_object(stored, affine=scan.affine)
    else:
        name, found = "the label map", from_object(source, axis="z")
    values = _in_voxels_of(scan, found, name)
    labels = np.empty(values.shape, np.int16)
    seen: set[int] = set()
    for plane, out in zip(values, labels, strict=True):
        whole = np.rint(plane)
        if np.abs(plane - whole).max() > 1e-3 or whole.min() < 0 or whole.max() > _LARGEST:
            wrong = plane[(np.abs(plane - whole) > 1e-3) | (whole < 0) | (whole > _LARGEST)][0]
            raise InputError(
                "LABEL-VALUES", f"{name} holds {wrong:g}; labels are whole numbers from 0 to {_LARGEST}: is it a mask?"
            )
        out[:] = whole
        seen.update(np.unique(out).tolist())
        if len(seen - {0}) > MOST_LABELS:
            raise InputError(
                "LABEL-MANY", f"{name} holds more than {MOST_LABELS} labels; give a segmentation, not an image"
            )
    return labels


def labels_path(result: str | PathLike[str]) -> Path:
    """Where the labels of a result go: beside it, as NAME_labels in its format, or .nii.gz for a DICOM folder."""
    path = as_path(result)
    stem = path.name[: len(path.name) - len(files.ending_of(path))]
    return path.with_name(f"{stem}_labels{path.name[len(stem) :] or '.nii.gz'}")


def _in_voxels_of(scan: Volume, found: Volume, name: str) -> np.ndarray:
    """The map's values, turned until its voxels are the scan's."""
    between = np.linalg.inv(scan.affine) @ found.affine  # index of the map to index of the scan, (x, y, z)
    turn = np.rint(between[:3, :3])
    if np.array_equal(np.abs(turn).sum(0), [1, 1, 1]) and np.array_equal(np.abs(turn).sum(1), [1, 1, 1]):
        axes = np.abs(turn).argmax(axis=1)  # of the map, for x, y and z of the scan
        senses = turn[np.arange(3), axes].astype(int)
        values = found.hu.T.transpose(axes)[tuple(slice(None, None, sense) for sense in senses)].T
        affine = found.affine.copy()
        affine[:3, :3] = found.affine[:3, axes] * senses
        backwards = np.where(senses < 0, np.array(values.shape[::-1]) - 1, 0)
        affine[:3, 3] -= affine[:3, :3] @ backwards
        if values.shape == scan.shape:
            apart = corner_shift_mm(affine, scan.affine, scan.shape)
            if apart <= 0.1 * min(scan.voxel_mm):
                return values
            raise GeometryError(
                "LABEL-GRID", f"{name} lies up to {apart:.3g} mm off the scan; give a map drawn on this very scan"
            )
    sizes = [f"{' x '.join(str(n) for n in v.shape[::-1])} voxels" for v in (found, scan)]
    steps = [" x ".join(f"{mm:.3g}" for mm in v.voxel_mm) for v in (found, scan)]
    raise GeometryError(
        "LABEL-GRID",
        f"{name} has {sizes[0]} of {steps[0]} mm, the scan {sizes[1]} of {steps[1]} mm; give a map drawn on this scan",
    )
