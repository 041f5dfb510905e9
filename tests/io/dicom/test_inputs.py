"""Where a series may come from: folders of any depth, archives, files without names or headers, other files between."""

import json
import os
import re
import stat
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_makers import by_turns, in_parts
from dicom_phantom import ROOT, enhanced, file_bytes, paint, save, series
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from thinslice.cli.app import run
from thinslice.errors import InputError, ThinsliceError, UsageError
from thinslice.io import files
from thinslice.io.dicom import list_series, looks_like_dicom, read_series
from thinslice.system.temporary import temporary_name


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    save(series(), folder)
    return folder


@pytest.fixture(scope="module")
def hu(plain) -> np.ndarray:
    return read_series(plain).hu


def codes(volume) -> set[str]:
    return {notice.code for notice in volume.origin.warnings}


def test_nested_folders_and_foreign_files(hu, tmp_path):
    datasets = series()
    save(datasets[:5], tmp_path / "a" / "b" / "c", ending="")
    save(datasets[5:], tmp_path / "d", ending=".IMA")
    for name in ("notes.txt", "meta.json", ".DS_Store", "a/LICENSE"):
        (tmp_path / name).write_text("no image, but words enough to look like something else" * 5)
    (tmp_path / "empty.txt").touch()
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.origin.facts["files_skipped"] == 5
    assert volume.origin.facts["files_looked_at"] == 17


def test_what_a_killed_run_left_half_written_is_no_input(hu, tmp_path):
    save(series(), tmp_path)
    save(series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)), temporary_name(tmp_path / "thin"))
    np.testing.assert_array_equal(read_series(tmp_path).hu, hu)


def test_phases_are_counted_by_their_numbers(hu, tmp_path):
    datasets = in_parts(TriggerTime="1000")
    for ds in datasets[: len(datasets) // 2]:
        ds.TriggerTime = "300"
    save(datasets, tmp_path)
    for phase, above in ((1, 0), (2, 100)):
        np.testing.assert_array_equal(read_series(tmp_path, phase=phase).hu, hu + above)


def test_objects_without_image_are_skipped(hu, tmp_path):
    save(series(), tmp_path)
    report = pydicom.Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.67", f"{ROOT}.99", "SR"
    (tmp_path / "dose.dcm").write_bytes(file_bytes(report))
    directory = pydicom.Dataset()
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", f"{ROOT}.98"
    (tmp_path / "DICOMDIR").write_bytes(file_bytes(directory))
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.origin.facts["files_skipped"] == 2


def test_zip(plain, hu, tmp_path):
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in plain.iterdir():
            target.write(file, f"deep/er/{file.name}")
        target.writestr("readme.txt", "words")
    np.testing.assert_array_equal(read_series(archive).hu, hu)
    assert looks_like_dicom(archive)


def test_zip_of_deflated_and_multi_frame(hu, tmp_path):
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("one", file_bytes(enhanced(series()), syntax=DeflatedExplicitVRLittleEndian))
    np.testing.assert_array_equal(read_series(archive).hu, hu)


def test_one_multi_frame_file(hu, tmp_path):
    save([enhanced(series())], tmp_path)
    (file,) = tmp_path.iterdir()
    np.testing.assert_array_equal(read_series(file).hu, hu)


@pytest.mark.parametrize("cut", ["preamble", "preamble and meta"])
def test_files_without_header(cut, hu, tmp_path):
    for number, ds in enumerate(series()):
        data = file_bytes(ds, syntax=ImplicitVRLittleEndian)
        start = 132 if cut == "preamble" else data.index(b"\x08\x00\x08\x00", 132)
        (tmp_path / f"{number}").write_bytes(data[start:])
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert codes(volume) == (set() if cut == "preamble" else {"DCM-NOMETA"})


@pytest.mark.parametrize("name", ["x.dcm", "000123"])
def test_empty_file_is_never_a_gap(name, tmp_path):
    save(series(), tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))} cannot be read") as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"
    assert re.match(r"file \d+ \(in the order of names\)", caught.value.message)


