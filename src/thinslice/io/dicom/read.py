"""Read a CT series: find, group, order, check, and only then decode.

What a series is refused or warned for is decided from headers, before pixels are touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinslice.errors import InputError, ThinsliceError, UsageError, counted, named
from thinslice.io.dicom.headers.checks import is_lossy, is_synthetic, rescale_of
from thinslice.io.dicom.headers.codes import Findings
from thinslice.io.dicom.headers.find import Entry, find, find_beside, find_named, linked_folders
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.headers.slices import Slice, read_slices
from thinslice.io.dicom.headers.source import SourceSeries, keep_for_writing
from thinslice.io.dicom.headers.terms import ACQUISITION_TYPES, IMAGE_TYPES, shown_uid
from thinslice.io.dicom.pixels.decode import PixelReader
from thinslice.io.dicom.pixels.padding import declared_padding
from thinslice.io.dicom.stack.arrange import Stack, arrange
from thinslice.io.dicom.stack.faults import Fault, behind_a_gap, fault_of, placed, warn_of_others
from thinslice.io.dicom.stack.group import by_series, choose_series, only_ct, strangers, without_localizers
from thinslice.io.hounsfield import doubt_of_parts
from thinslice.io.padding import find_padding
from thinslice.system.memory import check_room_for
from thinslice.volume import Origin, Volume

ON_GAP = ("error", "split", "fill")


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in an input.

    Attributes:
        series: CT images by SeriesInstanceUID, localizers left out.
        files: files looked at.
        skipped: files that are no DICOM images.
        other: images that are not CT.
        faults: files that should be slices and cannot be read.
        of_a_slice: whether the input is a slice, which stands for its series.
    """

    series: dict[str, list[Slice]]
    files: int
    skipped: int
    other: int
    faults: tuple[Fault, ...] = ()
    of_a_slice: bool = False

    def distinguished(self, *, asked: bool) -> bool:
        """Whether the series that is read is one of several, and was asked for."""
        return self.of_a_slice or (asked and len(self.series) > 1)


@quiet()
def read_parts(
    path: str | Path,
    *,
    series: str | int | None = None,
    phase: int | None = None,
    rescale: tuple[float, float] | None = None,
    on_gap: str = "error",
    allow_derived: bool = False,
    strict: bool = False,
    limits: Mapping[str, float] | Limits | None = None,
    names: Sequence[str] | None = None,
) -> list[Volume]:
    """Read a CT series from a folder of any depth, a zip archive or a file.

    Args:
        path: folder, archive, multi-frame file, DICOMDIR (for its folder), or a slice (for its series).
        series: where the input holds several: SeriesInstanceUID or its end, SeriesNumber, or number and place
            (`3.1`, `3.2`) where several have one number.
        phase: number from 1, where the series holds several volumes, at the same positions or by turns.
        rescale: (slope, intercept) in place of what the files say.
        on_gap: of a series with missing or unevenly spaced slices: "error" refuses it; "split" gives its
            regular parts; "fill" gives one volume with `slice_positions_mm`.
        allow_derived: read a source that is itself synthesised.
        strict: every warning is an error.
        limits: changed limits (`thinslice.io.dicom.headers.limits.Limits`).
        names: of a folder, the files to look at, relative to it; by default all.

    Returns:
        One volume in HU, or several under "split"; slices run along the normal (row direction x column
        direction). Padding keeps its value and is marked in `padding`. `origin.header` is what
        `write_series` needs.

    Raises:
        InputError: the input is no readable CT volume (DCM-..., exit 3).
        GeometryError: its geometry is refused (DCM-..., exit 4).
        ModelError: DCM-SYNTH, the source is itself synthesised (exit 7).
        UsageError: an option is wrong (exit 2).
    """
    if on_gap not in ON_GAP:
        raise UsageError("DCM-ON-GAP", f"on_gap is {on_gap!r}; choose from {', '.join(ON_GAP)}")
    if rescale is not None and (not np.isfinite(rescale).all() or rescale[0] == 0):
        raise UsageError(
            "DCM-RESCALE-OPTION", f"rescale must be a slope other than 0 and an intercept, found {rescale}"
        )
    bounds = Limits.from_options(limits)
    findings = Findings(strict=strict)
    found = find_series(Path(path), bounds, findings, names=names)
    images = choose_series(found.series, series)
    uid = images[0].attributes.text("SeriesInstanceUID")
    if fault := fault_of(found.faults, uid, distinguished=found.distinguished(asked=series is not None)):
        raise fault.error
    warn_of_others(found.faults, uid, findings)
    unknown = any(fault.series is None for fault in found.faults)  # a slice may be lost: no gap is taken for one
    try:
        stacks = arrange(
            images, bounds, findings, phase=phase, rescale=rescale, on_gap="error" if unknown else on_gap,
            allow_derived=allow_derived,
        )  # fmt: skip
    except ThinsliceError as error:
        if (cause := behind_a_gap(found.faults, error)) is not error:
            raise cause from error
        raise
    decoded = [decode(stack.slices, rescale=rescale) for stack in stacks]
    padded = sum(int(padding.sum()) for _, padding in decoded if padding is not None)
    if padded:
        findings.warn("DCM-PAD", f"{counted(padded, 'padding voxel')} left out and put back")
    _check_values(decoded, findings, rescaled=rescale is not None)
    findings.settle()
    volumes = []
    for number, (stack, (hu, padding)) in enumerate(zip(stacks, decoded, strict=True), 1):
        kept = keep_for_writing(stack.slices, stack.grid.normal, rescale=rescale)
        facts = _facts(stack, found, kept, padding)
        facts |= {"on_gap": on_gap, "part": number, "parts": len(stacks)}
        volumes.append(
            Volume(
                hu=hu,
                affine=stack.grid.affine(stack.slices[0].pixel_spacing),
                thickness=stack.thickness,
                padding=padding,
                slice_positions_mm=None if stack.grid.places is None else stack.grid.places * stack.grid.spacing_mm,
                origin=Origin("dicom", facts, tuple(findings.notices), kept, _mark(stack)),
            )
        )
    return volumes


