"""Library objects in and out: nibabel, SimpleITK, torchio, MONAI, numpy with an affine.

An object is recognised by the module that its type comes from, so that nothing is imported that
the caller has not imported. Each library has an axis order and sense of its own:

    nibabel, torchio, MONAI   index (i, j, k), voxel to RAS; torchio and MONAI put channels first
    SimpleITK                 array (k, j, i), LPS
    numpy with affine         array (z, y, x), affine of (x, y, z) to RAS: that of a Volume
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from thinslice.errors import Notice, UsageError
from thinslice.files.assemble import assemble, check_dtype, check_rescale, check_shape, slabs_of
from thinslice.files.axes import choose_axes, in_file_order
from thinslice.volume import Volume

if TYPE_CHECKING:
    import nibabel
    import SimpleITK
    import torchio

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_object(
    obj: Any,
    *,
    affine: Any = None,
    thickness: float | None = None,
    axis: str | int | None = None,
    rescale: tuple[float, float] | None = None,
) -> Volume:
    """A Volume from whatever holds a CT; whether values can be HU is not asked, for label maps are read so as well.

    Args:
        obj: Volume, path of a file, nibabel image, SimpleITK image, torchio ScalarImage or Subject
            with one, MONAI MetaTensor, or an array (z, y, x) in HU together with `affine`.
        affine: (4, 4), voxel (x, y, z) to RAS mm, for an array.
        thickness: slice thickness in mm; replaces what the object says.
        axis: slice axis: "x", "y" or "z" of the object's index order. By default the axis with the
            largest spacing, and z for a Volume or an array.
        rescale: slope and intercept from the values that the object holds to HU; a Volume holds HU.

    Raises:
        UsageError: USE-INPUT, USE-AFFINE, USE-AXIS, USE-RESCALE.
        InputError, GeometryError: as in `thinslice.files.read`.
    """
    library = _library(obj)
    if affine is not None and is_scan(obj) and library != "torch":
        raise UsageError("USE-AFFINE", f"affine goes with an array; a {type(obj).__name__} has its own")
    if isinstance(obj, Volume):
        if rescale is not None:
            raise UsageError("USE-RESCALE", "rescale does not go with a Volume, which holds HU; rescale its array")
        return _from_volume(obj, thickness, axis)
    if isinstance(obj, str | PathLike):
        from thinslice import files

        return _from_volume(files.read(obj, axis=axis, rescale=rescale), thickness, None)
    scale = (1.0, 0.0) if rescale is None else check_rescale(rescale)
    return _from_library(obj, library, affine, thickness, axis, scale)


def _from_library(
    obj: Any, library: str, affine: Any, thickness: float | None, axis: str | int | None, scale: tuple[float, float]
) -> Volume:
    if library == "nibabel":
        return _from_nibabel(obj, thickness, axis, scale)
    if library == "SimpleITK":
        from thinslice.files.itk import from_image

        return from_image(obj, name="the SimpleITK image", kind=library, axis=axis, scale=scale, thickness=thickness)
    if library == "torchio":
        image = _ct_of_subject(obj) if hasattr(obj, "get_images_dict") else obj
        return _from_channels(image.data, image.affine, library, thickness, axis, scale)
    if library == "monai":
        lps = str(obj.meta.get("space", "RAS")).upper().endswith("LPS")
        own = np.asarray(obj.affine, float)
        return _from_channels(obj.as_tensor(), _RAS_FROM_LPS @ own if lps else own, library, thickness, axis, scale)
    if library in ("numpy", "torch"):
        return _from_array(obj, affine, thickness, axis, scale)
    raise UsageError(
        "USE-INPUT",
        f"cannot read a {type(obj).__name__}; give a path, a Volume, an array with affine=, or an image of "
        "nibabel, SimpleITK, torchio or MONAI",
    )


def is_scan(obj: Any) -> bool:
    """Whether something is one scan, and no list of them."""
    return isinstance(obj, Volume | str | PathLike) or _library(obj) not in ("", "numpy")


def to_nibabel(volume: Volume) -> nibabel.Nifti1Image:
    """The volume as a nibabel image: float32, RAS, in the axis order of its source, with the forms of its header."""
    import nibabel

    from thinslice.files.forms import forms_of
    from thinslice.files.nifti import new_header

    kji, affine = in_file_order(volume)
    header = new_header(kji.shape, affine, forms_of(volume.source.header), np.dtype(np.float32))
    return nibabel.Nifti1Image(kji.T, affine, header)


def to_sitk(volume: Volume) -> SimpleITK.Image:
    """The volume as a SimpleITK image: float32, LPS, in the axis order of its source.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    from thinslice.files.itk import to_image

    return to_image(volume, dtype=np.dtype(np.float32))


