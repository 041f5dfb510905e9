"""What lies in a folder, by headers alone, is what the readers find when they read it."""

import shutil
from pathlib import Path

import dicom_phantom
import numpy as np
import pytest
from archive_makers import volume
from pydicom import dcmread

import thinslice
from thinslice.io import dicom
from thinslice.io.dicom.headers.attributes import Attributes
from thinslice.io.dicom.headers.glance import START, Glance
from thinslice.io.dicom.headers.sniff import kind_of
from thinslice.io.dicom.survey import _ASKED
from thinslice.io.survey import survey


def test_files_and_series_are_found_and_what_is_no_scan_is_not(kept_archive):
    found = {str(scan.path.relative_to(kept_archive)): scan for scan in survey(kept_archive)}
    assert list(found) == ["a/one.nii.gz", "b/bad.nii.gz", "b/two.nrrd", "c/series"]
    assert found["a/one.nii.gz"].shape == (8, 24, 24)
    assert found["a/one.nii.gz"].spacing_mm == 5.0
    assert found["b/bad.nii.gz"].error.code == "FILE-FORMAT"
    series = found["c/series"]
    assert (series.format, len(series.names), series.shape, series.number) == ("dicom", 8, (8, 24, 20), 3)
    assert (series.spacing_mm, series.thickness_mm, series.pixel_mm, series.kernel) == (5.0, 5.0, (0.7, 0.9), "SOFT")


def test_every_real_series_is_seen_as_its_reader_sees_it(shared_ct):
    """Slices and spacing of what can be read; `survey` opens the same files by another way."""
    compared = 0
    for folder in sorted(path for path in (shared_ct / "dicom").iterdir() if path.is_dir()):
        seen = {scan.uid: scan for scan in survey(folder)}
        try:
            summaries = dicom.list_series(folder, allow_derived=True)
        except thinslice.ThinsliceError:
            continue
        for summary in summaries:
            if summary.error is None:
                scan = seen[summary.uid]
                assert scan.shape[1:] == (summary.rows, summary.columns)
                assert scan.shape[0] >= summary.images  # copies are counted here, and left out there
                assert scan.spacing_mm == pytest.approx(summary.spacing_mm, rel=0.02)
                compared += 1
    assert compared >= 8


def test_a_glance_finds_what_pydicom_finds(shared_ct):
    glance, compared, left = Glance(*_ASKED), 0, 0
    for path in sorted((shared_ct / "dicom").rglob("*")):
        start = path.read_bytes()[:START] if path.is_file() else b""
        if kind_of(start[:140]) != "dicom":
            continue
        found = glance.of(start)
        if found is None:
            left += 1
            continue
        true = dcmread(path, stop_before_pixels=True, specific_tags=list(_ASKED))
        for keyword in _ASKED:
            assert Attributes(found).text(keyword) == Attributes(true).text(keyword), (path.name, keyword)
        compared += 1
    assert compared > 10 * left


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_header_is_left_to_pydicom_or_read_as_it_stands(seed, tmp_path):
    """Whatever bytes there are: an answer, no exception, no endless loop."""
    draw = np.random.default_rng(seed)
    data = bytearray(dicom_phantom.file_bytes(dicom_phantom.series(slices=1)[0])[:2000])
    for at in draw.integers(132, len(data), 8):
        data[at] = draw.integers(256)
    Glance(*_ASKED).of(bytes(data))
    (tmp_path / "x.dcm").write_bytes(data)
    survey(tmp_path)


def test_parts_of_a_series_in_two_folders_are_one_scan_and_copies_are_two(tmp_path):
    slices = dicom_phantom.series(slices=8)
    dicom_phantom.save(slices[:4], tmp_path / "split" / "1")
    dicom_phantom.save(slices[4:], tmp_path / "split" / "2")
    (scan,) = survey(tmp_path / "split")
    assert (scan.path, scan.shape[0], scan.spacing_mm) == (tmp_path / "split", 8, 5.0)
    assert {Path(name).parent.name for name in scan.names} == {"1", "2"}
    dicom_phantom.save(slices, tmp_path / "twice" / "1")
    shutil.copytree(tmp_path / "twice" / "1", tmp_path / "twice" / "2")
    assert [scan.path.name for scan in survey(tmp_path / "twice")] == ["1", "2"]


def test_a_file_that_cannot_be_read_is_of_the_series_beside_it_or_told_of(tmp_path):
    """A lost slice is never taken for a gap, also not in an archive."""
    dicom_phantom.save(dicom_phantom.series(slices=8), tmp_path / "a")
    (tmp_path / "a" / "broken.dcm").write_bytes(b"")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "broken.dcm").write_bytes(b"x" * 500)
    series, lost = survey(tmp_path)
    assert "broken.dcm" in series.names
    assert (lost.path.name, lost.error.code) == ("b", "DCM-UNREADABLE")
    with pytest.raises(thinslice.InputError, match=r"broken\.dcm"):
        thinslice.read_parts(series.path, series=series.uid, names=series.names)


def test_only_the_files_that_are_named_are_read(tmp_path):
    first, second = dicom_phantom.series(slices=8), dicom_phantom.series(slices=6)
    for ds in second:
        ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.9", f"{ds.SOPInstanceUID}.9"
        ds.SeriesNumber = 4
    dicom_phantom.save(first, tmp_path)
    dicom_phantom.save(second, tmp_path, ending=".other.dcm")
    (tmp_path / "stranger.dcm").write_bytes(b"")
    scans = survey(tmp_path)
    names = [name for name in scans[0].names if name != "stranger.dcm"]
    (read,) = thinslice.read_parts(tmp_path, names=names)
    assert len(read.hu) == 8


def test_results_and_what_lies_beside_them_are_no_scans(tmp_path):
    result = thinslice.enhance(volume(), spacing=2.5, fit="none", check=False)
    thinslice.write(volume(), tmp_path / "scan.nii.gz")
    result.save(tmp_path / "thin.nii.gz")
    thinslice.write(volume(), tmp_path / "thin_labels.nii.gz")
    scans = {scan.path.name: scan.synthetic for scan in survey(tmp_path)}
    assert scans == {"scan.nii.gz": False, "thin.nii.gz": True}
