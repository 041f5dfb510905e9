"""Made upright, a sheared volume has the same values at the same places, on a rectangular grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from thinslice.errors import GeometryError
from thinslice.synthesis.upright import shear_pixels, upright, upright_shapes
from thinslice.volume import Volume

SHAPE = (9, 14, 16)


def sheared(x_pixels: float, y_pixels: float, *, hu=None, padding=None, turn: float = 0.3) -> Volume:
    """A volume whose slices drift by these pixels a slice, oblique in space."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.7, -0.9, 2.0])
    affine[:3, 2] += affine[:3, :2] @ [x_pixels, y_pixels]
    affine[:3, 3] = [10.0, -20.0, 5.0]
    return Volume(np.zeros(SHAPE) if hu is None else hu, affine, 2.0, padding)


def places(volume: Volume) -> np.ndarray:
    """(z, y, x, 3) RAS mm of the voxels."""
    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    return np.stack([x, y, z], axis=-1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]


drift = st.floats(-2.5, 2.5)


@given(drift, drift)
def test_linear_in_space_stays_what_it_is_at_every_measured_place(x_pixels, y_pixels):
    tilted = sheared(x_pixels, y_pixels)
    slopes = np.array([2.0, 4.0, 5.0])
    result = upright(Volume(places(tilted) @ slopes, tilted.affine, 2.0))
    assert np.abs(shear_pixels(result.affine)).max() * (SHAPE[0] - 1) <= 0.1
    measured = np.ones(result.shape, bool) if result.padding is None else ~result.padding
    assert np.abs(result.hu - places(result) @ slopes)[measured].max() <= 0.5  # 0.1 pixel of shear may be left
    assert measured.sum() >= SHAPE[0] * (SHAPE[1] - 1) * (SHAPE[2] - 1)  # nothing measured is cut away


@given(drift, drift)
def test_its_copies_are_as_large_as_foretold(x_pixels, y_pixels):
    tilted = sheared(x_pixels, y_pixels)
    coarse = tilted.with_slices(tilted.hu[::2], first=0, step=2)
    result = upright(tilted)
    copies = upright_shapes(coarse, slices=SHAPE[0], step=0.5)
    assert copies[-1:] == ([] if result is tilted else [result.shape])


@given(drift)
def test_every_acquired_place_is_within_the_new_grid(y_pixels):
    tilted = sheared(0.0, y_pixels)
    result = upright(tilted)
    index = (places(tilted) - result.affine[:3, 3]) @ np.linalg.inv(result.affine[:3, :3]).T
    assert index.min() >= -0.11
    assert (index <= np.array(result.shape[::-1]) - 1 + 0.11).all()


def test_whole_pixels_are_moved_bit_for_bit():
    hu = np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.float32)
    result = upright(sheared(0.0, 2.0, hu=hu))
    for number, slice_hu in enumerate(result.hu):
        assert np.array_equal(slice_hu[2 * number : 2 * number + SHAPE[1]], hu[number])
        assert result.padding[number].sum() == (result.shape[1] - SHAPE[1]) * SHAPE[2]


def test_upright_already_is_the_same_object():
    for volume in (sheared(0.0, 0.0), sheared(0.0, 0.01)):
        assert upright(volume) is volume


def test_padding_does_not_leak_into_what_was_measured():
    rng = np.random.default_rng(1)
    hu = rng.normal(40, 10, SHAPE)
    padding = np.zeros(SHAPE, bool)
    padding[:, :4, :5] = True
    hu[padding] = -3024
    result = upright(sheared(0.0, 0.37, hu=hu, padding=padding))
    assert result.hu[~result.padding].min() > -50
    assert (result.hu[result.padding] == -3024).all()


def test_agrees_with_a_spline_of_scipy_on_smooth_images():
    hu = ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 3000, SHAPE), (0, 2, 2))
    result = upright(sheared(0.0, 0.41, hu=hu))
    for number in range(SHAPE[0]):
        rows = np.arange(result.shape[1]) - 0.41 * number
        other = ndimage.map_coordinates(
            hu[number], np.stack(np.meshgrid(rows, np.arange(SHAPE[2]), indexing="ij")), order=3, mode="nearest"
        )
        inner = (rows >= 2) & (rows <= SHAPE[1] - 3)
        assert np.abs(result.hu[number] - other)[inner].max() < 0.02 * hu.std()


def test_mirrored_tilt_gives_the_mirrored_result():
    hu = np.random.default_rng(4).normal(0, 100, SHAPE)
    one, other = upright(sheared(0.0, 0.6, hu=hu)), upright(sheared(0.0, -0.6, hu=hu[:, ::-1]))
    assert np.allclose(one.hu, other.hu[:, ::-1], atol=1e-3)


def test_uneven_slices_are_refused():
    volume = Volume(np.zeros((4, 8, 8)), np.eye(4), slice_positions_mm=np.array([0, 1, 3, 4.0]))
    with pytest.raises(GeometryError) as caught:
        upright(volume)
    assert caught.value.code == "GEO-UNEVEN"
