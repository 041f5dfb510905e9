"""The family of slice profiles, and how alike the noise of slices is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from thinslice.physics.grid import Scale, plan_grid
from thinslice.physics.operator import profile_weights
from thinslice.physics.profile import FLATNESS, box_width, correlation, shape_of, share_below

flatnesses = st.one_of(st.sampled_from([0.0, 1.0, 0.002, 0.998]), st.floats(0, 1))


def _density(x, flatness):
    step = 1e-4
    return (share_below(x + step, 1.0, flatness) - share_below(x - step, 1.0, flatness)) / (2 * step)


@given(flatnesses)
def test_a_profile_is_symmetric_and_falls_from_one_end_to_the_other(flatness):
    x = np.linspace(-2, 2, 401)
    share = share_below(x, 1.0, flatness)
    assert share[0] == pytest.approx(0, abs=1e-9)
    assert share[-1] == pytest.approx(1, abs=1e-9)
    assert (np.diff(share) >= -1e-12).all()
    np.testing.assert_allclose(share + share[::-1], 1, atol=1e-9)


@given(st.floats(0.0, 0.97))
def test_its_width_at_half_maximum_is_the_thickness(flatness):
    peak = float(_density(np.array(0.0), flatness))
    half = optimize.brentq(lambda x: float(_density(np.array(x), flatness)) - peak / 2, 0.2, 0.9)
    assert 2 * half == pytest.approx(1.0, abs=5e-3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_flatter_profiles_are_wider_boxes(one, other):
    low, high = sorted((one, other))
    assert 0 <= box_width(low) <= box_width(high) + 1e-9 <= 1 + 1e-9


def test_the_triangle_of_helical_interpolation_lies_near_the_family():
    x = np.linspace(-1.5, 1.5, 601)
    triangle = np.where(x < 0, np.clip(1 + x, 0, None) ** 2 / 2, 1 - np.clip(1 - x, 0, None) ** 2 / 2)
    apart = [np.abs(share_below(x, 1.0, flatness) - triangle).max() for flatness in np.linspace(0, 1, 41)]
    assert min(apart) < 0.015


@pytest.mark.parametrize(("name", "flatness"), FLATNESS.items())
def test_named_shapes(name, flatness):
    assert shape_of(flatness) == name
    assert shape_of(0.5) == "rounded"


@pytest.mark.parametrize("flatness", [0.0, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("thickness", [3.0, 4.0, 5.0])
def test_the_correlation_of_noise_is_that_of_white_noise_averaged(flatness, thickness):
    """Oracle: the Gram matrix of the operator's own rows, on slices so fine that their width counts for nothing."""
    grid = plan_grid(9, 4.0, 0.5, thickness_mm=thickness, flatness=flatness)
    rows = profile_weights(grid).toarray()
    gram = rows @ rows.T
    found = gram[4, 5] / gram[4, 4], gram[4, 6] / gram[4, 4]
    for lag, value in zip((4.0, 8.0), found, strict=True):
        expected = float(correlation(lag, np.array(thickness), flatness, np.array(0.1)))
        assert expected == pytest.approx(value, abs=0.012)


def test_thin_slices_own_profile_adds_to_what_slices_share():
    alone, own = (float(correlation(4.0, np.array(4.0), 1.0, np.array(width))) for width in (0.05, 2.0))
    assert alone == pytest.approx(0, abs=0.02)
    assert own > 0.08


@pytest.mark.parametrize("flatness", [0.0, 0.4, 1.0])
def test_a_scale_makes_the_grid_that_it_was_taken_from(flatness):
    grid = plan_grid(8, 5.0, 1.25, thickness_mm=4.5, flatness=flatness, nominal_mm=5.0)
    assert grid.scale == Scale(4.0, 3.6, flatness, splits=True)
    again = grid.scale.grid(8, 1.25)
    np.testing.assert_allclose(again.output_mm, grid.output_mm)
    np.testing.assert_allclose(profile_weights(again).toarray(), profile_weights(grid).toarray(), atol=1e-6)
