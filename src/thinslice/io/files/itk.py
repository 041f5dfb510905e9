"""NRRD and MetaImage in and out, through SimpleITK; its images to Volumes and back.

ITK counts in LPS: x and y have the opposite sense of RAS. An ITK image is direction * spacing *
index + origin; for an image that is upright (axes at right angles) this is any affine.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from thinslice.errors import GeometryError, InputError, Notice, named
from thinslice.io.files.assemble import (
    NO_ORIENTATION,
    Stored,
    assemble,
    check_dtype,
    check_rescale,
    check_shape,
    slabs_of,
)
from thinslice.io.files.axes import in_file_order
from thinslice.io.files.forms import UNKNOWN, square_enough
from thinslice.io.files.integrity import check_metaimage, check_nrrd
from thinslice.io.files.labels import as_labels
from thinslice.io.files.mark import Marks, found_in_keys, keys, with_mark
from thinslice.io.files.names import parts
from thinslice.io.files.segments import join_layers, segments_of
from thinslice.io.label_image import LabelImage
from thinslice.system.output import whole_file
from thinslice.system.temporary import temporary_name
from thinslice.volume import LPS_TO_RAS, Volume, lean, squared

_PIXELS = {"int16": sitk.sitkInt16, "int32": sitk.sitkInt32, "float32": sitk.sitkFloat32}
_HEADER_LIMIT = 1 << 17  # bytes
_SQUARE = 1e-5  # radian: below, axes count as at right angles (5 micrometres over a body)


def read(path: Path, *, axis: str | int | None = None, rescale: tuple[float, float] | None = None) -> Volume:
    """Read an NRRD or MetaImage file.

    Args:
        path: .nrrd, .nhdr, .mha or .mhd.
        axis: slice axis ("x", "y", "z" of the file), else the one with the largest spacing.
        rescale: slope and intercept from stored values to HU.

    Raises:
        InputError: FILE-FORMAT, FILE-BROKEN, FILE-DIMS, FILE-DTYPE, FILE-NAN.
        GeometryError: GEO-SPACING, GEO-AFFINE.
    """
    scale = check_rescale(rescale) if rescale else (1.0, 0.0)
    image, facts = _load(path)
    volume: Volume = from_image(image, axis=axis, scale=scale, **facts)
    return volume


def read_labels(path: Path) -> LabelImage:
    """Read a label map from an NRRD or MetaImage file, also the layers of Slicer's .seg.nrrd.

    Raises:
        InputError, GeometryError: as `read`, and `labels_from_image`.
    """
    image, facts = _load(path)
    return labels_from_image(image, **facts | {"name": named(path, "the label map")})


def _load(path: Path) -> tuple[sitk.Image, dict[str, Any]]:
    """The image in a file, and what `from_image` is to know of it."""
    kind = "nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else "metaimage"
    try:
        oriented = check_nrrd(path) if kind == "nrrd" else check_metaimage(path)
        with _without_itk_warnings():
            image = sitk.ReadImage(str(path))
    except OSError as error:
        raise InputError(
            "FILE-UNREADABLE", f"{named(path)} cannot be read: {error.strerror or type(error).__name__}"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise _in_our_words(str(error), named(path)) from error
    warnings = () if oriented else (NO_ORIENTATION,)
    return image, {"name": named(path), "kind": kind, "warnings": warnings}


def read_information(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Size along i, j, k, and affine to RAS mm, of an NRRD or MetaImage file, from its header alone.

    Raises:
        RuntimeError: ITK's, where it cannot be read.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _without_itk_warnings():
        reader.ReadImageInformation()
    return tuple(reader.GetSize()), _affine(reader)


def marks_in(path: Path) -> Marks:
    """What marks a file as synthetic, by where it stands. Only the header's text is looked at, not by ITK."""
    with path.open("rb") as file:
        lines = file.read(_HEADER_LIMIT).decode("latin-1").split("\n")
    sign = ":=" if lines[0].startswith("NRRD") else "="
    values = {}
    for line in lines:
        key, found, value = line.partition(sign)
        if not line.strip() or key.strip() == "ElementDataFile":
            break
        if found:
            values[key.strip()] = value.strip()
    return {"header keys": found_in_keys(values.get)}


