"""Every written result says that it is synthetic, and each place where it says so is enough to find it again."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

import thinslice
from thinslice.cli.app import run
from thinslice.errors import ModelError, OutputError
from thinslice.io import files, scan
from thinslice.phantom import make_phantom, thicken

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
EFFORT = ["--fit", "none", "--threads", "1", "-q"]


@pytest.fixture(scope="module")
def thick():
    """8 slices of 1 mm every 5 mm."""
    phantom = make_phantom(shape=(40, 24, 24), spacing_mm=(1.0, 1.2, 1.0))
    return thicken(phantom.volume, 5.0, thickness_mm=1.0)[0]


@pytest.fixture(scope="module")
def result(thick):
    return thinslice.enhance(thick, spacing=1.25, fit="none")


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    """The result in every format; not to be changed."""
    folder = tmp_path_factory.mktemp("marks")
    for ending in ENDINGS:
        result.save(folder / f"{ending.replace('.', '')}{ending}")
    return folder


def in_format(folder, ending):
    return folder / f"{ending.replace('.', '')}{ending}"


def refusal(source, **options):
    with pytest.raises(ModelError) as caught:
        scan.read(source, axis="z", **options)
    assert (caught.value.code, caught.value.exit_code) == ("FILE-SYNTH", 7)
    assert "--allow-derived" in caught.value.message
    return caught.value.message


def resaved(path, target, *, header=True, extensions=True, descrip=True):
    """What another program makes of a NIfTI file."""
    image = nib.load(path)
    new = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header if header else None)
    if not extensions:
        new.header.extensions.clear()
    if not descrip:
        new.header["descrip"] = b"FSL5.0"
    nib.save(new, target)
    return target


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_written_file_is_refused_and_with_allow_derived_read_with_a_warning(ending, folder, result):
    assert "thinslice" in refusal(in_format(folder, ending))
    volume = scan.read(in_format(folder, ending), axis="z", allow_derived=True)
    assert [notice.code for notice in volume.origin.warnings].count("FILE-SYNTH") == 1
    np.testing.assert_array_equal(volume.hu, np.rint(result.volume.hu))
    mark = {key: value for key, value in volume.origin.mark.items() if key != "found_in"}
    assert mark == result.volume.origin.mark  # all of it comes back
    assert mark["acquired_slices"] == [[0, 28, 4]]


@pytest.mark.parametrize("ending", ENDINGS)
def test_other_readers_read_the_same_voxels_at_the_same_place(ending, folder, result):
    image = sitk.ReadImage(str(in_format(folder, ending)))
    hu = np.rint(result.volume.hu)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    origin = np.array(image.GetOrigin()) * [-1, -1, 1]
    np.testing.assert_allclose(origin, result.volume.affine[:3, 3], atol=1e-4)
    if ending.startswith(".nii"):
        loaded = nib.load(in_format(folder, ending))
        np.testing.assert_array_equal(np.asarray(loaded.dataobj).T, hu)
        assert loaded.dataobj.offset % 16 == 0
        (extension,) = loaded.header.extensions
        assert json.loads(extension.get_content())["thinslice"]["version"] == thinslice.__version__
        assert loaded.header["descrip"].item().startswith(b"thinslice ")
        assert len(loaded.header["descrip"].item()) <= 79


SURVIVES = {
    "descrip": {"extensions": False},
    "header extension": {"descrip": False},
    "side-car": {"header": False},
}


@pytest.mark.parametrize("place", SURVIVES)
def test_one_place_is_enough(place, folder, tmp_path):
    path = resaved(folder / "niigz.nii.gz", tmp_path / "a.nii.gz", **SURVIVES[place])
    if place == "side-car":
        scan.read(path, axis="z")  # nothing is left that says it
        shutil.copy(folder / "niigz.json", tmp_path / "a.json")
    message = refusal(path)
    assert f"in its {place})" in message
    assert f"in its {place})" in refusal(nib.load(path))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("source", ENDINGS)
def test_a_file_that_went_through_simpleitk_is_still_marked(source, ending, folder, tmp_path):
    sitk.WriteImage(sitk.ReadImage(str(in_format(folder, source))), str(tmp_path / f"a{ending}"))
    refusal(tmp_path / f"a{ending}")


def test_objects_carry_the_mark(result, tmp_path):
    import torchio

    images = result.to_nibabel(), result.to_sitk(), result.to_torchio()
    for image in (*images, result.volume, torchio.RandomFlip(axes=(0,), flip_probability=1)(images[2])):
        refusal(image)
        assert scan.read(image, axis="z", allow_derived=True).origin.mark is not None
    nib.save(images[0], tmp_path / "a.nii")
    sitk.WriteImage(images[1], str(tmp_path / "b.nii"))
    sitk.WriteImage(images[1], str(tmp_path / "c.mha"))
    for name in ("a.nii", "b.nii", "c.mha"):
        refusal(tmp_path / name)


def test_objects_of_a_marked_file_are_found_by_their_path(folder):
    import torchio
    from monai.transforms import LoadImage

    refusal(torchio.ScalarImage(folder / "niigz.nii.gz"))
    refusal(LoadImage(image_only=True)(folder / "niigz.nii.gz"))


def test_what_was_acquired_is_not_marked(thick, tmp_path):
    """Thick volumes made in code are simulated scans, not results."""
    for ending in ENDINGS:
        files.write(thick, tmp_path / f"a{ending}")
        assert scan.read(tmp_path / f"a{ending}").origin.mark is None
    assert not (tmp_path / "a.json").exists()


def test_provenance_is_not_lost_on_the_way(folder, result, tmp_path):
    """Neither by writing a result's volume, nor by reading one and writing it again, nor by a second pass."""
    thinslice.write(result.volume, tmp_path / "direct.nrrd")
    refusal(tmp_path / "direct.nrrd")
    again = scan.read(folder / "mha.mha", axis="z", allow_derived=True)
    thinslice.write(again, tmp_path / "again.nii.gz")
    assert json.loads((tmp_path / "again.json").read_text())["thinslice"] == result.volume.origin.mark
    second = thinslice.enhance(again, factor=2, fit="none", thickness=0.5)
    assert second.volume.origin.mark["source_is_synthetic"] is True
    assert second.volume.origin.mark["acquired_slices"] == [[0, 56, 8]]  # copies of slices that were copies
    assert [warning["code"] for warning in second.record["warnings"]].count("FILE-SYNTH") == 1
    refusal(second.volume)


