"""The paper's recipe on many scans: what cubes are cut, that runs go on, and what its weights are good for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import thinslice
from thinslice.baselines import paper_training
from thinslice.baselines.paper import PaperConfig, restored
from thinslice.baselines.paper_training import draw_thick_cube, load_paper, save_paper, train_paper
from thinslice.cli.app import run
from thinslice.errors import InputError, ModelError, UsageError
from thinslice.io import files
from thinslice.phantom import make_phantom
from thinslice.physics.grid import plan_grid
from thinslice.training import ScanPool
from thinslice.training.scans import TrainingScan
from thinslice.volume import Volume
from thinslice.weights import shipped

SMALL = PaperConfig(
    axial_channels=16,
    axial_groups=1,
    axial_blocks=1,
    inplane_channels=8,
    inplane_groups=1,
    inplane_blocks=1,
    cube=(9, 16, 16),
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scans")
    for seed in (1, 2):
        volume = make_phantom(shape=(40, 32, 32), spacing_mm=(1.5, 3.0, 3.0), seed=seed).volume
        files.write(volume, folder / f"{seed}.nii.gz")
    return sorted(folder.iterdir())


def _pool(scans: list[Path]) -> ScanPool:
    return ScanPool(scans, read=lambda path: files.read(path, axis="z"), memory_bytes=10**9)


def _differences(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((mine - its).detach().abs().max()) for mine, its in pairs)


@pytest.fixture(scope="module")
def weights(scans: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "paper.safetensors"
    networks, facts = train_paper(_pool(scans), config=SMALL, iterations=60)
    save_paper(networks, path, config=SMALL, facts=facts, overwrite=False)
    return path


def test_cubes_are_slices_as_they_are_every_second_to_fourth_or_means_of_so_many() -> None:
    z = np.arange(64, dtype=np.int16)[:, None, None] * np.ones((1, 20, 20), np.int16)
    scan, random = TrainingScan(10 * z, (1.0, 1.0), 1.5), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        cube = draw_thick_cube(scan, (9, 16, 16), random)
        assert cube.shape == (9, 16, 16)
        values = cube[:, 0, 0].double() * 4096 - 1024
        step = round(float(values.diff().abs().mean())) // 10
        offset = float(values.min()) / 10 % step
        seen.add((step, "mean" if offset == pytest.approx((step - 1) / 2, abs=1e-3) and step > 1 else "slice"))
    assert {step for step, _ in seen} == {1, 2, 3, 4}  # 6 mm at most
    assert {(2, "mean"), (2, "slice"), (4, "mean"), (4, "slice")} <= seen
    coarse = replace(scan, spacing_mm=5.0)
    steps = {
        round(float(draw_thick_cube(coarse, (9, 16, 16), random)[:, 0, 0].diff().abs().mean() * 409.6))
        for _ in range(20)
    }
    assert steps == {1}


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_training, "_CHECKPOINT_S", 0.0)
    checkpoint = tmp_path / "run.checkpoint"

    def cut_off(stage: str, done: float, total: float) -> None:
        if done == 4:
            raise KeyboardInterrupt

    whole, _ = train_paper(_pool(scans), config=SMALL, iterations=6)
    with pytest.raises(KeyboardInterrupt):
        train_paper(_pool(scans), config=SMALL, iterations=6, checkpoint=checkpoint, on_progress=cut_off)
    resumed, facts = train_paper(_pool(scans), config=SMALL, iterations=6, checkpoint=checkpoint)
    assert _differences(whole, resumed) < 1e-5
    assert facts["iterations"] == 6
    with pytest.raises(InputError, match="other settings"):
        train_paper(_pool(scans), config=SMALL, iterations=7, checkpoint=checkpoint)


def test_weights_come_back_and_serve_all_factors_and_views(weights: Path, scans: list[Path]) -> None:
    networks = load_paper(weights)
    thick = files.read(scans[0], axis="z").hu[::2]
    for factor in (2.0, 3.0, 4.0):
        grid = plan_grid(len(thick), factor, 1.0, thickness_mm=1.0)
        mean = restored(networks, thick, grid)
        assert mean.shape[0] == len(grid.output_mm)
    grid = plan_grid(len(thick), 2.0, 1.0, thickness_mm=1.0)
    mean = restored(networks, thick, grid)
    single = [restored(networks, thick, grid, views=(view,)) for view in ("axial", "coronal", "sagittal")]
    np.testing.assert_allclose(np.mean(single, axis=0), mean, atol=0.02)
    assert np.abs(single[0] - single[1]).max() > 1


def _stripes(shift: float) -> np.ndarray:
    """Oblique stripes (41, 32, 32) in HU: what is between slices follows from the planes."""
    z, y, x = np.meshgrid(*(np.arange(size) for size in (41, 32, 32)), indexing="ij")
    return (400 * np.sin(0.8 * z + 0.5 * y + 0.3 * x + shift)).astype(np.float32)


def test_it_learns_on_some_scans_what_helps_on_another() -> None:
    """Slices between are nearer the truth than by lines, with which networks begin."""
    volumes = [Volume(_stripes(shift), np.diag([1.0, 1.0, 5.0, 1.0])) for shift in (0.0, 1.0)]
    pool = ScanPool([Path("0"), Path("1")], read=lambda path: volumes[int(path.name)], memory_bytes=10**9)
    thin, grid = _stripes(2.2), plan_grid(21, 2.0, 1.0, thickness_mm=1.0)
    errors = []
    for steps in (0, 60):
        networks, _ = train_paper(pool, config=SMALL, iterations=steps)
        errors.append(float(np.square(restored(networks, thin[::2], grid) - thin)[1::2].mean()))
    assert errors[1] < 0.8 * errors[0]


def test_weights_of_one_recipe_are_not_those_of_the_other(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="recipe 'paper'"):
        thinslice.Model.load(weights)
    shipped().save(tmp_path / "own.safetensors")
    with pytest.raises(ModelError, match="thinslice's own"):
        load_paper(tmp_path / "own.safetensors")


def test_evaluate_gives_the_three_views_and_their_mean(weights: Path, scans: list[Path]) -> None:
    methods = ("paper-trained", "axial", "coronal", "mean3")
    rows = thinslice.evaluate(scans[0], protocols=("gap",), factors=(2,), methods=methods, model=weights, axis="z")
    assert [row.method for row in rows] == list(methods)
    by_name = {row.method: row.psnr_new for row in rows}
    assert by_name["paper-trained"] == by_name["mean3"] != by_name["axial"]
    with pytest.raises(UsageError, match="needs weights"):
        thinslice.evaluate(scans[0], methods=("paper-trained",), axis="z")


def test_train_makes_weights_of_the_recipe_and_refuses_what_it_lacks(scans: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "paper.safetensors"
    command = ["train", "-i", *map(str, scans), "-o", str(out), "--axis", "z", "--recipe"]
    assert run([*command, "paper", "--blocks", "3"]) == 2
    assert not out.exists()
    assert run([*command, "paper-1", "--iterations", "1"]) == 0
    assert load_paper(out).ratio == 2
