"""Which planes and which results of a case are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from thinslice.planes import Plane, turned
from thinslice.volume import Volume

if TYPE_CHECKING:
    from thinslice.evaluation.protocols import Case


def case_planes(case: Case, hu: np.ndarray) -> tuple[Plane, Plane, Plane]:
    """The three planes through the middle of a case.

    The plane along the slices is a new one, as far from acquired slices as there is, so that it
    shows synthesis. Thick slices are shown as blocks: every output slice by the nearest of them.

    Args:
        case: the case.
        hu: the truth or a result, (n, y, x), or the thick slices, (m, y, x).
    """
    n, rows, columns = case.truth.shape
    middle = n // 2 // case.factor * case.factor + case.factor // 2
    lies_at = np.arange(n)
    if len(hu) != n:
        lies_at = np.abs(case.grid.output_mm[:, None] - case.grid.acquired_mm[None, :]).argmin(axis=1)
    affine = case.thick.affine
    x, y, _ = case.thick.voxel_mm
    z = case.grid.output_spacing_mm
    across, down, normal = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    return (
        turned(hu[lies_at[min(middle, n - 1)]], (y, x), down, across, normal),
        turned(hu[lies_at, rows // 2], (z, x), normal, across, down),
        turned(hu[lies_at, :, columns * 2 // 5], (z, y), normal, down, across),
    )


def across_slices(hu: np.ndarray, along_z: np.ndarray, result: Volume, *, row: int, column: int) -> tuple[Plane, Plane]:
    """The two planes across the slices, on a result's grid: that of a row (coronal) and that of a column (sagittal).

    Args:
        hu: (k, y, x).
        along_z: for each output slice its slice (n,), or its weights (n, k).
        result: the grid.
        row: index of the row that the first plane lies in.
        column: of the column that the second one lies in.
    """

    def resampled(plane: np.ndarray) -> np.ndarray:
        return plane[along_z] if along_z.ndim == 1 else along_z @ plane

    x, y, _ = result.voxel_mm
    z = result.slice_spacing_mm
    across, down, normal = result.affine[:3, 0], result.affine[:3, 1], result.affine[:3, 2]
    return (
        turned(resampled(hu[:, row]), (z, x), normal, across, down),
        turned(resampled(hu[:, :, column]), (z, y), normal, down, across),
    )


def columns_shown(results: Mapping[str, object]) -> list[str]:
    """Which results a picture has room for: the plain one to compare with, and that of thinslice (or the last one)."""
    names = [name for name in results if name not in ("thick", "truth")]
    plain = next((name for name in ("cubic", "bspline", "linear") if name in names), None)
    candidates = ("thinslice-fit", "thinslice", "thinslice-scan", "mean3", "paper", *reversed(names))
    best = next((name for name in candidates if name in names and name != plain), None)
    return [name for name in (plain, best) if name]
