"""`thinslice profile` and `evaluate --pair` from a shell."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thinslice.cli.app import run
from thinslice.evaluation.pairs import match_pair, pair_case
from thinslice.io import files
from thinslice.io.output_format import OutputFormat
from thinslice.phantom import make_phantom, thicken


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pair")
    thin = make_phantom(shape=(60, 40, 36), spacing_mm=(1.0, 2.5, 2.5), noise_hu=20.0).volume
    thick, _ = thicken(thin, 4.0, profile="gauss")
    for name, volume in (("thick", thick), ("thin", thin)):
        files.write(volume, folder / f"{name}.nii.gz", OutputFormat(dtype="float32"))
    return [str(folder / "thick.nii.gz"), str(folder / "thin.nii.gz")]


def test_the_profile_is_said_drawn_and_recorded(
    pair: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture, record = tmp_path / "profile.png", tmp_path / "record.json"
    assert run(["profile", *pair, "--axis", "z", "-o", str(picture), "--json", str(record)]) == 0
    out = capfd.readouterr().out
    shown, _, written = out.partition("written:")
    assert max(map(len, shown.splitlines())) <= 80
    assert written.strip() == str(picture)
    found = json.loads(record.read_text())["profile"]
    assert found["shape"] == "gauss"
    assert found["thickness_mm"] == pytest.approx(4.0, rel=0.03)
    assert sum(found["weights"]) == pytest.approx(1, abs=0.02)
    assert str(tmp_path) not in record.read_text()
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).std() > 10


def test_an_output_that_exists_is_refused_before_work(
    pair: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "profile.png"
    picture.write_bytes(b"mine")
    assert run(["profile", *pair, "-o", str(picture)]) == 6
    assert "OUT-EXISTS" in capfd.readouterr().err
    assert run(["profile", *pair, "-o", pair[1], "--overwrite"]) == 6
    assert picture.read_bytes() == b"mine"


def test_methods_are_compared_on_a_pair_and_the_page_shows_its_profile(
    pair: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page, inputs = tmp_path / "page", tmp_path / "inputs"
    arguments = ["evaluate", "--pair", *pair, "--axis", "z", "--methods", "linear,cubic"]
    assert run([*arguments, "-o", str(page), "--write-inputs", str(inputs), "--json", str(tmp_path / "r.json")]) == 0
    out = capfd.readouterr().out
    assert "pair1, pair x4" in out
    assert "residual:" in out
    record = json.loads((tmp_path / "r.json").read_text())
    assert [row["protocol"] for row in record["rows"]] == ["pair", "pair"]
    assert record["pairs"][0]["name"] == "pair1"
    assert [path.name for path in inputs.iterdir()] == ["pair1_pair.nii.gz"]
    thick, thin = (files.read(path, axis="z") for path in pair)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    truth = pair_case(match_pair(thick, thin, name="pair1")).truth_volume
    files.write(truth, theirs / "pair1_pair.nii.gz", OutputFormat(dtype="float32"))
    assert run([*arguments, "--score", f"perfect={theirs}", "--json", str(tmp_path / "s.json")]) == 0
    rows = {row["method"]: row for row in json.loads((tmp_path / "s.json").read_text())["rows"]}
    assert rows["perfect"]["mae_new"] == pytest.approx(0, abs=1e-3)
    text = (page / "index.html").read_text()
    assert "the slice profile, measured" in text
    assert (page / "pair1_pair.png").is_file()
    assert run([*arguments, "-o", str(page), "--overwrite"]) == 0
    capfd.readouterr()
    assert run(["evaluate", "--pair", *reversed(pair), "--axis", "z", "--methods", "linear"]) == 4
    assert "error[GEO-PAIR]: pair1: thick slices every 1 mm, thin ones every 4 mm" in capfd.readouterr().err


def test_a_pair_is_two_paths(pair: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--pair", pair[0]]) == 2
    assert "requires 2 arguments" in capfd.readouterr().err
    assert run(["evaluate", "--methods", "linear"]) == 2
    assert "name thin scans with -i, or a --pair" in capfd.readouterr().err
