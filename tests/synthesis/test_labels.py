"""Labels on thin slices: outlines that move, labels that stay what they are, and better than the simple ways."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinslice.evaluation.protocols import cut, make_case
from thinslice.io import files
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid, plan_grid
from thinslice.synthesis.labels import carry_labels

THIN_SCANS = ("chest_cmbcrc01068", "chest_covidctmd_p002", "chest_lidc0314", "chest_lungfcp0001", "chest_rider_0117")


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def carried(labels, *, spacing=5.0, step=1.0, thickness=1.0, pixel_mm=(1.0, 1.0)):
    grid = plan_grid(len(labels), spacing, step, thickness_mm=thickness)
    return carry_labels(np.asarray(labels, np.int16), grid=grid, pixel_mm=pixel_mm), grid


def random_labels(seed, *, slices=5, side=24, labels=4):
    """Blobs of labels: smooth random fields, the largest of which wins."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(labels + 1, slices, side, side))
    return np.argmax(ndimage.gaussian_filter(noise, (0, 0, 2.5, 2.5)), axis=0)


@settings(max_examples=12)
@given(st.integers(0, 99), st.sampled_from([(5.0, 1.0, 1.0), (5.0, 2.5, 1.0), (3.0, 1.0, 3.0), (5.0, 1.3, 5.0)]))
def test_acquired_slices_on_the_grid_keep_their_labels_and_no_label_is_made_up(seed, geometry):
    spacing, step, thickness = geometry
    labels = random_labels(seed)
    thin, grid = carried(labels, spacing=spacing, step=step, thickness=thickness)
    taken, given_ = grid.on_grid()
    assert np.array_equal(thin[given_], labels[taken])
    for k, plane in enumerate(thin):
        near = np.abs(grid.acquired_mm - grid.output_mm[k]) < 2 * spacing + 1e-6
        assert set(np.unique(plane)) <= set(np.unique(labels[near])) | {0}


@settings(max_examples=12)
@given(st.integers(0, 99), st.sampled_from([0, 1, 2]))
def test_a_flipped_map_gives_flipped_labels(seed, axis):
    labels = random_labels(seed)
    for thickness in (1.0, 5.0):
        plain, turned = (carried(part, thickness=thickness)[0] for part in (labels, np.flip(labels, axis)))
        same = np.flip(plain, axis) == turned
        assert same.mean() > 0.995  # where two labels are equally near, order decides


@settings(max_examples=12)
@given(st.integers(0, 99))
def test_labels_are_carried_as_names_not_as_numbers(seed):
    labels = random_labels(seed)
    names = np.array([0, 4000, 17, 32767, 2], np.int16)
    plain, named = carried(labels)[0], carried(names[labels])[0]
    assert (names[plain] == named).mean() > 0.995


def test_what_does_not_change_stays():
    labels = np.repeat(random_labels(3)[:1], 5, axis=0)
    assert (carried(labels)[0] == labels[0]).all()
    assert (carried(labels, thickness=5.0)[0] == labels[0]).all()


@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_a_slanting_rod_runs_on_where_copies_make_stairs(thickness):
    """A rod of 16 mm that moves by 3 mm from slice to slice, its two halves labelled apart."""

    def rod(z, side=96):
        y, x = np.mgrid[:side, :side]
        from_axis = x - (30 + 0.6 * z[:, None, None])
        return np.where(np.hypot(y - 48, from_axis) < 8, np.where(from_axis < 0, 1, 2), 0)

    grid = plan_grid(9, 5.0, 1.0, thickness_mm=thickness)
    thin = carry_labels(rod(grid.acquired_mm).astype(np.int16), grid=grid, pixel_mm=(1.0, 1.0))
    truth = rod(grid.output_mm)
    inner = (grid.output_mm > 0) & (grid.output_mm < 40)  # beyond the outer slices nobody knows that it goes on
    near = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    copied = rod(grid.acquired_mm)[near]
    for label in (1, 2):
        ours, theirs = (dice(part[inner] == label, truth[inner] == label) for part in (thin, copied))
        assert ours > 0.92
        assert ours > theirs + 0.03


