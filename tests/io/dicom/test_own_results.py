"""From a shell: what `enhance` writes says of itself that it is synthetic, and is not taken for a scan again."""

import json
from pathlib import Path

import pydicom
import pytest
from dicom_phantom import save, series
from thin import written

from thinslice.cli.app import run


def test_inspect_says_that_it_is_synthetic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    written(series(), tmp_path)
    assert run(["inspect", str(tmp_path / "out"), "--json", str(tmp_path / "found.json")]) == 0
    out, _ = capfd.readouterr()
    (row,) = (line for line in out.splitlines() if line.split()[:2] == ["series", "9003"])
    assert row.split()[-1] == "synthetic"
    assert "error[DCM-SYNTH]: the source is itself synthesised" in out
    (found,) = json.loads((tmp_path / "found.json").read_text())["volumes"]
    assert found["synthetic"] is True
    assert found["error"]["code"] == "DCM-SYNTH"
    assert (found["shape"], found["spacing_mm"]) == ([45, 24, 20], 1.25)


def test_inspect_puts_each_figure_in_its_column(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    datasets = series()
    for ds in datasets:
        ds.SliceThickness = "3"
    save(datasets, tmp_path / "in")
    assert run(["inspect", str(tmp_path / "in")]) == 0
    (row,) = (line for line in capfd.readouterr().out.splitlines() if line.split()[:2] == ["series", "3"])
    assert row.split()[2:] == ["12", "5", "3", "20", "x", "24", "0.7", "x", "0.9", "readable"]


def test_inspect_does_not_say_so_of_a_scan(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(series(), tmp_path / "in")
    assert run(["inspect", str(tmp_path / "in")]) == 0
    assert "synthetic" not in capfd.readouterr().out


def test_enhance_refuses_its_own_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    written(series(), tmp_path)
    again = ["enhance", "-i", str(tmp_path / "out"), "-o", str(tmp_path / "again"), "--iterations", "2"]
    assert run(again) == 7
    _, err = capfd.readouterr()
    assert err.startswith("error[DCM-SYNTH]: ")
    assert "--allow-derived" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_series_through_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(series(), tmp_path / "in")
    common = ["enhance", "--factor", "2", "--iterations", "2", "--compress", "jpegls", "--series-number", "77"]
    assert run([*common, "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    files = [pydicom.dcmread(file) for file in (tmp_path / "out").iterdir()]
    assert {ds.SeriesNumber for ds in files} == {77}
    assert {(ds.SliceThickness, ds.SpacingBetweenSlices) for ds in files} == {(2.5, 2.5)}
    assert {ds.file_meta.TransferSyntaxUID.name for ds in files} == {"JPEG-LS Lossless Image Compression"}
    capfd.readouterr()
    assert run(["inspect", str(tmp_path / "out"), "--allow-derived"]) == 0
    assert "warning[DCM-SYNTH]" in capfd.readouterr().out


@pytest.mark.parametrize("number", ["-1", str(2**31)])
def test_series_number_is_checked_before_any_work(
    number: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--series-number", number]
    assert run(["enhance", *arguments]) == 2
    assert "series-number" in capfd.readouterr().err
