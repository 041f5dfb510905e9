"""The phantom is the same every time, holds what it says, and thickens as a scanner would."""

import numpy as np
import pytest
from scipy import ndimage

from thinslice.errors import UsageError
from thinslice.phantom import make_edge_phantom, make_phantom, make_water_phantom, thicken
from thinslice.physics.operator import SliceOperator

SMALL = {"shape": (64, 96, 96), "spacing_mm": (2.0, 2.0, 2.0)}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(**SMALL)


@pytest.fixture(scope="module")
def clean():
    return make_phantom(**SMALL, noise_hu=0)


def test_the_same_seed_draws_the_same_voxels(phantom):
    again = make_phantom(**SMALL)
    np.testing.assert_array_equal(phantom.volume.hu, again.volume.hu)
    assert phantom.structures == again.structures


def test_another_seed_draws_other_vessels_and_nodules(phantom):
    other = make_phantom(**SMALL, seed=1)
    assert other.structures != phantom.structures
    assert (other.volume.hu != phantom.volume.hu).mean() > 0.9


def test_it_holds_the_tissues_of_a_chest_and_belly_in_plausible_amounts(clean):
    hu = clean.volume.hu
    body = hu > -950
    share = {
        name: float(((hu > low) & (hu < high) & body).sum() / body.sum())
        for name, (low, high) in {
            "lung": (-950, -700),
            "fat": (-130, -70),
            "soft": (20, 220),
            "bone": (300, 1500),
        }.items()
    }
    assert 0.10 < share["lung"] < 0.5
    assert 0.08 < share["fat"] < 0.5
    assert 0.2 < share["soft"] < 0.7
    assert 0.005 < share["bone"] < 0.15


def test_nodules_and_lesion_are_where_they_are_said_to_be(clean):
    diameters = sorted(s.diameter_mm for s in clean.structures if s.name == "nodule")
    assert diameters == [3, 4, 5, 6, 7, 8]
    assert [s.name for s in clean.structures].count("lesion") == 1
    bare = make_phantom(**SMALL, noise_hu=0, nodules=False).volume.hu
    drawn = clean.volume.hu - bare
    for structure in clean.structures:
        near = np.linalg.norm((np.indices(bare.shape) - np.reshape(structure.centre, (3, 1, 1, 1))) * 2.0, axis=0)
        around = np.where(near < structure.diameter_mm / 2 + 4, drawn, 0)
        assert np.sign(around.sum()) == (1 if structure.name == "nodule" else -1)
        assert np.linalg.norm(np.array(ndimage.center_of_mass(np.abs(around))) - structure.centre) < 0.5
        drawn = drawn - around
    assert np.abs(drawn).max() < 1  # nothing else changed


def test_a_large_nodule_has_the_volume_of_its_sphere(clean):
    structure = max((s for s in clean.structures if s.name == "nodule"), key=lambda s: s.diameter_mm)
    bare = make_phantom(**SMALL, noise_hu=0, nodules=False).volume.hu
    added = float((clean.volume.hu - bare)[_box(structure.centre, 5)].sum()) * 2.0**3
    contrast = structure.hu + 850
    assert added / contrast == pytest.approx(np.pi / 6 * structure.diameter_mm**3, rel=0.15)


def _box(centre, reach):
    return tuple(slice(max(0, round(c) - reach), round(c) + reach + 1) for c in centre)


def test_noise_is_correlated_in_plane_and_white_along_z(phantom, clean):
    noise = (phantom.volume.hu - clean.volume.hu)[:, 20:76, 20:76].astype(float)

    def correlation(axis):
        a, b = np.moveaxis(noise, axis, 0)[:-1], np.moveaxis(noise, axis, 0)[1:]
        return float((a * b).mean() / (noise * noise).mean())

    assert abs(correlation(0)) < 0.02
    fine = make_water_phantom(shape=(8, 96, 96), spacing_mm=(1.0, 0.7, 0.7), noise_hu=10).hu[:, 30:66, 30:66]
    fine = fine - fine.mean()
    assert (fine[:, :, 1:] * fine[:, :, :-1]).mean() / (fine * fine).mean() > 0.2


def test_noise_is_as_strong_as_asked_for_deep_in_the_body(phantom, clean):
    noise = phantom.volume.hu - clean.volume.hu
    assert 14 < noise[:20, 40:60, 30:60].std() < 23


def test_nonsense_is_refused():
    with pytest.raises(UsageError, match="spacings > 0"):
        make_phantom(shape=(8, 8, 8), spacing_mm=(1.0, 0.0, 1.0))


@pytest.mark.parametrize(("spacing", "thickness"), [(4.0, None), (5.0, None), (6.0, 2.0), (4.0, 8.0)])
def test_thick_slices_are_the_operator_on_the_thin_ones(clean, spacing, thickness):
    thick, grid = thicken(clean.volume, spacing, thickness_mm=thickness)
    thin = clean.volume.hu[: len(grid.output_mm)].astype(float)
    expected = SliceOperator(grid).matrix @ thin.reshape(len(thin), -1)
    np.testing.assert_allclose(thick.hu.reshape(len(thick.hu), -1), expected, atol=0.01)
    assert thick.slice_spacing_mm == pytest.approx(spacing)
    assert thick.thickness == (thickness or spacing)
    first_output = (thick.affine @ [0, 0, grid.output_mm[0] / spacing, 1])[:3]
    np.testing.assert_allclose(first_output, clean.volume.affine[:3, 3], atol=1e-6)


def test_a_straight_edge_lies_in_the_middle_and_has_its_step():
    edge = make_edge_phantom(shape=(9, 4, 5), low_hu=-50, step_hu=1000)
    np.testing.assert_allclose(edge.hu[:, 0, 0], [-50] * 4 + [450] + [950] * 4)
    assert np.ptp(edge.hu, axis=(1, 2)).max() == 0


@pytest.mark.parametrize("tilt", [20, 45, 90])
def test_a_tilted_edge_divides_the_grid_in_halves(tilt):
    edge = make_edge_phantom(shape=(20, 4, 20), tilt_deg=tilt)
    assert edge.hu.mean() == pytest.approx(500, abs=1)
    np.testing.assert_allclose(edge.hu + edge.hu[::-1, :, ::-1], 1000, atol=1e-3)


def test_water_is_water():
    hu = make_water_phantom(noise_hu=5).hu
    assert hu[:, 20:44, 20:44].mean() == pytest.approx(0, abs=1)
    assert hu[:, 0, 0].mean() == pytest.approx(-1000, abs=3)