def test_files_are_counted_in_the_order_of_their_names_below_the_folder(tmp_path):
    save(series(), tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").touch()
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.message.startswith("file 1 (in the order of names)")
    assert str(caught.value).startswith(str(tmp_path / "a" / "1.dcm"))


def test_long_headers_of_many_frames_are_read_in_archives_as_well(tmp_path):
    """What pydicom would put off reading in a file, it cannot find again in memory."""
    many = enhanced(series(slices=256))
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        archive.writestr("many.dcm", file_bytes(many))
    assert read_series(tmp_path / "many.zip", limits={"header_bytes": 1 << 14}).shape[0] == 256


def test_the_table_counts_slices_of_the_volume(tmp_path):
    save(series(), tmp_path / "twice")
    save(series(), tmp_path / "twice" / "again")
    (twice,) = list_series(tmp_path / "twice")
    assert twice.images == len(series())
    save(in_parts(TemporalPositionIdentifier=2), tmp_path / "phases")
    (refused,) = list_series(tmp_path / "phases")
    (chosen,) = list_series(tmp_path / "phases", phase=1)
    assert (refused.images, chosen.images) == (2 * len(series()), len(series()))


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        ("in", ["--axis", "x"], "USE-AXIS"),
        ("a.nii", ["--phase", "2"], "USE-SERIES"),
        ("a.nii", ["--limit", "rows=9"], "USE-LIMIT"),
    ],
)
def test_inspect_refuses_options_that_say_nothing_of_the_input(source, options, code, tmp_path, capfd):
    save(series(), tmp_path / "in")
    files.write(read_series(tmp_path / "in"), tmp_path / "a.nii")
    assert run(["inspect", str(tmp_path / source), *options]) == 2
    assert f"error[{code}]" in capfd.readouterr().err


@pytest.mark.parametrize("left", [0.2, 0.6, 0.99])
def test_truncated_file_is_never_a_gap(left, tmp_path):
    save(series(), tmp_path)
    file = sorted(tmp_path.iterdir())[5]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * left)])
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"


def test_image_without_pixels_is_never_a_gap(tmp_path):
    datasets = series()
    del datasets[4].PixelData
    save(datasets, tmp_path)
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"


def test_other_file_under_a_dicom_name(tmp_path):
    save(series(), tmp_path)
    (tmp_path / "x.dcm").write_text("words " * 100)
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"


def test_empty_folder_and_missing_path(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError) as caught:
            read_series(path)
        assert caught.value.code == "DCM-NONE"


def test_link_loops_are_not_followed(hu, tmp_path):
    save(series(), tmp_path / "a")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    np.testing.assert_array_equal(read_series(tmp_path).hu, hu)


def test_a_slice_that_leads_nowhere_is_not_passed_over(tmp_path):
    save(series(), tmp_path)
    (tmp_path / "lost.DCM").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"
    assert str(tmp_path / "lost.DCM") in str(caught.value)
    assert "lost" not in caught.value.message.replace("a slice may be lost", "")


def test_a_folder_that_may_not_be_looked_into_stops_the_run(tmp_path, monkeypatch):
    save(series(), tmp_path)
    (tmp_path / "closed").mkdir()
    look = os.scandir

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-UNREADABLE"


class TestSeveralSeries:
    @pytest.fixture
    def folder(self, tmp_path):
        save(series(), tmp_path / "a")
        other = series(slices=5)
        for ds in other:
            ds.SeriesInstanceUID, ds.SeriesNumber = f"{ROOT}.22", 4
            ds.SOPInstanceUID += ".9"
        save(other, tmp_path / "b")
        return tmp_path

    def test_refused_with_a_list(self, folder):
        with pytest.raises(InputError, match=r"number 3 \(12 images\), number 4 \(5 images\)") as caught:
            read_series(folder)
        assert caught.value.code == "DCM-MULTISERIES"

    @pytest.mark.parametrize(("choice", "slices"), [(4, 5), ("4", 5), (f"{ROOT}.22", 5), ("3", 12)])
    def test_chosen_by_number_or_uid(self, folder, choice, slices):
        assert read_series(folder, series=choice).shape[0] == slices

    def test_no_such_series(self, folder):
        with pytest.raises(InputError) as caught:
            read_series(folder, series="77")
        assert caught.value.code == "DCM-MULTISERIES"

    def test_a_number_that_two_have_chooses_neither(self, folder):
        for file in (folder / "b").iterdir():
            ds = pydicom.dcmread(file)
            ds.SeriesNumber = 3
            ds.save_as(file)
        with pytest.raises(InputError) as caught:
            read_series(folder, series=3)
        assert caught.value.code == "DCM-MULTISERIES"

    def test_listed(self, folder):
        first, second = list_series(folder)
        assert (first.number, first.images, first.spacing_mm, first.error) == (3, 12, 5.0, None)
        assert (second.number, second.images, second.thickness_mm) == (4, 5, 5.0)

    def test_a_broken_series_is_listed_with_its_error(self, folder):
        next((folder / "b").glob("f014*")).unlink()
        first, second = list_series(folder)
        assert first.error is None
        assert isinstance(second.error, ThinsliceError)
        assert second.error.code == "DCM-GAP"


