"""NIfTI in and out, slab by slab.

nibabel knows the header; the voxels are streamed here, so that a large scan is never held twice
and the checksum of a .nii.gz is always verified.

What the header says about values (NIfTI-1 standard, scl_slope): HU = slope * stored + intercept,
and a slope of 0 means "not set", so stored values are HU. NaN is taken the same way, as nibabel
writes it. If no HU come out of that (`thinslice.io.hounsfield`), the file is refused, not guessed at.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np

from thinslice.errors import InputError, named
from thinslice.io.files.assemble import (
    SLAB_BYTES,
    Stored,
    assemble,
    check_dtype,
    check_rescale,
    check_shape,
    slabs_of,
)
from thinslice.io.files.axes import in_file_order
from thinslice.io.files.forms import Forms, forms_of, read_forms, set_forms
from thinslice.io.files.gzip_blocks import gzip_blocks
from thinslice.io.files.mark import (
    FURTHEST_EXTENSION,
    Marks,
    found_in_extensions,
    found_in_text,
    nifti_block,
    nifti_extensions,
    short_text,
    with_mark,
)
from thinslice.volume import Volume

_FURTHEST_VOXEL = 1 << 30  # header extensions are not longer
_DEFLATE_AT_MOST = 1032  # no deflate stream holds more than so many times its length


def read(
    path: Path,
    *,
    axis: str | int | None = None,
    rescale: tuple[float, float] | None = None,
    name: str = "",
    into: Callable[..., Any] = assemble,
) -> Any:
    """Read a NIfTI-1 or NIfTI-2 file, compressed or not.

    Args:
        path: .nii or .nii.gz; whether it is compressed follows from its bytes.
        axis: slice axis ("x", "y", "z" of the file), else the one with the largest spacing.
        rescale: slope and intercept from stored values to HU, in place of the header's.
        name: what messages call it; by default "the file".
        into: what makes something of the stored values: a Volume, or with `as_labels` a label map.

    Raises:
        InputError: FILE-FORMAT, FILE-BROKEN, FILE-DIMS, FILE-DTYPE, FILE-SCALE, FILE-NAN.
        GeometryError: GEO-SPACING, GEO-AFFINE.
    """
    name = name or named(path)
    scale = check_rescale(rescale) if rescale else None
    with _opened(path) as stream:
        header = read_header(stream, name)
        i, j, k = check_shape(header.get_data_shape(), name)
        check_dtype(_dtype(header, name), name)
        _check_length(path, i * j * k * header.get_data_dtype().itemsize)
        affine, origin, forms, warnings = read_forms(header, name)
        marks = _marks(stream, header, name)
        facts = {"format": "NIfTI", "stored": str(header.get_data_dtype()), "affine_from": origin}
        scale = scale or _scale(header, name)
        stored = Stored((k, j, i), affine, name, "nifti", facts=facts, scale=scale, warnings=warnings, forms=forms)
        made = into(_slabs(stream, header, (k, j, i), name), stored, axis=axis)
    return with_mark(made, marks) if isinstance(made, Volume) else made


def marks_in(path: Path) -> Marks:
    """What marks a file as synthetic, by where it stands; nothing but its header is read.

    Raises:
        InputError: FILE-FORMAT, FILE-BROKEN, FILE-UNREADABLE.
    """
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        stream = cast(BinaryIO, file)
        return _marks(stream, read_header(stream, named(path)), named(path))


def write(volume: Volume, path: Path, *, dtype: np.dtype, values: np.ndarray | None = None) -> None:
    """Write a NIfTI-1 file, marked where synthetic: sform and qform as in the source (`files.forms`), slope 1, mm.

    Args:
        volume: what to write, in the axis order of the file it was read from.
        path: .nii or .nii.gz.
        dtype: int16, int32 (rounded) or float32.
        values: (z, y, x), in place of its HU.
    """
    kji, affine = in_file_order(volume, values)
    header = new_header(kji.shape, affine, forms_of(volume.origin.header), dtype)
    mark = volume.origin.mark
    extensions = nifti_block(mark)
    header["vox_offset"] = len(header.binaryblock) + len(extensions)
    header["descrip"] = b"" if mark is None else short_text(mark).encode("ascii")
    with _created(path) as put:
        put(header.binaryblock + extensions)
        for slab in slabs_of(kji):
            rounded = np.rint(slab) if dtype.kind == "i" else slab
            put(np.ascontiguousarray(rounded, dtype=dtype).data.cast("B"))


def new_header(shape: tuple[int, ...], affine: np.ndarray, forms: Forms, dtype: np.dtype) -> nib.Nifti1Header:
    """The header of a result of that shape (kji) and place."""
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(shape[::-1])
    header.set_data_dtype(dtype)
    set_forms(header, affine, forms)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield cast(BinaryIO, stream)
            while stream.read(1 << 20):  # to the end: only there does gzip compare its checksum
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError("FILE-BROKEN", f"{named(path)} is cut short or damaged; copy it again") from error
    except OSError as error:
        raise InputError(
            "FILE-UNREADABLE", f"{named(path)} cannot be read: {error.strerror or type(error).__name__}"
        ) from error


def read_header(stream: BinaryIO, name: str) -> nib.Nifti1Header:
    """The header of a NIfTI-1 or NIfTI-2 file, from the beginning of its bytes.

    Raises:
        InputError: FILE-FORMAT.
    """
    block = stream.read(540)
    for kind, size in ((nib.Nifti1Header, 348), (nib.Nifti2Header, 540)):
        if len(block) >= size and kind.may_contain_header(block[:size]):
            header = kind(block[:size], check=False)
            if bytes(header["magic"])[:2] == b"ni":
                raise InputError(
                    "FILE-FORMAT", f"{name} is the header of a .hdr/.img pair; convert it to one .nii.gz file"
                )
            if header["pixdim"][0] not in (-1, 1):
                header["pixdim"][0] = 1  # the standard: 0 is taken as 1
            return header
    raise InputError("FILE-FORMAT", f"{name} is not NIfTI, though its name says so; give a NIfTI file or rename it")


def _dtype(header: nib.Nifti1Header, name: str) -> np.dtype:
    try:
        return header.get_data_dtype()
    except (KeyError, nib.spatialimages.HeaderDataError) as error:
        raise InputError(
            "FILE-DTYPE", f"{name} has data of unknown type {int(header['datatype'])}; convert it"
        ) from error


def _check_length(path: Path, needed: int) -> None:
    """Refuse a file that cannot hold its voxels, before memory is asked for them."""
    length = path.stat().st_size
    with path.open("rb") as file:
        holds = length * _DEFLATE_AT_MOST if file.read(2) == b"\x1f\x8b" else length
    if holds < needed:
        raise InputError(
            "FILE-BROKEN", f"{named(path)} is cut short: {length} bytes for {needed} bytes of voxels; copy it again"
        )


def _scale(header: nib.Nifti1Header, name: str) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not np.isfinite([slope, intercept]).all():
        raise InputError(
            "FILE-SCALE", f"{name} has scl_slope {slope:g} and scl_inter {intercept:g}; give --rescale SLOPE,INTERCEPT"
        )
    return slope, intercept


def _slabs(stream: BinaryIO, header: nib.Nifti1Header, shape: tuple[int, int, int], name: str) -> Iterator[np.ndarray]:
    """Blocks of stored values (n, j, i)."""
    dtype = header.get_data_dtype()
    stream.seek(_voxel_offset(header, name))
    k, j, i = shape
    slice_bytes = j * i * dtype.itemsize
    step = max(1, SLAB_BYTES // slice_bytes)
    for start in range(0, k, step):
        count = min(step, k - start)
        data = stream.read(count * slice_bytes)
        if len(data) < count * slice_bytes:
            found = start + len(data) // slice_bytes
            raise InputError("FILE-BROKEN", f"{name} is cut short: {found} of {k} slices are there; copy it again")
        yield np.frombuffer(data, dtype).reshape(count, j, i)


def _voxel_offset(header: nib.Nifti1Header, name: str) -> int:
    """Where the voxels begin: behind the header and its four extension bytes, where 0 says nothing.

    What lies before is no place for them (NIfTI-1 standard, vox_offset), and readers differ in what they make of it.
    """
    least, offset = int(header["sizeof_hdr"]) + 4, float(header["vox_offset"])
    if offset == 0:
        return least
    if not least <= offset < _FURTHEST_VOXEL or offset != int(offset):  # NaN is not either
        raise InputError(
            "FILE-BROKEN", f"{name} has its voxels at byte {offset:g}, {least} is the first possible; copy it again"
        )
    return int(offset)


def _marks(stream: BinaryIO, header: nib.Nifti1Header, name: str) -> Marks:
    """What marks it as synthetic: in the header, and in what lies between it and the voxels."""
    length = int(header["sizeof_hdr"])
    stream.seek(length)
    block = stream.read(min(_voxel_offset(header, name) - length, FURTHEST_EXTENSION))
    extensions = nifti_extensions(block, big_endian=header.endianness == ">")
    return {
        "descrip": found_in_text(header["descrip"].item()),
        "header extension": found_in_extensions(extensions),
    }


@contextmanager
def _created(path: Path) -> Iterator[Callable[[bytes | memoryview], object]]:
    if path.name.lower().endswith(".gz"):
        with gzip_blocks(path) as packed:
            yield packed.write
    else:
        with path.open("wb") as plain:
            yield plain.write
