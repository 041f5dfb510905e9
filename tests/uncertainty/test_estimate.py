"""The uncertainty of a result: the result stays the same, copies are certain, and it rises where errors do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import thinslice
from thinslice.errors import UsageError
from thinslice.evaluation.protocols import Case, make_case
from thinslice.phantom import make_phantom
from thinslice.volume import Volume

FACTOR = 4
QUIET = {"fit": "none", "check": False}


@pytest.fixture(scope="module")
def thin() -> Volume:
    return make_phantom(shape=(64, 64, 64), spacing_mm=(1.25, 3.0, 3.0)).volume


@pytest.fixture(scope="module")
def gap(thin: Volume) -> Case:
    return make_case(thin, "phantom", protocol="gap", factor=FACTOR)


@pytest.fixture(scope="module")
def box(thin: Volume) -> Case:
    return make_case(thin, "phantom", protocol="box", factor=FACTOR)


def _unsure(thick: Volume, **options: object) -> np.ndarray:
    found = thinslice.enhance(thick, factor=FACTOR, **QUIET, uncertainty=True, **options).uncertainty
    assert found is not None
    return found


@pytest.fixture(scope="module")
def of_gap(gap: Case) -> np.ndarray:
    return _unsure(gap.thick)


@pytest.fixture(scope="module")
def of_box(box: Case) -> np.ndarray:
    return _unsure(box.thick)


def test_the_result_stays_the_same_and_copies_are_certain(gap: Case) -> None:
    without, asked = (thinslice.enhance(gap.thick, factor=FACTOR, **QUIET, uncertainty=u) for u in (False, True))
    assert without.uncertainty is None
    assert without.record["uncertainty"] is None
    assert np.array_equal(without.volume.hu, asked.volume.hu)
    assert asked.uncertainty is not None
    assert (asked.uncertainty.shape, asked.uncertainty.dtype) == (asked.volume.shape, np.float32)
    assert not asked.uncertainty[::FACTOR].any()
    assert (asked.uncertainty[gap.new] > 0).all()
    entry = asked.record["uncertainty"]
    assert entry["calibration"]["held_out"] == 7  # every second of 16, but the last
    assert entry["rms_hu"] == pytest.approx(float(np.sqrt(np.mean(asked.uncertainty[gap.new] ** 2))), rel=1e-3)


@pytest.mark.parametrize("protocol", ["gap", "box"])
def test_errors_are_about_as_large_as_expected(protocol: str, request: pytest.FixtureRequest) -> None:
    case, unsure = request.getfixturevalue(protocol), request.getfixturevalue(f"of_{protocol}")
    result = thinslice.enhance(case.thick, factor=FACTOR, **QUIET).volume.hu
    errors = (result - case.truth)[case.new]
    assert 0.6 < _rms(errors) / _rms(unsure[case.new]) < 1.5
    assert 0.8 < np.mean(np.abs(errors) < 1.64 * unsure[case.new]) < 0.98


def test_it_is_largest_half_way_between_acquired_slices(of_gap: np.ndarray) -> None:
    by_place = [float(np.mean(of_gap[place::FACTOR])) for place in range(1, FACTOR)]
    assert by_place[1] > by_place[0]
    assert by_place[1] > by_place[2]


def _with_nodule(hu: np.ndarray) -> None:
    """A nodule of 9 mm in one thick slice alone, in lung."""
    hu[8, 33:36, 49:52] = 60


def _with_metal(hu: np.ndarray) -> None:
    for k, column in ((7, 38), (8, 42)):
        hu[k, 30:33, column : column + 3] = 3000


def _moved(hu: np.ndarray) -> None:
    """The patient moves by 15 mm between two slices."""
    hu[8:] = np.roll(hu[8:], 5, axis=2)


@pytest.mark.parametrize(
    ("change", "where", "times"),
    [
        (_with_nodule, (slice(28, 36), slice(33, 36), slice(49, 52)), 1.2),
        (_with_metal, (slice(29, 35), slice(30, 33), slice(37, 46)), 3.0),
        (_moved, (slice(29, 32), slice(None), slice(None)), 1.5),
    ],
)
@pytest.mark.parametrize("protocol", ["gap", "box"])
def test_it_rises_where_slices_do_not_fit_together(
    protocol: str,
    change: Callable[[np.ndarray], None],
    where: tuple[slice, slice, slice],
    times: float,
    request: pytest.FixtureRequest,
) -> None:
    case, before = request.getfixturevalue(protocol), request.getfixturevalue(f"of_{protocol}")
    hu = case.thick.hu.copy()
    change(hu)
    after = _unsure(replace(case.thick, hu=hu))
    far = (slice(1, 20), slice(None), slice(None))
    rise = _rms(after[where]) / _rms(before[where])
    assert rise > times * _rms(after[far]) / _rms(before[far])
    assert rise > times


def test_it_follows_the_noise_of_an_unknown_kernel(box: Case, of_box: np.ndarray) -> None:
    noisy = box.thick.hu + np.random.default_rng(0).normal(0, 60, box.thick.hu.shape).astype(np.float32)
    flat = (slice(8, 56), slice(14, 17), slice(38, 42))  # soft tissue
    assert _rms(_unsure(replace(box.thick, hu=noisy))[flat]) > 2 * _rms(of_box[flat])


def test_it_rises_across_a_filled_gap(thin: Volume, of_gap: np.ndarray) -> None:
    """Two slices are missing: the result is less certain there than with them, and least in the middle."""
    acquired = np.delete(np.arange(0, 61, 4), [7, 8])
    thick = make_case(thin, "p", protocol="gap", factor=FACTOR).thick
    unsure = _unsure(replace(thick, hu=thin.hu[acquired], slice_positions_mm=acquired * 1.25))
    missing = [29, 30, 31]  # of the result, in the middle of what is filled
    for k in missing:
        assert _rms(unsure[k]) > 1.4 * _rms(of_gap[k])
    assert 24 + int(np.argmax([_rms(unsure[k]) for k in range(24, 37)])) in missing
    assert not unsure[[24, 36]].any()


def test_fewer_views_and_other_fits_have_one_as_well(box: Case, of_box: np.ndarray) -> None:
    one = _unsure(box.thick, views=("coronal",))
    assert 0.8 < _rms(one) / _rms(of_box) < 1.6
    fitted = thinslice.enhance(box.thick, factor=FACTOR, fit="scan", iterations=2, check=False, uncertainty=True)
    assert fitted.uncertainty is not None
    assert (fitted.uncertainty > 0).all()


def test_a_viewing_copy_has_none(box: Case) -> None:
    with pytest.raises(UsageError, match="viewing copy"):
        thinslice.enhance(box.thick, factor=FACTOR, **QUIET, texture="match", uncertainty=True)


def test_padding_is_certain_and_short_scans_have_no_calibration(box: Case) -> None:
    padding = np.zeros(box.thick.shape, bool)
    padding[:, :6] = True
    short = replace(box.thick, hu=np.where(padding, np.float32(-2000), box.thick.hu)[:5], padding=padding[:5])
    found = thinslice.enhance(short, factor=FACTOR, **QUIET, uncertainty=True)
    assert found.uncertainty is not None
    assert found.volume.padding is not None
    assert not found.uncertainty[found.volume.padding].any()
    assert found.record["uncertainty"]["calibration"] == {"held_out": 0, "found_over_expected": 1.0, "factor": 1.0}


def test_what_is_written_reads_back_and_says_what_it_is(box: Case, tmp_path) -> None:
    result = thinslice.enhance(box.thick, factor=FACTOR, **QUIET, uncertainty=True)
    result.save_uncertainty(tmp_path / "unc.nii.gz")
    back = thinslice.read(tmp_path / "unc.nii.gz", allow_derived=True)
    np.testing.assert_array_equal(back.hu, result.uncertainty)
    np.testing.assert_allclose(back.affine, result.volume.affine, atol=1e-5)
    mark = back.origin.mark
    assert mark is not None
    assert mark["content"] == "uncertainty"
    assert mark["correlation"]["in_plane"] == result.record["uncertainty"]["correlation"]["in_plane"]
    without = thinslice.enhance(box.thick, factor=FACTOR, **QUIET)
    with pytest.raises(UsageError, match="ask enhance for it"):
        without.save_uncertainty(tmp_path / "other.nii.gz")


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
