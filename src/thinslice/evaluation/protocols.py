"""Protocols: from a thin scan, a thick one whose thin truth is known.

From a thin scan with spacing d, for an integer factor f:

* ``gap``: every f-th slice is kept, beginning with the first; the f - 1 between are the new ones.
* ``box``: f consecutive slices are averaged into one; all slices are new.
* ``gauss``: as box, with a Gaussian profile of FWHM f d.

A result lies where `plan_grid` places it. At the centres of acquired slices (``placement="centres"``) that is on the
scan's own slices for odd factors, and for ``gap``: an even number of slices averages to a centre between two of them,
where there is no truth, and interpolated truth would be no truth.

A scan is cut (`cut`) before anything else: a method is given what the table says, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

import numpy as np

from thinslice.conventions import HU_RANGE
from thinslice.errors import GeometryError, UsageError
from thinslice.physics.grid import Placement, SliceGrid, plan_grid
from thinslice.physics.operator import SliceOperator
from thinslice.physics.profile import FLATNESS
from thinslice.physics.profile_estimate import Stated, find_profile
from thinslice.plan import ProfileChoice
from thinslice.volume import Volume

Protocol = Literal["gap", "box", "gauss"]
CaseKind = Literal["gap", "box", "gauss", "pair"]
"""What a case was made by: a protocol, or a real pair of reconstructions (`evaluation.pairs`)."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, eq=False)
class Case:
    """One thick scan with its truth.

    Attributes:
        name: of the scan.
        protocol: how it was thickened, or "pair" of a real one.
        factor: f, acquired over output spacing.
        thick: the acquired slices, (m, y, x).
        grid: where acquired and output slices lie, with the thickness and profile that methods assume.
        truth: float32 (n, y, x), HU within `HU_RANGE`, on the output slices.
        new: bool (n,), output slices that the thick scan does not hold.
        assumed_thickness: thickness that methods assume, over the true one.
    """

    name: str
    protocol: CaseKind
    factor: int
    thick: Volume
    grid: SliceGrid
    truth: np.ndarray
    new: np.ndarray
    assumed_thickness: float = 1.0

    @property
    def slug(self) -> str:
        """Name of the case in file names, such as ``chest_lidc0314_gap_x4``."""
        return case_slug(self.name, self.protocol, self.factor)

    @property
    def title(self) -> str:
        """The case in words."""
        return case_title(self.name, self.protocol, self.factor, self.assumed_thickness, self.grid.shape)

    @property
    def truth_volume(self) -> Volume:
        """The truth with its place in the patient."""
        d, s = self.grid.output_spacing_mm, self.grid.spacing_mm
        return self.thick.with_slices(
            self.truth, first=float(self.grid.output_mm[0] / s), step=d / s, thickness=d, padding=None
        )


def case_slug(name: str, protocol: CaseKind, factor: int) -> str:
    """A case in file names."""
    if protocol == "pair":
        return f"{name}_pair"
    return f"{name}_{protocol}_x{factor}"


def case_slugs(
    names: Sequence[str], protocols: Sequence[Protocol], factors: Sequence[int], pairs: Sequence[str] = ()
) -> list[str]:
    """All cases in file names, scan by scan, then those of pairs by their names."""
    return [case_slug(*case) for case in product(names, protocols, factors)] + [case_slug(n, "pair", 0) for n in pairs]


def case_title(name: str, protocol: str, factor: int, assumed_thickness: float, assume_profile: str) -> str:
    """A case in words, such as ``chest_lidc0314, gap x4``, and what methods assume of it that is wrong."""
    wrong = "" if assumed_thickness == 1 else f", assumed {assumed_thickness:g} of its thickness"
    if assume_profile != ("gauss" if protocol == "gauss" else "box"):
        wrong += f", assumed a {assume_profile} profile"
    return f"{name}, {protocol} x{factor}{wrong}"


