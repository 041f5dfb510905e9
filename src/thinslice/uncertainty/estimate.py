"""The uncertainty of a result: a map, calibrated on the scan, and how its errors go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
from thinslice.uncertainty.calibration import Calibration, SetAside, calibrate, set_aside
from thinslice.uncertainty.correlation import TYPICAL, Correlation, estimate_correlation
from thinslice.uncertainty.expected import expected_error
from thinslice.uncertainty.network import shipped_network

_FEW = 2.5  # output slices in an acquired one
_POWER = 3  # of a correlation in the plane at slices set aside, that the result has


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How far to trust a result.

    Attributes:
        hu: (n, y, x) float32, the root-mean-square error to be expected at every voxel, against what the scanner would
            have measured there, noise included; 0 at copied slices and in padding.
        calibration: on the scan itself.
        correlation: of the errors.
    """

    hu: np.ndarray
    calibration: Calibration
    correlation: Correlation

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        mean_square = np.mean([np.mean(np.square(plane, dtype=np.float64)) for plane in self.hu if plane.any()] or [0])
        return {
            "rms_hu": float(np.sqrt(mean_square)),
            "calibration": self.calibration.entry,
            "correlation": self.correlation.entry,
        }


def correlation_of(aside: SetAside | None, grid: SliceGrid) -> Correlation:
    """How the errors of a result go together: in the plane by what is found at slices set aside, else as is usual.

    Slices set aside bridge twice the distance, where more of an error is whole structures: it reaches ten times as far
    in the plane as in the result, whose correlation is about the third power of what is found there, and what all share
    there says nothing (docs/experiments/intervals.md, I5). Along z no two neighbouring slices are known (I1).
    """
    usual = replace(TYPICAL, along_z=_along_z(grid), spacing_mm=grid.output_spacing_mm)
    if aside is None:
        return usual
    found = estimate_correlation(aside.errors, aside.expected, aside.voxel_mm)
    return replace(usual, in_plane=found.to_power(_POWER).in_plane, pixel_mm=found.pixel_mm)


def _along_z(grid: SliceGrid) -> tuple[float, ...]:
    """Correlation of errors 1, 2, 3 ... output slices apart: what thick slices hold is wrong one way and the other."""
    if grid.copies:
        return 0.5, -0.02, -0.1, -0.05
    return (-0.24, -0.49, 0.17, 0.15, -0.05) if grid.factor < _FEW else (0.13, -0.36, -0.27, -0.08, 0.07)


def estimate_uncertainty(
    disagreement: np.ndarray,
    out: np.ndarray,
    acquisition: Acquisition,
    *,
    model: Model,
    view_weights: Mapping[str, float],
) -> Uncertainty:
    """The uncertainty of a result, whose map takes the place of the views' disagreement.

    Args:
        disagreement: (n, y, x) float32 of `synthesise`, which becomes the map.
        out: (n, y, x) the result in HU.
        acquisition: what it was made from.
        model: that made it.
        view_weights: those of the synthesis.
    """
    network = shipped_network()
    aside = set_aside(acquisition, model=model, view_weights=view_weights, network=network)
    calibration = calibrate(aside)
    expected_error(
        disagreement, out, acquisition, view_weights=view_weights, network=network, factor=calibration.factor
    )
    return Uncertainty(disagreement, calibration, correlation_of(aside, acquisition.grid))
