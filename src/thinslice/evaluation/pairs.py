"""Real pairs: one acquisition, reconstructed in thick slices and in thin ones.

Nothing is resampled: the result is made where the thin slices lie, and compared with them. How thick slices come of
thin ones is measured on the pair itself (`evaluation.measured_profile`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thinslice.conventions import HU_RANGE
from thinslice.errors import GeometryError, UsageError
from thinslice.evaluation.protocols import Case
from thinslice.physics.grid import LARGEST_FACTOR, SMALLEST_FACTOR, SliceGrid
from thinslice.plan import ProfileChoice, choose_profile, stated_thickness
from thinslice.volume import Volume

_SAME_PIXEL = 0.1  # of a pixel, at the corners of both series
_FEWEST = 4  # thick slices


@dataclass(frozen=True, eq=False)
class SlicePair:
    """Thick and thin slices of one acquisition, where both have some.

    Attributes:
        name: of the pair.
        thick: the thick series, its slices that thin ones cover.
        thin: (n, y, x) HU of the thin slices within the thick ones' field of view.
        grid: thick slices and, as output slices, thin ones; with the stated thickness.
    """

    name: str
    thick: Volume
    thin: np.ndarray
    grid: SliceGrid


def match_pair(thick: Volume, thin: Volume, *, name: str) -> SlicePair:
    """Where both series have slices.

    Args:
        thick: one reconstruction.
        thin: another one of the same acquisition, with the same pixels; its slices may run either way.
        name: for messages and tables.

    Raises:
        GeometryError: GEO-PAIR where planes, pixels or places differ, GEO-UNEVEN.
    """
    for volume in (thick, thin):
        volume.refuse_uneven()
        volume.refuse_nan()
    s = thick.slice_spacing_mm
    step = np.linalg.solve(thick.affine, thin.affine)  # from voxels of the thin series to voxels of the thick one
    corners = np.array([[x, y, 0, 1] for x in (0, thick.shape[2] - 1) for y in (0, thick.shape[1] - 1)], float)
    apart = np.abs((step @ corners.T - corners.T)[:2]).max()
    lean = np.abs(step[:2, 2]).max() * len(thin.hu)
    if thick.shape[1:] != thin.shape[1:] or max(apart, lean) > _SAME_PIXEL or np.abs(step[2, :2]).max() > 1e-3:
        raise GeometryError(
            "GEO-PAIR",
            f"pixels of {name} do not coincide: thick {_plane(thick)}, thin {_plane(thin)}, up to "
            f"{max(apart, lean):.3g} pixels apart; cut both to one region, without resampling",
        )
    hu = thin.hu if step[2, 2] > 0 else thin.hu[::-1]
    places = s * np.sort(step[2, 3] + step[2, 2] * np.arange(len(hu)))
    d = abs(step[2, 2]) * s
    if not SMALLEST_FACTOR - 1e-6 <= s / d <= LARGEST_FACTOR + 1e-6:
        raise GeometryError(
            "GEO-PAIR", f"{name}: thick slices every {s:g} mm, thin ones every {d:g} mm; 1.2 to 8 times is possible"
        )
    centres = np.arange(len(thick.hu)) * s
    covered = np.flatnonzero((centres >= places[0] - d / 2) & (centres <= places[-1] + d / 2))
    if len(covered) < _FEWEST:
        raise GeometryError(
            "GEO-PAIR",
            f"{name}: thin slices cover {len(covered)} thick ones, and {_FEWEST} are needed: along the normal thick "
            f"slices lie from 0 to {centres[-1]:g} mm, thin ones from {places[0]:g} to {places[-1]:g} mm",
        )
    first, last = centres[covered[0]], centres[covered[-1]]
    inside = (places >= first - (s - d) / 2 - 1e-6 * s) & (places <= last + (s - d) / 2 + 1e-6 * s)
    affine = thick.affine.copy()
    affine[:3, 3] += affine[:3, 2] * covered[0]
    kept = slice(int(covered[0]), int(covered[-1]) + 1)
    padding = None if thick.padding is None else thick.padding[kept]
    clipped = np.clip(thick.hu[kept], *HU_RANGE)
    grid = SliceGrid(centres[kept] - first, places[inside] - first, stated_thickness(thick, None)[0])
    cut = replace(thick, hu=clipped, affine=affine, padding=padding)
    return SlicePair(name, cut, np.clip(hu[inside], *HU_RANGE), grid)


def _plane(volume: Volume) -> str:
    x, y, _ = volume.voxel_mm
    return f"{volume.shape[2]} x {volume.shape[1]} of {x:.4g} x {y:.4g} mm"


def pair_case(pair: SlicePair, *, assume_thickness: float = 1.0, assume_profile: ProfileChoice | None = None) -> Case:
    """The case of a pair: its thin slices are the truth.

    Args:
        pair: both series.
        assume_thickness: methods assume this many times the stated thickness.
        assume_profile: the profile that methods assume; None and "auto" for the one found in the thick slices.
    """
    if not (np.isfinite(assume_thickness) and assume_thickness > 0):
        raise UsageError("USE-THICKNESS", f"assume_thickness must be a number over 0, found {assume_thickness:g}")
    stated, thickness_from = stated_thickness(pair.thick, None)
    grid = replace(pair.grid, thickness_mm=stated * assume_thickness)
    if assume_thickness != 1:
        thickness_from = "option"
    found = choose_profile(pair.thick, grid, profile=assume_profile or "auto", thickness_from=thickness_from)
    grid = found.on(grid)
    new = np.ones(len(grid.output_mm), bool)
    if grid.copies:
        new[grid.on_grid()[1]] = False
    return Case(
        pair.name, "pair", round(grid.factor), pair.thick, grid, pair.thin, new,
        round(grid.thickness_mm / stated, 4),
    )  # fmt: skip
