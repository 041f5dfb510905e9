"""Library objects in: nibabel, SimpleITK, torchio, MONAI, numpy with an affine.

What they hold is found by `thinslice.io.files.libraries`; here it becomes a Volume or a label map. Masked voxels of a
masked array were never measured: padding of a scan, and no label of a label map.
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from thinslice.errors import InputError, UsageError
from thinslice.io.files.assemble import Stored, assemble, check_rescale, slabs_of
from thinslice.io.files.axes import FileAxes, choose_axes
from thinslice.io.files.labels import as_labels
from thinslice.io.files.libraries import ARRAYS, array_values, ct_of, is_subject, library_of, marks_of, stored_in
from thinslice.io.files.mark import with_mark
from thinslice.io.files.names import ending_of
from thinslice.io.files.reading import marks_of as marks_of_file
from thinslice.io.files.reading import read
from thinslice.io.files.sidecar import read_sidecar, refuse_other_modality, sidecar_path, with_sidecar
from thinslice.io.label_image import LabelImage
from thinslice.volume import Volume

_NEVER_MEASURED_HU = -1024  # of masked voxels: what lies under a mask is no value


def from_object(
    obj: Any,
    *,
    affine: Any = None,
    thickness: float | None = None,
    axis: str | int | None = None,
    rescale: tuple[float, float] | None = None,
) -> Volume:
    """A Volume from whatever holds a CT; whether its values can be HU is for the caller to ask.

    Args:
        obj: Volume, path of a file, nibabel image, SimpleITK image, torchio ScalarImage or Subject
            with one, MONAI MetaTensor, or an array (z, y, x) in HU together with `affine`: of numpy, torch, or
            whatever has `__array__`; masked voxels become padding.
        affine: (4, 4), voxel (x, y, z) to RAS mm, for an array.
        thickness: slice thickness in mm; replaces what the object says.
        axis: slice axis: "x", "y" or "z" of the object's index order. By default the axis with the
            largest spacing, and z for a Volume or an array.
        rescale: slope and intercept from the values that the object holds to HU; a Volume holds HU.

    Raises:
        UsageError: USE-INPUT, USE-AFFINE, USE-AXIS, USE-RESCALE.
        InputError, GeometryError: as in `thinslice.io.files.read`.
    """
    library = library_of(obj)
    if affine is not None and is_scan(obj) and library != "torch":
        raise UsageError("USE-AFFINE", f"affine goes with an array; a {type(obj).__name__} has its own")
    if isinstance(obj, Volume):
        if rescale is not None:
            raise UsageError("USE-RESCALE", "rescale does not go with a Volume, which holds HU; rescale its array")
        return _from_volume(obj, thickness, axis)
    if isinstance(obj, str | PathLike):
        return _from_volume(read(obj, axis=axis, rescale=rescale), thickness, None)
    slope, intercept = (1.0, 0.0) if rescale is None else check_rescale(rescale)
    if library == "SimpleITK":
        from thinslice.io.files.itk import from_image

        name, scale = "the SimpleITK image", (slope, intercept)
        volume: Volume = from_image(obj, name=name, kind=library, axis=axis, scale=scale, thickness=thickness)
    else:
        kji, stored = stored_in(obj, library, affine=affine)
        own = stored.scale
        stored = replace(stored, scale=(slope * own[0], slope * own[1] + intercept))
        volume = _scan(kji, stored, axis="z" if axis is None and library in ARRAYS else axis, thickness=thickness)
    volume = with_mark(volume, marks_of(obj, library))
    return _with_its_file(volume, obj, library)


def labels_from_object(obj: Any, *, scan: Volume, axes: FileAxes | None = None) -> LabelImage:
    """A label map from whatever holds one.

    Args:
        obj: Volume, nibabel or SimpleITK image, torchio LabelMap or Subject with one, MONAI MetaTensor, or an array.
        scan: what the map was drawn on: an array has its voxels.
        axes: those of an array; by default (z, y, x) of `scan`.

    Raises:
        UsageError: USE-INPUT, USE-LABELS.
        InputError: as `thinslice.io.files.read_labels`.
    """
    library, name = library_of(obj), "the label map"
    if isinstance(obj, Volume):
        return as_labels(slabs_of(obj.hu), Stored(obj.shape, obj.affine, name))
    if library == "SimpleITK":
        from thinslice.io.files.itk import labels_from_image

        return labels_from_image(obj, name=name, kind=library)
    if library in ARRAYS:
        name = "the label array"
        values = array_values(obj, name, truth_values=True)
        values = values if axes is None else values.transpose(axes.to_volume)
        return replace(as_labels(slabs_of(values), Stored(values.shape, scan.affine, name)), placed=False)
    if library == "torchio" and is_subject(obj):
        obj = label_map_of(obj)
    if obj is None:
        raise UsageError("USE-LABELS", "the subject that is given as labels holds no label map")
    kji, stored = stored_in(obj, library, name=name, truth_values=True)
    return as_labels(slabs_of(kji), stored)


def label_map_of(obj: Any) -> Any:
    """The label map that a torchio Subject holds beside its scan; None where there is none, and of all else.

    Raises:
        UsageError: USE-LABELS where it holds several.
    """
    maps = label_maps_of(obj)
    if len(maps) > 1:
        raise UsageError(
            "USE-LABELS",
            f"the subject holds {len(maps)} label maps ({', '.join(maps)}); give one of them as labels=",
        )
    return next(iter(maps.values()), None)


def label_maps_of(obj: Any) -> dict[str, Any]:
    """The label maps of a torchio Subject by their names in it; none of all else."""
    if library_of(obj) != "torchio" or not is_subject(obj):
        return {}
    images = obj.get_images_dict(intensity_only=False)
    return {name: image for name, image in images.items() if name not in obj.get_images_dict(intensity_only=True)}


def is_scan(obj: Any) -> bool:
    """Whether something is one scan, and no list of them."""
    return isinstance(obj, Volume | str | PathLike) or library_of(obj) not in ("", "numpy", "array")


def _from_volume(volume: Volume, thickness: float | None, axis: str | int | None) -> Volume:
    if axis is not None and choose_axes(volume.affine, axis).order != (0, 1, 2):
        volume.refuse_uneven()
        turned = _scan(*stored_in(volume.hu, "numpy", affine=volume.affine), axis=axis, thickness=thickness)
        padding = turned.padding
        if volume.padding is not None:
            padding = volume.padding.transpose(choose_axes(volume.affine, axis).to_volume)
        origin = replace(turned.origin, warnings=volume.origin.warnings, mark=volume.origin.on_another_grid().mark)
        return replace(turned, padding=padding, origin=origin)
    return volume if thickness is None else replace(volume, thickness=thickness)


def _scan(kji: np.ndarray, stored: Stored, *, axis: str | int | None, thickness: float | None) -> Volume:
    """The volume of stored values; masked ones are padding."""
    if not np.ma.isMaskedArray(kji):
        return assemble(slabs_of(kji), stored, axis=axis, thickness=thickness)
    mask = np.ma.getmaskarray(kji)
    under = np.float32((_NEVER_MEASURED_HU - stored.scale[1]) / stored.scale[0])
    kji = np.where(mask, under, np.ma.getdata(kji))
    volume = assemble(slabs_of(kji), stored, axis=axis, thickness=thickness)
    return _masked(volume, mask, stored.name) if mask.any() else volume


def _masked(volume: Volume, mask: np.ndarray, name: str) -> Volume:
    """The volume with the voxels of a mask (kji) as padding."""
    if mask.all():
        raise InputError("FILE-NAN", f"every voxel of {name} is masked; give one with values")
    padding = mask.transpose(volume.origin.header.to_volume)
    padding = padding if volume.padding is None else padding | volume.padding
    facts = {**volume.origin.facts, "padding_value": float(_NEVER_MEASURED_HU), "padding_voxels": int(padding.sum())}
    return replace(volume, padding=padding, origin=replace(volume.origin, facts=facts))


def _with_its_file(volume: Volume, obj: Any, library: str) -> Volume:
    """The volume, with what lies beside the file that the object was loaded from, and is not in the object.

    Of torchio's and MONAI's images only the mark is taken from there: they keep their path when they are resampled.
    """
    if library == "nibabel":
        path = obj.get_filename()
    elif library == "torchio":
        path = getattr(ct_of(obj), "path", None)
    else:
        path = obj.meta.get("filename_or_obj") if library == "monai" else None
    if not isinstance(path, str | PathLike) or not (ending := ending_of(Path(path))):
        return volume
    if library != "nibabel":
        return with_mark(volume, marks_of_file(Path(path)))
    sidecar = read_sidecar(sidecar_path(Path(path), ending))
    refuse_other_modality(sidecar, "the nibabel image")
    return with_sidecar(volume, sidecar)
