"""What lies in an input: one line per CT series, for people who have to choose."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thinslice.errors import Notice, ThinsliceError
from thinslice.io.dicom.headers.charset import text_of
from thinslice.io.dicom.headers.checks import is_synthetic
from thinslice.io.dicom.headers.codes import Findings
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.headers.slices import Slice
from thinslice.io.dicom.headers.terms import IMAGE_TYPES, shown_uid
from thinslice.io.dicom.read import find_series
from thinslice.io.dicom.stack.arrange import Stack, arrange
from thinslice.io.dicom.stack.faults import behind_a_gap, fault_of, warn_of_others
from thinslice.io.dicom.stack.group import series_names


@dataclass(frozen=True)
class SeriesSummary:
    """A CT series as its headers show it.

    Attributes:
        uid: SeriesInstanceUID; identity, shown only so that a series can be chosen.
        number: SeriesNumber, or None.
        name: what it is chosen by: its number, "-" where it has none, and its place among those of one number.
        description: SeriesDescription, one line; identity, as technologists type what they like.
        apart: what distinguishes it from the others of its number, in numbers and the standard's words.
        images: slices of its stack; where it is refused, images in the series, localizers left out.
        rows: rows of the matrix.
        columns: columns of the matrix.
        pixel_spacing_mm: between rows, between columns; None where missing.
        spacing_mm: distance of the slices; None where the geometry is refused.
        thickness_mm: SliceThickness where it is one value; None otherwise.
        tilt_deg: gantry tilt by the positions; None where the geometry is refused.
        residual_mm: largest distance of a slice from the fitted grid; None where the geometry is refused.
        kernel: ConvolutionKernel.
        manufacturer: of the scanner.
        kvp: tube voltage.
        transfer_syntaxes: UIDs.
        synthetic: whether any image says that its content was made artificially.
        warnings: what reading it would warn of, as far as headers show.
        error: what refuses it, or None.
    """

    uid: str
    number: int | None
    name: str
    description: str
    apart: tuple[str, ...]
    images: int
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    spacing_mm: float | None
    thickness_mm: float | None
    tilt_deg: float | None
    residual_mm: float | None
    kernel: str
    manufacturer: str
    kvp: float | None
    transfer_syntaxes: tuple[str, ...]
    synthetic: bool
    warnings: tuple[Notice, ...]
    error: ThinsliceError | None


@quiet()
def list_series(
    path: str | Path,
    *,
    phase: int | None = None,
    rescale: tuple[float, float] | None = None,
    allow_derived: bool = False,
    limits: Mapping[str, float] | Limits | None = None,
) -> list[SeriesSummary]:
    """The CT series of a folder, archive or file; no pixels are decoded unless slices repeat.

    Raises:
        InputError: DCM-NONE, DCM-NOTCT, DCM-UNREADABLE, DCM-ZIP, DCM-LIMIT: what stops before series are distinguished.
    """
    bounds = Limits.from_options(limits)
    common = Findings()
    found = find_series(Path(path), bounds, common)
    summaries = []
    names, apart = series_names(found.series), _apart(found.series)
    for uid, images in found.series.items():
        findings = Findings(notices=list(common.notices))
        fault = fault_of(found.faults, uid, distinguished=found.distinguished(asked=True))
        if fault is None:
            warn_of_others(found.faults, uid, findings)
        stack, refused = _arranged(images, bounds, findings, phase=phase, rescale=rescale, allow_derived=allow_derived)
        error = fault.error if fault else refused and behind_a_gap(found.faults, refused)
        summary = _summary(uid, images, stack, name=names[uid], apart=apart[uid])
        summaries.append(replace(summary, warnings=tuple(findings.notices), error=error))
    return summaries


def _apart(series: Mapping[str, Sequence[Slice]]) -> dict[str, tuple[str, ...]]:
    """What distinguishes each series from the others of its number, where it is more than its size."""
    found: dict[str, tuple[str, ...]] = {}
    for uid, images in series.items():
        number = images[0].attributes.integer("SeriesNumber")
        alike = [other for other in series.values() if other[0].attributes.integer("SeriesNumber") == number]
        facts = [_facts(other[0]) for other in alike]
        own = _facts(images[0])
        distinct = [own[key] for key in own if len({fact[key] for fact in facts}) > 1 and own[key]]
        times = sorted({_began(other) for other in alike})
        if len(times) > 1 and "" not in times:
            distinct.append(f"{times.index(_began(images)) + 1} of {len(times)} in time")
        found[uid] = tuple(distinct)
    return found


def _facts(image: Slice) -> dict[str, str]:
    """What may distinguish a series from another and is no identity: of free text, percentages alone (T=50%)."""
    attributes = image.attributes
    kernel, thickness = attributes.text("ConvolutionKernel")[:64], attributes.finite("SliceThickness")
    phase = attributes.finite("NominalPercentageOfCardiacPhase")
    percent = re.search(r"(?<![\d.])(\d{1,3}(?:\.\d)?) ?%", text_of(image, "SeriesDescription"))
    return {
        "kernel": kernel and f"kernel {kernel}",
        "thickness": "" if thickness is None else f"{thickness:g} mm thick",
        "phase": f"{phase:g} %" if phase is not None else f"{percent[1]} %" if percent else "",
        "type": "\\".join(word for word in image.image_type if word in IMAGE_TYPES),
    }


def _began(images: Sequence[Slice]) -> str:
    """When the first slice of a series was acquired, to be sorted by; "" where that is not stated."""
    keys = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "SeriesTime")
    stated = [[image.attributes.text(key) for image in images] for key in keys]
    return next((min(texts) for texts in stated if all(texts)), "")


def _arranged(
    images: Sequence[Slice],
    limits: Limits,
    findings: Findings,
    *,
    phase: int | None,
    rescale: tuple[float, float] | None,
    allow_derived: bool,
) -> tuple[Stack | None, ThinsliceError | None]:
    """The stack of a series, or None, and what refuses it, or None; what is noticed goes into `findings`."""
    stack, error = None, None
    try:
        (stack,) = arrange(images, limits, findings, phase=phase, rescale=rescale, allow_derived=allow_derived)
    except ThinsliceError as refused:
        error = refused
    if error is not None and error.code == "DCM-SYNTH":  # refused as a source; its grid can be shown all the same
        with contextlib.suppress(ThinsliceError):
            (stack,) = arrange(images, limits, Findings(), phase=phase, rescale=rescale, allow_derived=True)
    return stack, error


def _summary(
    uid: str, images: Sequence[Slice], stack: Stack | None, *, name: str, apart: tuple[str, ...]
) -> SeriesSummary:
    """What the headers of a series show; warnings and what refuses it are added by the caller."""
    chosen = stack.slices if stack else images
    attributes = chosen[0].attributes
    pixel_spacing = chosen[0].pixel_spacing
    rows, columns = chosen[0].shape
    return SeriesSummary(
        uid=uid,
        number=attributes.integer("SeriesNumber"),
        name=name,
        description=" ".join(text_of(chosen[0], "SeriesDescription").split()),
        apart=apart,
        images=len(chosen),
        rows=rows,
        columns=columns,
        pixel_spacing_mm=(float(pixel_spacing[0]), float(pixel_spacing[1]))
        if np.isfinite(pixel_spacing).all()
        else None,
        spacing_mm=round(stack.grid.spacing_mm, 6) if stack else None,
        thickness_mm=stack.thickness if stack else None,
        tilt_deg=round(stack.grid.tilt_deg, 3) if stack else None,
        residual_mm=round(stack.grid.residual_mm, 6) if stack else None,
        kernel=attributes.text("ConvolutionKernel")[:64],
        manufacturer=attributes.text("Manufacturer")[:64],
        kvp=attributes.finite("KVP"),
        transfer_syntaxes=tuple(sorted({shown_uid(image.file.syntax) for image in chosen})),
        synthetic=any(map(is_synthetic, images)),
        warnings=(),
        error=None,
    )