def read_series(path: str | Path, **options: Any) -> Volume:
    """The one volume of a series; arguments and errors are those of `read_parts`.

    Raises:
        UsageError: DCM-ON-GAP where the series is split into several parts: `read_parts` gives them all.
    """
    parts = read_parts(path, **options)
    if len(parts) > 1:
        raise UsageError("DCM-ON-GAP", f"the series is split into {len(parts)} parts; read_parts gives them all")
    return parts[0]


def find_series(path: Path, limits: Limits, findings: Findings, *, names: Sequence[str] | None = None) -> Found:
    """Read all headers of an input and sort the CT images into series (pass 1).

    A file that holds one slice stands for its series, as far as that lies in the same folder. `names` are those of the
    files of a folder to look at, where they are known already.
    """
    entries = find(path, limits) if names is None else find_named(path, names, limits)
    if names is None and (linked := linked_folders(path)):
        links = (
            f"{counted(len(linked), 'link')} to folders elsewhere {'is' if len(linked) == 1 else 'are'} not followed"
        )
        first = named(f" ({linked[0]}{' and others' * (len(linked) > 1)})", "")
        findings.warn("DCM-LINK", f"{links}{first}; copy what is there")
    only = None
    if path.is_file() and len(entries) == 1 and entries[0].path == path:
        only = _series_of_a_slice(entries[0], limits)
        entries = entries if only is None else find_beside(path, limits)
    images: list[Slice] = []
    damaged: list[tuple[Entry, ThinsliceError]] = []
    skipped = 0
    for entry in entries:
        try:
            slices = read_slices(entry, limits)
        except InputError as error:
            if error.code != "DCM-UNREADABLE":
                raise
            damaged.append((entry, error))
            continue
        skipped += not slices
        images += slices or []
    faults = [placed(entry, error, images) for entry, error in damaged]
    if only is not None:
        images = [image for image in images if image.attributes.text("SeriesInstanceUID") == only]
    ct = only_ct(images, faults, entries, path=path)
    faults += strangers(images, ct)
    kept = without_localizers(ct, findings)
    return Found(by_series(kept), len(entries), skipped, len(images) - len(ct), tuple(faults), only is not None)


def _series_of_a_slice(entry: Entry, limits: Limits) -> str | None:
    """SeriesInstanceUID of a file that holds one slice, or one part of a volume; None where it is whole by itself."""
    images = read_slices(entry, limits) or []
    parts = [image for image in images if image.attributes.has("ConcatenationUID")]
    return images[0].attributes.text("SeriesInstanceUID") if len(images) == 1 or parts else None


def _check_values(parts: Sequence[tuple[np.ndarray, np.ndarray | None]], findings: Findings, *, rescaled: bool) -> None:
    """Note values that are no HU, or may be none; where the caller gave a rescale, nothing is refused."""
    found = doubt_of_parts(parts)
    if found is None:
        return
    if found.certain and not rescaled:
        findings.refuse("DCM-NOTHU", f"the series {found.finding}; {found.cure()}")
    else:
        findings.warn("DCM-NOTHU", f"the series {found.finding}")


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
    declared: np.ndarray | None = None
    for index, stored in enumerate(PixelReader().all_stored_values(slices)):
        image = slices[index]
        slope, intercept = rescale or rescale_of(image)
        hu[index] = stored * slope + intercept
        mask = declared_padding(image, stored, hu[index])
        if mask is not None and mask.any():
            declared = np.zeros(shape, np.bool_) if declared is None else declared
            declared[index] = mask
    return hu, find_padding(hu, declared)[0]


def _mark(stack: Stack) -> dict[str, Any] | None:
    """What a volume says of itself that was read although its source is synthetic."""
    return {"synthetic": True, "found_in": ["DICOM header"]} if any(map(is_synthetic, stack.slices)) else None


def _facts(stack: Stack, found: Found, kept: SourceSeries, padding: np.ndarray | None) -> dict[str, Any]:
    """Facts for the record: about scanner and grid, nothing about the patient, no UID, no path."""
    attributes = stack.slices[0].attributes
    positions = np.array([image.position @ stack.grid.normal for image in stack.slices])
    along, gaps = [float(positions[0]), float(positions[-1])], np.diff(positions)
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
        "spacing_range_mm": [round(float(gap), 4) for gap in (gaps.min(), gaps.max())],
        "gaps": [{"after_mm": round(start, 4), "width_mm": round(width, 4)} for start, width in stack.gaps],
        "padding_voxels": 0 if padding is None else int(padding.sum()),
        "lossy": any(map(is_lossy, stack.slices)),
        "manufacturer": kept.equipment_text("Manufacturer"),
        "model": kept.equipment_text("ManufacturerModelName"),
        "kernel": attributes.text("ConvolutionKernel")[:64] or None,
        "kvp": attributes.finite("KVP"),
        "image_type": [word for word in stack.slices[0].image_type if word in IMAGE_TYPES],
        "acquisition_type": kind if (kind := attributes.text("AcquisitionType")) in ACQUISITION_TYPES else None,
        "pitch": attributes.finite("SpiralPitchFactor"),
    }
