"""Whatever goes wrong is one line on stderr and the right exit code; stdout stays clean."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thinslice import errors
from thinslice.cli.app import run
from thinslice.io import scan

ONE_LINE = re.compile(r"error\[[A-Z0-9-]+\]: [^\n]+\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["enhance"],
        ["enhance", "-i", "a.nii.gz"],
        ["enhance", "-i"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--nonsense"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--profile", "triangle"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--views", "axial,oblique"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--views", "axial,axial"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--consistency", "-1"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--rescale", "0,-1024"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--limit", "slices"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--spacing", "1", "--factor", "2"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--preview", "picture.docx"],
        ["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--report", "page.pdf"],
        ["evaluate"],
        ["evaluate", "-i", "a.nii.gz", "--factors", "2,two"],
        ["evaluate", "-i", "a.nii.gz", "--methods", "magic"],
        ["evaluate", "-i", "a.nii.gz", "--score", "other"],
        ["evaluate", "-i", "a.nii.gz", "--budget", "0"],
        ["evaluate", "-i", "a.nii.gz", "--seeds=-1"],
        ["evaluate", "-i", "a.nii.gz", "--score", "cubic=results"],
        ["evaluate", "-i", "a.nii.gz", "--score", "a=one", "--score", "a=two"],
        ["inspect", "a.nii.gz", "--threads", "0"],
        ["train", "-i", "a.nii.gz", "-o", "w.safetensors", "--device", "mps"],
        ["train", "-i", "a.nii.gz", "-o", "w.safetensors", "--memory", "inf"],
        ["train", "-i", "a.nii.gz", "-o", "w.safetensors", "--rate", "2"],
        ["train", "-o", "w.safetensors"],
        ["train", "-i", "a.nii.gz"],
        ["train", "-i", "a.nii.gz", "-o", "w.safetensors", "--weights", "old.safetensors", "--channels", "64"],
        ["improve"],
        ["inspect", ""],
        ["enhance", "--input=", "-o", "b.nii.gz"],
        ["evaluate", "-i", "a.nii.gz", "--methods", "none"],
    ],
    ids=" ".join,
)
def test_wrong_usage(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert ONE_LINE.fullmatch(err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ThinsliceError("ANY", "x"), 1),
        (errors.UsageError("USE-X", "x"), 2),
        (errors.InputError("IN-X", "x"), 3),
        (errors.GeometryError("GEO-X", "x"), 4),
        (errors.ResourceError("RES-X", "x"), 5),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 5),
        (MemoryError(), 5),
        (errors.OutputError("OUT-X", "x"), 6),
        (errors.ModelError("MOD-X", "x"), 7),
        (ZeroDivisionError("several\nlines"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_codes(
    error: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(scan, "read_parts", fail)
    monkeypatch.chdir(tmp_path)
    record = tmp_path / "record.json"
    assert run(["enhance", "-i", "a.nii.gz", "-o", "b.nii.gz", "--json", str(record)]) == code
    out, err = capfd.readouterr()
    assert out == ""
    if code != 130:
        assert ONE_LINE.fullmatch(err)
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["-v", "--verbose", "-qv"])
def test_verbose_shows_where_a_fault_is(
    option: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(scan, "read_parts", fail)
    assert run(["enhance", option, "-i", "a.nii.gz", "-o", "b.nii.gz"]) == 1
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert ONE_LINE.fullmatch(err.splitlines(keepends=True)[-1])


def test_an_error_that_is_its_own_cause_is_traced_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        first, second = ZeroDivisionError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    monkeypatch.setattr(scan, "read_parts", fail)
    assert run(["enhance", "-v", "-i", "a.nii.gz", "-o", "b.nii.gz"]) == 1
    err = capfd.readouterr().err
    assert (err.count("Traceback"), err.count("ValueError")) == (2, 1)


@pytest.mark.parametrize("option", ["-o", "--save-weights", "--preview", "--report", "--json"])
def test_an_existing_output_is_refused_before_the_input_is_read(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / {"--preview": "there.png", "--report": "there.html"}.get(option, "there.nii.gz")
    there.write_text("precious")
    outputs = {"-o": str(tmp_path / "new.nii.gz")} | {option: str(there)}
    arguments = [word for pair in outputs.items() for word in pair]
    assert run(["enhance", "-i", str(tmp_path / "absent.nii.gz"), *arguments]) == 6
    assert ONE_LINE.fullmatch(capfd.readouterr().err)
    assert there.read_text() == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "scan.nii.gz", "--json", "scan.nii.gz"],
        ["enhance", "-i", "scan.nii.gz", "-o", "thin.nii.gz", "--json", "scan.nii.gz"],
        ["enhance", "-i", "scan.nii.gz", "-o", "folder/../scan.nii.gz"],
        ["enhance", "-i", "other.nii.gz", "--labels", "scan.nii.gz", "-o", "scan.nii.gz"],
        ["enhance", "-i", "other.nii.gz", "--labels", "scan_labels.nii.gz", "-o", "scan.nii.gz"],
        ["enhance", "-i", "a.nii", "-o", "b.nii", "--weights", "scan.nii.gz", "--save-weights", "scan.nii.gz"],
        ["evaluate", "-i", "scan.nii.gz", "--methods", "linear", "--json", "scan.nii.gz"],
        ["evaluate", "-i", "scan.nii.gz", "--methods", "linear", "-o", "."],
        ["evaluate", "-i", "scan1_gap_x2.nii.gz", "--methods", "none", "--factors", "2", "--write-inputs", "."],
        ["evaluate", "-i", "scan.nii.gz", "-o", "new", "--write-inputs", "new"],
        ["evaluate", "-i", "scan.nii.gz", "--factors", "2", "--write-inputs", ".", "--score", "other=."],
        ["train", "-i", "scan.nii.gz", "-o", "scan.nii.gz"],
        ["train", "-i", "scan.nii.gz", "-o", "."],
        ["train", "-i", "other.nii.gz", "--validate", "scan.nii.gz", "-o", "scan.nii.gz"],
        ["train", "-i", "scan.nii.gz", "-o", "w.safetensors", "--json", "w.safetensors.checkpoint"],
        ["inspect", "header.mhd", "--json", "scan.nii.gz"],
        ["inspect", "series", "--json", "series/scan.dcm"],
        ["evaluate", "-i", "scan.nii.gz", "-o", "page", "--json", "page/r.json"],
        ["evaluate", "-i", "scan.nii.gz", "-o", "page", "--write-inputs", "page/thick"],
        ["enhance", "-i", "series", "-o", "thin", "--preview", "thin/seen.png"],
        ["enhance", "-i", "series", "-o", "thin", "--json", "thin/r.json"],
        ["enhance", "-i", "series", "-o", "thin", "--report", "thin/page.html"],
        ["enhance", "-i", "other.nii.gz", "--labels", "labels.html", "-o", "thin.nii.gz", "--report", "labels.html"],
        ["enhance", "-i", "scan.nii.gz", "-o", "thin.nii.gz", "--json", "page.html", "--report", "page.html"],
        ["enhance", "-i", "scan.nii.gz", "-o", "thin.nii.gz", "--report", "absent/page.html"],
        ["enhance", "-i", "scan.nii.gz", "-o", "new/thin.nii.gz", "--report", "scan.nii.gz/page.html"],
        ["demo", "-o", "shown", "--json", "shown/r.json"],
    ],
    ids=" ".join,
)
def test_no_command_writes_over_its_input(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "series"):
        (tmp_path / folder).mkdir()
    (tmp_path / "header.mhd").write_bytes(b"NDims = 3\r\nElementDataFile = scan.nii.gz\r\n")
    names = {"scan.nii.gz", "scan_labels.nii.gz", "scan1_gap_x2.nii.gz", "labels.html"}
    for name in names:
        (tmp_path / name).write_text("precious")
    (tmp_path / "series" / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert run([*arguments, "--overwrite"]) == 6
    assert ONE_LINE.fullmatch(capfd.readouterr().err)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before
    assert {(tmp_path / name).read_text() for name in names} == {"precious"}


def test_version_and_bare_command(capfd: pytest.CaptureFixture[str]) -> None:
    import thinslice

    assert run(["--version"]) == 0
    assert run(["enhance", "--version"]) == 0
    assert capfd.readouterr().out == f"thinslice {thinslice.__version__}\n" * 2
    assert run([]) == 0
    assert "enhance" in capfd.readouterr().out


def test_an_interrupt_while_the_program_is_loaded_is_one_as_well() -> None:
    code = """
import builtins, thinslice.cli
load = builtins.__import__
def interrupted(name, *rest):
    if name == "thinslice.cli.app":
        raise KeyboardInterrupt
    return load(name, *rest)
builtins.__import__ = interrupted
thinslice.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_json_on_stdout_is_one_document(capfd: pytest.CaptureFixture[str], thick_phantom: Path) -> None:
    assert run(["inspect", str(thick_phantom), "--json", "-"]) == 0
    assert isinstance(json.loads(capfd.readouterr().out), dict)


@pytest.mark.parametrize("form", [["-i", "~/scan.nii.gz"], ["--input=~/scan.nii.gz"]], ids=" ".join)
def test_a_path_may_begin_at_the_home_folder(
    form: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thick_phantom: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "scan.nii.gz").write_bytes(thick_phantom.read_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(home))
    assert run(["enhance", *form, "--output=~/thin.nii.gz", "--json=~/r.json", "--fit", "none", "-q"]) == 0
    assert {path.name for path in home.iterdir()} == {"scan.nii.gz", "thin.nii.gz", "thin.json", "r.json"}
    assert list(Path().iterdir()) == []
