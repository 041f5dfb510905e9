"""Padding of the result: where the nearest acquired slices were never measured."""

import numpy as np

from thinslice.slice_profile import plan_grid
from thinslice.synthesis.padding import carry_padding
from thinslice.volume import Volume


def test_half_way_to_a_void_both_slices_must_be_padding():
    grid, padding = plan_grid(4, 4.0, 1.0, thickness_mm=1.0), np.zeros((4, 3, 3), bool)
    padding[:2] = True
    volume = Volume(np.where(padding, -3024.0, 40.0), np.diag([1, 1, 4, 1.0]), 1.0, padding)
    out = np.zeros((13, 3, 3), np.float32)
    mask = carry_padding(out, volume, grid=grid)
    assert mask[:, 0, 0].tolist() == [True] * 6 + [False] * 7
    assert (out[:, 1, 1] == [-3024] * 6 + [0] * 7).all()
