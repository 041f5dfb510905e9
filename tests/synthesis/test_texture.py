"""The viewing copy: as noisy between acquired slices as on them, and nothing measured is touched."""

import numpy as np
import pytest

import thinslice
from thinslice.errors import UsageError
from thinslice.evaluation.protocols import cut, make_case
from thinslice.io import files
from thinslice.phantom import make_phantom, make_water_phantom, thicken
from thinslice.physics import interpolation
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.noise import noise_hu, noise_kernel, noise_of, noise_plane
from thinslice.synthesis.consistency import project, residual
from thinslice.synthesis.texture import add_texture

# Spacing and thickness of thick slices over 1 mm: gaps, gaps off the grid, slices with gaps thicker than the output.
GAPS = [(4.0, 1.0), (2.5, 1.0), (4.0, 2.5)]


@pytest.fixture(scope="module")
def chest():
    return make_phantom(shape=(33, 128, 128), spacing_mm=(1.0, 1.2, 1.2)).volume


def smooth_result(volume, spacing, thickness):
    """A synthesis that is as smooth as any: linear interpolation, consistent with the acquired slices."""
    thick, grid = thicken(volume, spacing, thickness_mm=thickness)
    out = np.tensordot(interpolation.linear(grid), thick.hu, 1).astype(np.float32)
    acquisition = Acquisition(thick.hu, grid, thick.voxel_mm[:2])
    project(out, acquisition)
    return out, acquisition


@pytest.mark.parametrize(("spacing", "thickness"), GAPS)
def test_slices_between_become_as_noisy_as_acquired_ones(chest, spacing, thickness):
    out, acquisition = smooth_result(chest, spacing, thickness)
    before = noise_of(out, acquisition.hu, grid=acquisition.grid)["ratio"]
    assert add_texture(out, acquisition) == "added"
    assert before < 0.93
    assert noise_of(out, acquisition.hu, grid=acquisition.grid)["ratio"] == pytest.approx(1, abs=0.1)


def test_where_every_column_holds_padding_nothing_is_said_to_be_added(chest):
    out, acquisition = smooth_result(chest, 4.0, 1.0)
    kept, padding = out.copy(), np.zeros(acquisition.hu.shape, bool)
    padding[2] = True
    assert add_texture(out, acquisition, padding=padding) == "padded"
    assert np.array_equal(out, kept)


@pytest.mark.parametrize(("spacing", "thickness"), [*GAPS, (4.0, 4.0), (4.0, 8.0), (2.5, 3.0)])
def test_what_was_measured_still_comes_back(chest, spacing, thickness):
    """A x = y holds as before, and slices that are copies keep every bit."""
    out, acquisition = smooth_result(chest, spacing, thickness)
    kept, before = out.copy(), residual(out, acquisition)
    add_texture(out, acquisition)
    after = residual(out, acquisition)
    np.testing.assert_allclose(after, before, atol=2e-3)
    if acquisition.grid.copies:
        taken, given = acquisition.grid.on_grid()
        assert np.array_equal(out[given], acquisition.hu[taken])
    assert (out != kept).any() == (noise_of(kept, acquisition.hu, grid=acquisition.grid)["ratio"] < 1)


def test_a_projected_texture_is_as_strong_as_asked_and_nothing_to_the_scanner():
    """Split slabs that lost their noise by smoothing in plane; A of the texture is nothing at all."""
    from scipy import ndimage

    water = make_water_phantom(shape=(32, 96, 96), noise_hu=20.0)
    thick, grid = thicken(water, 4.0)
    out = ndimage.gaussian_filter(np.repeat(thick.hu, 4, axis=0), (0, 1.0, 1.0))
    acquisition = Acquisition(thick.hu, grid, (1.0, 1.0))
    before = residual(out, acquisition)
    assert noise_of(out, thick.hu, grid=grid)["ratio"] < 0.5
    add_texture(out, acquisition)
    assert noise_of(out, thick.hu, grid=grid)["ratio"] == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(residual(out, acquisition), before, atol=2e-3)


def test_same_seed_same_noise_and_another_seed_another(chest):
    first, second, other = (smooth_result(chest, 4.0, 1.0)[0] for _ in range(3))
    _, acquisition = smooth_result(chest, 4.0, 1.0)
    for out, seed in ((first, 3), (second, 3), (other, 4)):
        add_texture(out, acquisition, seed=seed)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_air_metal_and_padding_take_no_noise(chest):
    hu = chest.hu.copy()
    hu[:, 60:70, 60:70] = 3071
    out, acquisition = smooth_result(chest.with_slices(hu, first=0, step=1), 4.0, 1.0)
    kept, padding = out.copy(), np.zeros(acquisition.hu.shape, bool)
    padding[3:, 40:50] = True
    add_texture(out, acquisition, padding=padding)
    changed = np.abs(out - kept)
    assert changed[:, 61:69, 61:69].max() == 0
    assert changed[:, 40:50].max() == 0
    air = (kept < -980) & (np.abs(np.arange(128) - 63.5) > 60)
    assert air.any()
    assert changed[air].mean() < 0.5
    assert changed.max() > 20


