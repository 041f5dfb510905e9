"""Bodies made in code: sharp, within CT's range, repeatable, and thickened as the task says."""

import numpy as np
import pytest
import torch

from thinslice.fitting.config import FitConfig
from thinslice.training.shapes import draw_bodies, shape_pairs


@pytest.fixture
def config() -> FitConfig:
    return FitConfig(batch=3, patch_slices=8, patch_width=24)


def test_bodies_are_sharp_and_within_the_range_of_ct():
    for seed in range(20):
        hu = draw_bodies(np.random.default_rng(seed), (7, 20, 24))
        assert hu.dtype == np.float32
        assert hu.min() >= -1000
        assert hu.max() <= 1500
        # A voxel is inside, outside or on a surface: most places look like their neighbours along z.
        flat = np.abs(np.diff(hu, axis=1)) < 1e-3
        assert flat.mean() > 0.4
        assert np.ptp(hu) > 100  # and there is something to see


def test_pairs_are_bodies_and_what_a_scanner_makes_of_them(config):
    pairs = shape_pairs(np.random.default_rng(4), config)
    thin = pairs.truth
    thick = pairs.task.observation @ thin
    assert pairs.thick.shape[:2] == (3, config.inplane.planes)
    assert torch.allclose(pairs.thick[:, config.inplane.neighbours], thick, atol=1e-2)
    again = shape_pairs(np.random.default_rng(4), config)
    assert torch.equal(again.thick, pairs.thick)


def test_half_of_the_draws_carry_noise(config):
    def noisy(seed: int) -> bool:
        truth = shape_pairs(np.random.default_rng(seed), config).truth
        return bool((truth.diff(dim=2) == 0).float().mean() < 0.1)

    assert 0.25 < np.mean([noisy(seed) for seed in range(40)]) < 0.75
