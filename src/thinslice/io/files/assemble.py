"""From stored values to a Volume: axes, rescale, checks, padding. One way for every source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thinslice.errors import InputError, Notice, UsageError, counted
from thinslice.io.files.axes import axis_remark, choose_axes
from thinslice.io.hounsfield import doubt
from thinslice.io.padding import find_padding
from thinslice.system.memory import check_room_for
from thinslice.volume import Origin, Volume

SLAB_BYTES = 32 << 20  # what is converted at a time: large enough to be fast, small beside a scan


NO_ORIENTATION = Notice("FILE-NOORIENT", "the file gives no orientation; left and right of the result are not known")


@dataclass(frozen=True, eq=False)
class Stored:
    """What is known of an image as it is stored, but for its values.

    Attributes:
        shape: of the values, kji.
        affine: (4, 4), voxel (x, y, z) to RAS mm.
        name: what it is called in messages.
        kind: see `Origin.kind`.
        facts: for the record.
        scale: slope and intercept from stored values to HU, or to labels.
        warnings: noticed so far.
        forms: what a NIfTI header says of its place beside the affine (`thinslice.io.files.forms`), or None.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    name: str
    kind: str = "array"
    facts: Mapping[str, Any] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 0.0)
    warnings: tuple[Notice, ...] = ()
    forms: Any = None


def assemble(
    slabs: Iterable[np.ndarray], stored: Stored, *, axis: str | int | None = None, thickness: float | None = None
) -> Volume:
    """Build a Volume from slabs of stored values, converting slab by slab.

    Args:
        slabs: consecutive blocks (n, j, i) along the source's slowest axis.
        stored: what is known of the whole.
        axis: slice axis as the user named it; None for the one with the largest spacing.
        thickness: slice thickness in mm, where known.

    Raises:
        GeometryError: GEO-AFFINE, GEO-THICKNESS.
        InputError: FILE-NAN.
    """
    affine = stored.affine
    Volume(np.zeros((1, 1, 1), np.float32), affine, thickness)  # refuses a bad grid before data are read
    axes = choose_axes(affine, axis)
    warnings = stored.warnings if axis is not None else (*stored.warnings, *axis_remark(affine))
    check_room_for(stored.shape)
    hu = np.empty(tuple(np.array(stored.shape)[list(axes.to_volume)]), np.float32)
    _fill(hu.transpose(axes.to_file), slabs, stored.scale, stored.name)
    padding, value = find_padding(hu)
    facts = {**stored.facts, "slice_axis": axes.slice_axis}
    if padding is not None:
        facts |= {"padding_value": value, "padding_voxels": int(padding.sum())}
    order = [*axes.order, 3]
    source = Origin(stored.kind, facts, warnings, header=replace(axes, forms=stored.forms))
    return Volume(hu, affine[:, order], thickness, padding, source)


def slabs_of(kji: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of an array along its first axis, about SLAB_BYTES each."""
    step = max(1, SLAB_BYTES // max(1, kji.nbytes // max(1, len(kji))))
    for start in range(0, len(kji), step):
        yield kji[start : start + step]


def check_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """The three sizes of a volume in index order (x, y, z); trailing axes of size 1 are dropped.

    Raises:
        InputError: FILE-DIMS.
    """
    kept = tuple(int(n) for n in shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept = kept[:-1]
    if len(kept) != 3 or min(kept) < 1:
        size = " x ".join(str(n) for n in kept)
        raise InputError(
            "FILE-DIMS", f"{name} has {len(kept)} dimensions ({size}); a CT volume has 3: extract one first"
        )
    return kept[0], kept[1], kept[2]


def check_dtype(dtype: np.dtype, name: str) -> None:
    """Refuse what holds no single real number per voxel.

    Raises:
        InputError: FILE-DTYPE for RGB and other vectors, complex, text.
    """
    if dtype.kind not in "iuf":
        what = "RGB or vector" if dtype.fields else "complex" if dtype.kind == "c" else str(dtype)
        raise InputError("FILE-DTYPE", f"{name} holds {what} values; CT has one real value per voxel")


def check_rescale(rescale: tuple[float, float]) -> tuple[float, float]:
    """Slope and intercept given by the user.

    Raises:
        UsageError: USE-RESCALE.
    """
    slope, intercept = (float(value) for value in rescale)
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise UsageError(
            "USE-RESCALE", f"rescale needs a slope other than 0 and an intercept, found {slope:g},{intercept:g}"
        )
    return slope, intercept


def check_values(
    volume: Volume, *, name: str, rescaled: bool, option: str = "--rescale {slope:g},{intercept:g}"
) -> Volume:
    """The volume, where its values can be HU; with a remark where they are odd.

    Args:
        volume: with the values in question.
        name: what the source is called in an error.
        rescaled: whether the caller states how stored values become HU, or that they are HU: then nothing is refused.
        option: how that is stated, with places for {slope} and {intercept}.

    Raises:
        InputError: FILE-NOTHU.
    """
    found = doubt(volume.hu, volume.padding)
    if found is None:
        return volume
    if found.certain and not rescaled:
        raise InputError("FILE-NOTHU", f"{name} {found.finding}; {found.cure(option)}")
    warnings = (*volume.origin.warnings, Notice("FILE-NOTHU", f"the scan {found.finding}"))
    return replace(volume, origin=replace(volume.origin, warnings=warnings))


def _fill(kji: np.ndarray, slabs: Iterable[np.ndarray], scale: tuple[float, float], name: str) -> None:
    start = bad = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for slab in slabs:
            part = kji[start : start + len(slab)]
            # float64 in between: a slope such as 0.1 is to be applied once, and rounded once.
            part[...] = slab if scale == (1.0, 0.0) else slab.astype(np.float64) * scale[0] + scale[1]
            bad += part.size - int(np.count_nonzero(np.isfinite(part)))
            start += len(slab)
    if bad:
        raise InputError(
            "FILE-NAN",
            f"{name} holds {counted(bad, 'voxel that is', 'voxels that are')} NaN or infinite; put a value in HU there",
        )
