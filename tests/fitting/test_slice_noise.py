"""Rows made in the plane are as noisy as a scan's own, independent of one another, and say nothing of labels."""

import numpy as np
import pytest
import torch

from thinslice.fitting.slice_noise import SliceNoise
from thinslice.phantom import make_water_phantom
from thinslice.physics.noise import shared_noise


@pytest.fixture(scope="module")
def water() -> np.ndarray:
    return make_water_phantom(shape=(12, 128, 128), noise_hu=20.0).hu


@pytest.mark.parametrize("along_x", [True, False])
@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_means_of_pixels_become_as_noisy_as_pixels(water, pixels, along_x):
    random = np.random.default_rng(0)
    noise = SliceNoise.of(water, seed=0, random=random)
    inside = water[:, 40:88, 40:88]
    turned = inside.transpose(0, 2, 1) if along_x else inside  # pixels to be averaged along the second axis
    rows = np.kron(np.eye(48 // pixels), np.full((1, pixels), 1 / pixels))
    thick = torch.from_numpy(np.einsum("mp,kpw->kmw", rows, turned)[:, None].astype(np.float32))
    noisy = noise.add(thick, rows, along_x=along_x)
    assert float(noisy.std()) == pytest.approx(float(inside.std()), rel=0.06)
    added = (noisy - thick).numpy().reshape(-1, 48)
    if pixels == 1:
        assert not added.any()
    else:
        neighbours = np.corrcoef(added[:-1:2].ravel(), added[1::2].ravel())[0, 1]
        assert abs(neighbours) < 0.1


def test_where_no_tissue_tells_of_noise_there_is_none():
    assert SliceNoise.of(np.full((8, 64, 64), -1000, np.float32), seed=0, random=np.random.default_rng(0)) is None


def test_images_may_be_longer_than_the_noise_that_is_kept(water):
    noise = SliceNoise.of(water, seed=0, random=np.random.default_rng(0))
    rows = np.kron(np.eye(350), np.full((1, 3), 1 / 3))
    assert noise.add(torch.zeros(1, 1, 350, 8), rows, along_x=True).std() > 10


def test_noise_that_neighbouring_slices_share_does_not_lack(water):
    """Means of k slices at every slice share (k - 1) / k of their noise; rows of four pixels are half as noisy."""
    rows = np.kron(np.eye(40), np.full((1, 4), 0.25))
    added = {}
    for k in (1, 2, 4):
        slices = np.stack([water[i : i + k].mean(0) * k**0.5 for i in range(len(water) - k + 1)])
        slices[:, water[0] < -500] = -1000
        assert shared_noise(slices) == pytest.approx((k - 1) / k, abs=0.06)
        noise = SliceNoise.of(slices, seed=0, random=np.random.default_rng(0))
        added[k] = float(noise.add(torch.zeros(4, 1, 40, 64), rows, along_x=True).square().mean())
    whole = float(water[:, 40:88, 40:88].var())
    assert added[2] == pytest.approx(added[1] - whole / 2, rel=0.25)
    assert added[4] < 0.1 * added[1]