def to_torchio(volume: Volume) -> torchio.ScalarImage:
    """The volume as a torchio ScalarImage: float32 (1, i, j, k), RAS, in the axis order of its source."""
    import torch
    import torchio

    kji, affine = in_file_order(volume)
    return torchio.ScalarImage(tensor=torch.tensor(np.ascontiguousarray(kji.T)[None]), affine=affine)


def _library(obj: Any) -> str:
    """The known library that the type, or a type that it descends from, comes from; or ""."""
    known = ("nibabel", "SimpleITK", "torchio", "monai", "torch", "numpy")
    roots = [kind.__module__.partition(".")[0] for kind in type(obj).__mro__]
    return next((root for root in roots if root in known), "")


def _from_volume(volume: Volume, thickness: float | None, axis: str | int | None) -> Volume:
    if axis is not None and choose_axes(volume.affine, axis).order != (0, 1, 2):
        volume.refuse_uneven()
        turned = _from_array(volume.hu, volume.affine, thickness, axis, (1.0, 0.0))
        padding = turned.padding
        if volume.padding is not None:
            padding = volume.padding.transpose(choose_axes(volume.affine, axis).to_volume)
        return replace(turned, padding=padding, source=replace(turned.source, warnings=volume.source.warnings))
    return volume if thickness is None else replace(volume, thickness=thickness)


def _from_nibabel(image: Any, thickness: float | None, axis: str | int | None, scale: tuple[float, float]) -> Volume:
    import nibabel

    from thinslice.files.forms import read_forms, spatial_mm

    name = "the nibabel image"
    check_dtype(image.get_data_dtype(), name)
    shape = check_shape(image.shape, name)
    if image.affine is None:
        raise UsageError("USE-AFFINE", f"{name} has no affine; give it one")
    values = np.asanyarray(image.dataobj).reshape(shape, order="F").T
    header = image.header
    if not isinstance(header, nibabel.Nifti1Header):
        return _assemble(values, image.affine, "nibabel", name, thickness, axis, scale)
    affine = spatial_mm(header, image.affine)  # as the header's, with more digits, unless somebody gave it another
    stated, origin, forms, warnings = read_forms(header, name)
    if not np.allclose(affine, stated, rtol=1e-5, atol=1e-4):
        return _assemble(values, affine, "nibabel", name, thickness, axis)
    return _assemble(
        values, affine, "nibabel", name, thickness, axis, scale, warnings, forms=forms, facts={"affine_from": origin}
    )


def _from_channels(
    tensor: Any, affine: Any, library: str, thickness: float | None, axis: str | int | None, scale: tuple[float, float]
) -> Volume:
    """From (channels, i, j, k), or MONAI's (i, j, k)."""
    name = f"the {library} image"
    values = _values(tensor)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    check_dtype(values.dtype, name)
    values = values.reshape(check_shape(values.shape, name))
    return _assemble(values.T, affine, library, name, thickness, axis, scale)


def _from_array(
    array: Any, affine: Any, thickness: float | None, axis: str | int | None, scale: tuple[float, float]
) -> Volume:
    if affine is None:
        raise UsageError("USE-AFFINE", "an array needs affine=, 4 x 4, voxel (x, y, z) to RAS mm")
    values = _values(array)
    check_dtype(values.dtype, "the array")
    values = values.reshape(check_shape(values.shape[::-1], "the array")[::-1])
    return _assemble(values, affine, "array", "the array", thickness, "z" if axis is None else axis, scale)


def _values(array: Any) -> np.ndarray:
    """An array or tensor as numpy has it, which knows no bfloat16."""
    if not hasattr(array, "detach"):
        return np.asarray(array)
    tensor = array.detach().cpu()
    return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)


def _assemble(
    kji: np.ndarray,
    affine: Any,
    kind: str,
    name: str,
    thickness: float | None,
    axis: str | int | None,
    scale: tuple[float, float],
    warnings: tuple[Notice, ...] = (),
    *,
    forms: Any = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Volume:
    return assemble(
        slabs_of(kji),
        kji.shape,
        affine=_matrix(affine, name),
        axis=axis,
        scale=scale,
        name=name,
        kind=kind,
        facts={"format": kind, "stored": str(kji.dtype), **facts},
        thickness=thickness,
        warnings=warnings,
        forms=forms,
    )


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
