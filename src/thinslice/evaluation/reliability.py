"""Whether errors are as large as an uncertainty says: its calibration, and whether it knows where they are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage, stats

from thinslice.conventions import HU_RANGE
from thinslice.evaluation.protocols import Case
from thinslice.physics.noise import flat_tissue, noise_deviation
from thinslice.uncertainty.features import noise_floor

BINS = 10
_BLOCK = 8  # pixels, either way
_WITHIN = 1.64  # standard deviations: 90 % of Gaussian errors
_SHARES = (0.5, 0.8, 0.95)
_FEWEST_FLAT = 100


@dataclass(frozen=True)
class Reliability:
    """The uncertainty of one result, over its new voxels; errors and uncertainty in HU.

    Attributes:
        rmse: root mean square of the errors.
        expected: the same of the uncertainty.
        calibration_error: mean, over ten bins of equally many voxels, of what uncertainty and error differ by, as a
            share of `rmse`.
        within: share of the errors within 1.64 times the uncertainty; 0.9 of Gaussian ones.
        sharpness: mean uncertainty.
        rmse_50, rmse_80, rmse_95: of the most certain 50, 80 and 95 % of voxels.
        rank: Spearman's correlation of uncertainty and error over blocks of 8 x 8 pixels of new slices.
        rank_ceiling: the same of an uncertainty that is right everywhere: errors are drawn from it, independently.
        rank_views, rank_distance, rank_slope: the same of simpler measures in its place: what the coronal and the
            sagittal view disagree by, the distance to the nearest acquired slice, the slope of the result in the plane.
        over_floor: uncertainty in flat soft tissue over the noise that no method can foretell.
        bins: ten pairs of uncertainty and error, from the most certain voxels to the least.
    """

    rmse: float
    expected: float
    calibration_error: float
    within: float
    sharpness: float
    rmse_50: float
    rmse_80: float
    rmse_95: float
    rank: float
    rank_ceiling: float
    rank_views: float
    rank_distance: float
    rank_slope: float
    over_floor: float
    bins: tuple[tuple[float, float], ...]

    @property
    def figures(self) -> dict[str, float]:
        """The figures by the names of their columns; the bins are a picture's."""
        return {name: getattr(self, name.removeprefix(_PREFIX)) for name in COLUMNS}


_PREFIX = "unc_"
COLUMNS = tuple(f"{_PREFIX}{field.name}" for field in fields(Reliability) if field.name != "bins")
"""Names of the figures in a table."""


def measure_reliability(
    case: Case, result: np.ndarray, uncertainty: np.ndarray, disagreement: np.ndarray
) -> Reliability:
    """Compare an uncertainty with the errors that are there.

    Args:
        case: with the truth.
        result: (n, y, x) HU.
        uncertainty: (n, y, x) HU.
        disagreement: (n, y, x) HU, coronal minus sagittal residual.
    """
    new = np.flatnonzero(case.new)
    errors = np.clip(result[new], *HU_RANGE) - np.clip(case.truth[new], *HU_RANGE)
    unsure = np.asarray(uncertainty[new], np.float32)
    order = np.argsort(unsure, axis=None, kind="stable")
    square, expected = (np.square(values, dtype=np.float64).ravel()[order] for values in (errors, unsure))
    rmse = float(np.sqrt(square.mean()))
    bins = [tuple(np.sqrt((e.mean(), s.mean()))) for e, s in zip(*map(_in_bins, (expected, square)), strict=True)]
    kept = [float(np.sqrt(square[: round(share * len(square))].mean())) for share in _SHARES]
    drawn = unsure * np.random.default_rng(0).standard_normal(unsure.shape, dtype=np.float32)
    found = blocks(errors)
    ranks = [
        _rank(blocks(values), found) for values in (unsure, disagreement[new], _distance(case), _slope(result[new]))
    ]
    return Reliability(
        rmse=rmse,
        expected=float(np.sqrt(expected.mean())),
        calibration_error=float(np.mean([abs(e - s) for e, s in bins])) / rmse if rmse else float("nan"),
        within=float(np.mean(np.abs(errors) <= _WITHIN * unsure)),
        sharpness=float(unsure.mean(dtype=np.float64)),
        rmse_50=kept[0],
        rmse_80=kept[1],
        rmse_95=kept[2],
        rank=ranks[0],
        rank_ceiling=_rank(blocks(unsure), blocks(drawn)),
        rank_views=ranks[1],
        rank_distance=ranks[2],
        rank_slope=ranks[3],
        over_floor=_over_floor(case, result, uncertainty),
        bins=tuple((float(e), float(s)) for e, s in bins),
    )


def blocks(values: np.ndarray) -> np.ndarray:
    """Root mean squares of slices (k, y, x) over whole blocks of 8 x 8 pixels, in one row."""
    slices, rows, columns = values.shape
    whole = values[:, : rows // _BLOCK * _BLOCK, : columns // _BLOCK * _BLOCK].astype(np.float64)
    split = whole.reshape(slices, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    return np.sqrt(np.square(split).mean(axis=(2, 4))).ravel()


def _in_bins(values: np.ndarray) -> list[np.ndarray]:
    return np.array_split(values, BINS)


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation; nan where one of both is the same everywhere."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one, other).statistic)


def _distance(case: Case) -> np.ndarray:
    """(k, y, x) mm from each new slice to the nearest acquired one, everywhere the same in a slice."""
    grid = case.grid
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).min(axis=1)[case.new]
    return np.broadcast_to(nearest[:, None, None], (len(nearest), *case.truth.shape[1:]))


def _slope(slices: np.ndarray) -> np.ndarray:
    """(k, y, x) HU a pixel: size of the slope in the plane."""
    return np.stack([np.hypot(*np.gradient(image)) for image in slices])


def _over_floor(case: Case, result: np.ndarray, uncertainty: np.ndarray) -> float:
    """Uncertainty over the noise that cannot be foretold, in flat soft tissue; nan where there is none."""
    noise, floor = noise_deviation(case.thick.hu), noise_floor(case.grid)
    kept = []
    for k in np.flatnonzero(case.new):
        flat = ndimage.binary_erosion(flat_tissue(result[k]), iterations=2)
        kept.append(uncertainty[k][flat] / floor[k])
    values = np.concatenate(kept)
    if not noise or len(values) < _FEWEST_FLAT:
        return float("nan")
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) / noise
