"""Training on many scans: it learns, goes on where it was cut off, and may be shared among processes."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from thinslice.errors import GeometryError, InputError, UsageError
from thinslice.fitting.config import FitConfig
from thinslice.io import files
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.networks.task import patch_task
from thinslice.phantom import make_phantom, thicken
from thinslice.physics.grid import Scale
from thinslice.training import ScanPool, TrainConfig, train
from thinslice.training.pairs import draw_scale
from thinslice.volume import Volume

SMALL = TrainConfig(
    fit=FitConfig(InplaneConfig(16, 1), AxialConfig(16, 1), batch=4, patch_slices=8, patch_width=32, average=20),
    iterations=150,
    axial_every=4,
    validate_every=150,
    validation_draws=8,
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> list[Path]:
    """A thin scan and a thick one."""
    folder = tmp_path_factory.mktemp("scans")
    thin = make_phantom(shape=(48, 64, 64), spacing_mm=(1.5, 1.5, 1.5), seed=1).volume
    thick, _ = thicken(make_phantom(shape=(64, 64, 64), spacing_mm=(1.25, 1.5, 1.5), seed=2).volume, 5.0)
    for name, volume in (("thin", thin), ("thick", thick)):
        files.write(volume, folder / f"{name}.nii.gz")
    return [folder / "thin.nii.gz", folder / "thick.nii.gz"]


def _pool(scans, memory_bytes=10**9):
    return ScanPool(scans, read=lambda path: files.read(path, axis="z"), memory_bytes=memory_bytes)


def _weights(model: Model) -> torch.Tensor:
    return torch.cat([value.flatten() for _, value in sorted(model.state().items())])


def test_both_networks_learn_to_beat_interpolation(scans):
    pool = _pool(scans)
    model = train(pool, config=SMALL, validation=[pool[0]])
    point = model.facts["curve"][-1]
    assert point["step"] == 150
    assert point["gain_inplane_db"] > 0.1
    assert point["gain_axial_db"] > 0.0


class _CutOffError(Exception):
    """Stands for whatever ends a run."""


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(scans, tmp_path):
    config = replace(SMALL, iterations=12, checkpoint_s=0.0)
    whole = train(_pool(scans), config=config, seed=3)

    def stop_at_eight(stage, done, total):
        if done == 8:
            raise _CutOffError

    checkpoint = tmp_path / "weights.checkpoint"
    with pytest.raises(_CutOffError):
        train(_pool(scans), config=config, seed=3, checkpoint=checkpoint, on_progress=stop_at_eight)
    resumed = train(_pool(scans), config=config, seed=3, checkpoint=checkpoint)
    assert torch.equal(_weights(whole), _weights(resumed))


def test_workers_draw_the_pairs_that_one_process_draws(scans, tmp_path):
    config = replace(SMALL, iterations=9)
    alone = train(_pool(scans), config=config, seed=3)
    helped = train(_pool(scans), config=config, seed=3, workers=2)
    assert (_weights(alone) - _weights(helped)).abs().max() < 1e-5


def test_scans_that_memory_does_not_hold_are_shared_out_among_workers(scans):
    config = replace(SMALL, iterations=2)
    alone = train(_pool(scans), config=config)
    helped = train(_pool(scans, memory_bytes=1), config=config, workers=2)
    assert (_weights(alone) - _weights(helped)).abs().max() < 1e-5


def test_a_scan_that_is_refused_is_refused_before_workers_begin(scans, tmp_path):
    small = Volume(np.zeros((9, 12, 40)), np.diag([1.0, 1.0, 4.0, 1.0]))
    files.write(small, tmp_path / "small.nii.gz")
    with pytest.raises(GeometryError, match="small"):
        train(_pool([*scans, tmp_path / "small.nii.gz"]), config=replace(SMALL, iterations=2), workers=2)


def test_all_of_a_step_happens_on_the_device(scans):
    """Tensors of the meta device hold no numbers, and PyTorch refuses to compute with them and others together."""

    def stop_at_the_end(stage, done, total):
        if done == total:
            raise _CutOffError

    with pytest.raises(_CutOffError):
        train(
            _pool(scans), config=replace(SMALL, iterations=3, validate_every=2), device=torch.device("meta"),
            workers=2, on_progress=stop_at_the_end,
        )  # fmt: skip


def test_thick_scans_alone_teach_the_coronal_and_sagittal_network(tmp_path):
    thick, _ = thicken(make_phantom(shape=(64, 64, 64), spacing_mm=(1.25, 1.5, 1.5), seed=2).volume, 7.5)
    files.write(thick, tmp_path / "thick.nii.gz")
    model = train(_pool([tmp_path / "thick.nii.gz"]), config=replace(SMALL, iterations=3), seed=2)
    new = Model.new(SMALL.fit.inplane, SMALL.fit.axial, seed=2).state()
    taught = {name.split(".")[0] for name, value in model.state().items() if not torch.equal(value, new[name])}
    assert taught == {"inplane"}


def test_weights_of_before_a_condition_was_added_give_what_they_gave(scans, tmp_path):
    """Their embedding is called `tell`, and knows nothing of the shape of profiles."""
    model = train(_pool(scans), config=replace(SMALL, iterations=3), seed=3)
    for network in model.networks.values():
        with torch.no_grad():
            network.body.embed.weight[:, 2] = 0
            network.body.blocks[0].modulate.weight.normal_()
            network.body.leave.weight.normal_()
    model.save(tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        about = file.metadata()
    old = {name.replace("embed.", "tell."): value for name, value in model.state().items()}
    old = {name: value[:, :2].clone() if name.endswith("tell.weight") else value for name, value in old.items()}
    save_file(old, tmp_path / "old.safetensors", metadata=about)
    loaded = Model.load(tmp_path / "old.safetensors")
    assert loaded.digest == model.digest
    planes = 200 * torch.randn(2, 7, 8, 16, generator=torch.manual_seed(0))
    box, gauss = (patch_task(8, Scale(4.0, 4.0, flatness)) for flatness in (1.0, 0.0))
    for task in (box, gauss):
        assert torch.equal(loaded.inplane(planes, task), model.inplane(planes, task))
    where = box.where
    assert torch.equal(*(loaded.inplane.residual(planes, where, task.condition) for task in (box, gauss)))
    with torch.no_grad():
        loaded.inplane.body.embed.weight[0, 2] = 0.5
    assert loaded.digest != model.digest
    assert not torch.equal(*(loaded.inplane.residual(planes, where, task.condition) for task in (box, gauss)))


def test_every_scale_that_is_drawn_makes_a_task():
    random = np.random.default_rng(0)
    for _ in range(400):
        scale = draw_scale(random)
        grid = scale.grid(6)
        assert len(grid.held()), scale
        assert grid.scale.grid(6).output_mm == pytest.approx(grid.output_mm, abs=1e-4)


def test_a_checkpoint_of_other_settings_is_refused(scans, tmp_path):
    checkpoint = tmp_path / "weights.checkpoint"
    config = replace(SMALL, iterations=2, checkpoint_s=0.0)
    train(_pool(scans), config=config, checkpoint=checkpoint)
    with pytest.raises(InputError, match="other settings"):
        train(_pool(scans), config=config, seed=1, checkpoint=checkpoint)
    with pytest.raises(InputError, match="other settings"):
        train(_pool(scans[::-1]), config=config, checkpoint=checkpoint)
    saved = torch.load(checkpoint, weights_only=True)
    del saved["state"]["optimisers"]
    torch.save(saved, checkpoint)
    with pytest.raises(InputError, match="no checkpoint: KeyError"):
        train(_pool(scans), config=config, checkpoint=checkpoint)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="no checkpoint"):
        train(_pool(scans), config=config, checkpoint=checkpoint)


def test_two_processes_take_the_steps_that_one_takes(scans, tmp_path):
    program = str(Path(sys.executable).with_name("thinslice"))
    options = ["train", "-i", *map(str, scans), "--axis", "z", "--iterations", "3", "--channels", "16",
               "--blocks", "1", "--batch", "2", "--threads", "1", "--validate", str(scans[0]), "-q"]  # fmt: skip
    alone, shared = tmp_path / "alone.safetensors", tmp_path / "shared.safetensors"
    subprocess.run([program, *options, "-o", str(alone)], check=True, capture_output=True, text=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    subprocess.run([*torchrun, program, *options, "-o", str(shared)], check=True, capture_output=True, text=True)
    one, two = Model.load(alone), Model.load(shared)
    gains = [model.facts["curve"][-1]["gain_inplane_db"] for model in (one, two)]
    assert gains[0] == pytest.approx(gains[1], abs=1e-3)
    defaults = TrainConfig(iterations=3)
    fit = replace(defaults.fit, inplane=InplaneConfig(16, 1), batch=2)
    start = _weights(Model.new(fit.inplane, fit.axial))
    way = (_weights(one) - start).norm()
    assert (_weights(one) - _weights(two)).norm() < 0.5 * way
    assert one.facts["config"] == json.loads(json.dumps(asdict(replace(defaults, fit=fit))))


def test_the_command_line_adds_blocks_to_weights(scans, tmp_path):
    program = str(Path(sys.executable).with_name("thinslice"))
    first, deeper = tmp_path / "first.safetensors", tmp_path / "deeper.safetensors"
    train(_pool(scans), config=replace(SMALL, iterations=2)).save(first)
    options = ["train", "-i", *map(str, scans), "--axis", "z", "--iterations", "1", "--batch", "2", "--threads", "1",
               "--weights", str(first), "--workers", "2", "-o", str(deeper), "-q", "--json", "-"]  # fmt: skip
    said = subprocess.run([program, *options, "--blocks", "3"], check=True, capture_output=True, text=True)
    record = json.loads(said.stdout)
    assert record["sha256"] == Model.load(deeper).digest
    assert record["facts"]["steps"] == 1
    assert Model.load(deeper).inplane.config == InplaneConfig(16, 3)


def test_training_goes_on_from_trained_weights_of_their_own_sizes(scans, tmp_path):
    start = train(_pool(scans), config=replace(SMALL, iterations=30))
    config, checkpoint = TrainConfig(iterations=2, checkpoint_s=0.0), tmp_path / "weights.checkpoint"
    model = train(_pool(scans), config=config, start=start, checkpoint=checkpoint)
    assert model.inplane.config == start.inplane.config
    assert model.facts["started_from"] == start.digest
    assert 0 < (_weights(model) - _weights(start)).abs().max() < 0.05
    with pytest.raises(InputError, match="other settings"):
        train(_pool(scans), config=config, start=model, checkpoint=checkpoint)


def test_groups_that_processes_cannot_share_are_refused(scans, monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    with pytest.raises(UsageError, match="3 processes"):
        train(_pool(scans), config=SMALL)


def test_a_scan_too_small_to_learn_from_is_refused():
    volume = Volume(np.zeros((9, 12, 40)), np.diag([1.0, 1.0, 4.0, 1.0]))
    with pytest.raises(GeometryError, match="too small"):
        ScanPool([Path("a")], read=lambda path: volume, memory_bytes=10**9)[0]


def test_scans_leave_when_memory_is_spent(scans):
    read = []
    pool = ScanPool(scans, read=lambda path: (read.append(path.name), files.read(path, axis="z"))[1], memory_bytes=1)
    for number in (0, 0, 1, 0):
        assert pool[number].hu.dtype == np.int16
    assert read == ["thin.nii.gz", "thick.nii.gz", "thin.nii.gz"]


def test_bodies_made_in_code_are_among_the_draws(scans):
    config = replace(SMALL, iterations=2)
    with_, without = (train(_pool(scans), config=replace(config, shapes=share)) for share in (1.0, 0.0))
    assert not torch.equal(_weights(with_), _weights(without))
    assert "shapes" in with_.facts["config"]
