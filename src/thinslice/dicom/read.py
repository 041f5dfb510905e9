"""Read a CT series: find, group, order, check, and only then decode.

What a series is refused or warned for is decided from headers, before pixels are touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinslice.dicom.checks import (
    check_concatenation,
    check_origin,
    check_series,
    check_values,
    is_lossy,
    rescale_of,
)
from thinslice.dicom.codes import Findings
from thinslice.dicom.decode import PixelReader
from thinslice.dicom.find import find
from thinslice.dicom.geometry import Grid, fit, mean_orientation
from thinslice.dicom.group import (
    by_series,
    choose_phase,
    choose_series,
    only_ct,
    refuse_strangers,
    without_copies,
    without_crossing,
    without_localizers,
)
from thinslice.dicom.limits import Limits
from thinslice.dicom.padding import border_void, declared_padding
from thinslice.dicom.quiet import quiet
from thinslice.dicom.slices import Slice, read_slices
from thinslice.dicom.source import SourceSeries, keep_for_writing
from thinslice.dicom.terms import shown_uid
from thinslice.errors import UsageError
from thinslice.memory import check_room_for
from thinslice.volume import Source, Volume

LEAST_SLICES = 3
LEAST_THICKNESS_MM, MOST_THICKNESS_MM = 1e-3, 1e3


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in an input.

    Attributes:
        series: CT images by SeriesInstanceUID, localizers left out.
        files: files looked at.
        skipped: files that are no DICOM images.
        other: images that are not CT.
    """

    series: dict[str, list[Slice]]
    files: int
    skipped: int
    other: int


@dataclass(frozen=True, eq=False)
class Stack:
    """A series that can be decoded: slices in order along the normal, on a grid."""

    slices: list[Slice]
    grid: Grid
    thickness: float | None


@quiet()
def read_series(
    path: str | Path,
    *,
    series: str | int | None = None,
    phase: int | None = None,
    rescale: tuple[float, float] | None = None,
    on_gap: str = "error",
    allow_derived: bool = False,
    strict: bool = False,
    limits: Mapping[str, float] | Limits | None = None,
) -> Volume:
    """Read a CT series from a folder of any depth, a zip archive or a multi-frame file.

    Args:
        path: folder, archive or file.
        series: SeriesInstanceUID or SeriesNumber, where the input holds several.
        phase: number from 1, where the series holds several volumes at the same positions.
        rescale: (slope, intercept) in place of what the files say.
        on_gap: "error": a series with missing slices is refused.
        allow_derived: read a source that is itself synthesised.
        strict: every warning is an error.
        limits: changed limits (`thinslice.dicom.limits.Limits`).

    Returns:
        The volume in HU; slices run along the normal (row direction x column direction). Padding
        keeps its value and is marked in `padding`. `source.header` is what `write_series` needs.

    Raises:
        InputError: the input is no readable CT volume (DCM-..., exit 3).
        GeometryError: its geometry is refused (DCM-..., exit 4).
        ModelError: DCM-SYNTH, the source is itself synthesised (exit 7).
        UsageError: an option is wrong (exit 2).
    """
    if on_gap != "error":
        raise UsageError("DCM-ON-GAP", f"on_gap is {on_gap!r}; only 'error' is offered: a series with gaps is refused")
    if rescale is not None and (not np.isfinite(rescale).all() or rescale[0] == 0):
        raise UsageError(
            "DCM-RESCALE-OPTION", f"rescale must be a slope other than 0 and an intercept, found {rescale}"
        )
    bounds = Limits.from_options(limits)
    findings = Findings(strict=strict)
    found = find_series(Path(path), bounds, findings)
    images = choose_series(found.series, series)
    stack = arrange(images, bounds, findings, phase=phase, rescale=rescale, allow_derived=allow_derived)
    hu, padding = decode(stack.slices, rescale=rescale)
    if padding is not None:
        findings.warn("DCM-PAD", f"{int(padding.sum())} padding voxels left out and put back")
        findings.settle()
    kept = keep_for_writing(stack.slices, stack.grid.normal)
    return Volume(
        hu=hu,
        affine=stack.grid.affine(stack.slices[0].pixel_spacing),
        thickness=stack.thickness,
        padding=padding,
        source=Source("dicom", _facts(stack, found, kept, padding), tuple(findings.notices), kept),
    )


def find_series(path: Path, limits: Limits, findings: Findings) -> Found:
    """Read all headers of an input and sort the CT images into series (pass 1)."""
    images: list[Slice] = []
    skipped = 0
    entries = find(path, limits)
    for entry in entries:
        slices = read_slices(entry, limits)
        skipped += not slices
        images += slices or []
    ct = only_ct(images, len(entries))
    refuse_strangers(images, ct)
    kept = without_localizers(ct, findings)
    return Found(by_series(kept), len(entries), skipped, len(images) - len(ct))


