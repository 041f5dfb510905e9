"""A batch does what `enhance` does, once, and accounts for it; what is whole and current is not made again."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext

import jsonschema
import numpy as np
import pandas as pd
import pytest
from archive_makers import QUICK, volume

import thinslice
from thinslice.archive.manifest import Manifest, locked
from thinslice.archive.outcome import Outcome
from thinslice.archive.run import plan_batch, run_batch
from thinslice.archive.settings import Settings
from thinslice.errors import OutputError, UsageError
from thinslice.io.output_format import OutputFormat


def run(archive, output, connect, **settings):
    """The outcome of every scan, by its name."""
    plan = plan_batch(archive, output, Settings(QUICK | settings.pop("options", {}), **settings))
    return {row.scan: row for row in run_batch(plan, connect)}


def kinds(rows):
    return {name: row.outcome for name, row in rows.items()}


DONE = {"a/one.nii.gz": "done", "b/two.nrrd": "done", "c/series": "done", "b/bad.nii.gz": "refused"}
CURRENT = {name: "current" if kind == "done" else kind for name, kind in DONE.items()}


@pytest.fixture(scope="module")
def finished(kept_archive, client, tmp_path_factory):
    """The output folder of a whole batch, and its outcomes. Not to be changed."""
    output = tmp_path_factory.mktemp("finished") / "out"
    return output, run(kept_archive, output, nullcontext(client), report=True, uncertainty=True)


def test_results_are_those_of_enhance_and_lie_as_the_scans_do(finished, kept_archive):
    output, rows = finished
    assert kinds(rows) == DONE
    for name in ("a/one.nii.gz", "b/two.nrrd"):
        true = thinslice.enhance(kept_archive / name, **QUICK).volume
        got = thinslice.read(output / name, allow_derived=True)
        np.testing.assert_array_equal(got.hu, np.rint(true.hu))
    series = thinslice.read(output / "c/series", allow_derived=True)
    true = thinslice.enhance(kept_archive / "c/series", **QUICK).volume
    np.testing.assert_array_equal(series.hu, np.rint(true.hu))


def test_each_scan_has_what_was_asked_for_beside_it(finished):
    output, rows = finished
    for name, row in rows.items():
        if row.is_good:
            assert all((output / path).exists() for path in (row.output, row.record, row.report, row.thumbnail)), name
    assert (output / "a/one_uncertainty.nii.gz").exists()
    assert (output / "c/series_uncertainty.dcm").exists()
    assert not list(output.rglob(".thinslice-tmp-*"))


def test_records_follow_the_schema(finished, repository):
    output, _ = finished
    schema = json.loads((repository / "docs/record.schema.json").read_text())
    records = list(output.rglob("*.record.json"))
    assert len(records) == 3
    for record in records:
        jsonschema.validate(json.loads(record.read_text()), schema)


def test_records_name_paths_where_that_is_asked_for_alone(finished, kept_archive, tmp_path, one_worker):
    output, _ = finished
    assert str(kept_archive) not in (output / "a/one.record.json").read_text()
    run(kept_archive / "a", tmp_path / "out", one_worker, show_identity=True)
    record = json.loads((tmp_path / "out/one.record.json").read_text())
    assert record["identity"] == {
        "input": str(kept_archive / "a/one.nii.gz"), "output": str(tmp_path / "out/one.nii.gz"),
    }  # fmt: skip


def test_pandas_opens_the_manifest(finished):
    output, _ = finished
    table = pd.read_json(output / "manifest.jsonl", lines=True).set_index("scan")
    assert table["outcome"].to_dict() == DONE
    assert table.loc["a/one.nii.gz", "new_slices"] == 16
    assert table.loc["b/bad.nii.gz", "code"] == "FILE-FORMAT"


def test_what_is_whole_and_current_is_not_made_again(archive, tmp_path, one_worker, client):
    output = tmp_path / "out"
    assert kinds(run(archive, output, one_worker)) == DONE
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.nii.gz")}
    assert kinds(run(archive, output, one_worker)) == CURRENT
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*.nii.gz")}
    table = Manifest(output).rows()
    assert {row.scan: row.outcome for row in table} == CURRENT

    for path in archive.rglob("*.nii.gz"):  # a copy, or a clock set back: other times, the same contents
        os.utime(path, ns=(1, 1))
    assert kinds(run(archive, output, one_worker)) == CURRENT
    thinslice.write(volume(7), archive / "a/one.nii.gz", overwrite=True)
    assert kinds(run(archive, output, one_worker)) == CURRENT | {"a/one.nii.gz": "done"}
    (output / "b/two.nrrd").write_bytes((output / "b/two.nrrd").read_bytes()[:-10])
    assert kinds(run(archive, output, one_worker)) == CURRENT | {"b/two.nrrd": "done"}
    next((output / "c/series").iterdir()).unlink()
    assert kinds(run(archive, output, one_worker)) == CURRENT | {"c/series": "done"}
    assert kinds(run(archive, output, one_worker, options={"spacing": 2.0})) == DONE


def test_a_foreign_file_is_not_replaced(archive, tmp_path, one_worker):
    target = tmp_path / "out" / "a" / "one.nii.gz"
    thinslice.write(volume(3), target) if target.parent.mkdir(parents=True) is None else None
    before = target.read_bytes()
    rows = run(archive, tmp_path / "out", one_worker)
    assert (rows["a/one.nii.gz"].outcome, rows["a/one.nii.gz"].code) == ("failed", "OUT-EXISTS")
    assert target.read_bytes() == before
    rows = run(archive, tmp_path / "out", one_worker, form=OutputFormat(overwrite=True))
    assert rows["a/one.nii.gz"].outcome == "done"


def test_a_series_with_gaps_gives_its_parts(tmp_path, one_worker):
    import dicom_phantom

    slices = dicom_phantom.series(slices=18)
    dicom_phantom.save(slices[:8] + slices[10:], tmp_path / "in" / "gap")
    rows = run(tmp_path / "in", tmp_path / "out", one_worker, on_gap="split")
    assert (rows["gap"].outcome, rows["gap"].slices, rows["gap"].output) == ("done", 16, "gap_1")
    assert len(json.loads((tmp_path / "out/gap.record.json").read_text())) == 2
    assert kinds(run(tmp_path / "in", tmp_path / "out", one_worker, on_gap="split")) == {"gap": "current"}


def test_two_batches_do_not_write_into_one_folder(kept_archive, tmp_path, one_worker):
    with locked(tmp_path / "out"), pytest.raises(OutputError, match="another batch"):
        run(kept_archive, tmp_path / "out", one_worker)
    assert not list((tmp_path / "out").rglob("*.nii.gz"))


def test_a_line_of_the_manifest_that_was_cut_off_costs_that_line(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.begin([Outcome("a", "done"), Outcome("b", "refused", "GEO-FEW", "too few", warnings=("X",))])
    manifest.add(Outcome("c", "done"))
    manifest.path.write_bytes(manifest.path.read_bytes()[:-20])
    assert [row.scan for row in manifest.rows()] == ["a", "b"]
    assert manifest.rows()[1].warnings == ("X",)


def test_in_python_records_come_as_scans_are_done(kept_archive, tmp_path, client):
    rows = thinslice.batch(kept_archive, tmp_path / "out", client=client, where="format == 'nrrd'", **QUICK)
    assert [(row["scan"], row["outcome"]) for row in rows] == [("b/two.nrrd", "done")]
    with pytest.raises(TypeError, match="spacing"):
        thinslice.batch(kept_archive, tmp_path / "out", client=client, spcing=1.0)


def test_paths_of_scans_may_be_given(kept_archive, tmp_path, client):
    paths = [kept_archive / "a/one.nii.gz", kept_archive / "b/two.nrrd"]
    rows = list(thinslice.batch(paths, tmp_path / "out", client=client, **QUICK))
    assert {row["output"] for row in rows} == {"a/one.nii.gz", "b/two.nrrd"}
    (row,) = thinslice.batch(paths[0], tmp_path / "one", client=client, **QUICK)
    assert (row["scan"], row["output"]) == ("one.nii.gz", "one.nii.gz")


def thinslice_command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "thinslice", *map(str, arguments)], capture_output=True, text=True, check=False,
        timeout=300, **options,
    )  # fmt: skip


def test_the_command_tells_what_failed_and_ends_with_8(kept_archive, tmp_path):
    done = thinslice_command(
        "batch", "-i", kept_archive, "-o", tmp_path / "out", "--fit", "none", "--no-check", "--spacing", "2.5",
        "--workers", "1", "--json", "-",
    )  # fmt: skip
    assert done.returncode == 8
    assert json.loads(done.stdout) == {"command": "batch", "outcomes": {"refused": 1, "done": 3}}
    bad = [line for line in done.stderr.splitlines() if "bad.nii.gz" in line]
    assert len(bad) == 1
    assert bad[0].startswith(f"{kept_archive}/b/bad.nii.gz: refused[FILE-FORMAT]: the file is not NIfTI, though")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "index.html").exists()


def test_a_dry_run_does_nothing(kept_archive, tmp_path):
    done = thinslice_command("batch", "-i", kept_archive, "-o", tmp_path / "out", "--dry-run", "--json", "-")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert [scan["scan"] for scan in told["scans"]] == ["a/one.nii.gz", "b/two.nrrd", "c/series"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--where", "slices >"), "USE-WHERE"),
        (("--workers", "1", "--scheduler", "tcp://127.0.0.1:9"), "USE-WORKERS"),
        (("--workers", "999"), "USE-WORKERS"),
        (("--format", "png"), "USE-FORMAT"),
        (("--slurm", "missing.toml"), "FILE-MISSING"),
        (("--scheduler", "nonsense://x"), "BATCH-SCHEDULER"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, code, kept_archive, tmp_path):
    done = thinslice_command("batch", "-i", kept_archive, "-o", tmp_path / "out", *arguments)
    assert f"error[{code}]: " in done.stderr
    assert done.returncode in (1, 2, 3)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("module", "extra"), [("distributed", "batch"), ("simpleeval", "batch")])
def test_a_missing_extra_is_one_line_that_names_it(module, extra, monkeypatch, kept_archive, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"thinslice\[{extra}\]"):
        list(thinslice.batch(kept_archive, tmp_path / "out", where="slices > 1", **QUICK))


def test_neither_the_import_nor_enhance_needs_dask(kept_archive):
    code = (
        "import sys\n"
        "for name in ('dask', 'distributed', 'simpleeval', 'requests', 'prometheus_client'): sys.modules[name] = None\n"
        "import thinslice\n"
        f"thinslice.enhance({str(kept_archive / 'a/one.nii.gz')!r}, spacing=2.5, fit='none', check=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
