"""Scores agree with scikit-image, and are what their names say on volumes made for them."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import ndtr
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from thinslice.errors import GeometryError
from thinslice.evaluation.metrics import Scorer, psnr, ssim
from thinslice.evaluation.protocols import make_case
from thinslice.volume import Volume


def blocks(slices=25, *, seed=0, noise=20.0):
    """Slabs of lung, soft tissue and bone side by side, 16 pixels each, and noise."""
    hu = np.empty((slices, 24, 48))
    hu[:, :, :16], hu[:, :, 16:32], hu[:, :, 32:] = -850, 40, 700
    hu += np.random.default_rng(seed).normal(0, noise, hu.shape)
    return Volume(hu, np.eye(4))


@pytest.fixture(scope="module")
def gap():
    return make_case(blocks(), "a", protocol="gap", factor=2)


@pytest.fixture(scope="module")
def noisy(gap):
    return gap.truth + np.random.default_rng(1).normal(0, 60, gap.truth.shape).astype(np.float32)


def test_new_slices_are_scored_as_scikit_image_scores_them(gap, noisy):
    scores = Scorer(gap).score(noisy)
    truth, ours = gap.truth[gap.new].astype(float), np.clip(noisy, -1024, 3071)[gap.new].astype(float)
    assert scores.psnr_new == pytest.approx(peak_signal_noise_ratio(truth, ours, data_range=4095), abs=1e-6)
    expected = [
        structural_similarity(a, b, data_range=4095, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(truth, ours, strict=True)
    ]
    assert scores.ssim_new == pytest.approx(np.mean(expected), abs=1e-7)
    assert scores.mae_new == pytest.approx(np.abs(truth - ours).mean(), abs=1e-3)


@pytest.mark.parametrize(("name", "low", "high"), [("psnr_lung", -1350, 150), ("psnr_soft", -160, 240)])
def test_windowed_scores_are_those_of_the_windowed_images(gap, noisy, name, low, high):
    truth, ours = np.clip(gap.truth[gap.new], low, high), np.clip(noisy[gap.new], max(low, -1024), high)
    expected = psnr(mean_squared_error(truth, ours), peak=high - low)
    assert getattr(Scorer(gap).score(noisy), name) == pytest.approx(expected, abs=1e-4)


def test_acquired_slices_count_only_where_they_should(gap, noisy):
    copied = np.where(gap.new[:, None, None], noisy, gap.truth)
    scores = Scorer(gap).score(copied)
    share = gap.new.mean()
    assert scores.psnr_all - scores.psnr_new == pytest.approx(-10 * math.log10(share), abs=1e-6)
    assert scores.psnr_new == Scorer(gap).score(noisy).psnr_new


def test_the_truth_itself_is_perfect(gap):
    scores = Scorer(gap).score(gap.truth)
    assert scores.psnr_new == math.inf
    assert scores.ssim_new == pytest.approx(1)
    assert (scores.mae_new, scores.bias_lung, scores.bias_soft, scores.bias_bone, scores.laa950) == (0, 0, 0, 0, 0)
    assert (scores.perc15, scores.dice_bone, scores.noise_ratio) == (0, 1, pytest.approx(1, abs=0.06))


def test_values_beyond_the_range_are_clipped_before_anything(gap):
    far = np.where(gap.truth < 0, gap.truth, 9000.0)
    clipped = np.where(gap.truth < 0, gap.truth, 3071.0)
    assert asdict(Scorer(gap).score(far)) == pytest.approx(asdict(Scorer(gap).score(clipped)), nan_ok=True)


@pytest.mark.parametrize(
    ("tissue", "columns", "shift"),
    [("lung", slice(0, 16), -16), ("soft", slice(16, 32), 7), ("bone", slice(32, 48), -25)],
)
def test_a_shift_in_one_tissue_is_its_bias_and_no_other(gap, tissue, columns, shift):
    shifted = gap.truth.copy()
    shifted[:, :, columns] += shift
    scores = Scorer(gap).score(shifted)
    found = {name: getattr(scores, f"bias_{name}") for name in ("lung", "soft", "bone")}
    assert found == pytest.approx({"lung": 0, "soft": 0, "bone": 0} | {tissue: shift}, abs=1e-3)


def test_bias_masks_do_not_select_the_noise_of_the_truth():
    """Bone cut from noisy voxels would show a bias where result and truth have the same mean."""
    volume = blocks(noise=0)
    case = make_case(blocks(noise=150, seed=3), "a", protocol="gap", factor=2)
    assert abs(Scorer(case).score(volume.hu).bias_bone) < 6


def test_emphysema_is_counted_in_percentage_points_after_smoothing(gap):
    scores = Scorer(gap).score(np.where(gap.truth < -500, -990.0, gap.truth))
    assert scores.laa950 == pytest.approx(100, abs=20)  # the slab's border is smoothed into its neighbour
    noise = gap.truth + np.random.default_rng(2).normal(0, 60, gap.truth.shape)
    assert abs(Scorer(gap).score(noise).laa950) < 1


def test_thresholds_are_those_said(gap):
    def scored(columns: slice, hu):
        result = gap.truth.copy()
        result[:, :, columns] = hu
        return Scorer(gap).score(result)

    assert scored(slice(16, 32), 190.0).dice_bone == 1
    assert scored(slice(16, 32), 210.0).dice_bone == pytest.approx(2 / 3, abs=0.01)
    assert abs(scored(slice(0, 12), -935.0).laa950) < 1
    assert scored(slice(0, 12), -965.0).laa950 > 50
    assert abs(scored(slice(8, 16), gap.truth[:, :, 8:16] + 60).perc15) < 8  # the dense half rises, not its tail


def test_the_width_of_edges_is_in_millimetres_of_the_scan():
    z = np.arange(49) * 2.0

    def edge(sigma_mm: float) -> np.ndarray:
        profile = -800 + 1000 * ndtr((z - 48.4) / sigma_mm)
        return np.broadcast_to(profile[:, None, None], (49, 20, 20)).astype(np.float32)

    case = make_case(Volume(edge(1.0), np.diag([1, 1, 2, 1.0])), "a", protocol="gap", factor=2)
    assert Scorer(case).score(edge(3.0)).edge_mm == pytest.approx(2 * 1.2816 * 3, rel=0.06)


@pytest.mark.parametrize("shift", [-16, 9])
def test_a_shift_of_lung_is_the_shift_of_its_percentile(gap, shift):
    shifted = np.where(gap.truth < -500, gap.truth + shift, gap.truth)
    scores = Scorer(gap).score(shifted)
    assert scores.perc15 == pytest.approx(shift, abs=0.5)
    assert (scores.dice_bone, scores.noise_ratio) == (1, Scorer(gap).score(gap.truth).noise_ratio)


def test_bone_counts_by_its_overlap(gap):
    half = gap.truth.copy()
    half[:, :12, 32:] = 0  # the upper half of the slab is lost
    assert Scorer(gap).score(half).dice_bone == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.5, 2.0])
def test_noise_of_new_slices_stands_beside_that_of_acquired_ones(share):
    """Noise of 20 HU in soft tissue: the truth is as noisy as the acquired slices, a smooth result is not."""
    clean, noisy = (
        np.where(blocks(noise=0).hu > -500, 40, -850) + sigma * np.random.default_rng(4).normal(size=(25, 24, 48))
        for sigma in (0, 20)
    )
    case = make_case(Volume(noisy, np.eye(4)), "a", protocol="gap", factor=2)
    new = case.new[:, None, None]
    scores = Scorer(case).score(np.where(new, clean + share * (noisy - clean), case.truth))
    assert scores.noise_acquired == pytest.approx(20, rel=0.1)
    assert scores.noise_new == pytest.approx(20 * share, rel=0.1, abs=0.01)
    assert scores.noise_ratio == scores.noise_new / scores.noise_acquired


def test_what_a_scan_does_not_hold_is_not_scored():
    air = Volume(np.full((9, 6, 6), -990.0), np.eye(4))
    scores = Scorer(make_case(air, "a", protocol="gap", factor=2)).score(np.full((9, 6, 6), -980.0))
    assert math.isnan(scores.bias_bone)
    assert math.isnan(scores.edge_mm)
    assert math.isnan(scores.ssim_new)
    assert scores.mae_new == pytest.approx(10)


def test_a_result_of_another_shape_is_refused(gap):
    for other in (gap.truth[1:], gap.truth[:, :, :-1], gap.thick.hu):
        with pytest.raises(GeometryError) as refused:
            Scorer(gap).score(other)
        assert refused.value.code == "GEO-SHAPE"
        assert f"is {other.shape}, not {gap.truth.shape}" in refused.value.message


def test_ssim_is_symmetric_and_falls_with_noise():
    generator = np.random.default_rng(5)
    plane = generator.normal(0, 300, (30, 31))
    little, much = (plane + generator.normal(0, sigma, plane.shape) for sigma in (50, 500))
    assert ssim(plane, little, peak=4095) == pytest.approx(ssim(little, plane, peak=4095))
    assert ssim(plane, much, peak=4095) < ssim(plane, little, peak=4095) < 1
