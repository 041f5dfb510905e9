"""The paper's recipe: what it copies, what it keeps, that it learns, that it repeats itself."""

import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from thinslice.baselines.paper import (
    PaperConfig,
    PaperNetworks,
    agreement,
    distillation_loss,
    draw_cube,
    fit_paper,
    fitted_ratio,
    paper_result,
    synthesise,
    training_loss,
)
from thinslice.baselines.paper_networks import between
from thinslice.errors import UsageError
from thinslice.fitting.effort import Effort
from thinslice.physics.grid import SliceGrid, plan_grid
from thinslice.physics.interpolation import linear

SMALL = PaperConfig(
    axial_channels=16,
    axial_groups=1,
    axial_blocks=1,
    inplane_channels=8,
    inplane_groups=1,
    inplane_blocks=1,
    cube=(9, 16, 16),
)


@pytest.fixture(autouse=True)
def exact_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the probe chooses on a busy machine is no matter of these tests.
    monkeypatch.setattr("thinslice.baselines.paper.arithmetic", lambda device: nullcontext())


def scan(slices: int, rows: int, columns: int) -> np.ndarray:
    """Oblique stripes in HU: what is between slices follows from the planes."""
    z, y, x = np.meshgrid(*(np.arange(size) for size in (slices, rows, columns)), indexing="ij")
    return (400 * np.sin(0.8 * z + 0.5 * y + 0.3 * x)).astype(np.float32)


