"""The teacher and the increments: labels are what they claim to be."""

import numpy as np
import pytest
import torch

from thinslice.conventions import TISSUES
from thinslice.fitting import increments
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import InplaneTeacher, label_operator
from thinslice.fitting.losses import agreement_mask, mean_squared_error, tissue_bias
from thinslice.fitting.synthesised_planes import choose_blocks, contexts, synthesise
from thinslice.networks.axial import AxialConfig
from thinslice.networks.blocks import HU_SCALE
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import Scale, plan_grid
from thinslice.physics.noise import noise_hu
from thinslice.physics.operator import SliceOperator

SMALL = FitConfig(inplane=InplaneConfig(channels=16, blocks=1, neighbours=2), axial=AxialConfig(channels=16, blocks=1))


@pytest.fixture
def slices():
    return np.random.default_rng(0).normal(0, 100, (7, 60, 72)).astype(np.float32)


@pytest.mark.parametrize(("spacing", "thickness"), [(4.0, 1.0), (4.0, 4.0), (3.3, 5.0), (8.0, 8.0)])
def test_thick_patches_are_means_of_the_labels_by_the_profile(slices, spacing, thickness):
    grid = plan_grid(len(slices), spacing, 1.0, thickness_mm=thickness)
    teacher = InplaneTeacher(slices, (0.8, 0.8), grid=grid, config=SMALL, random=np.random.default_rng(1))
    for _ in range(6):
        patches = teacher.draw()
        middle = patches.thick.shape[1] // 2
        expected = SliceOperator(patches.task.grid).apply(patches.truth.numpy().transpose(1, 0, 2)).transpose(1, 0, 2)
        assert np.allclose(expected, patches.thick[:, middle].numpy(), atol=1e-2)
        assert patches.task.grid.factor == pytest.approx(spacing)
        assert patches.thick.shape[1] == SMALL.inplane.planes


def test_labels_at_the_pixels_themselves_are_the_pixels():
    assert np.array_equal(label_operator(9, 9, step=1.0, aperture=1.0, offset=0.0), np.eye(9))


def test_half_a_pixel_off_is_linear_interpolation():
    row = label_operator(4, 1, step=1.0, aperture=1.0, offset=1.5)[0]
    assert np.allclose(row, [0, 0.5, 0.5, 0])


def test_context_holds_the_acquired_slice_between_its_neighbours(slices):
    grid = plan_grid(len(slices), 4.0, 1.0, thickness_mm=1.0)
    labels = np.ones(len(slices), bool)
    labels[3] = False
    model = Model.new(SMALL.inplane, SMALL.axial)
    (context,) = contexts(choose_blocks(Acquisition(slices, grid, (0.9, 0.9)), labels), model=model)
    assert context.along_x.shape == (6, 5, 60, 72)
    assert np.array_equal(context.along_x[:, 2], slices[labels])
    step = np.abs(np.diff(context.along_y, axis=1)).mean(axis=(0, 2, 3))
    assert step.max() < np.abs(np.diff(slices, axis=0)).mean()


@pytest.mark.parametrize("thickness", [4.0, 5.0])
def test_between_thick_slices_planes_are_thin_and_none_lies_beside_a_slice_set_aside(slices, thickness):
    grid = plan_grid(len(slices), 4.0, 1.0, thickness_mm=thickness)
    labels = np.ones(len(slices), bool)
    labels[3] = False
    model, acquisition = Model.new(SMALL.inplane, SMALL.axial), Acquisition(slices, grid, (1.0, 1.0))
    (block,) = choose_blocks(acquisition, labels)
    (context,) = contexts([block], model=model)
    thin, own = synthesise(block.acquisition, model=model, view="sagittal"), block.acquisition.grid
    found = [int(np.abs(thin - plane[2]).mean(axis=(1, 2)).argmin()) for plane in context.along_x]
    assert len(found) == 10
    for plane, k in zip(context.along_x, found, strict=True):
        near = np.clip([k - 2, k - 1, k, k + 1, k + 2], 0, len(thin) - 1)
        np.testing.assert_allclose(plane, thin[near], atol=0.01)
    places = own.output_mm[found]
    assert not ((places > own.acquired_mm[2]) & (places < own.acquired_mm[4])).any()
    assert set(np.abs(places[:, None] - own.acquired_mm).argmin(axis=1)) == {0, 1, 2, 4, 5, 6}


