"""What lies in an input: one line per CT series, for people who have to choose."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thinslice.dicom.checks import is_synthetic
from thinslice.dicom.codes import Findings
from thinslice.dicom.limits import Limits
from thinslice.dicom.quiet import quiet
from thinslice.dicom.read import find_series
from thinslice.dicom.slices import Slice
from thinslice.dicom.stack import arrange
from thinslice.dicom.terms import shown_uid
from thinslice.errors import Notice, ThinsliceError


@dataclass(frozen=True)
class SeriesSummary:
    """A CT series as its headers show it.

    Attributes:
        uid: SeriesInstanceUID; identity, shown only so that a series can be chosen.
        number: SeriesNumber, or None.
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
        warnings: what reading it would warn of, as far as headers tell.
        error: what refuses it, or None.
    """

    uid: str
    number: int | None
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
        InputError: DCM-NONE, DCM-NOTCT, DCM-UNREADABLE, DCM-ZIP, DCM-LIMIT: what stops before series are told apart.
    """
    bounds = Limits.from_options(limits)
    common = Findings()
    found = find_series(Path(path), bounds, common)
    summaries = []
    for uid, images in found.series.items():
        findings = Findings(notices=list(common.notices))
        summaries.append(
            _summary(uid, images, bounds, findings, phase=phase, rescale=rescale, allow_derived=allow_derived)
        )
    return summaries


def _summary(
    uid: str,
    images: Sequence[Slice],
    limits: Limits,
    findings: Findings,
    *,
    phase: int | None,
    rescale: tuple[float, float] | None,
    allow_derived: bool,
) -> SeriesSummary:
    stack, error = None, None
    try:
        (stack,) = arrange(images, limits, findings, phase=phase, rescale=rescale, allow_derived=allow_derived)
    except ThinsliceError as refused:
        error = refused
    if error is not None and error.code == "DCM-SYNTH":  # refused as a source; its grid can be shown all the same
        with contextlib.suppress(ThinsliceError):
            (stack,) = arrange(images, limits, Findings(), phase=phase, rescale=rescale, allow_derived=True)
    chosen = stack.slices if stack else images
    attributes = chosen[0].attributes
    pixel_spacing = chosen[0].pixel_spacing
    rows, columns = chosen[0].shape
    return SeriesSummary(
        uid=uid,
        number=attributes.integer("SeriesNumber"),
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
        warnings=tuple(findings.notices),
        error=error,
    )
