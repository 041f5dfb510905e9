"""`thinslice measure` from a shell, and `Result.measure`."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import thinslice
from thinslice.cli.app import run
from thinslice.io import files
from thinslice.io.output_format import OutputFormat
from thinslice.phantom import make_phantom
from thinslice.uncertainty.correlation import TYPICAL
from thinslice.volume import Volume


@pytest.fixture(scope="module")
def thin() -> Volume:
    """A small phantom of 30 slices, marked as a result is."""
    volume = make_phantom(shape=(30, 40, 44), spacing_mm=(1.0, 6.0, 6.0)).volume
    return replace(volume, origin=replace(volume.origin, mark={"synthetic": True}))


@pytest.fixture(scope="module")
def folder(thin: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RESULT, its labels (lung 1, bone 7) and its uncertainty, which says how errors go together."""
    folder = tmp_path_factory.mktemp("measure")
    files.write(thin, folder / "thin.nii.gz")
    files.write_labels(_labels(thin), folder / "labels.nii.gz", like=thin)
    sigma = np.full(thin.shape, 25, np.float32)
    sigma[::3] = 0
    mark = {"synthetic": True, "correlation": TYPICAL.entry}
    for name, told in (("sigma", mark), ("bare", {"synthetic": True})):
        volume = replace(thin, hu=sigma, origin=replace(thin.origin, mark=told))
        files.write(volume, folder / f"{name}.nrrd", OutputFormat(dtype="float32"))
    return folder


def _labels(thin: Volume) -> np.ndarray:
    return np.where(thin.hu < -600, 1, np.where(thin.hu > 300, 7, 0)).astype(np.int16)


def _run(folder: Path, *more: str, labels: str = "labels.nii.gz") -> int:
    return run(["measure", str(folder / "thin.nii.gz"), "--labels", str(folder / labels), *more])


def test_figures_are_shown_recorded_and_written(
    folder: Path, thin: Volume, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table, record = tmp_path / "figures.csv", tmp_path / "record.json"
    assert _run(folder, "--uncertainty", str(folder / "sigma.nrrd"), "--csv", str(table), "--json", str(record)) == 0
    out, err = capfd.readouterr()
    shown, _, written = out.partition("written:")
    assert max(map(len, shown.splitlines())) <= 80
    assert "% <-950" in shown
    assert written.strip() == str(table)
    assert "UNC-" not in err
    found = json.loads(record.read_text())
    assert found["command"] == "measure"
    assert found["correlation"]["in_plane"] == list(TYPICAL.in_plane)
    assert str(tmp_path) not in record.read_text()
    lung = found["labels"][0]
    assert lung["label"] == 1
    assert lung["mean_hu"] == pytest.approx(np.round(thin.hu)[_labels(thin) == 1].mean(), abs=0.1)
    assert lung["mean_hu_low"] < lung["mean_hu"] < lung["mean_hu_high"]
    assert lung["volume_ml"] == pytest.approx(0.036 * (_labels(thin) == 1).sum())
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "7"]
    assert float(rows[0]["share_high"]) == pytest.approx(lung["share_high"])


def test_without_uncertainty_there_are_figures_and_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "--json", "-", "--threshold", "-500", "--side", "above") == 0
    out, err = capfd.readouterr()
    bone = json.loads(out)["labels"][1]
    assert bone["share"] == 100
    assert bone["share_low"] is None
    assert [line for line in err.splitlines() if "UNC-" in line] == [
        "warning[UNC-NONE]: figures have no intervals: give the result's uncertainty (--uncertainty FILE, as enhance "
        "writes it)"
    ]


def test_a_map_that_says_nothing_of_neighbours_is_taken_with_a_warning(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, "--uncertainty", str(folder / "bare.nrrd")) == 0
    assert "warning[UNC-CORRELATION]" in capfd.readouterr().err


