"""What the viewer of a page is given: volumes as text, and numbers that say how they lie and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib import colormaps

from thinslice.physics import interpolation
from thinslice.plan import grid_of
from thinslice.record import axis_codes
from thinslice.report.embedded import COARSE_STEP, FINE_HU, Reduction, coded, packed, reduction, table_of_hu
from thinslice.volume import Volume

MOST_CHARACTERS = 21_500_000  # of all volumes, so that a page stays below 25 MB with its pictures
_COARSER = 1, 2, 4, 8  # times the steps of HU, until they do
_LEAST_WEIGHT = 5e-4  # of a spline: less of it is not seen
_NAMES = "sagittal", "coronal", "axial"  # planes by the patient axis that they stand on
_EDGES = ("R", "L"), ("A", "P"), ("H", "F")  # of a plane along that axis: left or top, right or bottom
_MOST_UNCERTAIN_HU = 255
_SHARE_BELOW_TOP = 0.995  # of uncertainties: the colours end there


@dataclass(frozen=True)
class Viewer:
    """What a page shows in three planes.

    Attributes:
        numbers: JSON-ready; read by `viewer.js`.
        volumes: by name, acquired slices, result and uncertainty (where there is one) as text.
        reduction: the size at which they are shown.
        step_hu: the smallest step of their values.
        voxel_mm: (x, y, z) as shown.
    """

    numbers: Mapping[str, Any]
    volumes: Mapping[str, str]
    reduction: Reduction
    step_hu: int
    voxel_mm: tuple[float, float, float]

    @property
    def words(self) -> str:
        """The scale, as the page says it."""
        low, high = FINE_HU
        n, rows, columns = self.numbers["shape"]
        x, y, z = self.voxel_mm
        pixels, slices = self.reduction.pixels, self.reduction.slices
        size = "at full size" if pixels == slices == 1 else f"reduced: {_means(pixels, slices)}"
        return (
            f"{n} slices of {columns} x {rows} pixels of {x:.2f} x {y:.2f} x {z:.2f} mm ({size}); HU from "
            f"\N{MINUS SIGN}{-low} to {high} in steps of {self.step_hu}, others of {COARSE_STEP * self.step_hu}. "
            "Do not measure here: measure on the result."
        )


def viewer(thick: Volume, result: Volume, uncertainty: np.ndarray | None, *, window: tuple[float, float]) -> Viewer:
    """Make what the viewer is given.

    Thick and cubic are not stored: the browser makes them from the acquired slices.

    Args:
        thick: the acquired slices, (m, y, x).
        result: the same scan on a finer grid along z, (n, y, x).
        uncertainty: (n, y, x) HU, or None.
        window: lowest and highest HU shown at first.
    """
    reduced, grid = reduction(result.shape, result.voxel_mm), grid_of(thick, result)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    in_plane = replace(reduced, slices=1)
    x, y = (length * reduced.pixels for length in result.voxel_mm[:2])
    z = result.slice_spacing_mm * reduced.slices
    numbers: dict[str, Any] = {
        "shape": reduced.shape(result.shape),
        "acquired": len(thick.hu),
        "step_mm": [z, y, x],
        "planes": planes(result.affine),
        "thick": _taps(reduced.along_slices(np.eye(len(thick.hu))[nearest])),
        "cubic": _taps(reduced.along_slices(interpolation.cubic(grid))),
        "window": list(window),
        "uncertainty": None,
    }
    volumes = {}
    if uncertainty is not None:
        numbers["uncertainty"], volumes["uncertainty"] = _uncertainty(uncertainty, reduced)
    left = MOST_CHARACTERS - sum(map(len, volumes.values()))
    for coarser in _COARSER:
        table = table_of_hu(coarser)
        volumes["acquired"] = packed(coded(in_plane.applied(thick.hu), table))
        if len(volumes["acquired"]) < left:
            volumes["result"] = packed(coded(reduced.applied(result.hu), table))
            if len(volumes["acquired"]) + len(volumes["result"]) <= left:
                break
    return Viewer(numbers | {"table": table.tolist()}, volumes, reduced, coarser, (x, y, z))


def planes(affine: np.ndarray) -> list[dict[str, Any]]:
    """How the three planes of an array (z, y, x) are shown, axial first.

    The patient's left or back is to the right, back or feet are at the bottom.

    Returns:
        For each its name, the array axes (normal, down, across), which of the last two run the other way, and the
        letters at its left, right, top and bottom edge.
    """
    codes = axis_codes(affine)[::-1]  # of z, y, x
    patient = ["RL", "AP", "SI"]
    axes = [next(k for k, ends in enumerate(patient) if code in ends) for code in codes]  # patient axis of array axes
    found = []
    for normal in (2, 1, 0):
        across, down = (axes.index(k) for k in range(3) if k != normal)
        found.append({
            "name": _NAMES[normal], "axes": [axes.index(normal), down, across],
            "flip": [codes[down] in "RAS", codes[across] in "RAS"],
            "edges": [*_EDGES[axes[across]], *_EDGES[axes[down]]],
        })  # fmt: skip
    return found


def _taps(weights: np.ndarray) -> list[list[float]]:
    """For each output slice, acquired slices and their weights in turn; negligible ones are left out, the sum kept."""
    found = []
    for row in weights:
        kept = np.flatnonzero(np.abs(row) >= _LEAST_WEIGHT)
        values = row[kept] * row.sum() / row[kept].sum()
        found.append([number for k, value in zip(kept, values, strict=True) for number in (int(k), round(value, 5))])
    return found


def _uncertainty(sigma: np.ndarray, reduced: Reduction) -> tuple[dict[str, Any], str]:
    """Half as fine in the plane as the volumes: it is smooth. Its colours run from 0 to `top`."""
    coarse = replace(reduced, pixels=2 * reduced.pixels)
    mean = coarse.applied(sigma, power=2)
    table = np.arange(_MOST_UNCERTAIN_HU + 1)
    codes = coded((np.sqrt(plane) for plane in mean), table)
    top = max(5, int(np.quantile(codes[codes > 0], _SHARE_BELOW_TOP))) if codes.any() else 5
    return {"shape": codes.shape, "top": top, "colours": colours()}, packed(codes)


def colours() -> list[list[int]]:
    """Red, green and blue of uncertainties, from 0 to the top: matplotlib's inferno."""
    shades = colormaps["inferno"](np.linspace(0, 1, 64), bytes=True)
    return [[int(part) for part in shade[:3]] for shade in shades]


def _means(pixels: int, slices: int) -> str:
    parts = [f"{pixels} x {pixels} pixels"] * (pixels > 1) + [f"{slices} slices"] * (slices > 1)
    return f"means of {' of '.join(parts)}"
