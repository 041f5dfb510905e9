"""One door for scans: a file, a DICOM series, or a library's object in; a file or a series out.

Which format it is follows from the path: a folder, a zip and anything that looks like DICOM go to
`thinslice.io.dicom`, the rest to `thinslice.io.files`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thinslice.errors import GeometryError, InputError, ModelError, Notice, OutputError, UsageError, named
from thinslice.io import files
from thinslice.io.files.mark import described, joined
from thinslice.system.keywords import checks_keywords, names_of
from thinslice.system.output import refuse_existing, refuse_full
from thinslice.system.paths import as_path
from thinslice.volume import Volume

if TYPE_CHECKING:
    from thinslice.io.dicom import Provenance

SYNTHETIC = ("FILE-SYNTH", "DCM-SYNTH")
"""Codes under which a source that is itself synthetic is refused, or warned of where that is allowed."""
_STRICTLY = {"FILE-SYNTH": ModelError} | dict.fromkeys(("FILE-NOTHU", "FILE-SIDECAR", "FILE-DERIVED"), InputError)
_LEAST_STEPS = 16  # HU from the lowest value to the highest: less, rounded, is a sketch
_NO_FOLDER_NAMES = (".dcm", ".zip", ".gz", ".img", ".hdr")  # a slip of the pen, no folder for a series


@checks_keywords()
def read(
    source: Any,
    *,
    affine: Any = None,
    thickness: float | None = None,
    axis: str | int | None = None,
    rescale: tuple[float, float] | None = None,
    series: str | int | None = None,
    phase: int | None = None,
    on_gap: str = "error",
    allow_derived: bool = False,
    strict: bool = False,
    limits: Mapping[str, float] | None = None,
) -> Volume:
    """Read a CT volume.

        >>> volume = thinslice.read("thick.nii.gz")
        >>> volume.hu.shape, volume.slice_spacing_mm

    Args:
        source: path of a file or of a DICOM folder, zip or image; or an object that
            `thinslice.io.files.objects.from_object` knows.
        affine: (4, 4) voxel (x, y, z) to RAS mm, for an array.
        thickness: slice thickness in mm, in place of what the source says.
        axis: slice axis of a file or object, "x", "y" or "z" of its index order.
        rescale: slope and intercept from stored values to HU, in place of the source's.
        series: which DICOM series.
        phase: which volume of a DICOM series that holds several.
        on_gap: for a DICOM series with slices missing or unevenly spaced: "error" refuses it, "fill"
            gives one volume with `slice_positions_mm`, which `enhance` synthesises across; for
            "split" there is `read_parts`.
        allow_derived: read a series that is synthesised itself.
        strict: make every warning an error.
        limits: limits for DICOM input, by name.

    Returns:
        The volume, its slices along the first axis of `hu`.

    Raises:
        UsageError: DCM-ON-GAP where a series is split into several parts: `read_parts` gives them all.
        InputError, GeometryError, UsageError: see `thinslice.io.files.read` and `thinslice.io.dicom`.
    """
    volumes = read_parts(
        source, affine=affine, thickness=thickness, axis=axis, rescale=rescale, series=series, phase=phase,
        on_gap=on_gap, allow_derived=allow_derived, strict=strict, limits=limits,
    )  # fmt: skip
    if len(volumes) > 1:
        raise UsageError("DCM-ON-GAP", f"the series is split into {len(volumes)} parts; read_parts gives them all")
    return volumes[0]


@checks_keywords()
def read_parts(
    source: Any,
    *,
    affine: Any = None,
    thickness: float | None = None,
    axis: str | int | None = None,
    rescale: tuple[float, float] | None = None,
    series: str | int | None = None,
    phase: int | None = None,
    on_gap: str = "error",
    allow_derived: bool = False,
    strict: bool = False,
    limits: Mapping[str, float] | None = None,
) -> list[Volume]:
    """Read a CT volume, or under on_gap "split" the regular parts of a DICOM series.

    Args:
        source: path of a file or of a DICOM folder, zip or image; or an object that
            `thinslice.io.files.objects.from_object` knows.
        affine: (4, 4) voxel (x, y, z) to RAS mm, for an array.
        thickness: slice thickness in mm, in place of what the source says.
        axis: slice axis of a file or object, "x", "y" or "z" of its index order.
        rescale: slope and intercept from stored values to HU, in place of the source's; of an object, from the
            values that it holds. Values that can be no HU are then remarked and not refused.
        series: which DICOM series.
        phase: which volume of a DICOM series that holds several.
        on_gap: for a DICOM series with slices missing or unevenly spaced: "error" refuses it, "split" gives its
            regular parts, "fill" one volume with `slice_positions_mm`, which `enhance` synthesises across.
        allow_derived: read what is itself synthesised.
        strict: make every warning an error.
        limits: limits for DICOM input, by name.

    Raises:
        InputError, GeometryError, UsageError: see `thinslice.io.files.read` and `thinslice.io.dicom`.
        ModelError: FILE-SYNTH, DCM-SYNTH: it is itself synthesised.
    """
    if not isinstance(source, str | PathLike):
        from thinslice.io.files.objects import from_object

        _refuse_dicom_options(f"a {type(source).__name__}", series=series, phase=phase, limits=limits, on_gap=on_gap)
        volume = from_object(source, affine=affine, thickness=thickness, axis=axis, rescale=rescale)
        volume = accepted(_judged(volume, source, told=rescale is not None), allow_derived=allow_derived)
        return [_strictly(volume, strict)]
    path = as_path(source)
    files.check_there(path)
    if is_dicom(path):
        from thinslice.io import dicom

        refuse_options(path, dicom=True, axis=axis)
        with _errors_naming(path):
            volumes = dicom.read_parts(
                path, series=series, phase=phase, rescale=rescale, on_gap=on_gap, allow_derived=allow_derived,
                strict=strict, limits=limits,
            )  # fmt: skip
        volumes = [_naming(path, volume) for volume in volumes]
    else:
        refuse_options(path, dicom=False, series=series, phase=phase, limits=limits, on_gap=on_gap)
        mark = None if allow_derived or not files.has_known_ending(path) else joined(files.marks_of(path))
        if mark is not None:  # from the header alone, before anything else is wrong with it
            raise synthetic_refusal(mark, named(path))
        with _errors_naming(path):
            volume = files.read(path, axis=axis, rescale=rescale)
        volume = accepted(volume, allow_derived=allow_derived, name=named(path))
        volumes = [_strictly(_naming(path, volume), strict)]
    return volumes if thickness is None else [replace(volume, thickness=thickness) for volume in volumes]


READING = names_of(read)
"""What can be said about reading; `enhance`, `fit` and `evaluate` hand it on."""


def _judged(volume: Volume, source: Any, *, told: bool) -> Volume:
    """The volume of an object, where its values can be HU.

    Raises:
        InputError: FILE-NOTHU.
    """
    if isinstance(source, Volume):
        return remark_values(volume)
    kind = volume.source.kind
    name = "the array" if kind == "array" else f"the {kind} image"
    return files.judged(volume, name=name, told=told, option="rescale=({slope:g}, {intercept:g})")


def remark_values(volume: Volume) -> Volume:
    """The volume, with a remark where a caller built it of values that can hardly be HU; what was read is known."""
    if volume.source.kind != "array" or volume.source.facts:
        return volume
    return files.judged(volume, name="the volume", told=True)


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    """Have what refuses a scan name where it came from, unless it names a file."""
    try:
        yield
    except (InputError, GeometryError, ModelError) as error:
        error.name(path)
        raise


def _naming(path: Path, volume: Volume) -> Volume:
    """The volume; what was noticed about it names where it came from."""
    noticed = tuple(notice.of(path) for notice in volume.source.warnings)
    return replace(volume, source=replace(volume.source, warnings=noticed))


def _strictly(volume: Volume, strict: bool) -> Volume:
    """The volume, where nothing was noticed about it or warnings do not count as errors."""
    for notice in volume.source.warnings if strict else ():
        raise _STRICTLY.get(notice.code, GeometryError)(notice.code, notice.marked)
    return volume


def accepted(volume: Volume, *, allow_derived: bool, name: str = "the source") -> Volume:
    """The volume; where it is itself synthesised and that is allowed, with a warning.

    Args:
        volume: whatever was read, or made in Python.
        allow_derived: whether it may be synthetic. It may as well where that was allowed when it was read.
        name: what it is called in messages.

    Raises:
        ModelError: FILE-SYNTH.
    """
    warnings = volume.source.warnings
    if volume.source.mark is None or any(notice.code in SYNTHETIC for notice in warnings):
        return volume
    if not allow_derived:
        raise synthetic_refusal(volume.source.mark, name)
    message = f"the source is itself synthesised ({described(volume.source.mark)}); errors of both passes add up"
    return replace(volume, source=replace(volume.source, warnings=(*warnings, Notice("FILE-SYNTH", message))))


def synthetic_refusal(mark: Mapping[str, Any], name: str) -> ModelError:
    """The error that refuses what is marked as synthetic."""
    return ModelError(
        "FILE-SYNTH",
        f"{name} is itself synthesised ({described(mark)}); give the acquired scan, or go on with --allow-derived",
    )


def refuse_options(path: Path, *, dicom: bool, axis: Any = None, **of_dicom: Any) -> None:
    """Refuse options of reading that would have no effect.

    Args:
        path: what is to be read.
        dicom: whether it is read as DICOM.
        axis: slice axis, which DICOM says itself.
        **of_dicom: series, phase, limits and on_gap, which go with DICOM.

    Raises:
        UsageError: USE-AXIS, USE-SERIES, USE-LIMIT, DCM-ON-GAP.
    """
    if not dicom:
        _refuse_dicom_options(named(path), **of_dicom)
    elif axis is not None:
        raise UsageError("USE-AXIS", "axis goes with files such as NIfTI; DICOM says itself how its slices lie")


def _refuse_dicom_options(
    name: str, *, series: Any = None, phase: Any = None, limits: Any = None, on_gap: str = "error"
) -> None:
    if series is not None or phase is not None:
        raise UsageError("USE-SERIES", f"series and phase go with DICOM; {name} holds one volume")
    if limits:
        raise UsageError("USE-LIMIT", f"limits go with DICOM; {name} is read by a library that knows none")
    if on_gap != "error":
        raise UsageError("DCM-ON-GAP", f"on-gap goes with DICOM; the slices of {name} are evenly spaced")


@checks_keywords()
def write(
    volume: Volume,
    path: str | PathLike[str],
    *,
    source: Volume | None = None,
    provenance: Provenance | None = None,
    dtype: str = "int16",
    sidecar: bool = True,
    compress: str = "none",
    series_number: int | None = None,
    like_source: bool = False,
    overwrite: bool = False,
) -> tuple[Notice, ...]:
    """Write a volume: to a file where the name ends as one, else to a folder as a DICOM series.

    Args:
        volume: what to write.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, or a folder.
        source: the DICOM scan that the volume was made from (DICOM output only).
        provenance: how it was made (DICOM output only).
        dtype: "int16" or "float32" (files only).
        sidecar: whether a synthetic volume gets a side-car, NAME.json (NIfTI only).
        compress: "none", "jpegls", "j2k" or "rle" (DICOM output only).
        series_number: of the new series (DICOM output only).
        like_source: store pixels in the source's own bits, sign and intercept (DICOM output only).
        overwrite: replace what is there.

    Returns:
        What the user should know about the output.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE, OUT-FULL.
        GeometryError: GEO-SHEAR.
        UsageError: as for `check_target`.
    """
    if not isinstance(volume, Volume):
        raise UsageError("USE-INPUT", f"only a Volume is written, not a {type(volume).__name__}; read it first")
    path = as_path(path)
    # files.write looks at the shear of the volume itself: its source may have been tilted
    check_target(
        path, source=source or volume, upright=True, dtype=dtype, compress=compress, series_number=series_number,
        like_source=like_source, sidecar=sidecar and volume.source.mark is not None, overwrite=overwrite,
    )  # fmt: skip
    rounded = () if dtype == "float32" else _rounding(volume)
    if files.has_known_ending(path):
        return (*files.write(volume, path, dtype=dtype, sidecar=sidecar, overwrite=overwrite), *rounded)
    from thinslice.io import dicom

    if source is None or provenance is None:
        raise OutputError(
            "OUT-FORMAT", "a DICOM series needs the series it was made from; name a file, such as out.nii.gz"
        )
    written = dicom.write_series(
        volume, path, source=source, provenance=provenance, compress=compress, series_number=series_number,
        like_source=like_source, overwrite=overwrite,
    )  # fmt: skip
    notices = []
    if written.remarks:
        notices.append(Notice("DCM-CARRIED", f"not all attributes of the source are in the result: {written.remarks}"))
    if written.clipped:
        message = f"{written.clipped} voxels beyond {written.bits} bits were clipped to the nearest value"
        notices.append(Notice("OUT-CLIP", message))
    return (*notices, *rounded)


def _rounding(volume: Volume) -> tuple[Notice, ...]:
    """What is to be said where whole numbers hold next to nothing of what was measured."""
    measured = True if volume.padding is None else ~volume.padding
    lowest = float(volume.hu.min(where=measured, initial=np.inf))
    highest = float(volume.hu.max(where=measured, initial=-np.inf))
    if not 0 < highest - lowest < _LEAST_STEPS or np.array_equal(volume.hu, np.rint(volume.hu)):
        return ()
    steps = round(highest) - round(lowest) + 1
    message = (
        f"values from {lowest:.3g} to {highest:.3g} were rounded to {steps} whole number{'s' * (steps > 1)}: dtype "
        "float32 keeps them in files, and DICOM holds whole HU only"
    )
    return (Notice("OUT-ROUND", message),)


def check_target(
    path: str | PathLike[str],
    *,
    source: Volume,
    upright: bool = False,
    dtype: str = "int16",
    sidecar: bool = True,
    compress: str = "none",
    series_number: int | None = None,
    like_source: bool = False,
    overwrite: bool = False,
) -> None:
    """Refuse, before any work, an output that could not be written afterwards.

    Args:
        path: the output.
        source: the scan it is to be made from: DICOM output needs DICOM input, and a sheared grid
            goes into NIfTI or DICOM only.
        upright: a sheared grid is made upright before it is written.
        dtype: of voxels; DICOM has its own.
        sidecar: beside NIfTI a side-car will be written.
        compress: DICOM output only.
        series_number: DICOM output only.
        like_source: pixels are to be stored as the source's are; DICOM output only.
        overwrite: an existing output may be replaced.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE.
        GeometryError: GEO-SHEAR.
        UsageError: USE-DTYPE, USE-COMPRESS, USE-SERIES, DCM-COMPRESS, DCM-LIKE-SOURCE,
            DCM-SERIES-NUMBER.
    """
    path = as_path(path)
    if files.has_known_ending(path):
        for code, name, given in (
            ("USE-COMPRESS", "compress", compress != "none"),
            ("USE-SERIES", "series-number", series_number is not None),
            ("DCM-LIKE-SOURCE", "like-source", like_source),
        ):
            if given:
                raise UsageError(code, f"{name} goes with DICOM output; leave it out for a file")
        slices, rows, columns = source.shape  # split slabs reach beyond the source's by less than a slice
        files.check_target(
            path, affine=source.affine, shape=(slices + 1, rows, columns), upright=upright, sidecar=sidecar,
            overwrite=overwrite,
        )  # fmt: skip
        return
    if path.suffix.lower() in _NO_FOLDER_NAMES:
        raise OutputError(
            "OUT-FORMAT", f"output {named(path, '')} must be a folder (DICOM) or end in {', '.join(files.ENDINGS)}"
        )
    if source.source.kind != "dicom":
        raise OutputError(
            "OUT-FORMAT",
            f"output {named(path, '')} names a folder, for DICOM, but the input is no DICOM; end it in "
            f"{', '.join(files.ENDINGS)}",
        )
    if dtype != "int16":
        raise UsageError("USE-DTYPE", f"dtype {dtype} goes with files; DICOM holds whole numbers")
    refuse_existing(path, overwrite=overwrite, ours=of_a_series)
    from thinslice.io.dicom.write.series import check_compression, check_series_number, pixel_layout

    check_compression(compress)
    check_series_number(series_number)
    pixel_layout(source, like_source=like_source)


def check_room(path: str | PathLike[str], shape: tuple[int, int, int], *, dtype: str, compress: str) -> None:
    """Refuse, before any work, an output that its disk cannot hold; of compressed ones nobody knows the size before.

    Args:
        path: the output.
        shape: (n, y, x) of the result.
        dtype: of voxels.
        compress: of DICOM output.

    Raises:
        ResourceError: RES-DISK with the figures.
    """
    path = as_path(path)
    if compress == "none" and files.ending_of(path) not in (".nii.gz", ".nrrd"):
        refuse_full(path, math.prod(shape) * np.dtype(dtype).itemsize)


def of_a_series(entry: Path) -> bool:
    """Whether what is in a folder is of a DICOM series that this program wrote, and may replace."""
    from thinslice.io import dicom

    return dicom.wrote(entry)


def is_dicom(path: Path) -> bool:
    """Whether an existing path is read as DICOM: a folder, a zip archive, or a file that looks like it."""
    if path.is_dir():
        return True
    if files.has_known_ending(path):
        return False
    from thinslice.io import dicom

    return dicom.looks_like_dicom(path)