def test_patches_along_an_axis_have_neighbours_from_the_view_that_never_mixed_it(monkeypatch):
    """A patch thickened along x: coronal images are (z, x), and would leak its labels."""
    grid, shades = plan_grid(7, 4.0, 1.0, thickness_mm=1.0), {"sagittal": 1.0, "coronal": 2.0}

    def synthesised(_, *, view, **__):
        return np.full((25, 32, 32), shades[view], np.float32)

    monkeypatch.setattr("thinslice.fitting.synthesised_planes.synthesise", synthesised)
    blocks = choose_blocks(Acquisition(np.zeros((7, 32, 32), np.float32), grid, (1.0, 1.0)), np.ones(7, bool))
    model = Model.new(SMALL.inplane, SMALL.axial)
    found = list(contexts(blocks, model=model))
    assert {float(plane) for context in found for plane in context.along_x[:, 0].ravel()} == {shades["sagittal"]}
    assert {float(plane) for context in found for plane in context.along_y[:, 0].ravel()} == {shades["coronal"]}


def test_neighbours_are_as_noisy_as_acquired_slices_on_request():
    slices = 40 + np.random.default_rng(3).normal(0, 20, (8, 96, 96)).astype(np.float32)
    grid = plan_grid(len(slices), 4.0, 1.0, thickness_mm=1.0)
    ratios = {}
    for noise in (False, True):
        blocks = choose_blocks(Acquisition(slices, grid, (1.5, 1.5)), np.ones(8, bool))
        (context,) = contexts(blocks, model=Model.new(SMALL.inplane, SMALL.axial), noise=noise)
        ratios[noise] = noise_hu(context.along_x[1:-1, 1]) / noise_hu(slices)
    assert ratios[False] < 0.85
    assert ratios[True] == pytest.approx(1, abs=0.08)
    air = choose_blocks(Acquisition(np.full_like(slices, -1000), grid, (1.5, 1.5)), np.ones(8, bool))
    model = Model.new(SMALL.inplane, SMALL.axial)
    assert not list(contexts(air, model=model, noise=True))


@pytest.mark.parametrize(("factor", "thickness"), [(2.0, 1.0), (4.0, 4.0), (3.0, 2.0), (2.5, 5.0)])
def test_increments_know_linear_scans(factor, thickness):
    """On a scan that is linear along z each base is exact away from the ends: nothing is left to learn."""
    model = Model.new(SMALL.inplane, SMALL.axial)
    ramp = torch.arange(17.0)[:, None, None].expand(17, 20, 20) * 30
    minus = increments.minus_one(17, Scale(factor, thickness))
    views = increments.predict(model, ramp[::2], minus.task, plane_steps={"coronal": 1, "sagittal": 1})
    for view in views.values():
        assert torch.allclose(minus.observe(view)[2:-2], ramp[1::2][2:-2], atol=1.0)
    forth, back = increments.zero(17, Scale(factor, thickness))
    half_way = forth.observe(
        increments.predict(model, ramp, forth.task, plane_steps={"coronal": 1, "sagittal": 1})["coronal"]
    )
    assert torch.allclose(half_way[2:-2], (ramp[1:] + ramp[:-1])[2:-2] / 2, atol=1.0)
    again = back.observe(
        increments.predict(model, half_way, back.task, plane_steps={"coronal": 1, "sagittal": 1})["axial"]
    )
    assert torch.allclose(again[3:-3], ramp[1:-1][3:-3], atol=1.0)


