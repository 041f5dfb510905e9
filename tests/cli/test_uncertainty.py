"""From the command line: an uncertainty beside a result, its figures with intervals, and its place in a table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import thinslice
from thinslice.cli.app import run
from thinslice.evaluation.reliability import COLUMNS
from thinslice.phantom import make_phantom, thicken

QUICK = ["--fit", "none", "--no-check", "--spacing", "1.25"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a thick phantom, its result, uncertainty, record and report."""
    folder = tmp_path_factory.mktemp("made")
    thick, _ = thicken(make_phantom(shape=(60, 48, 48), spacing_mm=(1.25, 3.0, 3.0)).volume, 5.0)
    thinslice.write(thick, folder / "thick.nii.gz")
    names = {"-o": "thin.nii.gz", "--uncertainty": "unc.nii.gz", "--json": "record.json", "--report": "report.html"}
    arguments = [part for option, name in names.items() for part in (option, str(folder / name))]
    assert run(["enhance", "-i", str(folder / "thick.nii.gz"), *arguments, *QUICK]) == 0
    return folder


def test_an_uncertainty_is_written_beside_the_result(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thin, unsure = (thinslice.read(made / name, allow_derived=True) for name in ("thin.nii.gz", "unc.nii.gz"))
    np.testing.assert_allclose(unsure.affine, thin.affine)
    assert unsure.shape == thin.shape
    assert (unsure.hu > 0).all()
    entry = json.loads((made / "record.json").read_text())["uncertainty"]
    assert entry["rms_hu"] == pytest.approx(float(np.sqrt(np.mean(unsure.hu**2))), rel=1e-4)
    assert "error to be expected" in (made / "report.html").read_text()


def test_figures_of_labels_have_intervals(made: Path) -> None:
    thin = thinslice.read(made / "thin.nii.gz", allow_derived=True)
    labels = np.where(thin.hu < -600, 1, 0).astype(np.float32)
    thinslice.write(thinslice.Volume(labels, thin.affine), made / "lung.nii.gz", overwrite=True)
    paths = ["--labels", str(made / "lung.nii.gz"), "--uncertainty", str(made / "unc.nii.gz")]
    assert run(["measure", str(made / "thin.nii.gz"), *paths, "--json", str(made / "measure.json")]) == 0
    record = json.loads((made / "measure.json").read_text())
    lung = record["labels"][0]
    assert lung["mean_hu_low"] < lung["mean_hu"] < lung["mean_hu_high"]
    assert (
        record["correlation"]["in_plane"]
        == json.loads((made / "record.json").read_text())["uncertainty"]["correlation"]["in_plane"]
    )


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("thick.nii.gz", "OUT-", 6),  # an input
        ("other.nii.gz", "OUT-TWICE", 6),  # the result
        ("unc.nii.gz", "OUT-EXISTS", 6),
        ("unc.txt", "OUT-FORMAT", 6),
    ],
)
def test_what_is_in_the_way_is_refused_in_one_line(
    name: str, code: str, status: int, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.stat().st_size for path in made.iterdir()}
    arguments = ["enhance", "-i", str(made / "thick.nii.gz"), "-o", str(made / "other.nii.gz"), *QUICK]
    assert run([*arguments, "--uncertainty", str(made / name)]) == status
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith(f"error[{code}")
    assert {path.name: path.stat().st_size for path in made.iterdir()} == before


def test_a_table_has_the_columns_and_a_page_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thinslice.write(make_phantom(shape=(33, 48, 48), spacing_mm=(1.25, 3.0, 3.0)).volume, tmp_path / "thin.nii.gz")
    arguments = ["evaluate", "-i", str(tmp_path / "thin.nii.gz"), "--factors", "4", "--methods", "cubic,thinslice"]
    assert run([*arguments, "-o", str(tmp_path / "page")]) == 0
    with (tmp_path / "page" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        figures = [float(row[name]) for name in COLUMNS]
        assert np.isfinite(figures[:8]).all() == (row["method"] == "thinslice")
    assert (tmp_path / "page" / "reliability.png").stat().st_size > 10_000
    page = (tmp_path / "page" / "index.html").read_text()
    assert "reliability.png" in page
    assert "unc_calibration_error" in page
    shown = capsys.readouterr().out
    assert "calib" in shown
    assert max(map(len, shown.splitlines())) <= 80
