"""From a volume and the options to a job: which slices are asked for, through which profile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from thinslice.conventions import MOST_SEED, VIEWS
from thinslice.errors import GeometryError, Notice, UsageError
from thinslice.fitting.effort import Effort
from thinslice.io.files.sidecar import thickness_is_of_sidecar
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import LARGEST_FACTOR, MOST_OVERLAP, Placement, SliceGrid, plan_grid, regime
from thinslice.physics.profile import FLATNESS
from thinslice.physics.profile_estimate import ProfileEstimate, Stated, find_profile
from thinslice.volume import Volume, refuse_small

ProfileChoice = Literal["auto", "box", "gauss"]
"""How the slice profile is chosen: from the scan, or given."""

FINEST_DEFAULT_MM = 1.0
_ROUNDED = 1e-3  # relative: a ratio of spacings nearer than this to a simple one is that one
_UNLIKE = 0.15  # relative: a profile that differs by more from the thickness that was stated is remarked
_AVERAGED = frozenset({"MPR", "AVERAGE", "REFORMATTED", "RESAMPLED"})  # image types of slices that a workstation made
_BOX = {"derived": 0.95, "sequential": 0.8, "helical": 0.1, "original": 0.25, "unknown": 0.5}
"""Probability that a profile is a box, by what files say of a scan."""
_THICKEST = 10.0  # times the spacing: beyond that, one of the two is no length in mm


@dataclass(frozen=True)
class Job:
    """What is to be done to a volume.

    Attributes:
        grid: acquired and output slices, with the profile that was found.
        pixel_mm: (x, y) pixel spacing.
        profile: that profile, and where it comes from.
        stated_mm: thickness that was stated.
        thickness_from: "option", "file", "side-car" or "spacing".
        placement: by which rule output slices were placed.
        warnings: what the user should know about the choice.
    """

    grid: SliceGrid
    pixel_mm: tuple[float, float]
    profile: ProfileEstimate
    stated_mm: float
    thickness_from: str
    placement: Placement
    warnings: tuple[Notice, ...] = ()

    def acquisition(self, hu: np.ndarray) -> Acquisition:
        """What the job is done to: (m, y, x) float32 HU without padding, on its grid."""
        return Acquisition(hu, self.grid, self.pixel_mm)

    @property
    def output_thickness_mm(self) -> float:
        """What an output slice stands for: an output spacing, or the thinner slice that it copies."""
        return min(self.grid.thickness_mm, self.grid.output_spacing_mm)


def plan_job(
    volume: Volume,
    *,
    spacing: float | None = None,
    factor: float | None = None,
    thickness: float | None = None,
    profile: ProfileChoice = "auto",
    views: Sequence[str] = VIEWS,
    placement: Placement | None = None,
) -> Job:
    """Choose the output grid, the slice thickness and the slice profile.

    A profile that is given rules, and the thickness with it. With "auto", both are found from the noise of the scan;
    the thickness that is stated, and what a file says of how slices were made, count as what is likely.

    Without a `placement`, slabs are split, but for a NIfTI file that gives no orientation: some readers count from its
    first voxel then and others from its middle, and a result is where its scan is for all of them if it has the same
    first centre and the same last one, which a whole factor gives (docs/decisions/placing-slices.md).

    Raises:
        UsageError: USE-TARGET, USE-VIEWS, USE-PROFILE, USE-GRID, USE-FACTOR, USE-THICKNESS.
        GeometryError: GEO-FEW, GEO-NOTTHICK, GEO-PLANE, GEO-THICKNESS.
    """
    refuse_small(volume.shape)
    if unknown := [view for view in views if view not in VIEWS]:
        raise UsageError("USE-VIEWS", f"unknown view {unknown[0]!r}; choose from {', '.join(VIEWS)}")
    if not views or len(set(views)) != len(views):
        raise UsageError("USE-VIEWS", f"name each view once, at least one of {', '.join(VIEWS)}")
    if profile not in get_args(ProfileChoice):
        raise UsageError("USE-PROFILE", f"unknown profile {profile!r}; choose auto, box or gauss")
    if placement is not None:
        check_placement(placement)
    s = volume.slice_spacing_mm
    d = output_spacing_mm(s, volume.voxel_mm[:2], spacing=spacing, factor=factor)
    whole = abs(s / d - round(s / d)) < _ROUNDED
    unplaced = whole and volume.origin.facts.get("affine_from") == "pixdim"
    chosen: Placement = placement or ("centres" if unplaced else "slabs")
    given, thickness_from = stated_thickness(volume, thickness)
    warnings = []
    if given > _THICKEST * s:
        message = f"slice thickness {given:g} mm is over {_THICKEST:g} times the spacing {s:g} mm; check both"
        if thickness_from == "option":
            raise UsageError("USE-THICKNESS", message)
        raise GeometryError("GEO-THICKNESS", f"{message}, or say --thickness")
    if given > MOST_OVERLAP * (1 + 1e-3) * s:
        warnings.append(
            Notice(
                "GEO-THICKNESS",
                f"slice thickness {given:g} mm is over {MOST_OVERLAP:g} times the spacing {s:g} mm, more than the "
                "networks learned: from 2.5 times on little more than interpolation can be expected",
            )
        )
    grid = plan_grid(volume.shape[0], s, d, thickness_mm=given, acquired_mm=volume.slice_positions_mm, placement=chosen)
    found = choose_profile(volume, grid, profile=profile, thickness_from=thickness_from)
    grid = found.on(grid)
    if thickness_from != "spacing" and abs(found.thickness_mm / given - 1) > _UNLIKE and found.determined_by == "scan":
        warnings.append(_unlike(found, given))
    if placement is None and unplaced and regime(given, s) != "gap":
        message = (
            "the file gives no orientation: output slices begin at the first acquired centre, where all readers agree"
        )
        warnings.append(Notice("GEO-CENTRES", f"{message}; --grid slabs gives the halves of the end slabs as well"))
    if between := len(grid.acquired_mm) - len(grid.held()):
        message = f"{between} of {len(grid.acquired_mm)} acquired slices, thin ones, lie between output slices"
        warnings.append(
            Notice("GEO-BETWEEN", f"{message} and do not come back; a whole --factor of an even series keeps all")
        )
    return Job(grid, volume.voxel_mm[:2], found, given, thickness_from, chosen, tuple(warnings))


def choose_profile(volume: Volume, grid: SliceGrid, *, profile: ProfileChoice, thickness_from: str) -> ProfileEstimate:
    """The slice profile that is given, or found in the scan.

    Args:
        volume: the scan.
        grid: acquired and output slices, with the stated thickness.
        profile: the choice.
        thickness_from: as in `Job`.
    """
    if profile != "auto":
        return ProfileEstimate(grid.thickness_mm, FLATNESS[profile])
    return find_profile(volume.hu, grid, Stated(grid.thickness_mm, thickness_from != "option", _box_share(volume)))


def _box_share(volume: Volume) -> float:
    """Probability that a profile is a box, by what the file says of how its slices were made."""
    facts = volume.origin.facts
    says = facts if volume.origin.kind == "dicom" else facts.get("sidecar", {})
    types = set(says.get("image_type") or says.get("ImageType") or ())
    if "DERIVED" in types or types & _AVERAGED:
        made = "derived"
    elif says.get("pitch") or says.get("SpiralPitchFactor") or says.get("acquisition_type") == "SPIRAL":
        made = "helical"
    elif says.get("acquisition_type") == "SEQUENCED":
        made = "sequential"
    else:
        made = "original" if "ORIGINAL" in types else "unknown"
    return _BOX[made]


def _unlike(found: ProfileEstimate, stated: float) -> Notice:
    message = (
        f"slices are said to be {stated:g} mm thick; by their noise the profile is {found.thickness_mm:.3g} mm wide, "
        "which is used; --profile together with --thickness overrides it"
    )
    return Notice("GEO-PROFILE", message)


def check_placement(placement: str) -> None:
    """Raise UsageError (USE-GRID) where output slices cannot be placed so."""
    if placement not in get_args(Placement):
        raise UsageError("USE-GRID", f"unknown grid {placement!r}; choose {' or '.join(get_args(Placement))}")


def grid_of(acquired: Volume, result: Volume) -> SliceGrid:
    """Where the slices of a scan and of a result made from it lie, in mm from the first acquired one."""
    normal = np.cross(acquired.affine[:3, 0], acquired.affine[:3, 1])
    normal *= np.sign(normal @ acquired.affine[:3, 2]) / np.linalg.norm(normal)
    first = float((result.affine[:3, 3] - acquired.affine[:3, 3]) @ normal)
    places = acquired.slice_positions_mm
    if places is None:
        places = np.arange(len(acquired.hu)) * acquired.slice_spacing_mm
    output = first + np.arange(len(result.hu)) * result.slice_spacing_mm
    return SliceGrid(places, output, acquired.thickness or acquired.slice_spacing_mm)


def output_spacing_mm(
    s: float, pixel_mm: tuple[float, float], *, spacing: float | None = None, factor: float | None = None
) -> float:
    """Spacing of the output slices in mm: as asked for, or by the rule of docs/decisions/default-spacing.md.

    Args:
        s: spacing of the acquired slices, in mm.
        pixel_mm: (x, y).
        spacing: asked for, in mm.
        factor: asked for, how many times finer.

    Raises:
        UsageError: USE-TARGET, USE-FACTOR.
        GeometryError: GEO-NOTTHICK.
    """
    if spacing is not None and factor is not None:
        raise UsageError("USE-TARGET", f"both spacing {spacing} and factor {factor} are given; give one")
    if factor is not None:
        factor = _over_zero(factor, "USE-TARGET", "factor")
        if factor <= 1:
            raise UsageError("USE-FACTOR", f"factor {factor:g} makes nothing finer; 1.2 to 8 times is possible")
        return s / factor
    if spacing is not None:
        return _on_acquired(_over_zero(spacing, "USE-TARGET", "spacing"), s)
    pixel = max(pixel_mm)
    wanted = max(pixel, FINEST_DEFAULT_MM, s / LARGEST_FACTOR)
    if s / wanted < 1.2:
        raise GeometryError(
            "GEO-NOTTHICK",
            f"slice spacing {s:g} mm is already near the pixels' {pixel:.3g} mm; name a spacing with --spacing",
        )
    times = round(s / wanted)
    if s / times < FINEST_DEFAULT_MM - 1e-6:
        times -= 1
    return s / times if times > 1 else _on_acquired(wanted, s)


def _on_acquired(d: float, s: float) -> float:
    """The spacing asked for, or one next to it by which every, or every few, acquired slices lie on the output grid.

    Positions in headers are rounded: slices 2.5 mm apart are found 2.49995 mm apart, and on a grid of 1.25 mm none but
    the first few would come back.
    """
    for every in range(1, 6):
        times = round(every * s / d)
        if times and abs(every * s / (times * d) - 1) < _ROUNDED:
            return every * s / times
    return d


def stated_thickness(volume: Volume, asked: float | None) -> tuple[float, str]:
    """Slice thickness in mm, and where it comes from: "option", "file", "side-car" or "spacing".

    Raises:
        UsageError: USE-THICKNESS where what is asked for is no number over 0.
    """
    if asked is not None:
        return _over_zero(asked, "USE-THICKNESS", "thickness in mm"), "option"
    if volume.thickness is not None:
        return volume.thickness, "side-car" if thickness_is_of_sidecar(volume) else "file"
    return volume.slice_spacing_mm, "spacing"


def _number(value: Any) -> float:
    """A number, whoever made it, as Python's own; NaN where it is none."""
    try:
        return float("nan") if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _over_zero(value: Any, code: str, what: str) -> float:
    number = _number(value)
    if not (math.isfinite(number) and number > 0):
        found = value if math.isnan(number) else f"{number:g}"
        raise UsageError(code, f"{what} must be a number over 0, found {found}")
    return number


