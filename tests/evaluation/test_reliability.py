"""An uncertainty is measured against errors: right, too small, and blind ones are told apart."""

from dataclasses import replace

import numpy as np
import pytest

from thinslice.evaluation.protocols import Case, make_case
from thinslice.evaluation.reliability import COLUMNS, blocks, measure_reliability
from thinslice.phantom import make_phantom


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(make_phantom(shape=(33, 64, 64), spacing_mm=(1.0, 3.0, 3.0)).volume, "p", protocol="gap", factor=4)


def _errors(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """An uncertainty that is different from block to block, and errors drawn from it, none at acquired slices."""
    random = np.random.default_rng(0)
    sigma = np.exp(random.uniform(0, 3, (len(case.truth), 8, 8))).repeat(8, 1).repeat(8, 2).astype(np.float32)
    sigma[~case.new] = 0
    return sigma, sigma * random.standard_normal(sigma.shape).astype(np.float32)


def _measured(case: Case, sigma: np.ndarray, errors: np.ndarray):
    truth = np.zeros_like(case.truth)  # far from both ends of the range
    return measure_reliability(replace(case, truth=truth), errors, sigma, np.ones_like(errors))


def test_a_right_uncertainty_is_calibrated_and_knows_where_errors_are(case: Case) -> None:
    sigma, errors = _errors(case)
    found = _measured(case, sigma, errors)
    assert found.calibration_error < 0.02
    assert found.within == pytest.approx(0.9, abs=0.01)
    assert found.rank > 0.97
    assert found.rank == pytest.approx(found.rank_ceiling, abs=0.01)
    assert found.rmse_50 < found.rmse_80 < found.rmse_95 < found.rmse == pytest.approx(found.expected, rel=0.02)
    assert np.isnan(found.rank_views)  # the same everywhere: no rank


def test_one_that_is_too_small_is_found_out(case: Case) -> None:
    sigma, errors = _errors(case)
    found = _measured(case, sigma / 2, errors)
    assert found.calibration_error == pytest.approx(
        0.5 * _measured(case, sigma, errors).sharpness / found.rmse, abs=0.25
    )
    assert found.calibration_error > 0.3
    assert found.within == pytest.approx(0.59, abs=0.02)  # of Gaussian errors within 0.82 deviations
    assert found.rank > 0.97


def test_one_that_is_the_same_everywhere_knows_nothing_of_places(case: Case) -> None:
    sigma, errors = _errors(case)
    blind = np.where(sigma > 0, np.float32(np.sqrt(np.mean(errors[case.new] ** 2))), 0)
    found = _measured(case, blind + 1e-3 * np.random.default_rng(1).random(sigma.shape, np.float32), errors)
    assert abs(found.rank) < 0.1
    assert found.rmse_50 == pytest.approx(found.rmse, rel=0.05)


def test_blocks_are_whole_ones() -> None:
    values = np.ones((2, 17, 9))
    values[:, :8, :8] = 3
    assert blocks(values).tolist() == [3, 1, 3, 1]


def test_columns_have_their_prefix() -> None:
    assert {"unc_rmse", "unc_calibration_error", "unc_rank_views"} <= set(COLUMNS)
    assert "unc_bins" not in COLUMNS
