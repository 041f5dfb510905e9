"""From the images of one series to one stack on its grid, or to the regular parts of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from thinslice.errors import counted
from thinslice.io.dicom.headers.checks import (
    check_concatenation,
    check_origin,
    check_series,
    check_uids,
    check_values,
    frames_of_reference,
    rescale_of,
)
from thinslice.io.dicom.headers.codes import Findings, listed
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.slices import DicomFile, Slice, files_of
from thinslice.io.dicom.pixels.decode import PixelReader
from thinslice.io.dicom.stack.gaps import between, lower_median, regular_runs, slice_numbers, wide_gaps
from thinslice.io.dicom.stack.geometry import Grid, fit, mean_orientation
from thinslice.io.dicom.stack.group import choose_phase, without_copies, without_crossing
from thinslice.io.dicom.stack.passes import Passes

LEAST_SLICES = 3
LEAST_OF_PART = 4  # slices of a part that is enhanced by itself
LEAST_THICKNESS_MM, MOST_THICKNESS_MM = 1e-3, 1e3
_SAME_THICKNESS = 0.01  # relative


@dataclass(frozen=True, eq=False)
class Stack:
    """A series, or a regular part of one, that can be decoded.

    Attributes:
        slices: in order along the normal.
        grid: where they lie.
        thickness: SliceThickness in mm where it is one value, else None.
        gaps: (position before it, width) in mm of what was filled or left out between parts.
    """

    slices: list[Slice]
    grid: Grid
    thickness: float | None
    gaps: tuple[tuple[float, float], ...] = ()


def arrange(
    images: Sequence[Slice],
    limits: Limits,
    findings: Findings,
    *,
    phase: int | None = None,
    rescale: tuple[float, float] | None = None,
    on_gap: str = "error",
    allow_derived: bool = False,
) -> list[Stack]:
    """Order the images of one series and fit their grid; refuse what cannot be one regular volume.

    Under on_gap "split" the series may come in several parts.
    """
    slices = without_crossing(images, findings)
    check_origin(slices, findings, allow_derived=allow_derived)
    check_concatenation(slices, findings)
    check_values(slices, limits, findings, rescale=rescale)
    check_series(slices, findings)
    directions = mean_orientation(
        np.array([image.orientation for image in slices]), findings,
        lambda wrong: files_of(image for image, is_wrong in zip(slices, wrong, strict=True) if is_wrong),
    )  # fmt: skip
    if len(slices) < LEAST_SLICES:
        findings.refuse(
            "DCM-FEW",
            f"{files_of(slices)}: {counted(len(slices), 'slice')} found, at least {LEAST_SLICES} are needed; give the "
            "folder of the whole series",
        )
    findings.settle()
    assert directions is not None
    normal = np.cross(*directions)
    same_image = _ImageComparison()
    slices, passes = choose_phase(slices, normal, phase, same_image, findings)
    slices = without_copies(slices, normal, same_image, findings)
    check_uids(slices, findings)
    if len(slices) < LEAST_SLICES:
        findings.refuse(
            "DCM-FEW",
            f"slices at {counted(len(slices), 'position')} found, at least {LEAST_SLICES} are needed; give the "
            "whole series",
        )
        findings.settle()
    stacks = _stacks(slices, directions, findings, on_gap=on_gap, passes=passes)
    _check_frames_of_reference(slices, stacks, findings)
    for stack in stacks:
        _compare_tilt(stack.slices, stack.grid, findings)
    if rescale is None and len({rescale_of(image) for image in slices}) > 1:
        findings.warn("DCM-RESCALE-VARIES", "rescale differs between slices; applied per slice")
    kernels = {image.attributes.text("ConvolutionKernel") for image in slices} - {""}
    if len(kernels) > 1:
        findings.warn("DCM-KERNEL", f"{len(kernels)} convolution kernels along z: sharpness and noise change with them")
    findings.settle()
    return stacks


def _stacks(
    slices: list[Slice],
    directions: tuple[np.ndarray, np.ndarray],
    findings: Findings,
    *,
    on_gap: str,
    passes: Passes | None,
) -> list[Stack]:
    """The slices on their grid, or the regular parts of them on theirs; [] where they are refused."""
    positions = np.array([image.position for image in slices])
    along = positions @ np.cross(*directions)
    runs, gaps = [range(len(slices))], []
    if passes and on_gap != "split":
        _refuse_to_join(passes, along, findings, np.cross(*directions))
        return []
    if on_gap == "split" and _is_irregular(positions, directions, slices[0].pixel_spacing):
        runs = _parts(slices, along, passes) or runs  # none: refused as it would be without the option
        if len(runs[0]) < len(slices):
            gaps = between(runs, along)
            sizes, where = ", ".join(str(len(run)) for run in runs), listed([f"{start:.2f}" for start, _ in gaps], 6)
            left_out = len(slices) - len({index for run in runs for index in run})
            findings.warn(
                "DCM-REPAIRED",
                f"split into {len(runs)} regular parts of {sizes} slices, broken after position {where} mm; "
                f"{counted(left_out, 'slice')} left out",
            )
    stacks = []
    for run in runs:
        part = slices[run.start : run.stop]
        spacing = part[0].pixel_spacing
        grid = fit(positions[run.start : run.stop], *directions, spacing, findings, fill=on_gap == "fill")
        if grid is None:
            continue
        filled = gaps if grid.places is None else wide_gaps(along)
        stacks.append(Stack(part, grid, _thickness(part, grid, findings), tuple(filled)))
    return stacks


def _parts(slices: Sequence[Slice], along: np.ndarray, passes: Passes | None) -> list[range]:
    """Stretches of regularly spaced slices, none of which reaches from one pass into another."""
    if passes is None:
        return regular_runs(along, least=LEAST_OF_PART)
    number = {id(image): number for number, group in enumerate(passes.groups) for image in group}
    labels = [number[id(image)] for image in slices]
    starts = [0, *(index for index in range(1, len(labels)) if labels[index] != labels[index - 1]), len(labels)]
    runs = []
    for start, stop in pairwise(starts):
        least = min(LEAST_OF_PART, max(LEAST_SLICES, stop - start))
        runs += [range(start + run.start, start + run.stop) for run in regular_runs(along[start:stop], least=least)]
    return runs


def _refuse_to_join(passes: Passes, along: np.ndarray, findings: Findings, normal: np.ndarray) -> None:
    """Note that passes which lie one after the other are not filled between, nor taken for one scan."""
    findings.refuse(
        "DCM-GAP" if slice_numbers(along)[1].any() else "DCM-UNEVEN",
        f"the series holds {len(passes.groups)} passes one after the other, distinguished by {passes.key} "
        f"({passes.sizes(normal)}): what lies between them is not filled; enhance --on-gap split makes a result of "
        "each, --phase N of one",
    )


def _is_irregular(positions: np.ndarray, directions: tuple[np.ndarray, np.ndarray], pixel_spacing: np.ndarray) -> bool:
    trial = Findings()
    fit(positions, *directions, pixel_spacing, trial)
    return any(error.code in ("DCM-GAP", "DCM-UNEVEN") for error in trial.errors)


class _ImageComparison:
    """Whether two images hold the same pixels and rescale; a multi-frame file is read once for all its frames."""

    def __init__(self) -> None:
        self._readers: defaultdict[DicomFile, PixelReader] = defaultdict(PixelReader)

    def __call__(self, one: Slice, other: Slice) -> bool:
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            if one.attributes.numbers(keyword) != other.attributes.numbers(keyword):
                return False
        mine, its = (self._readers[image.file].stored_values(image) for image in (one, other))
        return np.array_equal(mine, its)


def _thickness(slices: Sequence[Slice], grid: Grid, findings: Findings) -> float | None:
    """SliceThickness where it is one sensible value in all slices, else None."""
    stated = {image.attributes.number("SliceThickness") for image in slices}
    sensible = [value for value in stated if value is not None and LEAST_THICKNESS_MM <= value <= MOST_THICKNESS_MM]
    if not sensible:
        return None
    if len(sensible) < len(stated) or max(sensible) > (1 + _SAME_THICKNESS) * min(sensible):
        if grid.places is not None:
            findings.refuse(
                "DCM-UNEVEN",
                f"the slices state {len(stated)} thicknesses, and filling takes one; --on-gap split enhances each part",
            )
        findings.warn(
            "DCM-THICK",
            f"the slices state {len(stated)} thicknesses, some perhaps none; {grid.spacing_mm:g} mm, their spacing, "
            "is taken for all; --thickness overrides it",
        )
        return None
    value = lower_median(np.array(sensible))
    if abs(value - grid.spacing_mm) > 0.05 * grid.spacing_mm:
        findings.warn(
            "DCM-THICK",
            f"slice thickness {value:g} mm and spacing {grid.spacing_mm:g} mm differ: slices overlap or leave gaps; "
            "--thickness overrides it where it is wrong",
        )
    return value


def _check_frames_of_reference(slices: Sequence[Slice], stacks: Sequence[Stack], findings: Findings) -> None:
    """Where slices have a frame of reference each, only positions on one grid show that they compare."""
    frames = len(frames_of_reference(slices))
    if frames < 2 or not stacks:
        return
    if any(stack.grid.places is not None and (stack.grid.places % 1).any() for stack in stacks):
        findings.refuse(
            "DCM-FOR", f"{frames} frames of reference, and slices that lie on no grid: positions do not compare"
        )
    findings.warn(
        "DCM-FOR-SLICE",
        f"{frames} frames of reference, one a slice, where study, orientation and positions are of one regular grid: "
        "taken as one; the result has that of the first image",
    )


def _compare_tilt(slices: Sequence[Slice], grid: Grid, findings: Findings) -> None:
    stated = slices[0].attributes.number("GantryDetectorTilt")
    if stated is not None and abs(stated) > 0.1 and grid.tilt_deg == 0:
        findings.warn(
            "DCM-TILT-TAG", f"GantryDetectorTilt says {stated:g} degrees, positions say 0; positions are used"
        )