def write(
    volume: Volume, path: Path, *, dtype: np.dtype, overwrite: bool = False, values: np.ndarray | None = None
) -> None:
    """Write an NRRD or MetaImage file; .nhdr and .mhd are headers with a .raw file beside them.

    Args:
        volume: what to write, in the axis order of the file it was read from.
        path: .nrrd, .nhdr, .mha or .mhd.
        dtype: int16, int32 (rounded) or float32.
        overwrite: replace files that exist.
        values: (z, y, x), in place of its HU.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    image, path = to_image(volume, dtype=dtype, values=values), path.resolve()  # header and voxels stay together
    ending = path.suffix.lower()
    header, *beside = parts(path)
    with ExitStack() as stack:
        temporary = stack.enter_context(whole_file(header, overwrite=overwrite))
        voxels = [stack.enter_context(whole_file(file, overwrite=overwrite)) for file in beside]
        plain = stack.enter_context(_plain_name(temporary, ending))
        _save(image, plain, packed=ending == ".nrrd")
        for data, file in zip(voxels, beside, strict=True):
            companion = plain.with_suffix(".raw")
            os.replace(companion, data)
            text = plain.read_text(encoding="utf-8").replace(companion.name, file.name)
            plain.write_text(text, encoding="utf-8")
        os.replace(plain, temporary)


def from_image(
    image: sitk.Image,
    *,
    name: str,
    kind: str,
    axis: str | int | None = None,
    scale: tuple[float, float] = (1.0, 0.0),
    thickness: float | None = None,
    warnings: tuple[Notice, ...] = (),
    into: Callable[..., Any] = assemble,
) -> Any:
    """A SimpleITK image as a Volume, or as what `into` makes of it; arguments as in `Stored` and `assemble`."""
    values = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise InputError("FILE-DTYPE", f"{name} holds {count} values per voxel (RGB or a vector); CT has one")
    check_dtype(values.dtype, name)
    shape = check_shape(image.GetSize(), name)
    facts = {"format": {"nrrd": "NRRD", "metaimage": "MetaImage"}.get(kind, kind), "stored": str(values.dtype)}
    forms = UNKNOWN if NO_ORIENTATION in warnings else None
    stored = Stored(shape[::-1], _affine(image), name, kind, facts=facts, scale=scale, warnings=warnings, forms=forms)
    made = into(slabs_of(values.reshape(shape[::-1])), stored, axis=axis, thickness=thickness)
    mark = found_in_keys(lambda key: image.GetMetaData(key) if image.HasMetaDataKey(key) else None)
    return with_mark(made, {"header keys": mark}) if isinstance(made, Volume) else made


def labels_from_image(image: sitk.Image, *, name: str, **facts: Any) -> LabelImage:
    """A SimpleITK image as a label map; with segments in layers, as Slicer writes them, these are joined.

    Raises:
        InputError: as `from_image` and `join_layers`.
    """
    segments = segments_of({key: image.GetMetaData(key) for key in image.GetMetaDataKeys()})
    if image.GetNumberOfComponentsPerPixel() > 1 and image.GetDimension() == 3 and segments:
        return join_layers(sitk.GetArrayViewFromImage(image), segments, affine=_affine(image), name=name)
    found: LabelImage = from_image(image, name=name, into=as_labels, **facts)
    return replace(found, names={segment.value: segment.name for segment in segments if segment.name})


def to_image(volume: Volume, *, dtype: np.dtype, values: np.ndarray | None = None) -> sitk.Image:
    """A Volume as a SimpleITK image, int16, int32 (rounded) or float32, filled slab by slab; arguments as in `write`.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    kji, affine = in_file_order(square_grid(volume), values)
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.Image(kji.shape[::-1], _PIXELS[dtype.name])
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    start = 0
    for slab in slabs_of(kji):
        rounded = np.rint(slab) if dtype.kind == "i" else slab
        image[:, :, start : start + len(slab)] = sitk.GetImageFromArray(np.ascontiguousarray(rounded, dtype=dtype))
        start += len(slab)
    for key, value in {} if volume.origin.mark is None else keys(volume.origin.mark).items():
        image.SetMetaData(key, value)
    return image


