"""How far the errors of this very scan are from what the network of the uncertainty expects.

Every second acquired slice is set aside and synthesised from the others, in a window of the scan, and what was expected
is compared with what is found. That is twice the acquired spacing, and a gap whatever the slices were: so only a share
of what is found there counts (docs/experiments/uncertainty.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinslice.conventions import BODY_HU, HU_RANGE
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.synthesis.fusion import synthesise
from thinslice.uncertainty.expected import expected_error
from thinslice.uncertainty.network import UncertaintyNetwork

_AREA = 0.15  # of the plane, and at least so many pixels either way:
_LEAST_SIDE = 96
_MOST_SLICES = 65
_FEWEST_SLICES = 7
_SHARE = 0.5  # of the logarithm of what is found, that counts
_MOST = 1.5  # times larger or smaller, at most
_BINS = 10


@dataclass(frozen=True, eq=False)
class SetAside:
    """Acquired slices predicted from the slices on either side.

    Attributes:
        errors: (k, y, x) predicted minus acquired, in HU.
        expected: (k, y, x) error to be expected, in HU, before calibration.
        voxel_mm: (z, y, x) of them.
    """

    errors: np.ndarray
    expected: np.ndarray
    voxel_mm: tuple[float, float, float]

    @property
    def ratio(self) -> float:
        """Found over expected: the geometric mean over ten bins of voxels, from the most certain to the least."""
        order = np.argsort(self.expected, axis=None)
        bins = np.array_split(order, _BINS)
        found, expected = (
            [float(np.sqrt(np.mean(np.square(values.ravel()[b], dtype=np.float64)))) for b in bins]
            for values in (self.errors, self.expected)
        )
        return float(np.exp(np.mean(np.log(np.maximum(found, 0.1) / np.maximum(expected, 0.1)))))


@dataclass(frozen=True)
class Calibration:
    """What becomes of the error that the network expects.

    Attributes:
        slices: that were set aside; 0 where the scan is too short for it.
        ratio: errors found there over errors expected.
        factor: on the errors that are expected of this scan.
    """

    slices: int = 0
    ratio: float = 1.0
    factor: float = 1.0

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        return {"held_out": self.slices, "found_over_expected": self.ratio, "factor": self.factor}


def set_aside(
    acquisition: Acquisition, *, model: Model, view_weights: Mapping[str, float], network: UncertaintyNetwork
) -> SetAside | None:
    """Predict every second slice of a window; None where there are fewer than 7 slices, evenly spaced.

    Args:
        acquisition: the scan and its grid.
        model: networks, on the device that computes.
        view_weights: those of the synthesis.
        network: of the uncertainty.
    """
    even = acquisition.grid.even_run()
    count = min(even.stop - even.start, _MOST_SLICES)
    count -= 1 - count % 2
    if count < _FEWEST_SLICES:
        return None
    start = even.start + (even.stop - even.start - count) // 2
    cut = np.ascontiguousarray(np.clip(acquisition.hu[start : start + count][_window(acquisition.hu)], *HU_RANGE))
    s = acquisition.grid.spacing_mm
    grid = plan_grid((count + 1) // 2, 2 * s, s, thickness_mm=min(acquisition.grid.thickness_mm, s))
    given = acquisition.within(cut[::2], grid)
    expected = np.zeros(given.output_shape, np.float32)
    out, _ = synthesise(given, model=model, view_weights=view_weights, disagreement=expected)
    expected_error(expected, out, given, view_weights=view_weights, network=network)
    new = slice(1, None, 2)
    x_mm, y_mm = acquisition.pixel_mm
    return SetAside(np.clip(out[new], *HU_RANGE) - cut[new], expected[new], (2 * s, y_mm, x_mm))


def calibrate(found: SetAside | None) -> Calibration:
    """The factor that follows from slices set aside; 1 where there are none."""
    if found is None:
        return Calibration()
    factor = float(np.clip(found.ratio**_SHARE, 1 / _MOST, _MOST))
    return Calibration(len(found.errors), found.ratio, factor)


def _window(hu: np.ndarray) -> tuple[slice, slice, slice]:
    """A window (z, y, x) about the middle of the body: a part of the plane."""
    side = [max(_LEAST_SIDE, round(_AREA**0.5 * size)) for size in hu.shape[1:]]
    body = hu[:: max(1, len(hu) // 8)].max(axis=0) > BODY_HU
    window = []
    for axis, (size, wanted) in enumerate(zip(hu.shape[1:], side, strict=True)):
        along = np.flatnonzero(body.any(axis=1 - axis))
        middle = (along[0] + along[-1] + 1) // 2 if len(along) else size // 2
        start = int(np.clip(middle - wanted // 2, 0, max(0, size - wanted)))
        window.append(slice(start, min(size, start + wanted)))
    return slice(None), window[0], window[1]
