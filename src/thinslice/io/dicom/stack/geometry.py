"""Positions to grid: mean orientation, order along the normal, least-squares fit, tolerances.

All coordinates are DICOM's LPS millimetres. A grid's step to the next slice is a vector: in a scan
with gantry tilt it is not along the normal, and is kept so (a sheared grid), not straightened.
Tolerances come with their reason in `Tolerances`; positions are fitted over all slices, since one
wrong neighbour must not set the spacing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thinslice.errors import counted
from thinslice.io.dicom.headers.codes import Findings
from thinslice.io.dicom.stack.gaps import is_fillable, lower_median, refuse_gap, refuse_uneven, slice_numbers
from thinslice.volume import LPS_TO_RAS

LOCALIZER_ANGLE = np.deg2rad(10.0)
NORM_SILENT, NORM_LIMIT = 1e-4, 1e-3  # six-decimal cosines give 1e-6; 1e-4 is 0.05 mm over a 500 mm field
ANGLE_SILENT, ANGLE_LIMIT = 1e-4, 1e-3  # rad; 1e-3 is 0.5 mm at the far corner of a 500 mm field
DRIFT_SILENT_PIXELS, DRIFT_TILT_PIXELS = 0.1, 0.5  # over the whole stack, from first to last slice
INPLANE_LIMIT_PIXELS = 0.25  # residual of a straight line: registration of neighbours


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular stack of slices.

    Attributes:
        first: (3,) centre of the first voxel of the first slice.
        step: (3,) from a slice to the next.
        row: (3,) unit vector along a row (x of the array).
        column: (3,) unit vector along a column (y of the array).
        residual_mm: largest distance of a slice's position from the grid, along the normal.
        tilt_deg: angle between `step` and the normal; 0 where the drift is below what counts as tilt.
        places: (n,) places of the slices in steps from the first, where they are not 0, 1, 2 ...; else None.
    """

    first: np.ndarray
    step: np.ndarray
    row: np.ndarray
    column: np.ndarray
    residual_mm: float
    tilt_deg: float
    places: np.ndarray | None = None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector row x column."""
        return np.cross(self.row, self.column)

    @property
    def spacing_mm(self) -> float:
        """Distance between neighbouring planes."""
        return float(self.normal @ self.step)

    def affine(self, pixel_spacing: np.ndarray) -> np.ndarray:
        """Voxel (x, y, z) to RAS mm, for PixelSpacing (between rows, between columns) in mm."""
        lps = np.eye(4)
        lps[:3, 0] = self.row * pixel_spacing[1]
        lps[:3, 1] = self.column * pixel_spacing[0]
        lps[:3, 2] = self.step
        lps[:3, 3] = self.first
        return LPS_TO_RAS @ lps


def normals(orientations: np.ndarray) -> np.ndarray:
    """(n, 3) unit normals of (n, 6) orientations; NaN where they have none."""
    normal = np.cross(orientations[:, :3], orientations[:, 3:])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.divide(normal, length, out=np.full_like(normal, np.nan), where=length > 0)


def off_main_normal(orientations: np.ndarray) -> np.ndarray:
    """(n,) True for slices 10 degrees or more off the direction that most slices share; it has no sign here."""
    normal = normals(orientations)
    candidates = np.unique(normal[np.isfinite(normal).all(axis=1)].round(2), axis=0)[:256]
    if len(candidates) < 2:
        return np.zeros(len(normal), bool)
    near = np.abs(normal @ candidates.T) / np.linalg.norm(candidates, axis=1) > np.cos(LOCALIZER_ANGLE)
    return ~near[:, near.sum(axis=0).argmax()] & np.isfinite(normal).all(axis=1)


def mean_orientation(
    orientations: np.ndarray, findings: Findings, which: Callable[[np.ndarray], str] | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Row and column directions of the stack, orthonormal; None where they are refused.

    Args:
        orientations: (n, 6).
        findings: gets DCM-IOP or DCM-IOP-NOISE.
        which: the files of the slices that a mask (n,) marks; by default their number.
    """
    which = which or (lambda wrong: counted(int(wrong.sum()), "slice"))
    finite = np.isfinite(orientations).all(axis=1)
    if not finite.all():
        findings.refuse(
            "DCM-IOP",
            f"{which(~finite)}: ImageOrientationPatient is missing or malformed; export the series again",
        )
        return None
    rows, columns = orientations[:, :3], orientations[:, 3:]
    norms = np.abs(np.linalg.norm(orientations.reshape(-1, 2, 3), axis=2) - 1).max(axis=1)
    off = np.maximum(norms, np.abs((rows * columns).sum(axis=1)))
    if off.max() > NORM_LIMIT:
        findings.refuse(
            "DCM-IOP",
            f"{which(off > NORM_LIMIT)}: ImageOrientationPatient is not orthonormal (off by {off.max():.2g}); export "
            "the series again",
        )
        return None
    row, column = rows.mean(axis=0), columns.mean(axis=0)
    with np.errstate(invalid="ignore"):  # directions that cancel have no mean
        row = row / np.linalg.norm(row)
        column = column - row * (row @ column)
        column = column / np.linalg.norm(column)
    angle = np.nan_to_num(max(_angles(rows, row).max(), _angles(columns, column).max()), nan=np.pi)
    if angle > ANGLE_LIMIT:
        findings.refuse("DCM-IOP", f"ImageOrientationPatient varies by {angle:.2g} rad between slices; give one series")
        return None
    if max(angle, off.max()) > ANGLE_SILENT:
        findings.warn(
            "DCM-IOP-NOISE", f"orientation varies by {max(angle, off.max()):.2g} rad between slices; the mean is used"
        )
    return row, column