def cut(volume: Volume, *, slices: int | None = None, region: int | None = None) -> Volume:
    """The central `slices` slices and the central `region` x `region` pixels; None keeps all.

    Where the scan is smaller, all of it is kept.
    """
    volume.refuse_uneven()
    wanted = (slices, region, region)
    first, stop = [], []
    for size, keep in zip(volume.shape, wanted, strict=True):
        if keep is not None and keep < 1:
            raise UsageError("USE-REGION", f"slices and region must be at least 1, found {keep}")
        kept = size if keep is None else min(size, keep)
        first.append((size - kept) // 2)
        stop.append((size - kept) // 2 + kept)
    window = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(first[::-1], dtype=float)
    padding = None if volume.padding is None else volume.padding[window]
    return replace(volume, hu=volume.hu[window], affine=affine, padding=padding)


def make_case(
    volume: Volume,
    name: str,
    *,
    protocol: Protocol,
    factor: int,
    assume_thickness: float = 1.0,
    assume_profile: ProfileChoice | None = None,
    placement: Placement = "slabs",
) -> Case:
    """Thicken a thin scan by a protocol.

    Args:
        volume: the thin scan, already cut.
        name: of the scan.
        protocol: "gap", "box" or "gauss".
        factor: f, a whole number from 2 to 8.
        assume_thickness: the method assumes this many times the true thickness.
        assume_profile: the method assumes this profile; "auto" for the one that is found in the thick scan, given
            `assume_thickness` alone; None for the true one.
        placement: where output slices lie, as in `plan_grid`.

    Raises:
        UsageError: USE-PROTOCOL, USE-FACTOR.
        GeometryError: GEO-FEW where too few thick slices would remain.
    """
    f, d, m = int(factor), volume.slice_spacing_mm, thick_slices(volume.shape[0], name, protocol, factor)
    n = (m - 1) * f + 1 if protocol == "gap" else m * f
    # Clipped first: -3024 outside the field of view would else leak into thick slices as a fiction.
    truth = np.clip(volume.hu[:n], *HU_RANGE)
    thickness = d if protocol == "gap" else f * d
    flatness = FLATNESS["gauss" if protocol == "gauss" else "box"]
    whole = plan_grid(m, f * d, d, thickness_mm=thickness, flatness=flatness)
    first = 0.0 if protocol == "gap" else (f - 1) / 2
    _check_grid(whole, n, -first * d)
    if protocol == "gap":
        hu = truth[::f]
        new = np.arange(n) % f != 0
    else:
        hu = SliceOperator(whole).apply(truth)
        new = np.ones(n, dtype=bool)
    assumed = thickness * assume_thickness
    thick = volume.with_slices(
        hu, first=first, step=f, thickness=assumed, padding=_thick_padding(volume, n, f, protocol)
    )
    grid = whole
    if placement == "centres" and protocol != "gap":
        grid = plan_grid(m, f * d, d, thickness_mm=thickness, flatness=flatness, placement=placement)
        there = slice(int(first), int(first) + len(grid.output_mm))
        truth, new = truth[there], new[there]
        _check_grid(grid, len(truth), 0.0)
    grid = replace(grid, thickness_mm=assumed)
    if assume_profile == "auto":
        grid = find_profile(hu, grid, Stated(assumed, firmly=False, box=0.5)).on(grid)
    else:
        grid = replace(grid, flatness=FLATNESS[assume_profile] if assume_profile else flatness)
    return Case(name, protocol, f, thick, grid, truth, new, round(grid.thickness_mm / thickness, 4))


def thick_slices(slices: int, name: str, protocol: Protocol, factor: int) -> int:
    """How many slices are left of a scan by a protocol; arguments and errors are those of `make_case`."""
    check_protocol(protocol, factor)
    left = (slices - 1) // int(factor) + 1 if protocol == "gap" else slices // int(factor)
    if left < 4:
        raise GeometryError(
            "GEO-FEW", f"{slices} slices of {name} leave {left} at factor {factor}; at least 4 are needed"
        )
    return left


def check_protocol(protocol: Protocol, factor: int, *, placement: Placement = "slabs") -> None:
    """Raise UsageError (USE-PROTOCOL, USE-FACTOR, USE-GRID) where there is no such way to thicken a scan."""
    if protocol not in PROTOCOLS:
        raise UsageError("USE-PROTOCOL", f"unknown protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}")
    if factor not in range(2, 9):
        raise UsageError("USE-FACTOR", f"evaluation factors are whole numbers from 2 to 8, found {factor}")
    if placement not in get_args(Placement):
        raise UsageError("USE-GRID", f"unknown grid {placement!r}; choose {' or '.join(get_args(Placement))}")
    if placement == "centres" and protocol != "gap" and factor % 2 == 0:
        raise UsageError(
            "USE-GRID",
            f"{factor} slices average to a centre between two of them ({protocol}), where there is no truth; with grid "
            "centres, choose odd factors or protocol gap",
        )


def _check_grid(grid: SliceGrid, slices: int, first_mm: float) -> None:
    """The output grid must be the truth's: else every method would be scored on shifted slices."""
    if len(grid.output_mm) != slices or abs(grid.output_mm[0] - first_mm) > 1e-6:
        raise GeometryError(
            "GEO-GRID",
            f"planned grid ({len(grid.output_mm)} slices from {grid.output_mm[0]:g} mm) is not the truth's "
            f"({slices} slices from {first_mm:g} mm)",
        )


def _thick_padding(volume: Volume, slices: int, factor: int, protocol: Protocol) -> np.ndarray | None:
    """A thick voxel is padding where every thin voxel under it is."""
    if volume.padding is None:
        return None
    padding = volume.padding[:slices]
    if protocol == "gap":
        return padding[::factor]
    return np.logical_and.reduce(padding.reshape(-1, factor, *padding.shape[1:]), axis=1)