def test_options_are_checked(plain):
    for options in ({"on_gap": "guess"}, {"rescale": (0.0, 1.0)}, {"limits": {"nonsense": 3}}, {"phase": 2}):
        with pytest.raises(UsageError):
            read_series(plain, **options)


class TestZipRefused:
    def refused(self, path: Path, **options) -> str:
        with pytest.raises(InputError) as caught:
            read_series(path, **options)
        return caught.value.code

    def test_unsafe_names(self, tmp_path):
        for name in ("../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "C:/evil.dcm", "a\\..\\evil.dcm"):
            archive = tmp_path / "x.zip"
            with zipfile.ZipFile(archive, "w") as target:
                info = zipfile.ZipInfo("placeholder")
                info.filename = name
                target.writestr(info, file_bytes(series(slices=1)[0]))
            assert self.refused(archive) == "DCM-ZIP", name

    def test_links_and_nested_archives(self, tmp_path):
        archive = tmp_path / "x.zip"
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr(link, "/etc/passwd")
        assert self.refused(archive) == "DCM-ZIP"
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("inner.zip", b"PK")
        assert self.refused(archive) == "DCM-ZIP"

    def test_bombs(self, tmp_path):
        archive = tmp_path / "x.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("a.dcm", bytes(30_000_000))
        assert self.refused(archive) == "DCM-ZIP"
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("a.dcm", bytes(5000))
        assert self.refused(archive, limits={"archive_bytes": 4000}) == "DCM-LIMIT"

    def test_damaged(self, plain, tmp_path):
        archive = tmp_path / "x.zip"
        with zipfile.ZipFile(archive, "w") as target:
            for file in plain.iterdir():
                target.write(file, file.name)
        data = bytearray(archive.read_bytes())
        data[900:1000] = bytes(100)
        archive.write_bytes(data)
        assert self.refused(archive) == "DCM-ZIP"
        archive.write_bytes(data[: len(data) // 2])
        assert self.refused(archive) == "DCM-ZIP"

    def test_encrypted(self, plain, tmp_path):
        archive = tmp_path / "x.zip"
        with zipfile.ZipFile(archive, "w") as target:
            target.write(next(plain.iterdir()), "a.dcm")
        data = bytearray(archive.read_bytes())
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
        archive.write_bytes(data)
        assert self.refused(archive) == "DCM-ZIP"


def test_a_bare_data_set_in_explicit_little_endian_is_read(hu, tmp_path):
    """As a storage server leaves it that saves the data set alone."""
    for number, ds in enumerate(series()):
        data = file_bytes(ds)
        start = data.index(b"\x08\x00\x08\x00CS", 132)
        (tmp_path / f"{number}").write_bytes(data[start:])
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    assert codes(volume) == {"DCM-NOMETA"}


def test_limits_are_of_what_is_read(hu, tmp_path):
    """A large foreign file, and an object of another kind with more frames than a scan may have slices."""
    save(series(), tmp_path)
    (tmp_path / "all.tar").write_bytes(bytes(1 << 20))
    other = enhanced(series())
    other.SOPClassUID, other.Modality, other.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", "SEG", f"{ROOT}.9"
    save([other], tmp_path / "labels")
    ours = max(file.stat().st_size for file in tmp_path.rglob("*.dcm"))
    volume = read_series(tmp_path, limits={"file_bytes": ours, "slices": 12})
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.origin.facts["images_of_other_kinds"] == 1
    other.NumberOfFrames = 30_000
    save([other], tmp_path / "labels")
    np.testing.assert_array_equal(read_series(tmp_path).hu, hu)


@pytest.mark.parametrize("many", [1, 12])
def test_copies_do_not_hide_phases_that_come_by_turns(many, tmp_path):
    datasets = by_turns(TemporalPositionIdentifier=2)
    save(datasets, tmp_path / "a")
    save(datasets[:many], tmp_path / "b")
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-PHASES"
    chosen = read_series(tmp_path, phase=1)  # slices that state no phase come last
    save(datasets[1::2], tmp_path / "only")
    expected = read_series(tmp_path / "only")
    np.testing.assert_array_equal(chosen.hu, expected.hu)
    np.testing.assert_allclose(chosen.affine, expected.affine)


def test_copies_do_not_hide_phases_at_the_same_positions(tmp_path):
    datasets = in_parts(TriggerTime="1000")
    save(datasets, tmp_path / "a")
    save(datasets, tmp_path / "b")
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-PHASES"
    assert "DCM-DUP" in codes(read_series(tmp_path, phase=1))


def test_a_zip_may_hold_a_slice_of_one_value(tmp_path):
    datasets = series()
    for ds in datasets:
        ds.Rows = ds.Columns = 512
        paint(ds, np.full((512, 512), -1000.0))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for number, ds in enumerate(datasets):
            target.writestr(f"{number}.dcm", file_bytes(ds))
    assert (read_series(tmp_path / "x.zip").hu == -1000).all()


def test_padding_beyond_the_bits_stored_is_no_bone(tmp_path):
    """12 bits unsigned, padded with the 16 bits of -2000, whose lowest 12 are 1072 HU."""
    datasets = series()
    for ds in datasets:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
        hu = np.full((ds.Rows, ds.Columns), 40.0)
        hu[5, 5] = 1072
        paint(ds, hu)
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).copy()
        stored[:3] = 63536
        ds.add_new("PixelData", "OW", stored.tobytes())
        ds.add_new("PixelPaddingValue", "US", 63536)
    save(datasets, tmp_path)
    volume = read_series(tmp_path)
    assert volume.padding[:, :3].all()
    assert not volume.padding[:, 3:].any()
    assert (volume.hu[:, :3] == -2000 - 1024).all()
    assert (volume.hu[:, 5, 5] == 1072).all()


def test_inspect_describes_the_slices_that_are_read(tmp_path):
    save(by_turns(ConvolutionKernel="SHARP"), tmp_path)
    kernels = [list_series(tmp_path, phase=phase)[0].kernel for phase in (1, 2)]
    assert kernels == ["SHARP", "SOFT"]


def test_gas_with_the_value_of_padding_is_measured(tmp_path):
    """Padding declared as stored 0, which is -1024 HU: outside the field of view, and in the bowel as well."""
    datasets = series()
    for ds in datasets:
        hu = np.full((ds.Rows, ds.Columns), 40.0)
        hu[:3] = hu[8:12, 8:12] = -1024
        paint(ds, hu)
        ds.add_new("PixelPaddingValue", "SS", 0)
    save(datasets, tmp_path)
    volume = read_series(tmp_path)
    assert volume.padding[:, :3].all()
    assert not volume.padding[:, 3:].any()


def test_one_of_two_series_is_measured_and_what_reading_warns_of_is_said(tmp_path, capfd):
    datasets = series(slices=24, spacing=1.0)
    save(datasets, tmp_path / "in")
    save(datasets[:2], tmp_path / "in" / "copies")
    for number, ds in enumerate(datasets):
        ds.SeriesInstanceUID, ds.SeriesNumber, ds.SOPInstanceUID = f"{ROOT}.8", 4, f"{ROOT}.8.{number + 1}"
    save(datasets, tmp_path / "in" / "other")
    line = ["evaluate", "-i", str(tmp_path / "in"), "--factors", "2", "--protocols", "gap", "--methods", "linear"]
    assert run(line) == 3
    assert "DCM-MULTISERIES" in capfd.readouterr().err
    assert run([*line, "--series", "3", "--json", "-"]) == 0
    said = capfd.readouterr()
    (warning,) = [warning for warning in json.loads(said.out)["warnings"] if warning["code"] == "DCM-DUP"]
    assert warning["message"].startswith("2 identical copies dropped: file ")
    assert f"warning[DCM-DUP]: 2 identical copies dropped: {tmp_path / 'in'}{os.sep}" in said.err


@pytest.mark.parametrize("packed", [False, True])
def test_files_at_fault_are_named_as_they_would_be_typed_and_counted(packed, tmp_path, monkeypatch):
    datasets = series()
    for ds in datasets[4:8]:
        del ds.RescaleSlope
    (tmp_path / "slices").mkdir()
    for number, ds in enumerate(datasets):
        (tmp_path / "slices" / f"IM{number:04d}.dcm").write_bytes(file_bytes(ds))
    monkeypatch.chdir(tmp_path)
    if packed:
        with zipfile.ZipFile("scans.zip", "w") as archive:
            for file in sorted(Path("slices").iterdir()):
                archive.write(file)
    with pytest.raises(InputError) as caught:
        read_series("scans.zip" if packed else "slices")
    first = "scans.zip: slices/IM0004.dcm" if packed else "slices/IM0004.dcm"
    assert str(caught.value).startswith(f"{first} and 3 more: rescale slope and intercept (missing, ")
    assert caught.value.message.startswith("file 5 (in the order of names) and 3 more: rescale slope")


def test_an_error_of_no_one_file_names_the_folder(tmp_path, monkeypatch, capfd):
    save([ds for number, ds in enumerate(series()) if number != 5], tmp_path / "two  spaces")
    monkeypatch.chdir(tmp_path)
    assert run(["enhance", "-i", "two  spaces", "-o", "thin.nii"]) == 4
    assert capfd.readouterr().err.startswith("error[DCM-GAP]: two  spaces: 1 slice missing after position ")