def same_position_mm(along: np.ndarray) -> float:
    """How near two positions along the normal must be to be one place: max(0.01 mm, 0.2 % of the spacing)."""
    gaps = np.diff(np.sort(along))
    gaps = gaps[gaps > 0.01]
    return max(0.01, 0.002 * lower_median(gaps)) if len(gaps) else 0.01


def fit(
    positions: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    pixel_spacing: np.ndarray,
    findings: Findings,
    *,
    fill: bool = False,
) -> Grid | None:
    """Fit a regular grid to slices in order, one per position.

    Args:
        positions: (n, 3), sorted along the normal, n >= 3.
        row: (3,) unit vector.
        column: (3,) unit vector.
        pixel_spacing: between rows, between columns, mm.
        findings: gets DCM-GAP, DCM-UNEVEN, DCM-DRIFT, DCM-JITTER, DCM-TILT or DCM-REPAIRED.
        fill: slices may be missing or unevenly spaced; the grid then says in `places` where they are.

    Returns:
        The grid, or None where it is refused.
    """
    normal = np.cross(row, column)
    along = positions @ normal
    places, missing = slice_numbers(along)
    if missing.any() and not fill:
        refuse_gap(along, missing, findings)
        return None
    first, step, residual = _straight(positions, places)
    silent, limit = _tolerances(float(normal @ step))
    along_residual = float(np.abs(residual @ normal).max())
    if along_residual > limit:
        if not fill:
            refuse_uneven(along, float(normal @ step), along_residual, findings)
            return None
        places = (along - along[0]) / lower_median(np.diff(along))
        first, step, residual = _straight(positions, places)
        along_residual = 0.0
    spacing = float(normal @ step)
    even = np.array_equal(places, np.arange(len(places)))
    if not even and not is_fillable(along, spacing, findings):
        return None
    pixel = float(min(pixel_spacing))
    in_plane = float(np.hypot(residual @ row, residual @ column).max())
    if in_plane > max(0.05, INPLANE_LIMIT_PIXELS * pixel):
        findings.refuse(
            "DCM-DRIFT", f"slices shift in-plane irregularly by up to {in_plane:.2f} mm; the series is no rigid stack"
        )
        return None
    shear = step - spacing * normal
    drift = float(np.linalg.norm(shear) * places[-1])
    tilt = 0.0
    if drift <= DRIFT_SILENT_PIXELS * pixel:  # rounding of positions: the grid is square
        step = spacing * normal
        first = positions.mean(axis=0) - places.mean() * step
    elif drift > DRIFT_TILT_PIXELS * pixel:
        tilt = float(np.degrees(np.arctan2(np.linalg.norm(shear), spacing)))
        findings.warn(
            "DCM-TILT",
            f"gantry tilt {tilt:.2f} degrees: slices are sheared, and so is the result unless it is made upright",
        )
    worst = max(along_residual if along_residual > silent else 0, in_plane if in_plane > 0.05 else 0)
    if worst or (tilt == 0 and drift > DRIFT_SILENT_PIXELS * pixel):
        worst = max(worst, drift if tilt == 0 else 0)
        findings.warn(
            "DCM-JITTER",
            f"positions deviate up to {worst:.3f} mm from a square grid; one was fitted, sheared where they drift",
        )
    return Grid(first, step, row, column, along_residual, tilt, None if even else places)


def _tolerances(spacing: float) -> tuple[float, float]:
    """Distance along the normal of a slice from the grid, mm: silent up to, refused above."""
    silent = max(0.02, 0.004 * spacing)
    return silent, max(silent, min(0.1, 0.02 * spacing))


def _straight(positions: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p_k = p_0 + place_k step by least squares, all three components at once: p_0, step, residuals (n, 3)."""
    centred = places - places.mean()
    step = centred @ (positions - positions.mean(axis=0)) / (centred @ centred)
    first = positions.mean(axis=0) - places.mean() * step
    return first, step, positions - (first + places[:, None] * step)


def _angles(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Angles in rad between (n, 3) vectors and a unit vector; the cross product keeps small ones exact."""
    return np.arctan2(np.linalg.norm(np.cross(vectors, mean), axis=1), vectors @ mean)