@pytest.mark.parametrize(("factor", "thickness"), [(2.0, 1.0), (4.0, 1.0), (4.0, 4.0), (2.5, 5.0)])
def test_increments_leave_the_views_something_to_learn(factor, thickness):
    """What is known of an increment must not be fixed by its own projection, or nothing would be taught."""
    minus = increments.minus_one(17, Scale(factor, thickness))
    forth, back = increments.zero(17, Scale(factor, thickness))
    for increment in (minus, forth, back):
        left = increment.observation @ increment.task.null_projector
        assert left.abs().sum(dim=1).min() > 0.05


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.5, 1.0])
def test_the_gate_keeps_the_share_that_agrees_best(gamma):
    teachers = torch.randn(2, 5, 11, 13)
    keep = agreement_mask(teachers, gamma=gamma)
    difference = (teachers[0] - teachers[1]).abs()
    assert keep.sum() == -int(-gamma * keep.numel() // 1)
    if gamma < 1:
        assert difference[keep].max() <= difference[~keep].min()


def test_held_out_labels_do_not_count():
    increment = increments.minus_one(9, Scale(2.0, 1.0))
    views = {"axial": torch.zeros(len(increment.task.grid.output_mm), 3, 3, requires_grad=True)}
    truth, usable = torch.ones(4, 3, 3), torch.tensor([True, False, True, True])
    increments.known_loss(views, increment, truth, usable=usable).backward()
    gradient = increment.observe(views["axial"].grad.abs()).sum(dim=(1, 2))
    assert gradient[1] == 0
    assert (gradient[[0, 2, 3]] > 0).all()


def test_consensus_vanishes_where_all_views_agree():
    views = {view: torch.full((3, 4, 4), 5.0) for view in ("axial", "coronal", "sagittal")}
    assert increments.consensus_loss(views, views, gamma=0.5) == 0


def test_a_view_is_among_its_own_teachers_only_where_labels_are_fused():
    teacher = {view: torch.full((2, 3, 3), value) for view, value in (("coronal", 0.0), ("sagittal", 500.0))}
    student = {"coronal": torch.zeros(2, 3, 3)}
    assert increments.consensus_loss(student, teacher, gamma=1.0) == pytest.approx(1.0)
    assert increments.consensus_loss(student, teacher, gamma=1.0, fused=True) == pytest.approx(0.25)


def _bone_in_fat() -> torch.Tensor:
    """Two images of fat, which is no tissue that counts, with a bone 20 pixels thick in one."""
    truth = torch.full((2, 40, 40), -100.0)
    truth[0, 10:30] = 500.0
    return truth


def test_what_is_missing_over_a_whole_bone_counts_by_its_share_of_the_pixels():
    truth = _bone_in_fat()
    within = torch.zeros_like(truth, dtype=torch.bool)
    within[0, 12:28] = True
    missing = torch.where(within, truth - 50.0, truth)
    expected = (50.0 / HU_SCALE) ** 2 * within.sum() / truth.numel()
    assert tissue_bias(missing, truth).item() == pytest.approx(expected.item())


def test_bias_counts_nothing_of_rims_of_other_tissues_and_of_errors_that_cancel():
    truth = _bone_in_fat()
    rim = truth.clone()
    rim[0, 8:12] += 300.0
    rim[0, 28:32] += 300.0
    rim[1] += 300.0
    checkered = truth + 50.0 * (2.0 * (torch.arange(40) % 2) - 1)
    for prediction in (truth, rim, checkered):
        assert tissue_bias(prediction, truth) < 1e-9
    assert mean_squared_error(checkered, truth).item() == pytest.approx(
        (50.0 / HU_SCALE) ** 2
    )  # that counts them all the same


@pytest.mark.parametrize("tissue", TISSUES)
def test_every_tissue_counts_by_itself_and_the_gradient_raises_what_is_too_low(tissue):
    low, high = TISSUES[tissue]
    truth = torch.full((1, 12, 12), min((low + high) / 2, 600.0))
    prediction = (truth - 20.0).requires_grad_()
    loss = tissue_bias(prediction, truth)
    loss.backward()
    assert loss.item() == pytest.approx((20.0 / HU_SCALE) ** 2)
    assert (prediction.grad < 0).all()
