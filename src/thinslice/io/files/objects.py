"""Library objects in: nibabel, SimpleITK, torchio, MONAI, numpy with an affine.

An object is recognised by the module that its type comes from, so that nothing is imported that
the caller has not imported. Each library has an axis order and sense of its own:

    nibabel, torchio, MONAI   index (i, j, k), voxel to RAS; torchio and MONAI put channels first
    SimpleITK                 array (k, j, i), LPS
    numpy with affine         array (z, y, x), affine of (x, y, z) to RAS: that of a Volume

What turns into a numpy array by itself (`__array__`: dask, xarray, zarr, jax) is an array. Masked voxels of a masked
array were never measured: padding of a scan, and no label of a label map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from thinslice.errors import InputError, Notice, UsageError
from thinslice.io.files.assemble import assemble, check_dtype, check_rescale, check_shape, slabs_of
from thinslice.io.files.axes import FileAxes, choose_axes
from thinslice.io.files.labels import as_labels
from thinslice.io.files.mark import (
    KEY,
    Marks,
    found_in_document,
    found_in_extensions,
    found_in_text,
    with_mark,
)
from thinslice.io.files.sidecar import read_sidecar, refuse_other_modality, sidecar_path, with_sidecar
from thinslice.io.label_image import LabelImage
from thinslice.volume import LPS_TO_RAS, Volume

_NEVER_MEASURED_HU = -1024  # of masked voxels: what lies under a mask is no value
_HAS = {  # what an image or array of a library has, and its other types have not
    "nibabel": ("dataobj", "affine", "get_data_dtype"),
    "SimpleITK": ("GetPixelIDValue",),
    "torchio": ("affine", "data"),
    "monai": ("affine", "as_tensor", "meta"),
    "torch": ("detach", "dtype"),
    "numpy": ("__array__", "dtype"),
}


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
    library = _library(obj)
    if affine is not None and is_scan(obj) and library != "torch":
        raise UsageError("USE-AFFINE", f"affine goes with an array; a {type(obj).__name__} has its own")
    if isinstance(obj, Volume):
        if rescale is not None:
            raise UsageError("USE-RESCALE", "rescale does not go with a Volume, which holds HU; rescale its array")
        return _from_volume(obj, thickness, axis)
    if isinstance(obj, str | PathLike):
        from thinslice.io import files

        return _from_volume(files.read(obj, axis=axis, rescale=rescale), thickness, None)
    scale = (1.0, 0.0) if rescale is None else check_rescale(rescale)
    volume: Volume = _from_library(obj, library, affine, thickness, axis, scale=scale)
    volume = with_mark(volume, _marks_of(obj, library))
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
    library, name = _library(obj), "the label map"
    if isinstance(obj, Volume):
        return as_labels(slabs_of(obj.hu), obj.shape, affine=obj.affine, name=name)
    if library == "SimpleITK":
        from thinslice.io.files.itk import labels_from_image

        return labels_from_image(obj, name=name, kind=library)
    if library in ("numpy", "torch", "array"):
        values = _array(obj, "the label array", as_labels)
        values = values if axes is None else values.transpose(axes.to_volume)
        found = as_labels(slabs_of(values), values.shape, affine=scan.affine, name="the label array")
        return replace(found, placed=False)
    if library == "torchio" and _is_subject(obj):
        obj = label_map_of(obj)
    if obj is None:
        raise UsageError("USE-LABELS", "the subject that is given as labels holds no label map")
    labels: LabelImage = _from_library(obj, library, None, None, None, name=name, into=as_labels)
    return labels


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
    if _library(obj) != "torchio" or not _is_subject(obj):
        return {}
    images = obj.get_images_dict(intensity_only=False)
    return {name: image for name, image in images.items() if name not in obj.get_images_dict(intensity_only=True)}


def _from_library(
    obj: Any,
    library: str,
    affine: Any,
    thickness: float | None,
    axis: str | int | None,
    *,
    scale: tuple[float, float] = (1.0, 0.0),
    name: str = "",
    into: Callable[..., Any] = assemble,
) -> Any:
    """What `into` makes of a library's image or an array: a Volume, or a label map."""
    name = name or {"numpy": "the array", "torch": "the array", "array": "the array"}.get(
        library, f"the {library} image"
    )
    if library == "nibabel":
        return _from_nibabel(obj, name, thickness, axis, scale, into)
    if library == "SimpleITK":
        from thinslice.io.files.itk import from_image

        return from_image(obj, name=name, kind=library, axis=axis, scale=scale, thickness=thickness)
    if library == "torchio":
        image = _ct_of_subject(obj) if _is_subject(obj) else obj
        return _from_channels(image.data, image.affine, library, name, thickness, axis, scale, into)
    if library == "monai":
        lps = str(obj.meta.get("space", "RAS")).upper().endswith("LPS")
        own = np.asarray(obj.affine, float)
        return _from_channels(
            obj.as_tensor(), LPS_TO_RAS @ own if lps else own, library, name, thickness, axis, scale, into
        )
    if library in ("numpy", "torch", "array"):
        return _from_array(obj, affine, name, thickness, axis, scale)
    raise UsageError(
        "USE-INPUT",
        f"cannot read a {type(obj).__name__}; give a path, a Volume, an array or tensor (with affine=, for a scan), or "
        "an image of nibabel, SimpleITK, torchio or MONAI",
    )


