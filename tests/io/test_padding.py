"""Padding is what no scanner measured: found where it is constant, and nowhere else."""

import numpy as np
import pytest

from thinslice.io import files
from thinslice.io.padding import find_padding

RNG = np.random.default_rng(0)


def disc(size=48, radius=20):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) < radius


def scan(slices=3, *, air=-1000.0, noise=15.0, size=48):
    """Noisy air around a noisy body."""
    hu = np.where(disc(size, radius=10), 40.0, air) + RNG.normal(0, noise, (slices, size, size))
    return np.rint(hu).astype(np.float32)


def outside(value, *, of=None):
    """A scan with a value outside of its field of view, and where it is."""
    hu = np.maximum(scan(), -1024) if of is None else of
    return np.where(disc(), hu, value).astype(np.float32), np.broadcast_to(~disc(), hu.shape)


@pytest.mark.parametrize("value", [-3024, -2000, -2048, -1500, -32768, -1100, -1025])
def test_a_constant_outside_the_field_of_view_is_padding(value):
    hu, void = outside(value)
    mask, found = find_padding(hu)
    assert found == value
    np.testing.assert_array_equal(mask, void)


@pytest.mark.parametrize("noise", [1.0, 6.0, 12.0, 60.0])
@pytest.mark.parametrize("air", [-1045.0, -1080.0])
def test_measured_air_is_no_padding_however_low(air, noise):
    whole = scan(8, air=air, noise=noise)
    for hu in (whole, whole + np.float32(0.37), whole[:, :16, :16], whole + RNG.normal(0, 0.1, whole.shape)):
        assert find_padding(np.asarray(hu, np.float32)) == (None, None)


@pytest.mark.parametrize("floor", [-1045, -1060, -1070])
def test_measured_air_that_is_cut_off_is_no_padding(floor):
    hu = np.maximum(scan(air=-1045, noise=12), floor)
    assert (hu == floor).mean() > 0.01
    assert find_padding(hu) == (None, None)


@pytest.mark.parametrize("value", [-2048, -1300, -1100])
def test_a_constant_around_low_air_is_padding_and_the_air_is_not(value):
    hu, void = outside(value, of=scan(6, air=-1045, noise=12))
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, void)


def test_two_constants_are_both_padding():
    hu, void = outside(-3024)
    hu[:, :6] = -2000  # the bed, cut away
    mask, value = find_padding(hu)
    assert value == -3024
    np.testing.assert_array_equal(mask, void | (hu == -2000))


def test_padding_of_some_slices_is_found_in_those():
    hu, void = outside(-2000)
    hu[1] = scan()[1]
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, (hu == -2000) & void)


def test_a_slanted_void_is_padding():
    hu = scan(12)
    z, y, x = np.indices(hu.shape)
    void = y + 3 * z - x > 50
    hu[void] = -3024
    np.testing.assert_array_equal(find_padding(hu)[0], void)


def test_padding_that_went_through_lossy_compression_is_padding():
    hu, void = outside(-2000)
    hu = np.rint(hu + RNG.normal(0, 2, hu.shape)).astype(np.float32)
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, void)


def test_streaks_beside_metal_are_measured_even_at_the_border():
    hu = np.maximum(scan(6), -1024)
    hu[:, 20:30, :20] = RNG.uniform(-3000, -900, (6, 10, 20))
    assert find_padding(hu) == (None, None)
    padded, void = outside(-3024, of=hu)
    np.testing.assert_array_equal(find_padding(padded)[0], void)


def test_a_smeared_rim_belongs_to_the_padding():
    hu, _ = outside(-2000)
    rim = disc() & ~disc(radius=19)
    hu[:, rim] = -1400.5
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, np.broadcast_to(~disc(radius=19), hu.shape))


def test_the_rim_takes_no_low_air_with_it():
    hu, _ = outside(-2000, of=scan(6, air=-1045, noise=12))
    hu[:, disc() & ~disc(radius=19)] = -1500
    mask, _ = find_padding(hu)
    np.testing.assert_array_equal(mask, np.broadcast_to(~disc(radius=19), hu.shape))


def test_values_below_air_inside_the_body_are_measured():
    hu, _ = outside(-2000)
    hu[1, 24, 24] = -2000  # a streak beside metal
    mask, _ = find_padding(hu)
    assert not mask[1, 24, 24]


def test_a_blank_slice_is_padding_as_a_whole():
    hu = np.maximum(scan(), -1024)
    hu[0] = -2000
    mask, _ = find_padding(hu)
    assert mask[0].all()
    assert not mask[1:].any()


def test_what_is_declared_stays_and_what_is_constant_beside_it_is_found():
    hu, void = outside(-3024)
    declared = np.zeros(hu.shape, bool)
    declared[:, 23:25, 23:25] = True
    mask, value = find_padding(hu, declared.copy())
    assert value == -3024
    np.testing.assert_array_equal(mask, void | declared)


def test_real_scan_has_its_circle(shared_ct):
    volume = files.read(shared_ct / "thick" / "abdomen_cptac_c3l00189.nii.gz")
    assert volume.origin.facts["padding_value"] == -3024
    np.testing.assert_array_equal(volume.padding, volume.hu == -3024)


@pytest.mark.parametrize("name", ["thick/chest_lungdx_a0001", "more/head_ge_c3n01192"])  # the latter with metal
def test_real_scan_without_padding_has_none(shared_ct, name):
    volume = files.read(shared_ct / f"{name}.nii.gz")
    assert volume.padding is None
    assert "padding_value" not in volume.origin.facts
