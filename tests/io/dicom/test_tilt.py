"""Gantry tilt: the result is sheared as its source is, or upright on request; HU lie where they belong either way."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import tilted
from dicom_phantom import hu_at, save
from test_gap_filling import untaught

import thinslice
from thinslice.cli.app import run
from thinslice.errors import ResourceError, UsageError
from thinslice.io.dicom import read_series
from thinslice.synthesis.upright import shear_pixels
from thinslice.system import memory
from thinslice.volume import Volume


def error(volume: Volume) -> float:
    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ volume.affine.T
    off = np.abs(volume.hu - hu_at(ras[..., :3] * [-1, -1, 1]))
    return float(off.max() if volume.padding is None else off[~volume.padding].max())


@pytest.mark.parametrize("degrees", [15, -15, 2])
def test_hu_at_world_positions_sheared_and_upright(degrees, tmp_path):
    save(tilted(degrees), tmp_path / "in")
    # thin slices: what lies between them is linear, so the truth is known at every place
    sheared = thinslice.enhance(tmp_path / "in", factor=5, thickness=0.9, fit="none", model=untaught())
    result = sheared.upright()
    assert error(sheared.volume) <= 1
    assert error(result.volume) <= 1
    assert np.abs(shear_pixels(sheared.volume.affine)).max() > 0.01
    assert np.abs(shear_pixels(result.volume.affine)).max() < 1e-9
    assert result.volume.shape[0] == sheared.volume.shape[0]
    measured = (~result.volume.padding).sum() / sheared.volume.hu.size
    assert 0.9 < measured <= 1  # half a pixel at either edge of each slice
    assert any(warning["code"] == "GEO-UPRIGHT" for warning in result.record["warnings"])
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(sheared, labels=np.zeros(sheared.volume.shape, np.int16)).upright()
    assert caught.value.code == "USE-LABELS"
    assert result.record["output"]["grid"]["shape"] == list(result.volume.shape)


def test_a_last_slice_between_two_output_slices_stays_in_its_place(tmp_path):
    """4.997 mm in steps of 1 mm: the last acquired slice lies 0.966 mm beyond the last output slice."""
    save(tilted(2), tmp_path / "in")
    result = thinslice.enhance(tmp_path / "in", spacing=1.0, thickness=0.9, fit="none", model=untaught())
    assert error(result.volume) <= 1


def test_the_upright_copy_must_fit_into_memory_too(tmp_path, monkeypatch):
    save(tilted(15), tmp_path / "in")
    volume = read_series(tmp_path / "in")
    free = memory.estimate_bytes(volume.shape, (56, *volume.shape[1:]))
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    options = {"factor": 5, "thickness": 0.9, "fit": "none", "model": untaught()}
    assert thinslice.enhance(volume, **options).volume.shape[0] == 56
    with pytest.raises(ResourceError, match="memory"):
        thinslice.enhance(volume, **options, detilt=True)


def test_asking_for_an_upright_result_of_an_upright_scan_changes_nothing(tmp_path):
    from dicom_phantom import series

    save(series(), tmp_path / "in")
    plain = thinslice.enhance(tmp_path / "in", spacing=1.0, fit="none", model=untaught())
    assert plain.upright() is plain


@pytest.mark.parametrize("name", ["thin.nrrd", "thin.nii.gz", "thin"])
def test_from_the_command_line_into_any_format(name, tmp_path):
    """Formats that cannot hold shear take an upright result; read back, its values are in their places."""
    save(tilted(-15), tmp_path / "in")
    arguments = ["-q", "-i", str(tmp_path / "in"), "-o", str(tmp_path / name), "--factor", "5", "--thickness", "0.9"]
    untaught().save(tmp_path / "w.safetensors")
    arguments += ["--fit", "none", "--weights", str(tmp_path / "w.safetensors")]
    told = str(tmp_path / "record.json")
    asides = ["--preview", str(tmp_path / "look.png"), "--report", str(tmp_path / "page.html"), "--json", told]
    assert run(["enhance", *arguments, "--detilt", *asides]) == 0
    assert "before the result was made upright" in (tmp_path / "page.html").read_text()
    warnings = {entry["code"]: entry["message"] for entry in json.loads(Path(told).read_text())["warnings"]}
    assert "made upright" in warnings["DCM-TILT"]
    assert not any("--detilt" in message for message in warnings.values())  # no advice to do what was done
    volume = thinslice.read(tmp_path / name, allow_derived=True)
    assert np.abs(shear_pixels(volume.affine)).max() < 1e-4
    outside = volume.hu == -1024
    assert outside.any()
    assert error(Volume(volume.hu, volume.affine, padding=outside)) <= 1


def test_real_tilt(shared_ct):
    """Made upright, the scanner's slices are those of its own positions: the reader finds no tilt any more."""
    from thinslice.synthesis.upright import upright

    volume = read_series(shared_ct / "dicom" / "philips_phantom_tilt_plus16")
    straight = upright(volume)
    pixels = np.abs(shear_pixels(volume.affine)[1]) * (volume.shape[0] - 1)
    assert straight.shape[1] == volume.shape[1] + int(np.ceil(pixels))
    assert np.array_equal(straight.affine[:3, :2], volume.affine[:3, :2])
    for number in (0, volume.shape[0] - 1):  # the same tissue: means over whole slices are kept
        measured = ~straight.padding[number]
        assert straight.hu[number][measured].mean() == pytest.approx(volume.hu[number].mean(), abs=3)