def result_of(
    thick: np.ndarray, grid: SliceGrid, *, distil: bool = False, iterations: int = 0, seed: int = 0
) -> np.ndarray:
    return paper_result(thick, grid, Effort(None, iterations, seed), distil=distil, device="cpu", config=SMALL)


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 2.5])
def test_without_steps_the_row_is_linear_interpolation_and_copies_acquired_slices(factor: float) -> None:
    thick = scan(11, 13, 17)
    grid = plan_grid(11, factor, 1.0, thickness_mm=1.0)
    result = result_of(thick, grid)
    acquired, output = grid.on_grid()
    assert result.dtype == np.float32
    assert result.shape == (len(grid.output_mm), 13, 17)
    np.testing.assert_array_equal(result[output], thick[acquired])
    if factor in (2, 3, 4):
        expected = np.tensordot(linear(grid), thick, 1)
        np.testing.assert_allclose(result, expected, atol=0.01)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_thick_slices_are_points_and_their_ends_are_repeated(factor: int) -> None:
    thick = scan(10, 9, 8)
    grid = plan_grid(10, float(factor), 1.0, thickness_mm=float(factor))
    result = result_of(thick, grid)
    assert result.shape == (10 * factor, 9, 8)
    for k in range(factor // 2):
        np.testing.assert_allclose(result[k], thick[0], atol=0.01)
        np.testing.assert_allclose(result[-1 - k], thick[-1], atol=0.01)


def test_a_factor_of_three_is_fitted_as_such_where_slices_suffice() -> None:
    ratios = {(f, m): fitted_ratio(plan_grid(m, f, 1.0, thickness_mm=1.0)) for f in (2.0, 3.0, 4.0) for m in (4, 33)}
    assert ratios == {(2, 4): 2, (2, 33): 2, (3, 4): 2, (3, 33): 3, (4, 4): 2, (4, 33): 2}


@pytest.mark.parametrize("distillation", [0.0, 0.15])
def test_the_loss_falls_and_dropped_slices_are_predicted_better_than_by_lines(distillation: float) -> None:
    torch.manual_seed(0)
    slices = torch.from_numpy((scan(17, 32, 32) + 1024) / 4096)
    networks = PaperNetworks(SMALL, ratio=2)
    config = replace(SMALL, distillation=distillation)
    losses = fit_paper(networks, slices, config, Effort(None, 30), start=0.0)
    assert max(losses[-5:]) < losses[0]
    with torch.no_grad():
        _, coronal, sagittal = networks(slices[::2])
    lines = (between(slices[::2], 2)[:, 0] - slices[1::2]).square().mean()
    for view in (coronal, sagittal):
        assert (view[:, 0] - slices[1::2]).square().mean() < 0.8 * lines


@pytest.mark.parametrize("distil", [False, True])
def test_fits_repeat_themselves_for_a_seed(distil: bool) -> None:
    thick = scan(5, 17, 19)
    grid = plan_grid(5, 2.0, 1.0, thickness_mm=1.0)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = result_of(thick, grid, distil=distil, iterations=2, seed=3)
    torch.testing.assert_close(torch.rand(3), expected)  # the caller's random numbers are left alone
    np.testing.assert_array_equal(first, result_of(thick, grid, distil=distil, iterations=2, seed=3))
    assert np.abs(first - result_of(thick, grid, distil=distil, iterations=2, seed=4)).max() > 0


@pytest.mark.parametrize("ratio", [2, 3])
def test_four_slices_are_enough_for_all_increments(ratio: int) -> None:
    networks = PaperNetworks(SMALL, ratio=ratio)
    losses = fit_paper(networks, torch.rand(4, 12, 12), SMALL, Effort(None, 2), start=time.perf_counter())
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert synthesise(networks, torch.rand(4, 12, 12)).shape == (3 * ratio + 1, 12, 12)


def test_a_budget_that_is_spent_leaves_the_networks_as_they_are() -> None:
    networks = PaperNetworks(SMALL, ratio=2)
    start = time.perf_counter() - 10.0
    assert fit_paper(networks, torch.rand(5, 8, 8), SMALL, Effort(9.0), start=start) == []
    with pytest.raises(UsageError, match="seconds nor iterations"):
        fit_paper(networks, torch.rand(5, 8, 8), SMALL, Effort(None), start=start)


def test_cubes_are_pieces_of_the_scan_whose_dropped_slices_have_neighbours() -> None:
    slices = torch.rand(12, 20, 30)
    for ratio in (2, 3):
        cube = draw_cube(slices, (33, 16, 16), ratio=ratio, random=np.random.default_rng(0))
        assert cube.shape == ({2: 11, 3: 10}[ratio], 16, 16)
        assert np.isin(cube.numpy(), slices.numpy()).all()


@pytest.mark.parametrize("gamma", [0.1, 0.25, 1.0])
def test_the_gate_keeps_exactly_its_share_of_voxels_and_those_that_agree_best(gamma: float) -> None:
    random = torch.Generator().manual_seed(0)
    one = torch.rand(4, 5, 10, 10, generator=random, requires_grad=True)
    other = torch.rand(4, 5, 10, 10, generator=random, requires_grad=True)
    loss = agreement(one, other, gamma)
    loss.backward()
    squared = (one - other).detach().square().flatten().sort().values
    assert loss.item() == pytest.approx(squared[: round(gamma * 2000)].mean().item(), rel=1e-5)
    for side in (one, other):  # symmetric, no stop-gradient
        assert side.grad is not None
        assert int((side.grad != 0).sum()) == round(gamma * 2000)


def test_views_that_agree_cost_nothing() -> None:
    networks = PaperNetworks(SMALL, ratio=2)  # untrained: all views are linear interpolation
    assert distillation_loss(networks, torch.rand(5, 16, 16), 0.25).item() == pytest.approx(0, abs=1e-12)


def test_every_term_can_be_left_out() -> None:
    torch.manual_seed(0)
    networks = PaperNetworks(SMALL, ratio=2)
    fit_paper(networks, torch.rand(9, 16, 16), SMALL, Effort(None, 3), start=0.0)
    cube = torch.rand(9, 16, 16)
    terms = ("reconstruction", "wavelet", "distillation", "compactness", "separateness")
    nothing = dict.fromkeys(terms, 0.0)
    assert training_loss(networks, cube, PaperConfig(**nothing)).item() == 0
    alone = [training_loss(networks, cube, PaperConfig(**{**nothing, term: getattr(SMALL, term)})) for term in terms]
    assert all(loss.item() > 0 for loss in alone)
    assert training_loss(networks, cube, SMALL).item() == pytest.approx(sum(loss.item() for loss in alone), rel=1e-5)