def _with_its_file(volume: Volume, obj: Any, library: str) -> Volume:
    """The volume, with what lies beside the file that the object was loaded from, and is not in the object.

    Of torchio's and MONAI's images only the mark is taken from there: they keep their path when they are resampled.
    """
    if library == "nibabel":
        path = obj.get_filename()
    elif library == "torchio":
        path = getattr(_ct_of_subject(obj) if _is_subject(obj) else obj, "path", None)
    else:
        path = obj.meta.get("filename_or_obj") if library == "monai" else None
    from thinslice.io import files

    if not isinstance(path, str | PathLike) or not (ending := files.ending_of(Path(path))):
        return volume
    if library != "nibabel":
        return with_mark(volume, files.marks_of(Path(path)))
    sidecar = read_sidecar(sidecar_path(Path(path), ending))
    refuse_other_modality(sidecar, "the nibabel image")
    return with_sidecar(volume, sidecar)


def is_scan(obj: Any) -> bool:
    """Whether something is one scan, and no list of them."""
    return isinstance(obj, Volume | str | PathLike) or _library(obj) not in ("", "numpy", "array")


def _library(obj: Any) -> str:
    """The known library that the type, or one that it descends from, is of; "array" for others' arrays; or ""."""
    roots = [kind.__module__.partition(".")[0] for kind in type(obj).__mro__]
    for root in roots:
        if root in _HAS and (all(hasattr(type(obj), word) for word in _HAS[root]) or _is_subject(obj)):
            return root
    return "array" if hasattr(type(obj), "__array__") or hasattr(type(obj), "__array_interface__") else ""


def _is_subject(obj: Any) -> bool:
    """Whether it is a torchio Subject, which holds images by name."""
    return hasattr(type(obj), "get_images_dict")


def _from_volume(volume: Volume, thickness: float | None, axis: str | int | None) -> Volume:
    if axis is not None and choose_axes(volume.affine, axis).order != (0, 1, 2):
        volume.refuse_uneven()
        turned = _from_array(volume.hu, volume.affine, "the array", thickness, axis, (1.0, 0.0))
        padding = turned.padding
        if volume.padding is not None:
            padding = volume.padding.transpose(choose_axes(volume.affine, axis).to_volume)
        source = replace(turned.source, warnings=volume.source.warnings, mark=volume.source.on_another_grid().mark)
        return replace(turned, padding=padding, source=source)
    return volume if thickness is None else replace(volume, thickness=thickness)


def _from_nibabel(
    image: Any,
    name: str,
    thickness: float | None,
    axis: str | int | None,
    scale: tuple[float, float],
    into: Callable[..., Any] = assemble,
) -> Any:
    import nibabel

    from thinslice.io.files.forms import read_forms, spatial_mm

    check_dtype(image.get_data_dtype(), name)
    shape = check_shape(image.shape, name)
    if image.affine is None:
        raise UsageError("USE-AFFINE", f"{name} has no affine; give it one")
    stored, (slope, intercept) = _stored(image.dataobj)
    values = stored.reshape(shape, order="F").T
    scale = (scale[0] * slope, scale[0] * intercept + scale[1])
    header = image.header
    if not isinstance(header, nibabel.Nifti1Header):
        return _assemble(values, image.affine, "nibabel", name, thickness, axis, scale=scale, into=into)
    affine = spatial_mm(header, image.affine)  # as the header's, with more digits, unless somebody gave it another
    stated, origin, forms, warnings = read_forms(header, name)
    if not np.allclose(affine, stated, rtol=1e-5, atol=1e-4):
        return _assemble(values, affine, "nibabel", name, thickness, axis, scale=scale, into=into)
    return _assemble(
        values, affine, "nibabel", name, thickness, axis, warnings, scale=scale, into=into, forms=forms,
        facts={"affine_from": origin},
    )  # fmt: skip


def _marks_of(obj: Any, library: str) -> Marks:
    """What marks an object as synthetic, by where it stands; SimpleITK's images are looked at as they are read."""
    if library == "nibabel":
        return _marks_of_nibabel(obj.header)
    if library == "torchio":
        image = _ct_of_subject(obj) if _is_subject(obj) else obj
        return {f'entry "{KEY}"': found_in_document({KEY: image.get(KEY)})}
    if library == "monai":
        return {f'meta "{KEY}"': found_in_document({KEY: obj.meta.get(KEY)})}
    return {}


def _marks_of_nibabel(header: Any) -> Marks:
    """What marks a nibabel image as synthetic; of its formats, NIfTI and Analyze have a `descrip`."""
    descrip = header["descrip"].item() if hasattr(header, "keys") and "descrip" in header else b""
    extensions = getattr(header, "extensions", ())
    return {
        "descrip": found_in_text(descrip),
        "header extension": found_in_extensions(extension.get_content() for extension in extensions),
    }


