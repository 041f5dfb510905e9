"""What `inspect` shows can be chosen: by number, number and place, UID or its end; a slice stands for its series."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_folders import damaged_series_beside, series_uid_per_slice, two_series, two_series_of_one_number
from dicom_makers import frames_of_reference, tilted, without
from dicom_phantom import ROOT, enhanced, save, series
from pydicom import dcmread
from thin import written

import thinslice
from thinslice.cli.app import run
from thinslice.errors import InputError, ThinsliceError
from thinslice.io import files
from thinslice.io.dicom import list_series, read_series

FIT_NONE = ["--fit", "none", "--factor", "2", "--quiet"]


@pytest.fixture
def alike(tmp_path) -> Path:
    """Two series of one number."""
    two_series_of_one_number(tmp_path / "in")
    return tmp_path / "in"


def inspected(path: Path, capfd, *more: str) -> tuple[int, str, str]:
    code = run(["inspect", str(path), *more])
    out, err = capfd.readouterr()
    return code, out, err


@pytest.mark.parametrize("more", [[], ["--show-identity"]])
def test_what_inspect_says_to_type_chooses_one(alike, more, capfd):
    _, out, _ = inspected(alike, capfd, *more)
    typed = re.findall(r"--series (\S+)", out)
    chosen = [read_series(alike, series=choice).origin.header.series_uid for choice in typed]
    assert chosen == [f"{ROOT}.2.0", f"{ROOT}.2.1"]


def test_series_of_one_number_are_told_apart_without_what_was_typed(alike, capfd):
    _, out, _ = inspected(alike, capfd)
    assert "series 3.1: --series 3.1 (0 %)" in out
    assert "series 3.2: --series 3.2 (50 %)" in out
    assert "Thorax" not in out
    assert '"Thorax T=50%"' in inspected(alike, capfd, "--show-identity")[1]


def test_time_and_kernel_tell_series_of_one_number_apart(alike):
    for file in alike.iterdir():
        ds = dcmread(file)
        first = ds.SeriesInstanceUID.endswith(".0")
        ds.AcquisitionTime, ds.ConvolutionKernel = ("040000", "SHARP") if first else ("030000", "SOFT")
        ds.SeriesDescription = "same"
        ds.save_as(file)
    assert [found.apart for found in list_series(alike)] == [
        ("kernel SHARP", "2 of 2 in time"),
        ("kernel SOFT", "1 of 2 in time"),
    ]


@pytest.mark.parametrize("choice", ["3.2", f"{ROOT}.2.1", "8.498.7.2.1"])
def test_chosen_by_place_uid_or_its_end(alike, choice):
    assert read_series(alike, series=choice).origin.header.series_uid == f"{ROOT}.2.1"


@pytest.mark.parametrize("choice", ["3", "3.0", "3.3", "498.7", "1", "-", "-.1", "2.1", "x"])
def test_a_choice_that_means_none_or_several_lists_what_there_is(alike, choice):
    with pytest.raises(InputError, match=r"number 3\.1 \(12 images\), number 3\.2 \(12 images\)") as caught:
        read_series(alike, series=choice)
    assert caught.value.code == "DCM-MULTISERIES"


def test_a_series_uid_for_every_slice_is_called_so(tmp_path):
    series_uid_per_slice(tmp_path)
    with pytest.raises(InputError, match="each of 12 images has a SeriesInstanceUID of its own"):
        read_series(tmp_path)


def test_a_slice_stands_for_its_series(tmp_path):
    two_series(tmp_path)
    save(series(slices=7), tmp_path / "deeper")
    for file, count in ((sorted(tmp_path.glob("*b.dcm"))[2], 5), (tmp_path / "f000_0.dcm", 12)):
        assert read_series(file).shape[0] == count
        assert [found.images for found in list_series(file)] == [count]
    out = tmp_path / "thin"
    assert run(["enhance", "-i", str(tmp_path / "f000_0b.dcm"), "-o", str(out), *FIT_NONE]) == 0
    assert len(list(out.iterdir())) == 10


def test_a_damaged_file_beside_a_slice_counts_where_it_may_be_of_its_series(tmp_path):
    damaged_series_beside(tmp_path)
    volume = read_series(tmp_path / "f000_0.dcm")
    assert [notice.code for notice in volume.origin.warnings] == ["DCM-LEFT-OUT"]
    with pytest.raises(InputError, match="cannot be read"):
        read_series(tmp_path / "f000_0b.dcm")


def test_a_multi_frame_file_stands_for_itself(tmp_path):
    save([enhanced(series())], tmp_path, ending="multi.dcm")
    save(series(slices=5), tmp_path)
    assert read_series(next(tmp_path.glob("*multi.dcm"))).shape[0] == 12


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir"])
def test_a_dicomdir_stands_for_its_folder(name, tmp_path, capfd):
    from dicom_folders import with_directory

    with_directory(tmp_path)
    if name != "DICOMDIR":
        (tmp_path / "DICOMDIR").rename(tmp_path / name)
    assert read_series(tmp_path / name).shape[0] == 12
    assert inspected(tmp_path / name, capfd)[0] == 0


@pytest.mark.parametrize("command", ["inspect", "enhance"])
def test_a_folder_of_nifti_is_called_so(command, tmp_path, capfd):
    save(series(), tmp_path / "in")
    for name in ("a.nii.gz", "b.nii.gz"):
        files.write(read_series(tmp_path / "in"), tmp_path / "files" / name)
    line = [str(tmp_path / "files")] if command == "inspect" else ["-i", str(tmp_path / "files"), "-o", "x.nii"]
    assert run([command, *line]) == 3
    err = capfd.readouterr().err
    assert f"no DICOM image found in {tmp_path / 'files'} (2 files looked at)" in err
    assert f"but {tmp_path / 'files' / 'a.nii.gz'} and 1 more may be NIfTI" in err


class TestExitCodeOfInspect:
    def test_a_refused_series(self, tmp_path, capfd):
        save(without(5), tmp_path / "in")
        code, out, err = inspected(tmp_path / "in", capfd)
        assert code == 4
        assert err.startswith("error[DCM-GAP]: ")
        assert "DCM-GAP" in out
        assert "error[" not in out  # said once
        assert run(["enhance", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "x.nii"), *FIT_NONE]) == code

    def test_the_record_is_whole(self, tmp_path, capfd):
        save(without(5), tmp_path / "in")
        code, out, _ = inspected(tmp_path / "in", capfd, "--json", "-")
        (volume,) = json.loads(out)["volumes"]
        assert (code, volume["error"]["code"], volume["shape"][0]) == (4, "DCM-GAP", 11)

    def test_one_of_two_can_be_read(self, tmp_path, capfd):
        damaged_series_beside(tmp_path)
        code, out, err = inspected(tmp_path, capfd)
        assert (code, err) == (0, "")
        assert re.search(rf"series 4: error\[DCM-UNREADABLE\]: {re.escape(str(tmp_path))}/\S+ cannot be read", out)
        assert re.search(r"series 3 .* readable", out)

    def test_none_of_two_can_be_read(self, tmp_path, capfd):
        damaged_series_beside(tmp_path)
        (tmp_path / "f035_5.dcm").unlink()
        code, _, err = inspected(tmp_path, capfd)
        assert code == 3
        assert err.startswith("error[DCM-UNREADABLE]")

    def test_a_file_too_small(self, tmp_path, capfd):
        save(series(), tmp_path / "in")
        volume = read_series(tmp_path / "in")
        files.write(volume.with_slices(volume.hu[:2], first=0, step=1), tmp_path / "two.nii.gz")
        assert inspected(tmp_path / "two.nii.gz", capfd)[0] == 4


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_file_of_nobody_knows_which_series_is_no_gap(whole, tmp_path):
    """An empty file may be a slice of either series: what is whole is read with a warning, what has a gap is not."""
    two_series(tmp_path)
    lost = sorted(tmp_path.glob("*b.dcm"))[2]
    lost.write_bytes(b"")
    if whole:
        (notice,) = read_series(tmp_path, series=3).origin.warnings
        assert notice.code == "DCM-LEFT-OUT"
        assert "may be of this one" in notice.message
        return
    for on_gap in ("error", "split", "fill"):
        with pytest.raises(ThinsliceError) as caught:
            read_series(tmp_path, series=4, on_gap=on_gap)
        assert caught.value.code == "DCM-UNREADABLE"


def test_a_damaged_file_in_the_folder_of_one_series_is_of_that_one(tmp_path):
    two_series(tmp_path / "all")
    for file in list((tmp_path / "all").glob("*b.dcm")):
        (tmp_path / "all" / "b").mkdir(exist_ok=True)
        shutil.move(file, tmp_path / "all" / "b" / file.name)
    max((tmp_path / "all" / "b").iterdir()).write_bytes(b"")
    assert read_series(tmp_path / "all", series=3).shape[0] == 12
    with pytest.raises(ThinsliceError, match="is empty"):
        read_series(tmp_path / "all", series=4)


def test_three_slices_are_enhanced(tmp_path):
    save(series(slices=3), tmp_path / "in")
    for fit in ("none", "auto", "scan"):
        steps = None if fit == "none" else 2
        result = thinslice.enhance(tmp_path / "in", factor=5, thickness=1.0, fit=fit, iterations=steps)
        assert result.volume.shape[0] == 11
        np.testing.assert_array_equal(result.volume.hu[::5], read_series(tmp_path / "in").hu)


def test_a_frame_of_reference_for_every_slice_gives_one_to_the_result(tmp_path):
    made = [written(frames_of_reference(lambda number: number), tmp_path / name) for name in ("one", "two")]
    save(series(), tmp_path / "plain")
    np.testing.assert_array_equal(made[0][0].hu, read_series(tmp_path / "plain").hu)
    (uid,) = {ds.FrameOfReferenceUID for *_, files in made for ds in files}
    assert uid == f"{ROOT}.44.0"  # that of the first image


def test_detilt_is_not_advised_where_it_is_asked_for(tmp_path, capfd):
    save(tilted(15)[:5], tmp_path / "in")
    line = ["enhance", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "x.nii"), "--fit", "none", "--factor", "2"]
    assert run([*line, "--detilt"]) == 0
    err = capfd.readouterr().err
    assert "warning[DCM-TILT]" in err
    assert "--detilt" not in err
    assert "--detilt" in inspected(tmp_path / "in", capfd)[1]