def test_a_volume_in_hand_is_refused_by_all_that_learns_or_measures(result):
    for job in (thinslice.enhance, thinslice.fit):
        with pytest.raises(ModelError, match="allow-derived"):
            job(result.volume, factor=2)
    with pytest.raises(ModelError, match="allow-derived"):
        thinslice.evaluate(result.volume, methods=("linear",), factors=(2,), protocols=("gap",))
    cropped = replace(result.volume, hu=result.volume.hu[:9])
    table = thinslice.evaluate(cropped, methods=("linear",), factors=(2,), protocols=("gap",), allow_derived=True)
    assert [notice.code for notice in table.warnings] == ["FILE-SYNTH"]


@pytest.mark.parametrize("command", [["enhance", "-i"], ["train", "--iterations", "1", "-i"], ["evaluate", "-i"]])
def test_commands_refuse_a_marked_file(command, folder, tmp_path, capfd):
    output = [] if command[0] == "evaluate" else ["-o", str(tmp_path / "o.nii")]
    assert run([*command, str(folder / "nrrd.nrrd"), "--axis", "z", *output]) == 7
    (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("error"))
    assert line.startswith("error[FILE-SYNTH]: ")
    assert "header keys" in line
    assert "--allow-derived" in line
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_inspect_says_it(ending, folder, tmp_path, capfd):
    path = str(in_format(folder, ending))
    run(["inspect", path, "--axis", "z", "--json", str(tmp_path / "found.json")])
    out, _ = capfd.readouterr()
    assert any(line.split()[-1:] == ["synthetic"] for line in out.splitlines())
    assert "error[FILE-SYNTH]" in out
    (found,) = json.loads((tmp_path / "found.json").read_text())["volumes"]
    assert (found["synthetic"], found["error"]["code"]) == (True, "FILE-SYNTH")
    assert found["mark"]["version"] == thinslice.__version__
    assert run(["inspect", path, "--axis", "z", "--allow-derived"]) == 0
    assert "warning[FILE-SYNTH]" in capfd.readouterr().out


def test_inspect_does_not_say_so_of_a_scan(thick_phantom, capfd):
    assert run(["inspect", str(thick_phantom), "--json", "-"]) == 0
    out, _ = capfd.readouterr()
    assert json.loads(out)["volumes"][0]["synthetic"] is False


def test_labels_are_marked_as_carried_and_have_no_side_car(thick, tmp_path):
    labels = (thick.hu > 0).astype(np.uint8)
    thinslice.enhance(thick, factor=2, fit="none", labels=labels).save(tmp_path / "thin.nii.gz")
    assert sorted(os.listdir(tmp_path)) == ["thin.json", "thin.nii.gz", "thin_labels.nii.gz"]
    header = nib.load(tmp_path / "thin_labels.nii.gz").header
    assert header["descrip"].item().startswith(b"thinslice")
    assert b"labels" in header["descrip"].item()
    assert files.read_values(tmp_path / "thin_labels.nii.gz", axis="z").origin.mark["content"] == "labels"