def _stored(voxels: Any) -> tuple[np.ndarray, tuple[float, float]]:
    """The values of a nibabel image as they are stored, with slope and intercept, where its file says so."""
    slope, intercept = (getattr(voxels, word, None) for word in ("slope", "inter"))
    if hasattr(voxels, "get_unscaled") and isinstance(slope, int | float) and isinstance(intercept, int | float):
        return np.asanyarray(voxels.get_unscaled()), (float(slope), float(intercept))
    return np.asanyarray(voxels), (1.0, 0.0)


def _from_channels(
    tensor: Any,
    affine: Any,
    library: str,
    name: str,
    thickness: float | None,
    axis: str | int | None,
    scale: tuple[float, float],
    into: Callable[..., Any] = assemble,
) -> Any:
    """From (channels, i, j, k), or MONAI's (i, j, k)."""
    values = _values(tensor, name, into)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    values = values.reshape(check_shape(values.shape, name))
    return _assemble(values.T, affine, library, name, thickness, axis, scale=scale, into=into)


def _from_array(
    array: Any, affine: Any, name: str, thickness: float | None, axis: str | int | None, scale: tuple[float, float]
) -> Volume:
    if affine is None:
        raise UsageError("USE-AFFINE", "an array needs affine=, 4 x 4, voxel (x, y, z) to RAS mm")
    values = _array(array, name, assemble)
    axis = "z" if axis is None else axis
    volume: Volume = _assemble(values, affine, "array", name, thickness, axis, scale=scale)
    return volume


def _array(array: Any, name: str, into: Callable[..., Any]) -> np.ndarray:
    """The values of an array of anybody's, (z, y, x); axes of one before or behind these are dropped."""
    named_axes = tuple(getattr(array, "dims", ()))  # of xarray
    if sorted(map(str, named_axes)) == ["x", "y", "z"] and named_axes != ("z", "y", "x"):
        order = ", ".join(map(str, named_axes))
        raise UsageError("USE-INPUT", f"{name} has its axes in the order {order}; give it as .transpose('z', 'y', 'x')")
    values = _values(array, name, into)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values.reshape(check_shape(values.shape[::-1], name)[::-1])


def _values(array: Any, name: str, into: Callable[..., Any]) -> np.ndarray:
    """An array or tensor as numpy has it, which knows no bfloat16; truth values may be labels, but no HU.

    Raises:
        UsageError: USE-INPUT where it does not become a numpy array.
        InputError: FILE-DTYPE.
    """
    try:
        if hasattr(array, "detach"):
            tensor = array.detach().cpu()
            tensor = tensor.to_dense() if tensor.is_sparse else tensor
            values = np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)
        else:
            values = array if np.ma.isMaskedArray(array) else np.asarray(array)
    except Exception as error:
        kind = type(array).__name__
        raise UsageError("USE-INPUT", f"{name}, a {kind}, does not become a numpy array; convert it to one") from error
    if values.dtype == bool and into is as_labels:
        values = values.astype(np.uint8)
    check_dtype(values.dtype, name)
    return values


def _assemble(
    kji: np.ndarray,
    affine: Any,
    kind: str,
    name: str,
    thickness: float | None,
    axis: str | int | None,
    warnings: tuple[Notice, ...] = (),
    *,
    scale: tuple[float, float] = (1.0, 0.0),
    into: Callable[..., Any] = assemble,
    forms: Any = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    dtype, mask = kji.dtype, None
    if into is assemble and np.ma.isMaskedArray(kji):
        mask = np.ma.getmaskarray(kji)
        kji = np.where(mask, np.float32((_NEVER_MEASURED_HU - scale[1]) / scale[0]), np.ma.getdata(kji))
    made = into(
        slabs_of(kji),
        kji.shape,
        affine=_matrix(affine, name),
        axis=axis,
        scale=scale,
        name=name,
        kind=kind,
        facts={"format": kind, "stored": str(dtype), **facts},
        thickness=thickness,
        warnings=warnings,
        forms=forms,
    )
    return made if mask is None or not mask.any() else _masked(made, mask, name)


def _masked(volume: Volume, mask: np.ndarray, name: str) -> Volume:
    """The volume with the voxels of a mask (kji) as padding."""
    if mask.all():
        raise InputError("FILE-NAN", f"every voxel of {name} is masked; give one with values")
    padding = mask.transpose(volume.source.header.to_volume)
    padding = padding if volume.padding is None else padding | volume.padding
    facts = {**volume.source.facts, "padding_value": float(_NEVER_MEASURED_HU), "padding_voxels": int(padding.sum())}
    return replace(volume, padding=padding, source=replace(volume.source, facts=facts))


def _matrix(affine: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(affine, float)
    except (TypeError, ValueError) as error:
        raise UsageError("USE-AFFINE", f"the affine of {name} does not consist of numbers") from error


def _ct_of_subject(subject: Any) -> Any:
    images = subject.get_images_dict(intensity_only=True)
    if len(images) != 1:
        names = ", ".join(images) or "none"
        raise UsageError("USE-INPUT", f"the subject holds {len(images)} intensity images ({names}); give one of them")
    return next(iter(images.values()))
