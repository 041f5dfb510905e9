"""The shipped weights: there, small, told about, better than interpolation, and quiet where there is nothing to see."""

from importlib import resources

import numpy as np
import pytest
import torch

import thinslice
from thinslice.conventions import VIEWS
from thinslice.evaluation.methods import CLASSICAL
from thinslice.evaluation.metrics import PEAK_HU, psnr
from thinslice.networks.axial import AxialNetwork
from thinslice.networks.inplane import InplaneNetwork
from thinslice.networks.task import make_task
from thinslice.phantom import make_phantom, thicken
from thinslice.physics.grid import plan_grid
from thinslice.weights import shipped

ROOM = resources.files("thinslice.weights")


def test_they_are_small_and_their_card_says_what_they_learned_from():
    files = [entry for entry in ROOM.iterdir() if entry.name.endswith(".safetensors")]
    assert 0 < sum(len(file.read_bytes()) for file in files) <= 8_000_000
    card = (ROOM / "card.md").read_text(encoding="utf-8")
    for collection in ("RIDER", "LungFCP", "COVID-CT-MD", "CMB-CRC", "CPTAC-PDA", "Lung-PET-CT-Dx", "ACRIN"):
        assert collection in card
    assert "LIDC" not in card.split("## Figures")[0]
    assert f"{shipped().facts['steps']:,} steps" in card


def test_whoever_adapts_them_does_not_change_anothers():
    first, second = shipped(), shipped()
    with torch.no_grad():
        next(first.inplane.parameters()).add_(1)
    assert first.digest != second.digest == shipped().digest


@pytest.mark.parametrize("thickness", [1.0, 4.0], ids=["gap", "box"])
def test_as_they_are_they_beat_cubic_on_an_anatomy_they_never_saw(thickness):
    truth = make_phantom(shape=(60, 96, 96), spacing_mm=(1.0, 1.5, 1.5)).volume
    thick, grid = thicken(truth, 4.0, thickness_mm=thickness)
    result = thinslice.enhance(thick, spacing=1.0, fit="none")
    new = np.setdiff1d(np.arange(len(grid.output_mm)), grid.on_grid()[1] if grid.copies else [])
    ours, cubic = (
        psnr(float(np.mean(np.square((hu - truth.hu[: len(grid.output_mm)])[new]))), peak=PEAK_HU)
        for hu in (result.volume.hu, CLASSICAL["cubic"](thick, grid))
    )
    assert ours > cubic + 1
    assert result.record["model"]["source"] == "shipped"
    assert result.record["fit"] is None
    assert result.record["self_check"]["verdict"] == "better"


@pytest.mark.parametrize("overlap", [2.5, 3.0, 5.0])
def test_slices_thicker_than_any_of_training_do_no_worse_than_by_cubic(overlap):
    truth = make_phantom(shape=(60, 64, 64), spacing_mm=(1.0, 2.0, 2.0)).volume
    thick, grid = thicken(truth, 4.0, thickness_mm=4 * overlap)
    result = thinslice.enhance(thick, spacing=1.0, fit="none").volume.hu
    ours, cubic = (np.square(hu - truth.hu[: len(hu)]).mean() for hu in (result, CLASSICAL["cubic"](thick, grid)))
    assert ours < cubic


@pytest.mark.parametrize(("spacing", "finer"), [(6, 5), (4, 3), (5, 2)])
def test_thin_slices_between_those_of_the_result_are_no_burden(spacing, finer):
    """Held to slices that lie between its own, a result would swing: 1 to 5 dB worse on scans."""
    truth = make_phantom(shape=(61, 64, 64), spacing_mm=(1.0, 2.0, 2.0)).volume
    thick, _ = thicken(truth, spacing, thickness_mm=1.0)
    result = thinslice.enhance(thick, spacing=finer, fit="none")
    grid = plan_grid(len(thick.hu), spacing, finer, thickness_mm=1.0)
    wanted, new = truth.hu[::finer][: len(grid.output_mm)], np.arange(len(grid.output_mm)) * finer % spacing > 0
    ours, cubic = (np.square((hu - wanted)[new]).mean() for hu in (result.volume.hu, CLASSICAL["cubic"](thick, grid)))
    assert ours < 0.8 * cubic
    assert result.record["output"]["copied_slices"] == len(grid.on_grid()[0]) < len(thick.hu)
    assert result.record["consistency"]["residual_hu_before"]["max"] == 0


@pytest.mark.parametrize("hu", [-1000.0, -850.0, 0.0, 60.0, 1500.0])
@pytest.mark.parametrize("thickness", [1.0, 4.0, 8.0])
def test_uniform_matter_is_left_as_it_is(hu, thickness):
    model = shipped()
    task = make_task(plan_grid(8, 4.0, 1.0, thickness_mm=thickness))
    with torch.inference_mode():
        planes = torch.full((1, model.inplane.config.planes, 8, 40), hu)
        results = model.inplane(planes, task), model.axial(torch.full((8, 40, 40), hu), task)
    assert all(float((result - hu).abs().max()) < 0.01 for result in results)


def test_they_give_every_view_a_network_and_the_fusion_a_sum_of_one():
    model = shipped()
    assert isinstance(model.inplane, InplaneNetwork)
    assert isinstance(model.axial, AxialNetwork)
    assert set(model.fusion) == set(VIEWS)
    assert sum(model.fusion.values()) == pytest.approx(1)
