"""Two reconstructions of one acquisition: the profile between them, and methods compared on them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import thinslice
from thinslice.errors import GeometryError, InputError, UsageError
from thinslice.evaluation.measured_profile import measure_profile
from thinslice.evaluation.pairs import match_pair, pair_case
from thinslice.evaluation.protocols import make_case
from thinslice.phantom import make_phantom
from thinslice.physics.grid import plan_grid
from thinslice.physics.operator import SliceOperator
from thinslice.volume import Volume


@pytest.fixture(scope="module")
def thin() -> Volume:
    return make_phantom(shape=(80, 48, 40), spacing_mm=(1.0, 2.0, 2.0), noise_hu=20.0, seed=3).volume


def _thick(thin: Volume, thickness: float, flatness: float, *, spacing: float = 4.0, first: float = 0.0) -> Volume:
    """Thick slices from `first` mm of the thin ones on."""
    count = int((len(thin.hu) - 1 - first) // spacing)
    grid = plan_grid(count, spacing, 1.0, thickness_mm=thickness, flatness=flatness)
    grid = replace(grid, acquired_mm=grid.acquired_mm + first, output_mm=np.arange(len(thin.hu), dtype=float))
    return thin.with_slices(
        SliceOperator(grid).apply(thin.hu).astype(np.float32),
        first=first,
        step=spacing,
        thickness=spacing,
        padding=None,
    )


@pytest.mark.parametrize(("thickness", "flatness"), [(4.0, 1.0), (4.0, 0.0), (4.6, 0.4)])
@pytest.mark.parametrize("first", [4.0, 5.5])
def test_the_profile_between_two_series_is_measured(thin, thickness, flatness, first):
    measured = measure_profile(match_pair(_thick(thin, thickness, flatness, first=first), thin, name="pair"))
    assert measured.thickness_mm == pytest.approx(thickness, rel=0.03)
    assert measured.flatness == pytest.approx(flatness, abs=0.11)
    assert sum(measured.weights) == pytest.approx(1, abs=0.02)
    assert measured.residual_hu < 1
    assert measured.family_residual_hu < 2
    if flatness < 1:
        assert measured.box_residual_hu > 3 * measured.family_residual_hu
    assert measured.mean_transfer == pytest.approx(1, abs=0.02)
    assert measured.warnings() == []
    assert max(map(len, measured.lines)) <= 80


def test_thin_slices_may_run_the_other_way_and_cover_a_part(thin):
    thick = _thick(thin, 4.0, 0.0, first=2.0)
    affine = thin.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (len(thin.hu) - 1)
    affine[:3, 2] *= -1
    turned = replace(thin, hu=thin.hu[::-1], affine=affine)
    one, other = match_pair(thick, thin, name="pair"), match_pair(thick, turned, name="pair")
    np.testing.assert_array_equal(one.thin, other.thin)
    np.testing.assert_allclose(one.grid.output_mm, other.grid.output_mm)
    part = replace(thin, hu=thin.hu[20:60], affine=thin.affine @ _shift(20))
    few = match_pair(thick, part, name="pair")
    assert len(few.thick.hu) == 10
    assert np.abs(few.thick.affine[:3, 3] - (thick.affine @ _shift(5))[:3, 3]).max() < 1e-9
    np.testing.assert_array_equal(few.thick.hu, np.clip(thick.hu[5:15], -1024, 3071))


def _shift(slices: float) -> np.ndarray:
    shift = np.eye(4)
    shift[2, 3] = slices
    return shift


def test_methods_are_compared_where_thin_slices_lie(thin):
    """Of a pair that was made in code, a row is that of the protocol which makes it."""
    case = make_case(thin, "scan", protocol="box", factor=4)
    pair = match_pair(case.thick, thin, name="pair")
    told = pair_case(pair, assume_profile="box")
    np.testing.assert_allclose(told.truth, case.truth)
    np.testing.assert_allclose(told.grid.output_mm, case.grid.output_mm)
    rows = thinslice.evaluate(
        (), pairs=[(case.thick, thin)], methods=("linear", "bspline", "thinslice"), assume_profile="box"
    )
    same = thinslice.evaluate([thin], protocols=("box",), factors=(4,), methods=("linear", "bspline", "thinslice"))
    assert [row.protocol for row in rows] == ["pair"] * 3
    for one, other in zip(rows, same, strict=True):
        assert one.psnr_new == pytest.approx(other.psnr_new, abs=1e-3)
    assert rows.pairs[0].shape == "box"


def test_methods_are_told_the_profile_that_the_thick_slices_show():
    random = np.random.default_rng(0)
    hu = ndimage.gaussian_filter(random.normal(0, 40, (80, 64, 64)), (0, 0.8, 0.8)) + 30
    thin = Volume(hu + ndimage.gaussian_filter(random.normal(0, 900, hu.shape), 6), np.eye(4))
    for flatness, shapes in ((1.0, {"box"}), (0.0, {"gauss", "rounded"})):
        rows = thinslice.evaluate((), pairs=[(_thick(thin, 4.0, flatness, first=1.5), thin)], methods=("bspline",))
        assert rows[0].assumed_profile in shapes


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"hu": lambda hu: hu[:, 2:]}, "GEO-PAIR", "pixels of pair do not coincide"),
        ({"affine": lambda affine: affine @ np.diag([1.01, 1, 1, 1])}, "GEO-PAIR", "without resampling"),
        ({"affine": lambda affine: affine @ _shift(500)}, "GEO-PAIR", "thin slices cover 0 thick ones"),
        ({"affine": lambda affine: affine @ np.diag([1, 1, 4, 1])}, "GEO-PAIR", "1.2 to 8 times is possible"),
    ],
)
def test_series_that_do_not_share_a_place_are_refused(thin, change, code, words):
    values = {name: alter(getattr(thin, name)) for name, alter in change.items()}
    with pytest.raises(GeometryError, match=words) as caught:
        match_pair(_thick(thin, 4.0, 1.0), replace(thin, padding=None, **values), name="pair")
    assert caught.value.code == code


def test_another_body_is_refused(thin):
    other = replace(thin, hu=thin.hu[::-1].copy())
    with pytest.raises(InputError, match="do not show the same body") as caught:
        measure_profile(match_pair(_thick(thin, 4.0, 1.0), other, name="pair"))
    assert caught.value.code == "IN-PAIR"


def test_another_kernel_is_warned_of(thin):
    random = np.random.default_rng(0)
    sharp = replace(thin, hu=thin.hu + random.normal(0, 120, thin.hu.shape).astype(np.float32))
    thick = _thick(sharp, 4.0, 1.0)
    smooth = replace(thick, hu=ndimage.gaussian_filter(thick.hu, (0, 1.2, 1.2)))
    measured = measure_profile(match_pair(smooth, sharp, name="pair"))
    assert [notice.code for notice in measured.warnings()] == ["PAIR-KERNEL"]


def test_names_are_for_scans_and_pairs_together(thin):
    with pytest.raises(UsageError, match="1 names are given for 0 scans and 2 pairs"):
        thinslice.evaluate((), pairs=[(thin, thin)] * 2, names=["one"])


def test_a_real_pair_is_a_bell_and_its_own_noise_says_so(shared_ct):
    """A head phantom, Philips Ingenuity, helical: 5 mm over 1 mm."""
    volumes = [
        thinslice.read(shared_ct / "pairs" / f"headphantom_philips_ub_{name}.nii.gz") for name in ("thick", "thin")
    ]
    pair = match_pair(volumes[0], volumes[1], name="pair")
    measured = measure_profile(pair)
    assert measured.fwhm_mm == pytest.approx(4.88, abs=0.1)
    assert measured.residual_hu < 0.2 * measured.box_residual_hu
    assert measured.mean_transfer == pytest.approx(1, abs=0.05)
    case = pair_case(pair)
    assert case.grid.thickness_mm == pytest.approx(measured.thickness_mm, rel=0.05)
    assert case.grid.flatness == pytest.approx(measured.flatness, abs=0.1)
