"""`thinslice enhance` from a shell: outputs, records, interruption, repeatability."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import thinslice
from thinslice import pipeline
from thinslice.cli.app import run
from thinslice.io import files, scan
from thinslice.method import Method
from thinslice.plan import Job, plan_job
from thinslice.report.words import self_check_line

SHORT = ["--spacing", "2", "--iterations", "2"]
SHORTEST = ["--spacing", "2", "--fit", "none"]


def test_a_scan_becomes_thin_and_the_record_says_how(
    thick_phantom: Path, tmp_path: Path, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    thin, picture, record = tmp_path / "thin.nii.gz", tmp_path / "look.png", tmp_path / "record.json"
    report = tmp_path / "report.html"
    arguments = ["-i", str(thick_phantom), "-o", str(thin), "--preview", str(picture), "--json", str(record)]
    arguments += ["--report", str(report)]
    assert run(["enhance", *arguments, *SHORT]) == 0
    out, err = capfd.readouterr()
    assert "self-check: " in out
    assert "held-out slices: " in out
    assert max(map(len, out.partition("written:")[0].splitlines())) <= 80
    assert "fit: " in err
    assert "self-check: " in err
    thick, written = scan.read(thick_phantom), files.read(thin, axis="z")
    assert written.shape == (40, 48, 48)  # 16 slices of 5 mm in slices of 2 mm
    assert written.slice_spacing_mm == pytest.approx(2.0)
    assert 10 < np.abs(written.hu - thick.hu[np.arange(40) * 2 // 5]).mean() < 100  # of the scan, and no copies of it
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(record.read_text())
    Draft202012Validator(json.loads((repository / "docs/record.schema.json").read_text())).validate(document)
    assert str(tmp_path) not in record.read_text()
    assert thick_phantom.name not in record.read_text()
    assert str(tmp_path) not in report.read_text()
    assert f"{document['self_check']['psnr_db']:.2f} dB" in report.read_text()
    assert document["times_s"]["report"] > 0
    names = ["look.png", "record.json", "report.html", "thin.json", "thin.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert out.partition("written:")[2].split() == [
        str(path) for path in (thin, tmp_path / "thin.json", picture, report)
    ]


def test_the_self_check_is_said_as_it_is() -> None:
    check = {"held_out": 12, "psnr_db": 38.94, "psnr_cubic_db": 36.71, "verdict": "better"}
    assert self_check_line(check) == "self-check: 12 held-out slices: 38.9 dB, cubic 36.7 dB: better"


def test_what_was_written_is_named_as_it_was_typed(
    thick_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for typed, *shown in (
        ("out/:smile: [bold].nii.gz", "out/:smile: [bold].nii.gz", "out/:smile: [bold].json"),
        ("two\nlines.mha", "two?lines.mha"),
        ("ünï.nrrd", "ünï.nrrd"),
        ("pair.mhd", "pair.mhd", "pair.raw"),
    ):
        arguments = ["-i", str(thick_phantom), "-o", typed, "--spacing", "2.5", "--fit", "none", "--no-check"]
        assert run(["enhance", *arguments, "--json", "record.json", "--overwrite"]) == 0
        written = capfd.readouterr().out.partition("written:")[2].splitlines()
        assert [line.strip() for line in written] == shown
        assert Path(typed).exists()
        assert Path(typed).stem not in Path("record.json").read_text()


def test_a_terminal_that_lacks_a_letter_ends_no_run(thick_phantom: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "thinslice", "enhance", "-i", str(thick_phantom), "-o", "ü.nii.gz", "--fit", "none"]
    done = subprocess.run(
        [*line, "--no-check", "--spacing", "2.5"], cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "written:" in done.stdout
    assert (tmp_path / "ü.nii.gz").exists()


def test_without_a_check_the_voxels_are_the_same_and_the_record_says_so(
    thick_phantom: Path, tmp_path: Path, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    common = ["enhance", "-i", str(thick_phantom), "--spacing", "2.5", "--fit", "none", "--json", "-"]
    assert run([*common, "-o", str(tmp_path / "checked.nii")]) == 0
    checked, shown = capfd.readouterr()
    assert run([*common, "-o", str(tmp_path / "not.nii"), "--no-check"]) == 0
    out, err = capfd.readouterr()
    record, schema = json.loads(out), json.loads((repository / "docs/record.schema.json").read_text())
    for document in (record, json.loads(checked)):
        Draft202012Validator(schema).validate(document)
    assert record["self_check"] is None
    assert json.loads(checked)["self_check"]["psnr_plane_db"] is None  # one model: nothing to choose
    assert ("self-check: " in shown, "self-check: " in err) == (True, False)
    assert "warning[FIT-UNCHECKED]: the self-check was left out" in err
    assert (tmp_path / "checked.nii").read_bytes() == (tmp_path / "not.nii").read_bytes()


def test_verbose_says_what_is_chosen_and_how_long_stages_take(
    thick_phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    common = ["enhance", "-i", str(thick_phantom), "--spacing", "2.5", "--fit", "none", "--no-check", "--json", "-"]
    assert run([*common, "-o", str(tmp_path / "a.nii"), "-v", "--threads", "1"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["device"]["threads"] == 1
    lines = [line for line in err.splitlines() if line.startswith("thinslice")]
    for said in (
        f"{thinslice.__version__}, Python", "16 slices of 48 x 48 pixels", "to 32 slices 2.5 mm apart", "fit none",
        "cpu, ", "CPU threads: 1", "coronal 0.5", "synthesis: ", "read ", "write ", "total ",
    ):  # fmt: skip
        assert any(said in line for line in lines), said
    assert run([*common, "-o", str(tmp_path / "b.nii")]) == 0  # and is silent again without it
    assert "thinslice" not in capfd.readouterr().err


def test_json_to_stdout_is_alone_there(thick_phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["enhance", "-i", str(thick_phantom), "-o", str(tmp_path / "thin.mha"), "--json", "-", *SHORT]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["command"] == "enhance"
    assert "self-check: " in err


def test_quiet_is_quiet(thick_phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["enhance", "-q", "-i", str(thick_phantom), "-o", str(tmp_path / "thin.nrrd"), *SHORT]) == 0
    assert capfd.readouterr() == ("", "")


def test_saved_weights_give_the_same_voxels(thick_phantom: Path, tmp_path: Path) -> None:
    first, again, weights = tmp_path / "first.nii", tmp_path / "again.nii", tmp_path / "w.safetensors"
    common = ["enhance", "-q", "-i", str(thick_phantom), "--spacing", "2"]
    assert run([*common, "-o", str(first), "--iterations", "2", "--save-weights", str(weights)]) == 0
    assert run([*common, "-o", str(again), "--fit", "none", "--weights", str(weights)]) == 0
    np.testing.assert_array_equal(files.read_values(first, axis="z").hu, files.read_values(again, axis="z").hu)


def test_the_summary_speaks_of_what_was_written(
    thick_phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scan_ = scan.read(thick_phantom)
    thinslice.write(replace(scan_, hu=scan_.hu + np.float32(0.25), thickness=1.0), tmp_path / "in.nii", dtype="float32")
    for dtype, rounded in (("int16", True), ("float32", False)):
        arguments = ["-i", str(tmp_path / "in.nii"), "-o", str(tmp_path / f"{dtype}.nii"), "--thickness", "1"]
        assert run(["enhance", *arguments, "--factor", "2", "--fit", "none", "--dtype", dtype]) == 0
        assert ("int16 rounds them" in capfd.readouterr().out) == rounded


@pytest.mark.parametrize("target", [".", "/"])
def test_a_place_without_a_name_is_no_output_for_labels(
    target: str, thick_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["enhance", "-i", str(thick_phantom), "-o", target, "--labels", str(thick_phantom)]) == 6
    assert "error[OUT-" in capfd.readouterr().err


def test_voxels_of_labels_are_not_replaced_unasked(thick_phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "thin_labels.raw").write_text("precious")
    arguments = ["-o", str(tmp_path / "thin.mhd"), "--labels", str(tmp_path / "absent.nii")]
    assert run(["enhance", "-i", str(thick_phantom), *arguments]) == 6
    assert (tmp_path / "thin_labels.raw").read_text() == "precious"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(stop: signal.Signals, thick_phantom: Path, tmp_path: Path) -> None:
    outputs = ["-o", "thin.nii.gz", "--json", "record.json", "--save-weights", "w.safetensors"]
    process = subprocess.Popen(
        [sys.executable, "-m", "thinslice", "enhance", "-i", str(thick_phantom), *outputs, "--budget", "600"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores SIGINT, and so would what it starts in turn.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("fit"):
            break
    process.send_signal(stop)
    rest = process.stderr.read()
    assert process.wait() == (130 if stop == signal.SIGINT else 128 + stop)
    assert "Traceback" not in rest
    assert ("interrupted: nothing is left half-written" in rest) == (stop == signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_hold_the_result_is_told_of_before_work_starts(
    thick_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=10**6, free=10**3))
    monkeypatch.setattr("thinslice.method.fit_scan", lambda *_, **__: pytest.fail("worked first"))
    assert run(["enhance", "-i", str(thick_phantom), "-o", str(tmp_path / "thin.nii"), "--fit", "scan"]) == 5
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"error[RES-DISK]: {tmp_path / 'thin.nii'} needs ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "there", "code"),
    [
        ("taken.nii", "taken.nii", "OUT-EXISTS"),
        ("taken.nii.gz", "taken.json", "OUT-EXISTS"),
        ("taken.mhd", "taken.raw", "OUT-EXISTS"),
        ("taken", "taken", "OUT-EXISTS"),
        ("file/out.nii", "file", "OUT-WRITE"),
    ],
)
def test_what_is_in_the_way_is_told_of_before_anything_is_read(
    output: str,
    there: str,
    code: str,
    thick_phantom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(scan, "read_parts", lambda *_, **__: pytest.fail("read first"))
    (tmp_path / there).write_text("mine")
    assert run(["enhance", "-i", str(thick_phantom), "-o", str(tmp_path / output)]) == 6
    assert capfd.readouterr().err.startswith(f"error[{code}]: ")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_what_came_in_the_way_meanwhile_is_not_replaced(
    thick_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    at_once = pipeline.run

    def slow(*given: Any, **options: Any) -> thinslice.Result:
        (tmp_path / "thin.json").write_text("mine")
        return at_once(*given, **options)

    monkeypatch.setattr(pipeline, "run", slow)
    assert run(["enhance", "-q", "-i", str(thick_phantom), "-o", str(tmp_path / "thin.nii"), *SHORT]) == 6
    assert capfd.readouterr().err.startswith("error[OUT-EXISTS]: ")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("there", ["thin_2.nii", "thin_2.json", "picture_1.png"])
def test_what_is_in_the_way_of_one_part_is_told_of_before_work(
    there: str,
    thick_phantom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    volume = scan.read(thick_phantom)
    monkeypatch.setattr(scan, "read_parts", lambda *_, **__: [volume, volume])
    monkeypatch.setattr(pipeline, "run", lambda *_, **__: pytest.fail("worked first"))
    (tmp_path / there).write_text("mine")
    outputs = ["-o", str(tmp_path / "thin.nii"), "--preview", str(tmp_path / "picture.png")]
    assert run(["enhance", "-i", str(thick_phantom), *outputs]) == 6
    assert capfd.readouterr().err.splitlines()[-1].startswith("error[OUT-EXISTS]: ")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_every_option_arrives(thick_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "rescale": (2.0, -1000.0), "series": "7", "phase": 2, "on_gap": "fill", "allow_derived": True, "strict": True,
        "limits": {"slices": 9}, "axis": "z", "spacing": 1.25, "thickness": 3.0, "profile": "gauss",
        "views": ("coronal",), "consistency": 0.5, "texture": "match", "detilt": True, "fit": "scan", "budget": 7.0,
        "iterations": 3, "seed": 4, "placement": "centres",
    }  # fmt: skip
    line = (
        "--rescale 2,-1000 --series 7 --phase 2 --on-gap fill --allow-derived --strict --limit slices=9 --axis z "
        "--spacing 1.25 --thickness 3 --profile gauss --views coronal --consistency 0.5 --texture match --detilt "
        "--fit scan --budget 7 --iterations 3 --seed 4 --grid centres"
    )
    seen: dict[str, object] = {}
    volume = scan.read(thick_phantom)

    def read(_path: Path, **options: object) -> list[thinslice.Volume]:
        seen.update(options)
        return [volume]

    def plan(volume: thinslice.Volume, **options: Any) -> Job:
        seen.update(options)
        return plan_job(volume, **options)

    def stop(_volume: thinslice.Volume, _job: Job, method: Method, **_: object) -> None:
        seen.update(vars(method))
        seen.update(budget=method.effort.seconds, iterations=method.effort.steps, seed=method.effort.seed)
        raise thinslice.errors.ModelError("STOP", "far enough")

    monkeypatch.setattr(scan, "read_parts", read)
    monkeypatch.setattr("thinslice.plan.plan_job", plan)
    monkeypatch.setattr(pipeline, "run", stop)
    assert run(["enhance", "-i", str(thick_phantom), "-o", str(tmp_path / "thin.nii"), *line.split()]) == 7
    assert {name: seen.get(name) for name in wanted} == wanted


def test_the_type_of_the_file_is_what_was_asked_for(thick_phantom: Path, tmp_path: Path) -> None:
    for dtype in ("int16", "float32"):
        out = str(tmp_path / f"{dtype}.nii")
        assert run(["enhance", "-q", "-i", str(thick_phantom), "-o", out, "--dtype", dtype, *SHORTEST]) == 0
        assert nibabel.load(out).get_data_dtype() == dtype
