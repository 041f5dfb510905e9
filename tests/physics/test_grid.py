"""A: its rows, its adjoint, its pseudo-inverse, and where the output slices lie."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from thinslice.errors import GeometryError, UsageError
from thinslice.physics.grid import SliceGrid, plan_grid, regime
from thinslice.physics.operator import SliceOperator, profile_weights

grids = st.builds(
    lambda slices, s, factor, ratio, flatness, placement: plan_grid(
        slices, s, s / factor, thickness_mm=ratio * s, flatness=flatness, placement=placement
    ),
    st.integers(4, 20),
    st.floats(2.0, 10.0),
    st.one_of(st.integers(2, 8).map(float), st.floats(1.2, 8.0)),
    st.floats(0.05, 2.0),
    st.one_of(st.sampled_from([1.0, 0.0]), st.floats(0, 1)),
    st.sampled_from(["slabs", "centres"]),
)


thin_grids = grids.map(lambda grid: replace(grid, thickness_mm=min(grid.thickness_mm, grid.output_spacing_mm)))
well_posed_grids = grids.map(lambda grid: replace(grid, thickness_mm=min(grid.thickness_mm, 1.05 * grid.spacing_mm)))


@given(grids)
def test_rows_sum_to_one_and_weigh_nothing_negatively(grid):
    operator = profile_weights(grid)
    assert operator.shape == (len(grid.acquired_mm), len(grid.output_mm))
    assert np.allclose(operator.sum(axis=1), 1)
    assert operator.min() >= 0


@given(thin_grids, st.floats(-50, 50), st.floats(-1000, 1000))
def test_a_slope_is_measured_where_the_slices_lie(grid, slope, offset):
    """Also of a slice beyond the last output slice; the profile must not reach over the ends itself."""
    measured = SliceOperator(grid).matrix @ (slope * grid.output_mm + offset)
    assert np.allclose(measured, slope * grid.acquired_mm + offset, atol=1e-3 * (1 + abs(slope)))


@given(grids)
def test_measured_slices_weigh_as_all_others_within_the_grid(grid):
    operator = SliceOperator(grid).matrix
    assert np.allclose(operator.sum(axis=1), 1)
    d, reach = (
        grid.output_spacing_mm,
        max(grid.thickness_mm, grid.output_spacing_mm) * (1.5, 0.5)[grid.shape == "box"],
    )
    first, last = grid.acquired_mm - reach, grid.acquired_mm + reach
    within = (first >= grid.output_mm[0] - d / 2 - 1e-9) & (last <= grid.output_mm[-1] + d / 2 + 1e-9)
    assume(within.any())
    assert np.allclose(operator[within].toarray(), profile_weights(grid)[within].toarray(), atol=1e-6)


@pytest.mark.parametrize(("factor", "thickness"), [(7, 5.0), (4, 3.0), (4, 5.0), (2, 3.0), (5, 9.0)])
def test_slabs_that_reach_over_the_ends_measure_a_slope_where_they_lie(factor, thickness):
    grid = plan_grid(6, float(factor), 1.0, thickness_mm=thickness)
    assert np.allclose(SliceOperator(grid).matrix @ grid.output_mm, grid.acquired_mm)


def test_slices_of_ten_spacings_are_not_continued_for_ever():
    """Straight for an acquired spacing, level from there on: an end slice weighs no more than a few times."""
    grid = plan_grid(12, 4.0, 1.0, thickness_mm=40.0)
    assert np.abs(SliceOperator(grid).matrix).max() < 3


@pytest.mark.parametrize("values", [1, 60, 2**22])
@given(grids, st.integers(0, 2**32 - 1))
def test_the_adjoint_is_the_adjoint_on_volumes_in_slabs_of_any_size(values, grid, seed):
    """<A x, y> = <x, A^T y>."""
    random, operator = np.random.default_rng(seed), SliceOperator(grid)
    x, y = random.normal(size=(len(grid.output_mm), 3, 2)), random.normal(size=(len(grid.acquired_mm), 3, 2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("thinslice.physics.operator._VALUES", values)
        seen, back = operator.apply(x), operator.adjoint(y)
    assert np.vdot(seen, y) == pytest.approx(np.vdot(x, back), rel=1e-9, abs=1e-9)


@given(well_posed_grids)
def test_the_null_projector_keeps_what_acquired_slices_do_not_determine_and_nothing_else(grid):
    operator, random = SliceOperator(grid), np.random.default_rng(5)
    x = random.normal(0, 100, (len(grid.output_mm), 2, 3))
    kept = operator.null_projector(x)
    assert np.abs(operator.apply(kept)).max() < 0.01
    np.testing.assert_allclose(operator.null_projector(kept), kept, atol=0.01)
    np.testing.assert_allclose(kept + operator.pseudo_inverse(operator.apply(x)), x, atol=1e-9)


def test_an_operator_of_some_slices_is_these_rows_of_all():
    grid, x = plan_grid(6, 4.0, 1.0, thickness_mm=4.0), np.random.default_rng(0).normal(size=(24, 2, 2))
    np.testing.assert_array_equal(
        SliceOperator(grid, slices=np.array([1, 4])).apply(x), SliceOperator(grid).apply(x)[[1, 4]]
    )


def test_a_mask_is_covered_where_a_profile_reaches_it():
    grid, mask = plan_grid(3, 4.0, 1.0, thickness_mm=4.0), np.zeros((12, 1, 2), bool)
    mask[5, 0, 1] = True
    assert np.argwhere(SliceOperator(grid).covers(mask)).tolist() == [[1, 0, 1]]


@given(grids)
def test_a_constant_scan_stays_constant_and_a_flipped_scan_is_flipped(grid):
    operator = profile_weights(grid)
    assert np.allclose(operator @ np.full(operator.shape[1], 7.0), 7.0)
    last = grid.acquired_mm[-1]
    symmetric = np.allclose(np.sort(last - grid.output_mm), grid.output_mm, atol=1e-9)
    assume(symmetric)
    assert np.allclose(operator.toarray()[::-1, ::-1], operator.toarray(), atol=2e-4)


@given(well_posed_grids)
def test_undamped_projection_returns_what_was_measured(grid):
    operator, random = SliceOperator(grid, 0.0), np.random.default_rng(0)
    x, y = random.normal(0, 100, (len(grid.output_mm), 3)), random.normal(0, 100, (len(grid.acquired_mm), 3))
    x = x + operator.pseudo_inverse(y - operator.apply(x))
    assert np.abs(operator.apply(x) - y).max() < 0.01


@given(grids)
def test_damping_never_overshoots(grid):
    operator = SliceOperator(grid, 0.3)
    residual = np.random.default_rng(1).normal(size=(len(grid.acquired_mm), 2))
    left = residual - operator.apply(operator.pseudo_inverse(residual))
    assert np.linalg.norm(left) <= np.linalg.norm(residual) * (1 + 1e-9)


@given(st.integers(4, 30), st.integers(2, 8))
def test_thin_slices_are_unit_rows_on_an_integer_grid(slices, factor):
    grid = plan_grid(slices, float(factor), 1.0, thickness_mm=0.7)
    taken, given_ = grid.on_grid()
    assert np.array_equal(taken, np.arange(slices))
    assert np.array_equal(profile_weights(grid).toarray()[taken, given_], np.ones(slices))
    assert grid.output_mm[0] == grid.acquired_mm[0]
    assert len(grid.output_mm) == (slices - 1) * factor + 1


@given(st.integers(4, 30), st.integers(2, 8))
def test_contiguous_boxes_are_block_means(slices, factor):
    grid = plan_grid(slices, 5.0, 5.0 / factor, thickness_mm=5.0)
    x = np.random.default_rng(2).normal(size=slices * factor)
    assert len(grid.output_mm) == slices * factor
    assert np.allclose(profile_weights(grid) @ x, x.reshape(slices, factor).mean(axis=1))


def test_off_grid_thin_slices_are_interpolated_linearly():
    grid = plan_grid(5, 2.5, 1.0, thickness_mm=1.0)
    x = np.random.default_rng(3).normal(size=len(grid.output_mm))
    assert np.allclose(profile_weights(grid) @ x, np.interp(grid.acquired_mm, grid.output_mm, x))


def test_gauss_rows_agree_with_numerical_integration():
    grid = plan_grid(9, 4.0, 1.0, thickness_mm=4.0, flatness=0.0)
    row = profile_weights(grid).toarray()[4]
    sigma = 4.0 / (2 * np.sqrt(2 * np.log(2)))
    for centre, weight in zip(grid.output_mm, row, strict=True):
        low, high = (np.clip(edge - grid.acquired_mm[4], -6, 6) for edge in (centre - 0.5, centre + 0.5))
        mass, _ = integrate.quad(stats.norm(0, sigma).pdf, low, high)
        assert weight == pytest.approx(mass / (stats.norm(0, sigma).cdf(6) * 2 - 1), abs=1e-3)


def test_thick_regime_keeps_the_ends_of_the_field_of_view():
    grid = plan_grid(7, 5.0, 1.6, thickness_mm=5.0)
    below = grid.output_mm[0] - 0.8 - (grid.acquired_mm[0] - 2.5)
    above = grid.acquired_mm[-1] + 2.5 - (grid.output_mm[-1] + 0.8)
    assert below == pytest.approx(above)
    assert 0 <= below < 0.8


@pytest.mark.parametrize(
    ("slices", "spacing", "output", "error", "code"),
    [
        (1, 5.0, 1.0, GeometryError, "GEO-FEW"),
        (9, 5.0, 5.0, GeometryError, "GEO-NOTTHICK"),
        (9, 5.0, 4.5, UsageError, "USE-FACTOR"),
        (9, 5.0, 0.5, UsageError, "USE-FACTOR"),
    ],
)
def test_impossible_grids_are_refused(slices, spacing, output, error, code):
    with pytest.raises(error) as caught:
        plan_grid(slices, spacing, output, thickness_mm=spacing)
    assert caught.value.code == code


def test_places_among_even_and_uneven_slices():
    grid = SliceGrid(np.array([0.0, 2, 4, 10]), np.arange(-1.0, 12, 3), 2.0)
    np.testing.assert_allclose(grid.places(), [-0.5, 1, 2 + 1 / 6, 2 + 4 / 6, 3.5])


@pytest.mark.parametrize(
    ("thickness", "kind"), [(4.89, "gap"), (4.91, "contiguous"), (5.09, "contiguous"), (5.2, "overlap")]
)
def test_the_regime_rules_the_ends(thickness, kind):
    assert regime(thickness, 5.0) == kind
    grid = plan_grid(6, 5.0, 1.0, thickness_mm=thickness)
    assert len(grid.output_mm) == (26 if kind == "gap" else 30)


def test_two_spacings_in_equal_number_are_the_lower_one():
    places = np.cumsum([0, 4, 4, 4, 4, 7, 7, 7, 7])
    assert SliceGrid(places, np.arange(45.0), 4.0).spacing_mm == 4


def test_the_longest_even_run_and_the_closest_overlap_are_found():
    gaps_around = np.array([0.0, 5, 10, 25, 30, 35, 40, 45, 60])
    assert SliceGrid(gaps_around, np.arange(61.0), 1.0).even_run() == slice(3, 8)
    close_at_first = SliceGrid(np.array([0, 2, 4, 6, 8, 13, 18, 23, 28, 33.0]), np.arange(34.0), 5.0)
    assert close_at_first.spacing_mm == 5
    assert close_at_first.ill_posed


def test_uneven_positions_have_a_median_spacing():
    assert SliceGrid(np.array([0.0, 2, 4, 7]), np.arange(8.0), 2.0).spacing_mm == 2.0


@pytest.mark.parametrize("factor", [2, 3, 4, 2.5])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.6])
def test_output_slices_at_acquired_centres_begin_there_and_end_within(factor, ratio):
    """Also of thick slices and even factors, whose split slabs have every acquired centre between output slices."""
    grid = plan_grid(7, 5.0, 5.0 / factor, thickness_mm=5.0 * ratio, placement="centres")
    assert grid.output_mm[0] == 0
    assert 30 - grid.output_spacing_mm + 1e-9 < grid.output_mm[-1] <= 30 + 1e-9
    taken, _ = grid.on_grid()
    assert len(taken) == (7 if factor != 2.5 else 4)


@pytest.mark.parametrize("factor", [2.0, 3.0, 5.0])
@pytest.mark.parametrize("thickness", [5.0, 7.0])
def test_slabs_that_reach_half_a_spacing_over_the_ends_see_a_slope_where_they_lie(factor, thickness):
    grid = plan_grid(6, 5.0, 5.0 / factor, thickness_mm=thickness, placement="centres")
    assert np.allclose(SliceOperator(grid).matrix @ (3 * grid.output_mm), 3 * grid.acquired_mm)
