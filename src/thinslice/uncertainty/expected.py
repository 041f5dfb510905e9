"""The error to be expected of every synthesised voxel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from thinslice.conventions import HU_RANGE, PIXEL_WISE
from thinslice.physics.acquisition import Acquisition
from thinslice.uncertainty.features import Features
from thinslice.uncertainty.network import UncertaintyNetwork

_PIXELS = 1 << 18  # of slices that go through the network together, which takes 0.6 kB a pixel


def expected_error(
    disagreement: np.ndarray,
    out: np.ndarray,
    acquisition: Acquisition,
    *,
    view_weights: Mapping[str, float],
    network: UncertaintyNetwork,
    factor: float = 1.0,
) -> None:
    """Turn the disagreement of the views into the root-mean-square error to be expected in HU, in place.

    Args:
        disagreement: (n, y, x) float32 of `synthesise`; afterwards the error, 0 at slices that are copies of acquired
            ones.
        out: (n, y, x) the result in HU.
        acquisition: what it was made from.
        view_weights: those of the synthesis.
        network: on the CPU.
        factor: on all errors (`Calibration.factor`).
    """
    grid = acquisition.grid
    low, high = HU_RANGE
    hu = acquisition.hu
    if hu.min() < low or hu.max() > high or not hu.flags.writeable:  # else a copy would be the same
        acquisition = acquisition.within(np.clip(hu, low, high), grid)
    features = Features(acquisition, views=views_that_run(view_weights))
    new = grid.synthesised()
    disagreement[np.setdiff1d(np.arange(len(out)), new)] = 0
    with torch.inference_mode():
        together = max(1, _PIXELS // out[0].size)
        for start in range(0, len(new), together):
            slices = new[start : start + together]
            here = torch.from_numpy(np.clip(out[slices], *HU_RANGE))
            found = features.of(slices, here, torch.from_numpy(disagreement[slices]))
            error = network.error_hu(found, here.shape[1:], noise_hu=features.noise_hu)  # type: ignore[arg-type]
            disagreement[slices] = error.mul_(factor).numpy()


def views_that_run(view_weights: Mapping[str, float]) -> float:
    """How many of the coronal and the sagittal view run, less where their weights sum to less than 1."""
    weights = [view_weights.get(view, 0.0) for view in PIXEL_WISE]
    return sum(weight > 0 for weight in weights) * min(1.0, sum(view_weights.values()))
