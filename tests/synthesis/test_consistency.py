"""Consistency with what was measured, in all three regimes."""

from dataclasses import replace

import numpy as np
import pytest

from thinslice.phantom import make_phantom, thicken
from thinslice.physics import interpolation
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.physics.noise import noise_hu
from thinslice.physics.operator import SliceOperator
from thinslice.synthesis.consistency import project, residual


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(shape=(64, 96, 96), spacing_mm=(1.0, 2.0, 2.0), noise_hu=20.0).volume


def _linear(thick, grid):
    return np.tensordot(interpolation.linear(grid), thick.hu, 1).astype(np.float32)


def _nyquist(volume, grid):
    """Power at the Nyquist frequency of the acquired slices' sampling, along z, mean over columns."""
    wave = np.cos(np.pi * grid.output_mm / grid.spacing_mm)
    tissue = volume - volume.mean(axis=0)
    return float(np.mean(np.tensordot(wave, tissue, 1) ** 2))


def test_thin_slices_come_back_bit_for_bit(phantom):
    thick, grid = thicken(phantom, 4.0, thickness_mm=1.0)
    out = _linear(thick, grid) + 3.3
    assert project(out, Acquisition(thick.hu, grid, (2.0, 2.0))) is None
    taken, given = grid.on_grid()
    assert np.array_equal(out[given], thick.hu[taken])
    assert len(taken) == len(thick.hu)


@pytest.mark.parametrize("spacing", [4.0, 3.5, 2.5])
@pytest.mark.parametrize("thickness", [0.6, 1.0])
def test_contiguous_and_gapped_thick_slices_are_met_exactly(phantom, spacing, thickness):
    thick, grid = thicken(phantom, spacing, thickness_mm=max(1.01, thickness * spacing))
    out = _linear(thick, grid)
    assert project(out, Acquisition(thick.hu, grid, (2.0, 2.0))) == 0.0
    assert residual(out, Acquisition(thick.hu, grid, (2.0, 2.0)))[1] <= 0.01
    weights = np.abs(SliceOperator(grid).matrix).sum(axis=1)  # over 1 where the last slice lies beyond the output's
    assert residual(out, Acquisition(thick.hu, grid, (2.0, 2.0)), rounded=True)[1] <= 0.51 * weights.max()


def test_overlapping_noisy_slices_gain_and_do_not_alternate(phantom):
    """T/s = 2: an exact projection would amplify noise at the Nyquist frequency; the damped one must not."""
    clean, grid = thicken(phantom, 2.0, thickness_mm=4.0)
    noise = np.random.default_rng(0).normal(0, 15, clean.hu.shape).astype(np.float32)
    truth = phantom.hu[: len(grid.output_mm)]
    measured = clean.hu + noise
    before = _linear(replace(clean, hu=measured), grid)
    before += 80 * np.sin(np.arange(len(before)) / 3)[:, None, None].astype(np.float32)  # there is something to gain
    after, exact = before.copy(), before.copy()
    project(after, Acquisition(measured, grid, (2.0, 2.0)))
    project(exact, Acquisition(measured, grid, (2.0, 2.0)), damping=1e-6)
    errors = [float(np.mean((volume - truth) ** 2)) for volume in (before, after, exact)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] > errors[0]
    alternates = [_nyquist(volume, grid) for volume in (before, after, exact)]
    assert alternates[1] - alternates[0] < 0.6 * (alternates[2] - alternates[0])
    assert residual(exact, Acquisition(measured, grid, (2.0, 2.0)))[0] < 0.01
    assert residual(after, Acquisition(measured, grid, (2.0, 2.0)))[0] == pytest.approx(noise_hu(measured), rel=0.05)


def test_what_is_nearer_to_noisy_slices_than_their_noise_is_left_alone(phantom):
    clean, grid = thicken(phantom, 2.0, thickness_mm=4.0)
    measured = clean.hu + np.random.default_rng(0).normal(0, 15, clean.hu.shape).astype(np.float32)
    before = _linear(replace(clean, hu=measured), grid)
    assert residual(before, Acquisition(measured, grid, (2.0, 2.0)))[0] < noise_hu(measured)
    after = before.copy()
    project(after, Acquisition(measured, grid, (2.0, 2.0)))
    assert np.abs(after - before).max() < 1


def test_damping_leaves_a_residual_of_the_size_of_the_noise(phantom):
    clean, grid = thicken(phantom, 2.0, thickness_mm=4.0)
    measured = clean.hu + np.random.default_rng(1).normal(0, 12, clean.hu.shape).astype(np.float32)
    tissue, operator = (measured > -200) & (measured < 300), SliceOperator(grid)

    def left(out: np.ndarray) -> float:
        return float(np.sqrt(np.mean((measured - operator.apply(out))[tissue] ** 2)))

    out = np.tensordot(interpolation.linear(grid), measured, 1).astype(np.float32)
    out += 80 * np.sin(np.arange(len(out)) / 3)[:, None, None].astype(np.float32)
    noise = noise_hu(measured)
    assert left(out) > 2 * noise
    project(out, Acquisition(measured, grid, (2.0, 2.0)))
    assert left(out) == pytest.approx(noise, rel=0.05)


@pytest.mark.parametrize("rounded", [False, True])
def test_the_residual_is_what_block_means_say(rounded):
    grid, random = plan_grid(6, 4.0, 1.0, thickness_mm=4.0), np.random.default_rng(0)
    out, acquired = (random.normal(0, 100, (slices, 5, 7)).astype(np.float32) for slices in (24, 6))
    off = np.abs((np.rint(out) if rounded else out).reshape(6, 4, 5, 7).mean(axis=1) - acquired)
    expected = (np.sqrt(np.square(off).mean()), off.max())
    assert residual(out, Acquisition(acquired, grid, (2.0, 2.0)), rounded=rounded) == pytest.approx(expected, rel=1e-5)
