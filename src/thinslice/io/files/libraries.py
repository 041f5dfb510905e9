"""What images and arrays of libraries hold: values, affine and marks, whatever the order and sense of their axes.

An object is recognised by the module that its type comes from, so that nothing is imported that
the caller has not imported. Each library has an axis order and sense of its own:

    nibabel, torchio, MONAI   index (i, j, k), voxel to RAS; torchio and MONAI put channels first
    SimpleITK                 array (k, j, i), LPS: `thinslice.io.files.itk`
    numpy with affine         array (z, y, x), affine of (x, y, z) to RAS: that of a Volume

What turns into a numpy array by itself (`__array__`: dask, xarray, zarr, jax) is an array.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from thinslice.errors import UsageError
from thinslice.io.files.assemble import Stored, check_dtype, check_shape
from thinslice.io.files.mark import KEY, Marks, found_in_document, found_in_extensions, found_in_text
from thinslice.volume import LPS_TO_RAS

ARRAYS = ("numpy", "torch", "array")
"""What `library_of` calls arrays and tensors, which do not say where they lie."""
_HAS = {  # what an image or array of a library has, and its other types have not
    "nibabel": ("dataobj", "affine", "get_data_dtype"),
    "SimpleITK": ("GetPixelIDValue",),
    "torchio": ("affine", "data"),
    "monai": ("affine", "as_tensor", "meta"),
    "torch": ("detach", "dtype"),
    "numpy": ("__array__", "dtype"),
}


def library_of(obj: Any) -> str:
    """The known library that the type, or one that it descends from, is of; "array" for others' arrays; or ""."""
    roots = [kind.__module__.partition(".")[0] for kind in type(obj).__mro__]
    for root in roots:
        if root in _HAS and (all(hasattr(type(obj), word) for word in _HAS[root]) or is_subject(obj)):
            return root
    return "array" if hasattr(type(obj), "__array__") or hasattr(type(obj), "__array_interface__") else ""


def is_subject(obj: Any) -> bool:
    """Whether it is a torchio Subject, which holds images by name."""
    return hasattr(type(obj), "get_images_dict")


def ct_of(obj: Any) -> Any:
    """The one intensity image that a torchio Subject holds; all else as it is.

    Raises:
        UsageError: USE-INPUT where there is none, or several.
    """
    if not is_subject(obj):
        return obj
    images = obj.get_images_dict(intensity_only=True)
    if len(images) != 1:
        names = ", ".join(images) or "none"
        raise UsageError("USE-INPUT", f"the subject holds {len(images)} intensity images ({names}); give one of them")
    return next(iter(images.values()))


def stored_in(
    obj: Any, library: str, *, affine: Any = None, name: str = "", truth_values: bool = False
) -> tuple[np.ndarray, Stored]:
    """The stored values (k, j, i) of a library's image or an array, and what is known of them.

    Args:
        obj: what it is.
        library: what `library_of` says of it; not SimpleITK.
        affine: (4, 4), voxel (x, y, z) to RAS mm, for an array.
        name: what messages call it; by default the image or array that it is.
        truth_values: they may be some, as in a label map, and become 0 and 1; no HU are.

    Raises:
        UsageError: USE-INPUT, USE-AFFINE.
        InputError: FILE-DIMS, FILE-DTYPE; and as `thinslice.io.files.forms.read_forms`.
    """
    name = name or ("the array" if library in ARRAYS else f"the {library} image")
    if library == "nibabel":
        return _in_nibabel(obj, name)
    if library == "torchio":
        image = ct_of(obj)
        kji = _from_channels(image.data, name, truth_values=truth_values)
        return kji, _known(kji, image.affine, library, name)
    if library == "monai":
        lps = str(obj.meta.get("space", "RAS")).upper().endswith("LPS")
        own = np.asarray(obj.affine, float)
        kji = _from_channels(obj.as_tensor(), name, truth_values=truth_values)
        return kji, _known(kji, LPS_TO_RAS @ own if lps else own, library, name)
    if library in ARRAYS:
        if affine is None:
            raise UsageError("USE-AFFINE", "an array needs affine=, 4 x 4, voxel (x, y, z) to RAS mm")
        kji = array_values(obj, name, truth_values=truth_values)
        return kji, _known(kji, affine, "array", name)
    raise UsageError(
        "USE-INPUT",
        f"cannot read a {type(obj).__name__}; give a path, a Volume, an array or tensor (with affine=, for a scan), or "
        "an image of nibabel, SimpleITK, torchio or MONAI",
    )


