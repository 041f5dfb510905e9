"""Padding of the result: where the nearest acquired slices were never measured."""

import numpy as np

import thinslice
from thinslice.physics.grid import plan_grid
from thinslice.synthesis.padding import carry_padding, fill_padding
from thinslice.volume import Volume


def test_half_way_to_a_void_both_slices_must_be_padding():
    grid, padding = plan_grid(4, 4.0, 1.0, thickness_mm=1.0), np.zeros((4, 3, 3), bool)
    padding[:2] = True
    volume = Volume(np.where(padding, -3024.0, 40.0), np.diag([1, 1, 4, 1.0]), 1.0, padding)
    out = np.zeros((13, 3, 3), np.float32)
    mask = carry_padding(out, volume, grid=grid)
    assert mask[:, 0, 0].tolist() == [True] * 6 + [False] * 7
    assert (out[:, 1, 1] == [-3024] * 6 + [0] * 7).all()


def test_padding_is_filled_from_the_nearest_slice_that_was_measured_there_and_with_air_where_none_was():
    hu = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    padding = np.zeros(hu.shape, bool)
    padding[:, 0, 0] = True  # never measured
    padding[[0, 1, 3], 0, 1] = True
    padding[2:, 1, 2] = True
    filled = fill_padding(Volume(np.where(padding, -3024, hu), np.diag([1, 1, 4, 1.0]), 1.0, padding))
    assert (filled[:, 0, 0] == -1024).all()
    assert filled[:, 0, 1].tolist() == hu[[2, 2, 2, 2, 4], 0, 1].tolist()  # half-way: the one before
    assert filled[:, 1, 2].tolist() == hu[[0, 1, 1, 1, 1], 1, 2].tolist()
    assert np.array_equal(filled[~padding], hu[~padding])


def test_slices_beside_a_void_do_not_lean_towards_it():
    hu = np.full((9, 32, 32), 40, np.float32)
    padding = np.zeros(hu.shape, bool)
    padding[4, :, :16] = True
    scan = Volume(np.where(padding, np.float32(-3024), hu), np.diag([0.8, 0.8, 4.0, 1.0]), 1.0, padding)
    result = thinslice.enhance(scan, factor=4, fit="none").volume
    assert np.abs(result.hu[~result.padding] - 40).max() <= 1