def test_maps_on_another_grid_are_refused_with_both_grids(
    folder: Path, thin: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    other = thin.with_slices(thin.hu[::2], first=0, step=2)
    files.write_labels(_labels(other), folder / "other.nii.gz", like=other, overwrite=True)
    assert _run(folder, labels="other.nii.gz") == 4
    err = capfd.readouterr().err
    assert "error[LABEL-GRID]" in err
    assert "44 x 40 x 15 voxels of 6 x 6 x 2 mm" in err
    assert "44 x 40 x 30 voxels of 6 x 6 x 1 mm" in err
    assert _run(folder, "--uncertainty", str(folder / "other.nii.gz")) == 4
    assert "error[LABEL-GRID]" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["--uncertainty", "thin.nii.gz"], 3, "UNC-VALUES"),
        (["--threshold", "nan"], 2, "USE-THRESHOLD"),
        (["--uncertainty", "missing.nii.gz"], 3, "FILE-MISSING"),
        (["--csv", "labels.nii.gz", "--overwrite"], 6, "OUT-INPUT"),
        (["--csv", "sigma.nrrd"], 6, "OUT-EXISTS"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], code: int, name: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [str(folder / word) if "." in word else word for word in arguments]
    assert _run(folder, *given) == code
    assert f"error[{name}]" in capfd.readouterr().err


def test_a_label_map_must_be_given_and_hold_a_label(
    folder: Path, thin: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["measure", str(folder / "thin.nii.gz")]) == 2
    assert "USE-LABELS" in capfd.readouterr().err
    files.write_labels(np.zeros(thin.shape, np.int16), folder / "none.nii.gz", like=thin, overwrite=True)
    assert _run(folder, labels="none.nii.gz") == 3
    assert "LABEL-NONE" in capfd.readouterr().err


def test_a_map_in_another_order_of_axes_is_the_same_map(
    folder: Path, thin: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    sigma = np.random.default_rng(0).uniform(5, 60, thin.shape).astype(np.float32)
    turned = Volume(sigma[:, ::-1], thin.affine @ np.array(
        [[1, 0, 0, 0], [0, -1, 0, thin.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1.0]]), thickness=1.0)  # fmt: skip
    records = []
    for name, volume in (("turned", turned), ("straight", replace(thin, hu=sigma))):
        files.write(volume, folder / f"{name}.nii.gz", OutputFormat(dtype="float32", overwrite=True))
        assert _run(folder, "--uncertainty", str(folder / f"{name}.nii.gz"), "--json", "-") == 0
        records.append(json.loads(capfd.readouterr().out)["labels"])
    assert records[0] == records[1]


def test_names_of_segments_are_shown_and_not_recorded(
    folder: Path, thin: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    files.write_labels(_labels(thin), folder / "named.nrrd", like=thin, overwrite=True)
    image = sitk.ReadImage(str(folder / "named.nrrd"))
    for key, value in {"ID": "a", "Name": "left lung", "LabelValue": "1", "Layer": "0"}.items():
        image.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(image, str(folder / "named.seg.nrrd"))
    for more, name in (([], ""), (["--show-identity"], "left lung")):
        assert _run(folder, "--json", "-", *more, labels="named.seg.nrrd") == 0
        out, err = capfd.readouterr()
        assert [label["name"] for label in json.loads(out)["labels"]] == [name, ""]
        assert "1 left lung" in err


def test_a_result_measures_itself(thick_phantom: Path) -> None:
    result = thinslice.enhance(thick_phantom, spacing=1.0, fit="none", check=False)
    lung = (result.volume.hu < -500).astype(np.uint8)
    bare = result.measure(lung)
    assert [notice.code for notice in bare.warnings] == ["UNC-NONE"]
    sure = replace(result, uncertainty=np.full(result.volume.shape, 30, np.float32))
    (row,) = sure.measure(lung, threshold_hu=-800, side="above", correlation=TYPICAL)
    assert row.mean_hu.value == bare[0].mean_hu.value
    assert row.mean_hu.low < row.mean_hu.value < row.mean_hu.high  # type: ignore[operator]
    assert list(bare.to_pandas()["voxels"]) == [lung.sum()]
