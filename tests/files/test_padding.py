"""Padding is what no scanner measured: found where it is, and nowhere else."""

import numpy as np
import pytest

from thinslice import files
from thinslice.files.padding import find_padding

RNG = np.random.default_rng(0)


def disc(size=48, radius=20):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) < radius


def scan(slices=3):
    """Noisy air around a noisy body."""
    hu = np.where(disc(radius=10), 40.0, -1000.0) + RNG.normal(0, 15, (slices, 48, 48))
    return np.rint(hu).astype(np.float32)


@pytest.mark.parametrize("value", [-3024, -2000, -2048, -1500, -32768, -1025])
def test_a_constant_outside_the_field_of_view_is_padding(value):
    hu = np.where(disc(), np.maximum(scan(), -1024), value).astype(np.float32)
    mask, found = find_padding(hu)
    assert found == value
    np.testing.assert_array_equal(mask, np.broadcast_to(~disc(), hu.shape))


def test_a_smeared_rim_belongs_to_the_padding():
    hu = np.where(disc(), np.maximum(scan(), -1024), -2000).astype(np.float32)
    rim = disc() & ~disc(radius=19)
    hu[:, rim] = -1400.5
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, np.broadcast_to(~disc(radius=19), hu.shape))


def test_noise_in_air_is_no_padding():
    hu = scan()
    assert (hu < -1024).any()
    assert find_padding(hu) == (None, None)


def test_values_below_air_inside_the_body_are_measured():
    hu = np.where(disc(), np.maximum(scan(), -1024), -2000).astype(np.float32)
    hu[1, 24, 24] = -2000  # a streak beside metal
    mask, _ = find_padding(hu)
    assert not mask[1, 24, 24]


def test_a_blank_slice_is_padding_as_a_whole():
    hu = np.maximum(scan(), -1024)
    hu[0] = -2000
    mask, _ = find_padding(hu)
    assert mask[0].all()
    assert not mask[1:].any()


def test_real_scan_has_its_circle(shared_ct):
    volume = files.read(shared_ct / "thick" / "abdomen_cptac_c3l00189.nii.gz")
    assert volume.source.facts["padding_value"] == -3024
    np.testing.assert_array_equal(volume.padding, volume.hu == -3024)


def test_real_scan_without_padding_has_none(shared_ct):
    volume = files.read(shared_ct / "thick" / "chest_lungdx_a0001.nii.gz")
    assert volume.padding is None
    assert "padding_value" not in volume.source.facts
