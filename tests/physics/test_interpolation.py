"""Interpolation along z against scipy, and what splines must reproduce."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from thinslice.physics import interpolation
from thinslice.physics.grid import plan_grid
from thinslice.physics.operator import profile_weights


@pytest.fixture
def gap():
    return plan_grid(9, 4.0, 1.0, thickness_mm=1.0)


@pytest.fixture
def box():
    return plan_grid(9, 4.0, 1.0, thickness_mm=4.0)


def test_linear_and_cubic_agree_with_numpy_and_scipy(gap):
    y = np.random.default_rng(0).normal(size=9)
    assert np.allclose(interpolation.linear(gap) @ y, np.interp(gap.output_mm, gap.acquired_mm, y))
    assert np.allclose(interpolation.cubic(gap) @ y, CubicSpline(gap.acquired_mm, y)(gap.output_mm))


def test_beyond_the_first_slice_centre_cubic_stays_what_that_slice_is(box):
    assert np.allclose(interpolation.cubic(box)[:1], np.eye(9)[:1])
    assert np.allclose(interpolation.cubic(box)[-1:], np.eye(9)[-1:])


@pytest.mark.parametrize("name", ["linear", "cubic", "bspline"])
def test_constants_stay(name, box):
    assert np.allclose(getattr(interpolation, name)(box).sum(axis=1), 1)


def test_bspline_interpolates_integrals_not_points(box):
    """Slab means of a quadratic come back, and between them the quadratic itself."""
    operator = profile_weights(box)

    def means(power):
        edges = np.concatenate([box.output_mm - 0.5, [box.output_mm[-1] + 0.5]]) ** (power + 1) / (power + 1)
        return np.diff(edges)

    truth = 3 * means(0) - 2 * means(1) + 0.1 * means(2)
    result = interpolation.bspline(box) @ (operator @ truth)
    assert np.allclose(operator @ result, operator @ truth)
    assert np.allclose(result, truth, atol=1e-6)


def test_sparse_form_is_the_same_matrix(box):
    dense = interpolation.bspline(box)
    assert np.abs(interpolation.as_sparse(dense).toarray() - dense).max() < 1e-6