@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_unevenly_spaced_slices_lie_where_they_lie(thickness):
    """A disc that moves by 0.4 mm a mm, with slices missing in the middle: its centre stays on its line."""
    places = np.array([0.0, 5, 10, 25, 30, 35])
    y, x = np.mgrid[:48, :64]
    discs = np.stack([np.hypot(y - 24, x - (24 + 0.4 * z)) < 10 for z in places])
    even = plan_grid(8, 5.0, 1.0, thickness_mm=thickness)
    grid = SliceGrid(places, even.output_mm, thickness)
    thin = carry_labels(discs.astype(np.int16), grid=grid, pixel_mm=(1.0, 1.0))
    inner = (grid.output_mm >= 0) & (grid.output_mm <= 35)
    centres = np.array([np.argwhere(plane)[:, 1].mean() for plane in thin[inner]])
    np.testing.assert_allclose(centres, 24 + 0.4 * grid.output_mm[inner], atol=1.2)


def test_distances_are_in_millimetres():
    """A disc of 12 mm that moves by 2 mm a slice is a disc of 12 mm between, whatever the pixels are like."""
    for x_mm, y_mm in ((0.5, 1.0), (1.0, 0.5), (0.5, 0.5)):
        y, x = np.mgrid[: round(40 / y_mm), : round(40 / x_mm)]
        discs = [np.hypot((y + 0.5) * y_mm - 20, (x + 0.5) * x_mm - centre) < 6 for centre in (15, 17, 19, 21)]
        thin, grid = carried(discs, step=2.5, pixel_mm=(x_mm, y_mm))
        middle = thin[grid.output_mm == 7.5][0]
        centre = (np.argwhere(middle).mean(axis=0) + 0.5) * (y_mm, x_mm)
        np.testing.assert_allclose(centre, (20, 18), atol=0.15)
        assert middle.sum() * x_mm * y_mm == pytest.approx(np.pi * 36, rel=0.1)


def test_a_structure_ends_half_way_to_the_slice_without_it():
    labels = np.zeros((4, 30, 30), np.int16)
    labels[:2, 8:22, 8:22] = 1
    thin, grid = carried(labels, spacing=4.0)
    there = thin[:, 15, 15] > 0
    assert there[grid.output_mm <= 5].all()
    assert not there[grid.output_mm >= 7].any()


def test_a_slab_is_labelled_as_a_whole_where_its_neighbours_agree():
    labels = np.ones((4, 20, 20), np.int16)
    thin, _ = carried(labels, thickness=5.0)
    assert len(thin) == 20
    assert (thin == 1).all()


@pytest.mark.parametrize("protocol", ["gap", "box"])
@pytest.mark.parametrize("name", THIN_SCANS)
def test_bone_is_nearer_to_the_truth_than_copied_or_blended_masks(shared_ct, name, protocol):
    case = make_case(
        cut(files.read(shared_ct / "thin" / f"{name}.nii.gz"), slices=65, region=256), name,
        protocol=protocol, factor=4,
    )  # fmt: skip
    truth, thick = case.truth > 200, case.thick.hu > 200
    nearest = thick[np.abs(case.grid.output_mm[:, None] - case.grid.acquired_mm).argmin(axis=1)]
    blend = np.tensordot(interpolation.linear(case.grid).astype(np.float32), thick.astype(np.float32), 1)
    ours = carry_labels(thick.astype(np.int16), grid=case.grid, pixel_mm=case.thick.voxel_mm[:2])
    others = [dice(mask, truth) for mask in (nearest, blend >= 0.5, blend > 0.5)]
    assert dice(ours == 1, truth) > max(others) + 0.002