def _in_nibabel(image: Any, name: str) -> tuple[np.ndarray, Stored]:
    import nibabel

    from thinslice.io.files.forms import read_forms, spatial_mm

    check_dtype(image.get_data_dtype(), name)
    shape = check_shape(image.shape, name)
    if image.affine is None:
        raise UsageError("USE-AFFINE", f"{name} has no affine; give it one")
    unscaled, scale = _unscaled(image.dataobj)
    kji = unscaled.reshape(shape, order="F").T
    header = image.header
    if not isinstance(header, nibabel.Nifti1Header):
        return kji, _known(kji, image.affine, "nibabel", name, scale=scale)
    affine = spatial_mm(header, image.affine)  # as the header's, with more digits, unless somebody gave it another
    stated, origin, forms, warnings = read_forms(header, name)
    known = _known(kji, affine, "nibabel", name, scale=scale)
    if not np.allclose(affine, stated, rtol=1e-5, atol=1e-4):
        return kji, known
    return kji, replace(known, facts={**known.facts, "affine_from": origin}, warnings=warnings, forms=forms)


def _known(kji: np.ndarray, affine: Any, kind: str, name: str, *, scale: tuple[float, float] = (1.0, 0.0)) -> Stored:
    """What is known of an image that has a place and no more."""
    facts = {"format": kind, "stored": str(kji.dtype)}
    return Stored(kji.shape, _matrix(affine, name), name, kind, facts, scale)


def _matrix(affine: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(affine, float)
    except (TypeError, ValueError) as error:
        raise UsageError("USE-AFFINE", f"the affine of {name} does not consist of numbers") from error


def _unscaled(voxels: Any) -> tuple[np.ndarray, tuple[float, float]]:
    """The values of a nibabel image as they are stored, with slope and intercept, where its file says so."""
    slope, intercept = (getattr(voxels, word, None) for word in ("slope", "inter"))
    if hasattr(voxels, "get_unscaled") and isinstance(slope, int | float) and isinstance(intercept, int | float):
        return np.asanyarray(voxels.get_unscaled()), (float(slope), float(intercept))
    return np.asanyarray(voxels), (1.0, 0.0)


def _from_channels(tensor: Any, name: str, *, truth_values: bool) -> np.ndarray:
    """The values (k, j, i) of (channels, i, j, k), or MONAI's (i, j, k)."""
    values = _values(tensor, name, truth_values=truth_values)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    return values.reshape(check_shape(values.shape, name)).T


def array_values(array: Any, name: str, *, truth_values: bool = False) -> np.ndarray:
    """The values of an array of anybody's, (z, y, x); axes of one before or behind these are dropped."""
    named_axes = tuple(getattr(array, "dims", ()))  # of xarray
    if sorted(map(str, named_axes)) == ["x", "y", "z"] and named_axes != ("z", "y", "x"):
        order = ", ".join(map(str, named_axes))
        raise UsageError("USE-INPUT", f"{name} has its axes in the order {order}; give it as .transpose('z', 'y', 'x')")
    values = _values(array, name, truth_values=truth_values)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values.reshape(check_shape(values.shape[::-1], name)[::-1])


def _values(array: Any, name: str, *, truth_values: bool) -> np.ndarray:
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
    if values.dtype == bool and truth_values:
        values = values.astype(np.uint8)
    check_dtype(values.dtype, name)
    return values


def marks_of(obj: Any, library: str) -> Marks:
    """What marks an object as synthetic, by where it stands; SimpleITK's images are looked at as they are read."""
    if library == "nibabel":
        return _marks_of_nibabel(obj.header)
    if library == "torchio":
        image = ct_of(obj)
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
