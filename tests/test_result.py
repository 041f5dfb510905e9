"""What `enhance` gives: short in a shell, arrays that belong to the caller."""

import numpy as np
import pytest
import torch

import thinslice
from thinslice.volume import Origin, Volume

SLICES, ROWS, COLUMNS = 7, 18, 20


@pytest.fixture(scope="module")
def scan():
    """A bright bar in the patient's left half, in the two slices towards the head."""
    hu = np.full((SLICES, ROWS, COLUMNS), -900, np.float32)
    hu += np.random.default_rng(0).normal(0, 5, hu.shape).astype(np.float32)
    hu[-2:, :, -6:] = 500
    origin = Origin("nifti", facts={"secret": "Mustermann"}, header="Mustermann")
    return Volume(hu, np.diag([-2.0, 2.0, 5.0, 1.0]), thickness=1.0, origin=origin)


@pytest.fixture(scope="module")
def result(scan):
    labels = (scan.hu > 0).astype(np.uint8)
    return thinslice.enhance(scan, factor=2, fit="none", labels=labels)


def test_a_result_is_two_lines(result):
    first, second = repr(result).splitlines()
    assert first == "<Result: 13 slices 2.5 mm apart, of 20 x 18 pixels of 2 x 2 mm,"
    assert second.startswith(" from 7 slices 5 mm apart by fit none; 7 acquired, 6 synthesised; ")
    assert "; 1 label; " in second
    assert max(map(len, (first, second))) < 200
    assert len(repr(result.model).splitlines()) == 1
    assert len(repr(result.model)) < 200


@pytest.mark.filterwarnings("error")
def test_voxels_are_the_caller_s_and_go_to_pytorch_as_they_are(result):
    assert torch.from_numpy(result.volume.hu).data_ptr() == result.volume.hu.ctypes.data
    assert torch.from_numpy(result.labels).shape == result.volume.shape
    assert tuple(result.to_monai().shape) == (1, COLUMNS, ROWS, 13)


def test_the_scan_is_left_as_it_was(scan):
    """Fits, consistency, texture and padding work on their own arrays."""
    padding = np.zeros(scan.shape, bool)
    padding[:, :2] = True
    mine = Volume(scan.hu.copy(), scan.affine, thickness=8.0, padding=padding)
    before = mine.hu.copy()
    result = thinslice.enhance(mine, factor=2, fit="auto", iterations=1, texture="match")
    result.volume.hu[:] = 0
    np.testing.assert_array_equal(mine.hu, before)