def arrange(
    images: Sequence[Slice],
    limits: Limits,
    findings: Findings,
    *,
    phase: int | None = None,
    rescale: tuple[float, float] | None = None,
    allow_derived: bool = False,
) -> Stack:
    """Order the images of one series and fit their grid; refuse what cannot be one regular volume."""
    slices = without_crossing(images, findings)
    check_origin(slices, findings, allow_derived=allow_derived)
    check_concatenation(slices, findings)
    check_values(slices, limits, findings, rescale=rescale)
    check_series(slices, findings)
    directions = mean_orientation(np.array([image.orientation for image in slices]), findings)
    if len(slices) < LEAST_SLICES:
        findings.refuse(
            "DCM-FEW",
            f"{len(slices)} slices found, at least {LEAST_SLICES} are needed; give the folder of the whole series",
        )
    findings.settle()
    assert directions is not None
    normal = np.cross(*directions)
    slices = choose_phase(slices, normal, phase, findings)
    slices = without_copies(slices, normal, _same_image, findings)
    if len(slices) < LEAST_SLICES:
        findings.refuse(
            "DCM-FEW",
            f"slices at {len(slices)} positions found, at least {LEAST_SLICES} are needed; give the whole series",
        )
        findings.settle()
    grid = fit(np.array([image.position for image in slices]), *directions, slices[0].pixel_spacing, findings)
    thickness = None
    if grid is not None:
        thickness = _thickness(slices, grid, findings)
        _compare_tilt(slices, grid, findings)
    if rescale is None and len({rescale_of(image) for image in slices}) > 1:
        findings.warn("DCM-RESCALE-VARIES", "rescale differs between slices; applied per slice")
    findings.settle()
    assert grid is not None
    return Stack(slices, grid, thickness)


def decode(
    slices: Sequence[Slice], *, rescale: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of a checked stack (pass 2).

    Returns:
        HU, float32 (z, y, x), and padding, bool of the same shape, or None where there is none.
    """
    shape = (len(slices), *slices[0].shape)
    check_room_for(shape)
    hu = np.empty(shape, np.float32)
    padding: np.ndarray | None = None
    for index, stored in enumerate(PixelReader().all_stored_values(slices)):
        image = slices[index]
        slope, intercept = rescale or rescale_of(image)
        hu[index] = stored * slope + intercept
        for mask in (declared_padding(image, stored), border_void(hu[index])):
            if mask is None or not mask.any():
                continue
            if padding is None:
                padding = np.zeros(shape, np.bool_)
            padding[index] |= mask
    return hu, padding


def _same_image(one: Slice, other: Slice) -> bool:
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if one.attributes.numbers(keyword) != other.attributes.numbers(keyword):
            return False
    reader = PixelReader()
    return np.array_equal(reader.stored_values(one), reader.stored_values(other))


def _thickness(slices: Sequence[Slice], grid: Grid, findings: Findings) -> float | None:
    """SliceThickness where it is one sensible value in all slices, else None."""
    values = {image.attributes.number("SliceThickness") for image in slices}
    value = values.pop()
    if values or value is None or not LEAST_THICKNESS_MM <= value <= MOST_THICKNESS_MM:  # NaN is not either
        return None
    if abs(value - grid.spacing_mm) > 0.05 * grid.spacing_mm:
        findings.warn(
            "DCM-THICK",
            f"slice thickness {value:g} mm and spacing {grid.spacing_mm:g} mm differ: slices overlap or leave gaps; "
            "--thickness overrides it where it is wrong",
        )
    return value


def _compare_tilt(slices: Sequence[Slice], grid: Grid, findings: Findings) -> None:
    stated = slices[0].attributes.number("GantryDetectorTilt")
    if stated is not None and abs(stated) > 0.1 and grid.tilt_deg == 0:
        findings.warn(
            "DCM-TILT-TAG", f"GantryDetectorTilt says {stated:g} degrees, positions say 0; positions are used"
        )


def _facts(stack: Stack, found: Found, kept: SourceSeries, padding: np.ndarray | None) -> dict[str, Any]:
    """Facts for the record: about scanner and grid, nothing about the patient, no UID, no path."""
    attributes = stack.slices[0].attributes
    along = [float(image.position @ stack.grid.normal) for image in (stack.slices[0], stack.slices[-1])]
    return {
        "slices": len(stack.slices),
        "files_looked_at": found.files,
        "files_skipped": found.skipped,
        "images_of_other_kinds": found.other,
        "transfer_syntaxes": sorted({shown_uid(image.file.syntax) for image in stack.slices}),
        "spacing_mm": round(stack.grid.spacing_mm, 6),
        "spacing_fit_residual_mm": round(stack.grid.residual_mm, 6),
        "thickness_mm": stack.thickness,
        "tilt_deg": round(stack.grid.tilt_deg, 3),
        "range_along_normal_mm": [round(value, 4) for value in along],
        "padding_voxels": 0 if padding is None else int(padding.sum()),
        "lossy": any(map(is_lossy, stack.slices)),
        "manufacturer": kept.equipment_text("Manufacturer"),
        "model": kept.equipment_text("ManufacturerModelName"),
        "kernel": attributes.text("ConvolutionKernel")[:64] or None,
        "kvp": attributes.finite("KVP"),
    }
