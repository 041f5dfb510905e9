"""Bone between slices with a gap gets back half of the density that it lacks, and nothing else changes."""

import numpy as np
import pytest
from scipy import ndimage

from thinslice.slice_profile import plan_grid
from thinslice.synthesis.bone import restore_bone


def _scan(lack: float):
    """(output, acquired, grid): bars of 300 to 900 HU in soft tissue, synthesised ones `lack` times too dark."""
    grid = plan_grid(12, 4.0, 1.0, thickness_mm=1.0)
    image = np.full((96, 96), 40.0, np.float32)
    for number, density in enumerate((300, 500, 700, 900)):
        image[8:88, 6 + 23 * number : 18 + 23 * number] = density
    truth = np.repeat(ndimage.gaussian_filter(image, 1.5)[None], len(grid.output_mm), axis=0)
    out = np.where(truth > 150, truth - lack * (truth - 150), truth).astype(np.float32)
    given = grid.on_grid()[1]
    out[given] = truth[given]
    return out, truth[given], truth, grid


@pytest.mark.parametrize("lack", [0.1, 0.2])
def test_half_of_what_bone_lacks_comes_back(lack):
    out, acquired, truth, grid = _scan(lack)
    before = out.copy()
    restore_bone(out, acquired, grid=grid, pixel_mm=(1.0, 1.0))
    new = np.setdiff1d(np.arange(len(out)), grid.on_grid()[1])
    bone = ndimage.binary_erosion(truth[0] > 250, iterations=3)
    missing_before = (truth - before)[new][:, bone].mean()
    missing_after = (truth - out)[new][:, bone].mean()
    assert missing_after == pytest.approx(missing_before / 2, rel=0.25)


def test_soft_tissue_and_acquired_slices_stay_as_they_are():
    out, acquired, _, grid = _scan(0.2)
    before = out.copy()
    restore_bone(out, acquired, grid=grid, pixel_mm=(1.0, 1.0))
    given = grid.on_grid()[1]
    assert np.array_equal(out[given], before[given])
    far_from_bone = ndimage.gaussian_filter(out[1], 4.0) <= 100
    assert far_from_bone.any()
    assert np.array_equal(out[1][far_from_bone], before[1][far_from_bone])


def test_bone_that_lacks_nothing_is_left_alone():
    out, acquired, truth, grid = _scan(0.0)
    restore_bone(out, acquired, grid=grid, pixel_mm=(1.0, 1.0))
    assert np.abs(out - truth).max() < 2


def test_thick_slices_are_left_to_consistency():
    _, acquired, _, _ = _scan(0.2)
    grid = plan_grid(12, 4.0, 1.0, thickness_mm=4.0)
    volume = np.repeat(acquired, 4, axis=0)
    before = volume.copy()
    restore_bone(volume, acquired, grid=grid, pixel_mm=(1.0, 1.0))
    assert np.array_equal(volume, before)
