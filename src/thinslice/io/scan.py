"""One door for scans: a file, a DICOM series, or a library's object in. Results leave by `thinslice.io.writing`.

Which format it is follows from the path: a folder, a zip and anything that looks like DICOM go to
`thinslice.io.dicom`, the rest to `thinslice.io.files`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from thinslice.errors import GeometryError, InputError, ModelError, Notice, UsageError, named
from thinslice.io import dicom, files
from thinslice.io.files.mark import described, joined
from thinslice.io.files.objects import from_object
from thinslice.system.keywords import checks_keywords, names_of
from thinslice.system.paths import as_path
from thinslice.volume import Volume

SYNTHETIC = ("FILE-SYNTH", "DCM-SYNTH")
"""Codes under which a source that is itself synthetic is refused, or warned of where that is allowed."""
_STRICTLY = {"FILE-SYNTH": ModelError} | dict.fromkeys(("FILE-NOTHU", "FILE-SIDECAR", "FILE-DERIVED"), InputError)


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
    names: Sequence[str] | None = None,
) -> Volume:
    """Read a CT volume.

        >>> import thinslice
        >>> volume = thinslice.read("thick.nii.gz")
        >>> volume.hu.shape, volume.slice_spacing_mm
        ((16, 48, 48), 5.0)

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
        names: of a DICOM folder, the files to look at, relative to it; by default all.

    Returns:
        The volume, its slices along the first axis of `hu`.

    Raises:
        UsageError: DCM-ON-GAP where a series is split into several parts: `read_parts` gives them all.
        InputError, GeometryError, UsageError: see `thinslice.io.files.read` and `thinslice.io.dicom`.
    """
    volumes = read_parts(
        source, affine=affine, thickness=thickness, axis=axis, rescale=rescale, series=series, phase=phase,
        on_gap=on_gap, allow_derived=allow_derived, strict=strict, limits=limits, names=names,
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
    names: Sequence[str] | None = None,
) -> list[Volume]:
    """Read a CT volume, or under on_gap "split" the regular parts of a DICOM series.

        >>> import thinslice
        >>> [part.hu.shape for part in thinslice.read_parts("thick.nii.gz")]
        [(16, 48, 48)]

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
        names: of a DICOM folder, the files to look at, relative to it; by default all.

    Raises:
        InputError, GeometryError, UsageError: see `thinslice.io.files.read` and `thinslice.io.dicom`.
        ModelError: FILE-SYNTH, DCM-SYNTH: it is itself synthesised.
    """
    if not isinstance(source, str | PathLike):
        _refuse_dicom_options(f"a {type(source).__name__}", series=series, phase=phase, limits=limits, on_gap=on_gap)
        volume = from_object(source, affine=affine, thickness=thickness, axis=axis, rescale=rescale)
        volume = accepted(_checked(volume, source, rescaled=rescale is not None), allow_derived=allow_derived)
        return [_strictly(volume, strict)]
    path = as_path(source)
    files.check_there(path)
    if is_dicom(path):
        refuse_options(path, dicom=True, axis=axis)
        with errors_naming(path):
            volumes = dicom.read_parts(
                path, series=series, phase=phase, rescale=rescale, on_gap=on_gap, allow_derived=allow_derived,
                strict=strict, limits=limits, names=names,
            )  # fmt: skip
        volumes = [_naming(path, volume) for volume in volumes]
    else:
        refuse_options(path, dicom=False, series=series, phase=phase, limits=limits, on_gap=on_gap)
        mark = None if allow_derived or not files.has_known_ending(path) else joined(files.marks_of(path))
        if mark is not None:  # from the header alone, before anything else is wrong with it
            raise synthetic_refusal(mark, named(path))
        with errors_naming(path):
            volume = files.read(path, axis=axis, rescale=rescale)
        volume = accepted(volume, allow_derived=allow_derived, name=named(path))
        volumes = [_strictly(_naming(path, volume), strict)]
    return volumes if thickness is None else [replace(volume, thickness=thickness) for volume in volumes]


READING = names_of(read)
"""The options of reading; `enhance`, `fit` and `evaluate` hand it on."""


def _checked(volume: Volume, source: Any, *, rescaled: bool) -> Volume:
    """The volume of an object, where its values can be HU.

    Raises:
        InputError: FILE-NOTHU.
    """
    if isinstance(source, Volume):
        return remark_values(volume)
    kind = volume.origin.kind
    name = "the array" if kind == "array" else f"the {kind} image"
    return files.check_values(volume, name=name, rescaled=rescaled, option="rescale=({slope:g}, {intercept:g})")


def remark_values(volume: Volume) -> Volume:
    """The volume, with a remark where a caller built it of values that can hardly be HU; what was read is known."""
    if volume.origin.kind != "array" or volume.origin.facts:
        return volume
    return files.check_values(volume, name="the volume", rescaled=True)


@contextmanager
def errors_naming(source: Any) -> Iterator[None]:
    """Have what refuses a scan within the block name the path it came from, unless it names a file already."""
    try:
        yield
    except (InputError, GeometryError, ModelError) as error:
        if isinstance(source, str | PathLike):
            error.name(as_path(source))
        raise


def _naming(path: Path, volume: Volume) -> Volume:
    """The volume; what was noticed about it names where it came from."""
    noticed = tuple(notice.of(path) for notice in volume.origin.warnings)
    return replace(volume, origin=replace(volume.origin, warnings=noticed))


def _strictly(volume: Volume, strict: bool) -> Volume:
    """The volume, where nothing was noticed about it or warnings do not count as errors."""
    for notice in volume.origin.warnings if strict else ():
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
    warnings = volume.origin.warnings
    if volume.origin.mark is None or any(notice.code in SYNTHETIC for notice in warnings):
        return volume
    if not allow_derived:
        raise synthetic_refusal(volume.origin.mark, name)
    message = f"the source is itself synthesised ({described(volume.origin.mark)}); errors of both passes add up"
    return replace(volume, origin=replace(volume.origin, warnings=(*warnings, Notice("FILE-SYNTH", message))))


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


def is_dicom(path: Path) -> bool:
    """Whether an existing path is read as DICOM: a folder, a zip archive, or a file that looks like it."""
    if path.is_dir():
        return True
    if files.has_known_ending(path):
        return False
    return dicom.looks_like_dicom(path)
