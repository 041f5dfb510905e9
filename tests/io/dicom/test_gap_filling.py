"""Missing and unevenly spaced slices, enhanced: acquired slices come back, the result is even and in its place."""

import json

import numpy as np
import pytest
from dicom_cases import two_spacings, without
from dicom_phantom import hu_at, save, series
from jsonschema import Draft202012Validator

import thinslice
from thinslice.cli.app import run
from thinslice.fitting.config import FitConfig
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.phantom import make_phantom
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid
from thinslice.physics.operator import along_z, profile_weights
from thinslice.plan import plan_job
from thinslice.volume import Volume

SMALL = FitConfig(
    inplane=InplaneConfig(channels=16, blocks=1), axial=AxialConfig(channels=16, blocks=1), batch=2, patch_slices=6
)
CHEAP = {"fit": "scan", "iterations": 4, "config": SMALL}


def untaught() -> Model:
    """Networks that add nothing yet: the result is what interpolation and projection make of the scan."""
    return Model.new(SMALL.inplane, SMALL.axial)


PLACES = {
    "missing": np.array([0, 5, 10, 20, 25, 30, 35, 50, 55], float),
    "uneven": np.array([0, 5.2, 10, 15.3, 19.8, 25, 30.4, 35, 39.7]),
    "two spacings": np.array([0, 2, 4, 6, 8, 13, 18, 23, 28, 33], float),
}


@pytest.fixture(scope="module")
def phantom() -> Volume:
    return make_phantom(shape=(60, 40, 44), spacing_mm=(1.0, 2.0, 2.2)).volume