def square_grid(volume: Volume) -> Volume:
    """The volume on a grid with axes at right angles: readers of these formats take any grid for one.

    A grid that is off by rounding, no corner further than a tenth of a pixel, is put right; others are refused.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    if lean(volume.affine) <= _SQUARE:
        return volume
    refuse_shear(volume.affine, volume.shape)
    return replace(volume, affine=squared(volume.affine, volume.shape))


def refuse_shear(affine: np.ndarray, shape: tuple[int, int, int], *, upright: bool = False) -> None:
    """Refuse a grid that `square_grid` refuses.

    Args:
        affine: (4, 4), voxel (x, y, z) to RAS mm, z across the slices.
        shape: (z, y, x).
        upright: the slices' shear will be gone when it is written.

    Raises:
        GeometryError: GEO-SHEAR.
    """
    straight = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    straight[:3, 2] = normal * (affine[:3, 2] @ normal) / (normal @ normal)
    if square_enough(straight if upright else affine, shape):
        return
    cure = "write .nii.gz, or make it upright with --detilt"
    if not square_enough(straight, shape):
        cure = "write .nii.gz"  # rows and columns are not at right angles either
    raise GeometryError(
        "GEO-SHEAR",
        f"the grid is sheared by {np.degrees(lean(affine)):.3g} degrees (gantry tilt, or an affine of another kind), "
        f"which .nrrd, .nhdr, .mha and .mhd cannot hold safely; {cure}",
    )


def _affine(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """Voxel (i, j, k) to RAS mm."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    lps = np.eye(4)
    lps[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    lps[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ lps


@contextmanager
def _without_itk_warnings() -> Iterator[None]:
    """ITK prints warnings that quote the path, past everything that Python can catch."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _save(image: sitk.Image, path: Path, *, packed: bool) -> None:
    """Have ITK write a file. NRRD is usually packed, MetaImage not (packing it is slow both ways).

    Raises:
        OSError: with the system's number for a full disk, which ITK does not report.
    """
    needed = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not packed and shutil.disk_usage(path.parent).free < needed:
        raise full
    try:
        sitk.WriteImage(image, str(path), useCompression=packed, compressionLevel=1)
    except RuntimeError as error:
        short = shutil.disk_usage(path.parent).free < needed
        raise full if short else OSError(errno.EIO, "SimpleITK could not write it") from error


@contextmanager
def _plain_name(beside: Path, ending: str) -> Iterator[Path]:
    """A name for ITK to write to, which goes by capitals in an ending and fills in what a % stands for."""
    plain = temporary_name(beside.with_name(f"itk{ending}"))
    try:
        yield plain
    finally:
        for path in (plain, plain.with_suffix(".raw")):
            path.unlink(missing_ok=True)


def _in_our_words(text: str, name: str) -> InputError | GeometryError:
    """ITK's exceptions are several lines with its own source paths."""
    if "spacing is not supported" in text:
        return GeometryError("GEO-SPACING", f"{name} has a voxel size of 0 or NaN mm; every size must be over 0")
    if "determinant is 0" in text:
        return GeometryError(
            "GEO-AFFINE", f"{name} has an orientation that cannot be inverted (determinant 0); repair it"
        )
    return InputError(
        "FILE-BROKEN", f"{name} is cut short, damaged or of a kind that SimpleITK cannot read; write it again"
    )
