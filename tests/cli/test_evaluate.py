"""`thinslice evaluate` from a shell: several scans, other tools, a page."""

import json
from pathlib import Path

import pytest

from thinslice.cli.app import run
from thinslice.evaluation.protocols import make_case
from thinslice.io import files, scan
from thinslice.io.output_format import OutputFormat
from thinslice.phantom import make_phantom
from thinslice.physics import interpolation


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thin") / "chest.nii.gz"
    files.write(make_phantom(shape=(24, 32, 32), spacing_mm=(2.0, 4.0, 4.0), noise_hu=5.0).volume, path)
    return path


def test_another_tools_results_stand_in_the_same_table(
    thin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A tool that interpolates linearly must score what our own linear row scores."""
    inputs, theirs = tmp_path / "inputs", tmp_path / "theirs"
    case = ["-i", str(thin), "--axis", "z", "--protocols", "box", "--factors", "3"]
    assert run(["evaluate", "-q", *case, "--methods", "none", "--write-inputs", str(inputs)]) == 0
    (thick,) = inputs.iterdir()
    volume = scan.read(thick, axis="z")
    made = make_case(scan.read(thin, axis="z"), "chest", protocol="box", factor=3)
    weights = interpolation.linear(made.grid)
    hu = (weights @ volume.hu.reshape(len(volume.hu), -1)).reshape(-1, *volume.shape[1:])
    theirs.mkdir()
    files.write(made.truth_volume.with_slices(hu, first=0, step=1), theirs / thick.name, OutputFormat(dtype="float32"))
    assert run(["evaluate", *case, "--methods", "linear", "--score", f"other={theirs}", "--json", "-"]) == 0
    rows = {row["method"]: row for row in json.loads(capfd.readouterr().out)["rows"]}
    assert rows["other"]["psnr_new"] == pytest.approx(rows["linear"]["psnr_new"], abs=1e-3)
    assert rows["other"]["mae_new"] == pytest.approx(rows["linear"]["mae_new"], abs=1e-2)
    assert rows["other"]["seconds"] is None


def test_scans_may_follow_one_option_and_a_page_is_written(
    thin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    second = tmp_path / "again.nii.gz"
    second.write_bytes(thin.read_bytes())
    page = tmp_path / "page"
    arguments = ["evaluate", "-i", str(thin), str(second), "--methods", "linear,cubic", "--factors", "2", "--axis", "z"]
    assert run([*arguments, "--protocols", "gap"]) == 0
    assert "scan1, gap x2" in capfd.readouterr().out
    arguments.append("--show-identity")
    assert run([*arguments, "--protocols", "gap", "-o", str(page)]) == 0
    out = capfd.readouterr().out
    assert "chest, gap x2" in out
    assert "again, gap x2" in out
    shown, _, written = out.partition("written:")
    assert max(map(len, shown.splitlines())) <= 80
    assert written.strip() == str(page)
    assert {"table.csv", "table.json", "index.html"} <= {path.name for path in page.iterdir()}
    assert run([*arguments, "-o", str(page)]) == 6
    assert run([*arguments, "--protocols", "gap", "-q", "-o", str(page), "--overwrite"]) == 0


@pytest.mark.parametrize(
    "outputs",
    [["-o", "page", "--write-inputs", "page/inputs"], ["-o", "page", "--json", "page/table.json"]],
    ids=" ".join,
)
def test_outputs_that_would_meet_at_the_end_are_refused_at_once(
    outputs: list[str], thin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("thinslice.evaluation.evaluate", lambda *_, **__: pytest.fail("measured first"))
    assert run(["evaluate", "-i", str(thin), "--methods", "linear", *outputs]) == 6
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_to_be_is_refused(
    thin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    arguments = ["evaluate", "-i", str(thin), "--methods", "linear", "--axis", "z"]
    assert run([*arguments, "--write-inputs", "file"]) == 6
    assert capfd.readouterr().err.startswith("error[OUT-WRITE]: cannot write into folder")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("failing", ["evaluation.page.Pages.write", "cli.terminal.Terminal.write_record"])
def test_a_run_that_fails_at_its_end_leaves_nothing(
    failing: str, thin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"thinslice.{failing}", interrupted)
    line = "--axis z --protocols gap --factors 2 --methods linear"
    arguments = [*line.split(), "-o", str(tmp_path / "page"), "--write-inputs", str(tmp_path)]
    assert run(["evaluate", "-i", str(thin), *arguments]) == 130
    assert list(tmp_path.iterdir()) == []


def test_every_option_reaches_the_table(thin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = "--axis z --protocols gap --factors 2 --methods linear --slices 13 --region 20 --assume-thickness 0.75"
    more = ["--assume-profile", "gauss", "--seeds", "5", "--write-inputs", str(tmp_path), "--json", "-"]
    assert run(["evaluate", "-i", str(thin), *line.split(), *more]) == 0
    (row,) = json.loads(capfd.readouterr().out)["rows"]
    assert (row["assumed_thickness"], row["assumed_profile"], row["seed"]) == (0.75, "gauss", 5)
    (thick,) = tmp_path.iterdir()
    assert scan.read(thick, axis="z").shape == (7, 20, 20)
