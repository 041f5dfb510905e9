"""Slurm, without a Slurm: a stand-in for `sbatch` runs the job that dask-jobqueue asks for, as it is."""

import os
import stat
import sys
from pathlib import Path

import distributed
import psutil
import pytest
from archive_makers import QUICK, many

import thinslice
from thinslice.archive import cluster
from thinslice.archive.dispatch import MEMORY, _outcome, check_workers
from thinslice.archive.run import plan_batch, run_batch
from thinslice.archive.settings import Settings
from thinslice.errors import InputError, ThinsliceError, UsageError
from thinslice.system.processors import thread_environment

SBATCH = """#!/bin/sh
sh "$1" >{folder}/job.log 2>&1 &
echo $! >>{folder}/pids
cp "$1" {folder}/script
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for id in "$@"; do pkill -P "$id"; kill "$id"; done 2>/dev/null
true
"""
JOB = """
jobs = 1
cores = 1
processes = 1
memory = "4 GB"
walltime = "00:05:00"
account = "radiology"
interface = "lo"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """The folder of the stand-in, which comes first in PATH."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(thinslice.__file__).parents[1]), *sys.path]))
    monkeypatch.chdir(tmp_path)
    return folder


def test_jobs_of_slurm_enhance_scans(slurm, tmp_path):
    file = tmp_path / "slurm.toml"
    file.write_text(JOB)
    plan = plan_batch(many(tmp_path / "in", 2), tmp_path / "out", Settings(QUICK))
    assert [row.outcome for row in run_batch(plan, cluster.slurm(file))] == ["done", "done"]
    script = (slurm / "script").read_text()
    assert "#SBATCH -A radiology" in script
    assert "--nthreads 1" in script
    assert f"--resources {MEMORY}=4000000000" in script
    assert all(f"export {name}={value}" in script for name, value in thread_environment(1).items())


@pytest.mark.parametrize(
    ("text", "code"), [("cores = ", "FILE-FORMAT"), ("coers = 1", "USE-SLURM"), ('memory = "lots"', "USE-SLURM")]
)
def test_a_file_that_slurm_cannot_be_asked_by_is_one_line(text, code, tmp_path):
    file = tmp_path / "slurm.toml"
    file.write_text(text)
    with pytest.raises((UsageError, InputError)) as refused, cluster.slurm(file):
        pass
    assert refused.value.code == code
    assert "\n" not in refused.value.line


def test_workers_of_another_version_are_refused(client, monkeypatch):
    check_workers(client, wait_s=10)
    monkeypatch.setattr(thinslice, "__version__", "9.9.9")
    with pytest.raises(ThinsliceError, match=r"here it is 9\.9\.9"):
        check_workers(client, wait_s=10)


def test_a_scan_that_no_worker_can_hold_is_told_of_and_the_others_are_done(tmp_path, client):
    from dataclasses import replace

    from thinslice.archive.attempts import Attempts
    from thinslice.archive.dispatch import outcomes

    settings = Settings(QUICK)
    first, second = plan_batch(many(tmp_path / "in", 2), tmp_path / "out", settings).tasks
    tasks = [replace(first, need_bytes=10**15), second]
    rows = {row.scan: row for row in outcomes(client, tasks, settings, Attempts(tmp_path / "notes", "run"))}
    assert (rows[first.scan].outcome, rows[first.scan].code) == ("failed", "RES-MEMORY")
    assert rows[second.scan].outcome == "done"


def test_each_graphics_processor_has_a_worker_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with cluster.local([], device="cuda") as found:
        assert sorted(found.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["3", "5"]
    with cluster.local([], workers=1, device="cpu") as found:
        assert list(found.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["3,5"]


def test_threads_of_this_process_do_not_bound_the_workers(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    with cluster.local([], threads=1) as found:
        assert len(found.scheduler_info(n_workers=-1)["workers"]) == 2


def test_nothing_listens_but_on_loopback():
    with cluster.local([], workers=1) as found:
        found.wait_for_workers(1)
        own = psutil.Process()
        places = [
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert len(places) >= 3
    assert set(places) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("status", "raised", "found"),
    [
        (
            "finished",
            distributed.KilledWorker("key", None, 0),
            None,
        ),  # its worker is lost before the outcome is fetched
        ("error", distributed.KilledWorker("key", None, 0), None),
        ("error", ValueError("of a worker"), "BUG"),
    ],
)
def test_a_worker_that_is_lost_late_is_lost_all_the_same(status, raised, found, tmp_path):
    class Future:
        def __init__(self):
            self.status = status

        def result(self):
            raise raised

    (task,) = plan_batch(many(tmp_path / "in", 1), tmp_path / "out", Settings(QUICK)).tasks
    outcome = _outcome(Future(), task)
    assert (outcome and outcome.code) == found


@pytest.mark.parametrize("status", ["cancelled", "lost"])
def test_a_scheduler_that_is_gone_is_told_of(status):
    class Future:
        def __init__(self):
            self.status = status

    with pytest.raises(ThinsliceError, match="the scheduler is gone"):
        _outcome(Future(), None)
