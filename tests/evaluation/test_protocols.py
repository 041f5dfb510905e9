"""Cases are what their protocol says, and stand where the thin scan stood."""

import numpy as np
import pytest

from thinslice.errors import GeometryError, UsageError
from thinslice.evaluation.protocols import PROTOCOLS, cut, make_case
from thinslice.physics.operator import SliceOperator
from thinslice.volume import Volume


def thin(slices=27, rows=6, columns=5, *, seed=0, spacing=1.25, padding=False):
    generator = np.random.default_rng(seed)
    affine = np.array([[0.7, 0, 0.1, -11], [0, -0.8, 0.2, 30], [0, 0.1, spacing, -100], [0, 0, 0, 1.0]])
    hu = generator.uniform(-900, 900, (slices, rows, columns))
    mask = hu < -700 if padding else None
    return Volume(hu, affine, thickness=spacing, padding=mask)


def world(volume, z):
    return (volume.affine @ [2, 3, z, 1])[:3]


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_gap_keeps_every_fth_slice_and_ends_at_the_last_one(factor):
    volume = thin()
    case = make_case(volume, "a", protocol="gap", factor=factor)
    np.testing.assert_array_equal(case.thick.hu, volume.hu[::factor])
    np.testing.assert_array_equal(case.truth, volume.hu[: len(case.truth)])
    assert (len(case.truth) - 1) % factor == 0
    assert len(volume.hu) - len(case.truth) < factor
    np.testing.assert_array_equal(case.truth[~case.new], case.thick.hu)
    assert case.thick.thickness == pytest.approx(volume.slice_spacing_mm)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_box_averages_blocks_and_drops_what_fills_none(factor):
    volume = thin()
    case = make_case(volume, "a", protocol="box", factor=factor)
    blocks = len(volume.hu) // factor
    means = volume.hu[: blocks * factor].astype(float).reshape(blocks, factor, *volume.shape[1:]).mean(axis=1)
    np.testing.assert_allclose(case.thick.hu, means, atol=1e-3)
    assert case.new.all()
    assert case.thick.thickness == pytest.approx(factor * volume.slice_spacing_mm)


def test_gauss_is_wider_than_box_and_keeps_a_constant():
    volume = thin()
    flat = Volume(np.full(volume.shape, 40.0), volume.affine)
    np.testing.assert_allclose(make_case(flat, "a", protocol="gauss", factor=3).thick.hu, 40.0, atol=1e-4)
    box, gauss = (make_case(volume, "a", protocol=p, factor=3) for p in ("box", "gauss"))
    assert gauss.thick.hu[2:-2].std() < box.thick.hu[2:-2].std()
    assert gauss.grid.shape == "gauss"
    assert gauss.grid.thickness_mm == pytest.approx(3 * gauss.grid.output_spacing_mm)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factor", [2, 3])