def seen_at(phantom: Volume, places: np.ndarray, thickness: float) -> Volume:
    """What a scanner with this slice thickness sees of the phantom at these places, in mm from its fourth slice."""
    fine = np.arange(len(phantom.hu), dtype=float) - 3
    hu = along_z(profile_weights(SliceGrid(places, fine, thickness)), phantom.hu)
    usual = np.sort(np.diff(places))[(len(places) - 2) // 2]
    affine = phantom.affine.copy()
    affine[:3, 3] += 3 * affine[:3, 2]
    affine[:3, 2] *= usual
    return Volume(hu.round(), affine, thickness, slice_positions_mm=places)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_acquired_slices_are_met_and_the_result_is_even(name, thickness, phantom):
    thick = seen_at(phantom, PLACES[name], thickness)
    result = thinslice.enhance(thick, spacing=1.0, **CHEAP)
    assert result.volume.slice_positions_mm is None
    assert result.volume.slice_spacing_mm == pytest.approx(1.0)
    overlapping = thickness > 1.3 * np.diff(PLACES[name]).min()  # there A A^T is damped, as everywhere
    if not overlapping:
        assert result.record["consistency"]["residual_hu_before"]["max"] <= 0.01
    grid = plan_job(thick, spacing=1.0).grid
    assert np.array_equal(grid.acquired_mm, PLACES[name])
    covered = result.volume.hu[(grid.output_mm >= 0) & (grid.output_mm <= PLACES[name][-1])]
    assert len(covered) >= PLACES[name][-1] - 1


def test_thin_slices_around_gaps_come_back_bit_for_bit(phantom):
    thick = seen_at(phantom, PLACES["missing"], 1.0)
    result = thinslice.enhance(thick, spacing=1.0, **CHEAP)
    assert result.record["output"]["copied_slices"] == len(thick.hu)
    assert np.array_equal(result.volume.hu[PLACES["missing"].astype(int)], thick.hu)


def test_even_positions_that_are_spelt_out_change_nothing(phantom):
    places = np.arange(9) * 5.0
    spelt = seen_at(phantom, places, 5.0)
    plain = Volume(spelt.hu, spelt.affine, 5.0)
    one, other = (thinslice.enhance(volume, spacing=1.0, **CHEAP) for volume in (spelt, plain))
    assert np.array_equal(one.volume.hu, other.volume.hu)
    assert np.array_equal(one.volume.affine, other.volume.affine)


def test_flipping_the_scan_flips_the_gaps(phantom):
    """A mirrored stack has mirrored positions: base and projection treat both directions alike."""
    places = PLACES["missing"]
    there = plan_job(seen_at(phantom, places, 5.0), spacing=1.0).grid
    back = plan_job(seen_at(phantom, places[-1] - places[::-1], 5.0), spacing=1.0).grid
    assert np.allclose(interpolation.bspline(there), interpolation.bspline(back)[::-1, ::-1], atol=1e-9)


def test_thick_slices_about_a_gap_lie_on_the_line_that_they_show():
    """Three slices missing: the slabs beside them end where they end, and a straight line goes on across."""
    places = np.array([0, 5, 10, 15, 35, 40, 45, 50], float)
    grid = SliceGrid(places, np.arange(51.0), 5.0)
    error = interpolation.bspline(grid) @ places - grid.output_mm
    assert np.abs(error[5:46]).max() < 0.15


@pytest.mark.parametrize("make", [lambda: without(5), two_spacings], ids=["missing", "two spacings"])
def test_a_filled_series_has_its_values_at_their_world_positions(make, tmp_path):
    """The phantom is linear in space, and so is what is interpolated: filled or not, each voxel knows its value."""
    save(make(), tmp_path / "in")
    result = thinslice.enhance(tmp_path / "in", on_gap="fill", spacing=1.0, thickness=1.0, fit="none", model=untaught())
    z, y, x = np.meshgrid(*map(np.arange, result.volume.shape), indexing="ij")
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ result.volume.affine.T
    error = np.abs(result.volume.hu - hu_at(ras[..., :3] * [-1, -1, 1]))
    assert error.max() <= 1
    facts = result.record["input"]["facts"]
    assert facts["on_gap"] == "fill"
    assert len(facts["spacing_range_mm"]) == 2
    result.save(tmp_path / "out")
    assert any(warning["code"] == "DCM-REPAIRED" for warning in result.record["warnings"])


def test_split_writes_one_output_a_part(tmp_path, repository):
    save(without(5), tmp_path / "in")
    record = tmp_path / "record.json"
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "thin.nii.gz"), "--json", str(record)]
    options = ["--on-gap", "split", "--spacing", "2", "--iterations", "2", "--preview", str(tmp_path / "look.png")]
    options += ["--report", str(tmp_path / "page.html")]
    assert run(["enhance", "-q", *arguments, *options]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    volumes = ["thin_1.json", "thin_1.nii.gz", "thin_2.json", "thin_2.nii.gz"]
    pages = ["page_1.html", "page_2.html"]
    assert names == ["in", "look_1.png", "look_2.png", *pages, "record.json", *volumes]
    first, second = json.loads(record.read_text())
    validator = Draft202012Validator(json.loads((repository / "docs/record.schema.json").read_text()))
    for number, document in enumerate((first, second), 1):
        validator.validate(document)
        facts = document["input"]["facts"]
        assert (facts["part"], facts["parts"]) == (number, 2)
        assert facts["gaps"] == [{"after_mm": 0.0, "width_mm": 10.0}]


def test_split_refuses_before_any_work_where_one_of_its_outputs_exists(tmp_path, capfd):
    save(without(5), tmp_path / "in")
    (tmp_path / "thin_2.nii.gz").touch()
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "thin.nii.gz"), "--on-gap", "split"]
    assert run(["enhance", *arguments, "--spacing", "2", "--budget", "1e6", "--show-identity"]) == 6
    assert "thin_2.nii.gz exists" in capfd.readouterr().err


def test_a_regular_series_keeps_the_name_of_its_output(tmp_path):
    save(series(), tmp_path / "in")
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "thin.nii.gz"), "--on-gap", "split"]
    assert run(["enhance", "-q", *arguments, "--spacing", "2", "--iterations", "2"]) == 0
    assert (tmp_path / "thin.nii.gz").exists()