def check_effort(fit: str, effort: Effort, *, consistency: float | str | None, given: bool) -> None:
    """Refuse efforts that mean nothing.

    Args:
        fit: "auto", "scan" or "none".
        effort: seconds or steps, and a seed.
        consistency: damping of the projection, "off" or None.
        given: whether weights are given to start from.

    Raises:
        UsageError: USE-FIT, USE-BUDGET, USE-CONSISTENCY, USE-SEED.
    """
    if fit not in ("auto", "scan", "none"):
        raise UsageError("USE-FIT", f"unknown fit {fit!r}; choose auto, scan or none")
    if fit == "scan" and given:
        raise UsageError("USE-FIT", "fit scan starts from nothing; leave the weights out, or use fit auto or none")
    if effort.steps is None:
        _over_zero(effort.seconds, "USE-BUDGET", "the budget in seconds")
    elif effort.steps < 1:
        raise UsageError("USE-BUDGET", f"iterations must be at least 1, found {effort.steps}")
    if not 0 <= effort.seed <= MOST_SEED:
        raise UsageError("USE-SEED", f"the seed must be from 0 to 2^63 - 1, found {effort.seed}")
    if not (consistency is None or consistency == "off" or 0 <= _number(consistency) < math.inf):
        raise UsageError("USE-CONSISTENCY", f"consistency must be 0 or more, or off, found {consistency}")