def test_thick_slices_are_the_operator_of_the_grid_on_the_truth(protocol, factor):
    case = make_case(thin(), "a", protocol=protocol, factor=factor)
    again = SliceOperator(case.grid).matrix @ case.truth.reshape(len(case.truth), -1).astype(float)
    np.testing.assert_allclose(again.reshape(case.thick.shape), case.thick.hu, atol=1e-3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factor", [2, 3])
def test_thick_and_truth_lie_where_the_thin_scan_lies(protocol, factor):
    volume = thin()
    case = make_case(volume, "a", protocol=protocol, factor=factor)
    np.testing.assert_allclose(case.truth_volume.affine, volume.affine, atol=1e-9)
    middle_of_first = 0 if protocol == "gap" else (factor - 1) / 2
    np.testing.assert_allclose(world(case.thick, 0), world(volume, middle_of_first), atol=1e-9)
    np.testing.assert_allclose(world(case.thick, 2), world(volume, middle_of_first + 2 * factor), atol=1e-9)


def test_values_no_scanner_stores_are_clipped_before_they_are_averaged():
    volume = thin()
    hu = volume.hu.copy()
    hu[0] = -3024
    case = make_case(Volume(hu, volume.affine), "a", protocol="box", factor=2)
    np.testing.assert_allclose(case.thick.hu[0], (-1024 + hu[1]) / 2, atol=1e-3)


def test_padding_of_a_thick_slice_is_where_all_its_thin_slices_are_padding():
    volume = thin(padding=True)
    assert volume.padding is not None
    gap = make_case(volume, "a", protocol="gap", factor=2)
    np.testing.assert_array_equal(gap.thick.padding, volume.padding[::2])
    box = make_case(volume, "a", protocol="box", factor=2)
    np.testing.assert_array_equal(box.thick.padding, volume.padding[0:26:2] & volume.padding[1:26:2])


def test_a_wrong_thickness_or_profile_is_assumed_and_changes_nothing_else():
    volume = thin()
    right = make_case(volume, "a", protocol="gauss", factor=4)
    wrong = make_case(volume, "a", protocol="gauss", factor=4, assume_thickness=0.75, assume_profile="box")
    np.testing.assert_array_equal(right.thick.hu, wrong.thick.hu)
    np.testing.assert_array_equal(right.grid.output_mm, wrong.grid.output_mm)
    assert wrong.grid.thickness_mm == pytest.approx(0.75 * right.grid.thickness_mm)
    assert wrong.thick.thickness == pytest.approx(wrong.grid.thickness_mm)
    assert (right.grid.shape, wrong.grid.shape) == ("gauss", "box")


def test_cut_keeps_the_middle_in_its_place():
    volume = thin(slices=10, rows=8, columns=7)
    part = cut(volume, slices=5, region=3)
    np.testing.assert_array_equal(part.hu, volume.hu[2:7, 2:5, 2:5])
    np.testing.assert_allclose((part.affine @ [1, 1, 1, 1])[:3], (volume.affine @ [3, 3, 3, 1])[:3])
    np.testing.assert_array_equal(cut(volume, slices=99, region=99).hu, volume.hu)
    np.testing.assert_array_equal(cut(volume).affine, volume.affine)


def test_a_later_cut_cannot_reach_what_an_earlier_one_removed():
    volume = thin(slices=12, rows=9, columns=9)
    twice = cut(cut(volume, region=7), region=3)
    np.testing.assert_array_equal(twice.hu, cut(volume, region=3).hu)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"protocol": "mean"}, UsageError, "USE-PROTOCOL"),
        ({"factor": 1}, UsageError, "USE-FACTOR"),
        ({"factor": 2.5}, UsageError, "USE-FACTOR"),
        ({"factor": 9}, UsageError, "USE-FACTOR"),
        ({"factor": 8}, GeometryError, "GEO-FEW"),
    ],
)
def test_impossible_cases_are_refused(changes, error, code):
    with pytest.raises(error) as caught:
        make_case(thin(), "a", **{"protocol": "box", "factor": 2, **changes})
    assert caught.value.code == code


def test_an_empty_cut_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        cut(thin(), region=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factor", [3, 5])
def test_at_centres_the_truth_is_the_scan_s_own_slices_from_the_first_thick_centre(protocol, factor):
    """Nothing of it is interpolated, and thick slices are averaged from all of the scan as ever."""
    volume = thin()
    plain = make_case(volume, "a", protocol=protocol, factor=factor)
    case = make_case(volume, "a", protocol=protocol, factor=factor, placement="centres")
    np.testing.assert_array_equal(case.thick.hu, plain.thick.hu)
    first = 0 if protocol == "gap" else (factor - 1) // 2
    np.testing.assert_array_equal(case.truth, volume.hu[first : first + (len(case.thick.hu) - 1) * factor + 1])
    np.testing.assert_allclose(world(case.truth_volume, 0), world(case.thick, 0), atol=1e-9)
    np.testing.assert_allclose(world(case.truth_volume, 0), world(volume, first), atol=1e-9)
    assert len(case.truth) == len(case.new) == len(case.grid.output_mm)


def test_at_centres_even_blocks_have_no_truth():
    import thinslice

    for protocol in ("box", "gauss"):
        with pytest.raises(UsageError, match="no truth") as refused:
            thinslice.evaluate(thin(), protocols=(protocol,), factors=(4,), methods=("linear",), grid="centres")
        assert refused.value.code == "USE-GRID"
    rows = thinslice.evaluate(
        thin(40, 24, 24), protocols=("gap", "box"), factors=(3,), methods=("linear",), grid="centres"
    )
    assert len(rows) == 2