def test_upright_results_claim_no_acquired_slice(thick):
    affine = thick.affine.copy()
    affine[1, 2] += 1.0
    upright = thinslice.enhance(replace(thick, affine=affine), spacing=1.25, fit="none", detilt=True)
    mark = upright.volume.origin.mark
    assert (mark["acquired_slices"], mark["method"]["upright"]) == ([], True)


# The side-car as an output


def enhance(source, target, *more):
    return run(["enhance", "-i", str(source), "-o", str(target), *EFFORT, "--factor", "2", *map(str, more)])


def test_a_side_car_can_be_left_out_and_one_of_an_earlier_run_goes(thick_phantom, tmp_path):
    assert enhance(thick_phantom, tmp_path / "thin.nii.gz") == 0
    assert sorted(os.listdir(tmp_path)) == ["thin.json", "thin.nii.gz"]
    assert enhance(thick_phantom, tmp_path / "thin.nii.gz", "--no-sidecar", "--overwrite") == 0
    assert os.listdir(tmp_path) == ["thin.nii.gz"]
    refusal(tmp_path / "thin.nii.gz")


def test_a_side_car_that_is_there_is_found_before_work_starts(thick_phantom, tmp_path, capfd):
    (tmp_path / "thin.json").write_text("{}")
    assert enhance(thick_phantom, tmp_path / "thin.nii.gz") == 6
    assert "error[OUT-EXISTS]" in capfd.readouterr().err
    assert (tmp_path / "thin.json").read_text() == "{}"
    assert enhance(thick_phantom, tmp_path / "thin.nii.gz", "--overwrite") == 0
    assert "thinslice" in json.loads((tmp_path / "thin.json").read_text())


def test_the_side_car_of_an_input_is_never_written_over(thick_phantom, tmp_path, capfd):
    shutil.copy(thick_phantom, tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"SliceThickness": 5}')
    assert enhance(tmp_path / "a.nii.gz", tmp_path / "a.nii", "--overwrite") == 6
    assert enhance(tmp_path / "a.nii.gz", tmp_path / "b.nii", "--json", tmp_path / "a.json", "--overwrite") == 6
    assert capfd.readouterr().err.count("error[OUT-INPUT]") == 2
    assert (tmp_path / "a.json").read_text() == '{"SliceThickness": 5}'


def test_a_record_where_the_side_car_goes_is_refused(thick_phantom, tmp_path, capfd):
    assert enhance(thick_phantom, tmp_path / "thin.nii.gz", "--json", tmp_path / "thin.json") == 2
    assert "--no-sidecar" in capfd.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fails", ["nifti.write", "writing.sidecar_text"])
def test_a_failed_write_leaves_neither(fails, result, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    from thinslice.io.files import nifti  # noqa: F401

    monkeypatch.setattr(f"thinslice.io.files.{fails}", full)
    with pytest.raises(OutputError):
        result.save(tmp_path / "thin.nii.gz")
    assert not any(tmp_path.iterdir())


# DICOM's mark, on the other side of dcm2niix


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """dcm2niix's files: of our derived series, and of somebody's reformatted one."""
    sys.path.insert(0, str(Path(__file__).parent / "io" / "dicom"))
    from dicom_phantom import save, series
    from thin import written

    folder = tmp_path_factory.mktemp("converted")
    written(series(), folder)
    reformatted = series()
    for ds in reformatted:
        ds.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    save(reformatted, folder / "mpr")
    for name in ("out", "in", "mpr"):
        program = Path(sys.executable).with_name("dcm2niix")
        subprocess.run([program, "-z", "y", "-f", name, "-o", folder, folder / name], check=True, capture_output=True)
    return folder


def test_our_series_is_found_behind_dcm2niix(converted):
    message = refusal(converted / "out.nii.gz")
    assert "in its side-car)" in message
    sidecar = json.loads((converted / "out.json").read_text())
    for survivor in ("ManufacturersModelName", "SeriesDescription"):  # either alone is enough
        (alone := converted / "alone.json").write_text(json.dumps({survivor: sidecar[survivor]}))
        shutil.copy(converted / "out.nii.gz", alone.with_suffix(".nii.gz"))
        refusal(alone.with_suffix(".nii.gz"))


def test_a_series_that_is_derived_otherwise_is_remarked(converted):
    assert [notice.code for notice in scan.read(converted / "in.nii.gz").origin.warnings] == []
    assert [notice.code for notice in scan.read(converted / "mpr.nii.gz").origin.warnings] == ["FILE-DERIVED"]


def test_a_synthetic_series_read_as_dicom_stays_marked_in_a_file(converted, tmp_path):
    volume = scan.read(converted / "out", allow_derived=True)
    thinslice.write(volume, tmp_path / "a.nii.gz")
    refusal(tmp_path / "a.nii.gz")
