"""`thinslice demo`: needs nothing, writes a folder, leaves others' files alone."""

import csv
import json
from pathlib import Path

import pytest

from thinslice import phantom
from thinslice.cli.app import run
from thinslice.io import files, scan


@pytest.fixture(autouse=True)
def small_phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same anatomy on few voxels: this is about the command, not about figures."""
    made = phantom.make_phantom
    monkeypatch.setattr(
        phantom, "make_phantom", lambda **options: made(shape=(48, 40, 40), spacing_mm=(1.0, 2.0, 2.0), **options)
    )


def test_a_demo_shows_three_methods_and_keeps_its_volumes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert run(["demo", "-o", str(folder), "--iterations", "2"]) == 0
    out = capfd.readouterr().out
    assert all(name in out for name in ("linear", "cubic", "thinslice"))
    names = {"demo.png", "record.json", "structures.csv", "table.csv", "thick.nii.gz", "truth.nii.gz"}
    names |= {"thin.json", "thin.nii.gz", "report.html"}
    assert {path.name for path in folder.iterdir()} == names
    assert "nodule vol %" in out
    shown, _, written = out.partition("written:")
    assert max(map(len, shown.splitlines())) <= 80
    assert written.split()[:-2] == [str(folder / name) for name in sorted(names - {"report.html"})]
    assert written.splitlines()[-1].split() == ["report:", str(folder / "report.html")]
    with (folder / "structures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"linear", "cubic", "thinslice", "truth"}
    thick, thin = scan.read(folder / "thick.nii.gz"), files.read(folder / "thin.nii.gz", axis="z")
    assert thin.shape[0] == 4 * thick.shape[0]
    assert json.loads((folder / "record.json").read_text())["input"]["regime"] == "contiguous"
    assert run(["demo", "-q", "-o", str(folder), "--iterations", "2"]) == 6
    assert run(["demo", "-q", "-o", str(tmp_path / "new"), "--json", str(tmp_path / "new" / "run.json")]) == 6
    assert not (tmp_path / "new").exists()
    assert run(["demo", "-q", "-o", str(folder), "--iterations", "2", "--overwrite"]) == 0
    (folder / "thesis.docx").write_text("precious")
    assert run(["demo", "-q", "-o", str(folder), "--iterations", "2", "--overwrite"]) == 6
    assert (folder / "thesis.docx").read_text() == "precious"