def test_lung_gets_no_more_than_its_own_noise(chest):
    out, acquisition = smooth_result(chest, 4.0, 1.0)
    kept = out.copy()
    add_texture(out, acquisition)
    lung = (kept > -930) & (kept < -780)
    between = acquisition.grid.output_mm % 4 == 2
    added = (out - kept)[between][lung[between]].std()
    clean = make_phantom(shape=(33, 128, 128), spacing_mm=(1.0, 1.2, 1.2), noise_hu=0).volume.hu
    own = (chest.hu - clean)[: len(out)][between][lung[between]].std()
    assert 0 < added < 1.15 * own  # vessels, too fine for the mask, count a little as noise


@pytest.mark.parametrize("pixel_mm", [0.5, 1.0])
def test_its_spectrum_is_the_scanners(pixel_mm):
    """Correlation between pixels, of noise made from noisy water and of that water itself."""
    water = make_water_phantom(shape=(12, 160, 160), spacing_mm=(1.0, pixel_mm, pixel_mm), noise_hu=20.0).hu
    made = noise_plane(noise_kernel(water), (160, 160), seed=0, number=1)
    middle = water[:, 45:115, 45:115]

    def correlations(plane):
        plane = plane - plane.mean()
        pairs = [(plane[:, 1:], plane[:, :-1]), (plane[1:], plane[:-1]), (plane[2:], plane[:-2])]
        return [float((a * b).mean() / plane.var()) for a, b in pairs]

    np.testing.assert_allclose(correlations(made), np.mean([correlations(p) for p in middle], axis=0), atol=0.08)


def test_a_scan_without_soft_tissue_is_left_alone():
    air = np.random.default_rng(0).normal(-990, 5, (9, 40, 40)).astype(np.float32)
    thick, grid = thicken(thinslice.Volume(air, np.eye(4)), 4.0, thickness_mm=1.0)
    out = np.tensordot(interpolation.linear(grid), thick.hu, 1).astype(np.float32)
    kept = out.copy()
    assert add_texture(out, Acquisition(thick.hu, grid, (1.0, 1.0))) == "unknown"
    assert np.array_equal(out, kept)


def test_a_viewing_copy_says_so_and_values_are_kept_by_default(chest):
    thick, _ = thicken(chest, 4.0, thickness_mm=1.0)
    keep, match = (
        thinslice.enhance(thick, spacing=1.0, fit="none", **options) for options in ({}, {"texture": "match"})
    )
    assert (keep.record["method"]["texture"], match.record["method"]["texture"]) == ("keep", "match")
    assert np.array_equal(keep.volume.hu[::4], match.volume.hu[::4])
    assert not np.array_equal(keep.volume.hu, match.volume.hu)
    assert keep.record["noise"]["ratio"] < match.record["noise"]["ratio"] == pytest.approx(1, abs=0.1)
    with pytest.raises(UsageError, match="texture"):
        thinslice.enhance(thick, texture="more")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chest_rider_0117", "chest_lidc0314"])
def test_noise_of_a_real_scan_is_matched(shared_ct, name):
    thin = cut(files.read(shared_ct / "thin" / f"{name}.nii.gz"), slices=65, region=256)
    case = make_case(thin, name, protocol="gap", factor=4)
    result = thinslice.enhance(case.thick, spacing=case.grid.output_spacing_mm, iterations=20, texture="match")
    assert 0.9 < result.record["noise"]["ratio"] < 1.1
    assert np.array_equal(result.volume.hu[::4], case.thick.hu)
    assert noise_hu(case.truth, np.flatnonzero(case.new)) == pytest.approx(
        result.record["noise"]["synthesised_hu"], rel=0.15
    )


def test_another_seed_is_another_noise_in_the_whole_run(chest):
    thick, _ = thicken(chest, 4.0, thickness_mm=1.0)
    looks = [thinslice.enhance(thick, factor=4, fit="none", texture="match", seed=seed).volume.hu for seed in (0, 0, 1)]
    assert np.array_equal(looks[0], looks[1])
    assert not np.array_equal(looks[0], looks[2])
