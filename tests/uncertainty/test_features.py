"""What the uncertainty is made from: in units of the noise, mirrored where the scan is, and the floor of physics."""

import numpy as np
import pytest
import torch

from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.physics.noise import noise_correlation
from thinslice.physics.operator import SliceOperator
from thinslice.uncertainty.features import FEATURES, LOCAL, Features, noise_floor, pooled, scan_noise


def _acquisition(hu: np.ndarray) -> Acquisition:
    return Acquisition(hu.astype(np.float32), plan_grid(len(hu), 4.0, 1.0, thickness_mm=4.0), (0.8, 0.8))


def _features(hu: np.ndarray, out: np.ndarray, differs: np.ndarray) -> torch.Tensor:
    features = Features(_acquisition(hu), views=2)
    return features.of(np.arange(len(out)), *(torch.from_numpy(v.astype(np.float32)) for v in (out, differs)))


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    hu = 40 + 12 * random.standard_normal((6, 33, 30))
    return hu, np.repeat(hu, 4, axis=0) + random.standard_normal((24, 33, 30)), random.standard_normal((24, 33, 30))


def test_features_of_a_mirrored_scan_are_mirrored(scan: tuple[np.ndarray, ...]) -> None:
    straight = _features(*scan)
    mirrored = _features(*(values[:, :, ::-1].copy() for values in scan))
    assert straight.shape == (24, len(FEATURES), 17, 15)
    # differences with the next pixel along x lie half a pixel to one side
    even = [number for number, name in enumerate(FEATURES) if name != "slope"]
    torch.testing.assert_close(mirrored[:, even].flip(-1), straight[:, even], rtol=1e-3, atol=1e-3)


def test_energies_do_not_know_how_noisy_a_scan_is(scan: tuple[np.ndarray, ...]) -> None:
    hu, out, differs = scan
    once, thrice = _features(hu - 40, out - 40, differs), _features(3 * (hu - 40), 3 * (out - 40), 3 * differs)
    torch.testing.assert_close(thrice[:, : len(LOCAL)], once[:, : len(LOCAL)], rtol=1e-3, atol=1e-3)


def test_noise_of_a_scan_is_found_with_and_without_soft_tissue() -> None:
    noise = np.random.default_rng(1).standard_normal((8, 64, 64)).astype(np.float32)
    assert scan_noise(40 + 15 * noise) == pytest.approx(15, rel=0.1)
    assert scan_noise(-800 + 15 * noise) == pytest.approx(15, rel=0.1)
    assert scan_noise(np.zeros((4, 16, 16), np.float32)) == 1


@pytest.mark.parametrize(("factor", "thickness"), [(2, 2.0), (4, 4.0), (4, 2.5)])
def test_the_floor_is_what_is_left_of_white_noise_behind_the_projection(factor: int, thickness: float) -> None:
    grid = plan_grid(12, float(factor), 1.0, thickness_mm=thickness)
    operator = SliceOperator(grid)
    thin = np.random.default_rng(2).standard_normal((len(grid.output_mm), 40000))
    thick = operator.apply(thin)
    left = operator.null_projector(thin).std(axis=1) / thick[2:-2].std()
    np.testing.assert_allclose(noise_floor(grid)[factor:-factor], left[factor:-factor], rtol=0.03)


def test_the_floor_between_thin_slices_is_their_noise() -> None:
    assert set(noise_floor(plan_grid(5, 4.0, 1.0, thickness_mm=1.0))) == {1.0}


def test_pooling_keeps_the_mean_and_repeats_an_odd_edge() -> None:
    values = torch.arange(12.0).view(1, 3, 4)
    assert pooled(values).tolist() == [[[2.5, 4.5], [8.5, 10.5]]]


def test_noise_that_slices_share_is_known_from_little_tissue() -> None:
    """Of a few slices, or of a window in the lung: taken for none, it made errors look half as large again."""
    random = np.random.default_rng(3)
    hu = np.full((8, 48, 48), -850.0)
    hu[:, 12:36, 12:36] = 40
    noise = random.standard_normal((9, 48, 48))
    shared = Features(_acquisition(hu + 12 * (noise[1:] + noise[:-1])), views=2)
    alone = Features(_acquisition(hu + 12 * noise[1:]), views=2)
    place = FEATURES.index("shared noise") - FEATURES.index("between")
    assert noise_correlation(shared.acquisition.hu) is None
    assert shared._numbers[0, place] > 0.3
    assert alone._numbers[0, place] < 0.15
