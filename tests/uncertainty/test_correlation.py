"""The correlation of errors: estimated as it is, and what follows for sums over voxels."""

import json

import numpy as np
import pytest

from thinslice.io.files.mark import cleaned
from thinslice.uncertainty.correlation import (
    TYPICAL,
    Correlation,
    correlated_draws,
    estimate_correlation,
    variance_of_sum,
)

VOXEL_MM = (1.0, 0.8, 0.8)
KNOWN = Correlation(along_z=(0.5, -0.2), spacing_mm=1.0, in_plane=(0.6, 0.3, 0.1), pixel_mm=0.8)


def _fields(correlation: Correlation, shape: tuple[int, int, int], draws: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return list(correlated_draws(shape, correlation, VOXEL_MM, draws=draws, generator=generator))


def test_what_is_drawn_has_variance_1_and_the_correlation_that_was_asked_for() -> None:
    (field,) = _fields(KNOWN, (40, 90, 90), 1)
    sigma = np.full(field.shape, 20.0, np.float32)
    found = estimate_correlation(20 * field, sigma, VOXEL_MM)
    assert field.std() == pytest.approx(1, abs=0.03)
    assert found.in_plane[:2] == pytest.approx(KNOWN.in_plane[:2], abs=0.07)
    assert found.along_z[0] == pytest.approx(KNOWN.along_z[0], abs=0.07)
    assert found.shared < 0.002


def test_a_wrong_scale_of_sigma_changes_nothing() -> None:
    (field,) = _fields(KNOWN, (20, 60, 60), 1)
    sigma = np.ones(field.shape, np.float32)
    one, other = (estimate_correlation(field, scale * sigma, VOXEL_MM) for scale in (1.0, 1.3))
    assert one.in_plane == pytest.approx(other.in_plane, abs=1e-3)


def test_copied_slices_say_nothing() -> None:
    (field,) = _fields(KNOWN, (21, 60, 60), 1)
    sigma = np.ones(field.shape, np.float32)
    sigma[::4] = 0
    found = estimate_correlation(np.where(sigma > 0, field, 1e3), sigma, VOXEL_MM)
    assert found.in_plane[0] == pytest.approx(KNOWN.in_plane[0], abs=0.07)


def test_one_slice_tells_of_the_plane_alone() -> None:
    (field,) = _fields(KNOWN, (1, 90, 90), 1)
    found = estimate_correlation(field, np.ones(field.shape, np.float32), VOXEL_MM)
    assert found.along_z == ()
    assert found.in_plane_mm == pytest.approx(KNOWN.in_plane_mm, rel=0.2)


def test_without_anything_to_learn_from_it_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma over 0"):
        estimate_correlation(np.ones((3, 8, 8)), np.zeros((3, 8, 8)), VOXEL_MM)


@pytest.mark.parametrize("shape", [(12, 20, 24), (5, 200, 30)])
def test_the_variance_of_a_sum_is_that_of_drawn_sums(shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(2)
    weights = generator.random(shape).astype(np.float32)
    shared = Correlation(KNOWN.along_z, 1.0, KNOWN.in_plane, 0.8, shared=0.01)
    sums = [float((weights * field).sum()) for field in _fields(shared, shape, 500)]
    assert variance_of_sum(weights, shared, VOXEL_MM) == pytest.approx(np.var(sums), rel=0.2)


def test_independent_errors_add_by_their_squares_and_shared_ones_by_themselves() -> None:
    weights = np.random.default_rng(3).random((4, 170, 6)).astype(np.float32)
    alone = Correlation((), 1.0, (), 0.8)
    assert variance_of_sum(weights, alone, VOXEL_MM) == pytest.approx(np.square(weights).sum(), rel=1e-4)
    together = Correlation((), 1.0, (), 0.8, shared=1.0)
    assert variance_of_sum(weights, together, VOXEL_MM) == pytest.approx(weights.sum() ** 2, rel=1e-4)


def test_a_block_more_or_less_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(4).random((14, 40, 33)).astype(np.float32)
    whole = variance_of_sum(weights, KNOWN, VOXEL_MM)
    monkeypatch.setattr("thinslice.uncertainty.correlation._BLOCK", (5, 9, 7))
    assert variance_of_sum(weights, KNOWN, VOXEL_MM) == pytest.approx(whole, rel=1e-4)


def test_it_goes_through_a_mark_and_comes_back() -> None:
    mark = json.loads(json.dumps(cleaned({"correlation": TYPICAL.entry})))
    assert Correlation.found_in(mark) == TYPICAL
    assert Correlation.found_in({"correlation": {"shared": 0.1}}) is None
    assert Correlation.found_in(None) is None


def test_to_a_power_it_is_shorter_and_ends_where_nothing_is_left() -> None:
    cubed = Correlation((0.4,), 1.0, (0.8, -0.3, 0.1), 0.7, within=0.02).to_power(3)
    assert cubed == Correlation((0.4,), 1.0, (0.512, -0.027), 0.7, within=0.02)
