"""How noisy slices are, which of them count, and what neighbours share."""

import numpy as np
import pytest

from thinslice.physics.grid import plan_grid
from thinslice.physics.noise import noise_entry, noise_hu, noise_of, shared_noise


def test_noise_of_flat_tissue_is_found():
    random = np.random.default_rng(2)
    slices = 40 + random.normal(0, 17, (6, 96, 96)).astype(np.float32)
    assert noise_hu(slices) == pytest.approx(17, rel=0.03)
    assert noise_hu(np.full((4, 64, 64), -1000, np.float32)) is None


def test_noise_between_acquired_slices_leaves_their_copies_out():
    grid, random = plan_grid(6, 4.0, 1.0, thickness_mm=1.0), np.random.default_rng(0)
    out = 40 + random.normal(0, 10, (21, 64, 64)).astype(np.float32)
    out[::4] = 40 + random.normal(0, 20, (6, 64, 64))
    found = noise_of(out, out[::4], grid=grid)
    assert found["acquired_hu"] == pytest.approx(20, rel=0.05)
    assert found["synthesised_hu"] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("before", "after", "ratio"),
    [(10.0, 5.0, 0.5), (10.0, 0.0, 0.0), (0.0, 5.0, None), (None, 5.0, None), (10.0, None, None)],
)
def test_a_ratio_is_said_wherever_there_is_noise_to_divide_by(before, after, ratio):
    assert noise_entry(before, after)["ratio"] == ratio


def test_slices_without_tissue_share_nothing():
    assert shared_noise(np.full((8, 64, 64), -1000, np.float32)) == 0.0
