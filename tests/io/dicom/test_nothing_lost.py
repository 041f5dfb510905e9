"""Series as they come off disks, archives and other people's scripts: nothing lost without a word, nothing replaced."""

import os
from pathlib import Path

import dicom_phantom as phantom
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

import thinslice
from thinslice.cli.app import run
from thinslice.errors import InputError, OutputError
from thinslice.io import scan


@pytest.fixture
def folder(tmp_path) -> Path:
    phantom.save(phantom.series(), tmp_path / "thick")
    return tmp_path / "thick"


def enhance(folder: Path, *more: str) -> int:
    return run(["enhance", "-i", str(folder), "--fit", "none", "--quiet", *more])


@pytest.mark.parametrize("name", [".IM0011.dcm.Ab3dE9", "IM0011.log", "IM0011.dcm.txt"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_slice_is_determined_by_its_mark_whatever_its_name(folder, name, whole):
    last = max(folder.iterdir())
    data = last.read_bytes()
    last.unlink()
    (folder / name).write_bytes(data if whole else data[:900])
    (folder / ".hidden").write_text("short")
    if whole:
        assert scan.read(folder).shape[0] == 12
    else:
        with pytest.raises(InputError, match="cannot be read"):
            scan.read(folder)


def test_what_macos_keeps_beside_files_is_skipped(folder):
    for file in list(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(bytes.fromhex("0005160700020000") + bytes(74))
    volume = scan.read(folder)
    assert (volume.shape[0], volume.origin.facts["files_skipped"]) == (12, 12)


@pytest.mark.parametrize("output", ["thick", "link", "another", "."])
def test_acquired_slices_are_never_replaced(folder, tmp_path, output, capsys):
    phantom.save(phantom.series(slices=5), tmp_path / "another")
    (tmp_path / "link").symlink_to(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.dcm")}
    assert enhance(folder, "-o", str(tmp_path / output), "--overwrite") == 6
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.dcm")} == before
    capsys.readouterr()


def test_a_series_that_it_wrote_is_replaced(folder, tmp_path):
    assert enhance(folder, "-o", str(tmp_path / "thin"), "--factor", "2") == 0
    first = set(os.listdir(tmp_path / "thin"))
    assert enhance(folder, "-o", str(tmp_path / "thin"), "--factor", "4", "--overwrite") == 0
    assert len(os.listdir(tmp_path / "thin")) > len(first)
    with pytest.raises(OutputError):
        thinslice.enhance(folder, factor=2, fit="none").save(folder, overwrite=True)


def test_what_one_slice_leaves_out_of_the_identity_the_others_say(tmp_path):
    slices = phantom.series()
    del slices[2].PatientID
    slices[4].PatientName = ""
    slices[5].AccessionNumber = "another"
    phantom.save(slices, tmp_path / "thick")
    volume = scan.read(tmp_path / "thick")
    thinslice.enhance(volume, factor=2, fit="none").save(tmp_path / "thin")
    result = dcmread(next((tmp_path / "thin").iterdir()))
    assert (result.PatientID, result.PatientName) == (slices[0].PatientID, slices[0].PatientName)
    assert result.AccessionNumber == ""
    (notice,) = [notice for notice in volume.origin.warnings if notice.code == "DCM-IDENTITY"]
    assert "AccessionNumber" in notice.message
    assert "another" not in notice.message


def test_one_name_in_two_character_sets_is_one_name(tmp_path):
    slices = phantom.series()
    for number, ds in enumerate(slices):
        ds.SpecificCharacterSet = ("ISO_IR 100", "ISO_IR 192")[number % 2]
        ds.PatientName = "Doe^J\u00f6rg"
    phantom.save(slices, tmp_path / "thick")
    volume = scan.read(tmp_path / "thick")
    assert "DCM-IDENTITY" not in [notice.code for notice in volume.origin.warnings]
    thinslice.enhance(volume, factor=2, fit="none").save(tmp_path / "thin")
    assert dcmread(next((tmp_path / "thin").iterdir())).PatientName == "Doe^J\u00f6rg"


def test_numbers_that_dicom_cannot_hold_are_shortened_or_left_out(tmp_path):
    beyond = RawDataElement(Tag("AcquisitionNumber"), "IS", 12, b"999999999999", 0, False, True)
    slices = phantom.series()
    for ds in slices:
        ds["KVP"]._value = "120.000000000000000"
        ds["AcquisitionNumber"] = beyond
    phantom.save(slices, tmp_path / "thick")
    thinslice.enhance(tmp_path / "thick", factor=2, fit="none").save(tmp_path / "thin")
    result = dcmread(next((tmp_path / "thin").iterdir()))
    assert str(result.KVP) == "120"
    assert not result.AcquisitionNumber


def test_parts_of_a_split_series_are_distinguished(tmp_path, capsys):
    slices = phantom.series(slices=14)
    del slices[6]
    phantom.save(slices, tmp_path / "thick")
    options = ["--on-gap", "split", "--factor", "2"]
    assert enhance(tmp_path / "thick", "-o", str(tmp_path / "thin_1.25mm"), *options) == 0
    made = [dcmread(next((tmp_path / f"thin_1.25mm_{part}").iterdir())) for part in (1, 2)]
    assert made[1].SeriesNumber == made[0].SeriesNumber + 1
    assert [f"part {part} of 2" in ds.DerivationDescription for part, ds in enumerate(made, 1)] == [True, True]
    assert enhance(tmp_path / "thick", "-o", str(tmp_path / "x"), *options, "--series-number", str((1 << 31) - 1)) == 2
    assert "DCM-SERIES-NUMBER" in capsys.readouterr().err


@pytest.mark.parametrize(("stated", "asked"), [("007", "7"), ("", "-")])
def test_a_series_is_chosen_by_what_inspect_calls_it(tmp_path, stated, asked):
    phantom.save(phantom.series(), tmp_path / "in" / "a")
    other = phantom.series(slices=6)
    for ds in other:
        ds.SeriesInstanceUID, ds["SeriesNumber"]._value = "2.25.99", stated
        ds.SOPInstanceUID += ".9"
    phantom.save(other, tmp_path / "in" / "b")
    assert scan.read(tmp_path / "in", series=asked).shape[0] == 6
