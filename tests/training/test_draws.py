"""Draws depend on their names alone, whoever draws them."""

import pytest
import torch

from thinslice.errors import UsageError
from thinslice.fitting.config import FitConfig
from thinslice.io import files
from thinslice.networks.inplane import InplaneConfig
from thinslice.phantom import make_phantom
from thinslice.training import ScanPool, usual_workers
from thinslice.training.draws import Draw, Draws, drawn

WANTED = [Draw(network, step, group) for step in (0, 1) for network in ("inplane", "axial") for group in (0, 1)]


@pytest.fixture
def draws(tmp_path) -> Draws:
    """Of one thin scan, a third of them of bodies made in code."""
    files.write(make_phantom(shape=(48, 64, 64), spacing_mm=(1.5, 1.5, 1.5)).volume, tmp_path / "thin.nii.gz")
    pool = ScanPool([tmp_path / "thin.nii.gz"], read=lambda path: files.read(path, axis="z"), memory_bytes=10**9)
    return Draws(pool, FitConfig(InplaneConfig(16, 1), batch=4, patch_slices=8, patch_width=32), seed=1, shapes=1 / 3)


def test_workers_give_the_same_pairs_in_the_same_order(draws):
    alone = list(drawn(draws, WANTED, workers=0, pin=False))
    helped = list(drawn(draws, WANTED, workers=2, pin=False))
    assert len(alone) == len(helped) == len(WANTED)
    for one, other in zip(alone, helped, strict=True):
        assert one.task.grid.scale == other.task.grid.scale
        assert torch.equal(one.truth, other.truth)
        torch.testing.assert_close(one.thick, other.thick, rtol=0, atol=1e-3)


def test_every_draw_differs(draws):
    truths = [pairs.truth for pairs in drawn(draws, WANTED, workers=0, pin=False)]
    for number, truth in enumerate(truths):
        assert not any(truth.shape == other.shape and torch.equal(truth, other) for other in truths[:number])


def test_workers_that_cannot_be_forked_are_refused(draws, monkeypatch):
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(UsageError, match="3 workers"):
        drawn(draws, WANTED, workers=3, pin=False)
    assert usual_workers(torch.device("cuda")) == 0


def test_workers_stand_beside_a_graphics_card_alone():
    assert usual_workers(torch.device("cpu")) == 0
    assert usual_workers(torch.device("cuda")) > 1


def test_a_small_scan_is_drawn_less_often(tmp_path):
    """16 slices drawn as often as a whole scan took the place of what others could teach."""
    for name, slices in (("large", 64), ("small", 16)):
        volume = make_phantom(shape=(slices, 64, 64), spacing_mm=(1.5, 1.5, 1.5)).volume
        files.write(volume, tmp_path / f"{name}.nii.gz")
    read = []
    pool = ScanPool(
        [tmp_path / "large.nii.gz", tmp_path / "small.nii.gz"],
        read=lambda path: files.read(path, axis="z"),
        memory_bytes=10**9,
    )
    sizes = [pool[number].body_voxels for number in (0, 1)]
    assert 2 < sizes[0] / sizes[1] < 8
    config = FitConfig(InplaneConfig(16, 1), batch=1, patch_slices=4, patch_width=16)
    draws = Draws(pool, config, seed=1, enough_body=sizes[0])

    def pairs_of(network, scan, random, config):
        read.append(scan.body_voxels)
        return object()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thinslice.training.draws.pairs_of", pairs_of)
        for step in range(400):
            draws[Draw("axial", step, 0)]
    assert read.count(sizes[1]) / len(read) == pytest.approx(sizes[1] / sum(sizes), abs=0.05)
