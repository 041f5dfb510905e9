"""What goes wrong in an archive: workers, schedulers, disks. Nothing is lost, half written or blamed wrongly."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import archive_makers as makers
import distributed
import pytest
from archive_makers import QUICK, kills_its_worker, many

import thinslice
from thinslice.archive import cluster
from thinslice.archive.attempts import Attempts
from thinslice.archive.dispatch import outcomes
from thinslice.archive.manifest import Manifest
from thinslice.archive.run import plan_batch
from thinslice.archive.settings import Settings

PATHS = os.pathsep.join([str(Path(makers.__file__).parent), str(Path(thinslice.__file__).parents[1]), *sys.path])


def is_whole(path: Path) -> bool:
    return len(thinslice.read(path, allow_derived=True).hu) > 0


def no_remains(output: Path) -> bool:
    return not list(output.rglob(".thinslice-tmp-*"))


def until(condition, *, seconds: float = 120.0):
    """Wait for something to come true."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)
    return found


@contextmanager
def processes(folder: Path, *, workers: int, allowed_failures: int):
    """A real scheduler and real workers; gives the address and the processes."""
    environment = os.environ | {
        "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
    }  # fmt: skip
    file = folder / "scheduler.json"
    common = [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen(
            [*common, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )
    ]  # fmt: skip
    try:
        until(file.exists)
        for _ in range(workers):
            started.append(
                subprocess.Popen(
                    [*common, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"],
                    env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
                )
            )  # fmt: skip
        address = until(lambda: json.loads(file.read_text()).get("address") if file.read_text() else None)
        yield address, started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def test_a_crash_is_blamed_on_the_scan_that_crashed_and_on_no_other(tmp_path):
    """Dask that allows no failure blames every scan that waits on the worker; the notes of those begun do not."""
    archive = many(tmp_path / "in", 6)
    (archive / "scan_001.nii.gz").rename(archive / "killer.nii.gz")
    (archive / "scan_004.nii.gz").rename(archive / "once.nii.gz")
    settings = Settings(QUICK)
    plan = plan_batch(archive, tmp_path / "out", settings)
    attempts = Attempts(tmp_path / "notes", "run")
    with processes(tmp_path, workers=1, allowed_failures=0) as (address, _), cluster.at(address) as client:
        rows = {
            row.scan: row for row in outcomes(client, plan.tasks, settings, attempts, do=kills_its_worker)
        }  # fmt: skip
    lost = rows.pop("killer.nii.gz")
    assert (lost.outcome, lost.code) == ("lost", "BATCH-LOST")
    assert {row.outcome for row in rows.values()} == {"done"}
    assert len(rows) == 5
    assert not list((tmp_path / "notes").iterdir())
    assert no_remains(tmp_path / "out")


@pytest.mark.slow
def test_dask_alone_would_blame_the_others(tmp_path):
    """What the notes are for: without them the same cluster gives up scans that never began."""
    with processes(tmp_path, workers=1, allowed_failures=0) as (address, _), cluster.at(address) as client:
        client.wait_for_workers(1)
        futures = client.map(dies, range(4), pure=False)
        killed = [isinstance(future.exception(), distributed.KilledWorker) for future in futures]
    assert sum(killed) > 1


def dies(number: int) -> int:
    if number == 0:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def command(archive: Path, output: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "thinslice", "batch", "-i", str(archive), "-o", str(output), "--fit", "none",
        "--no-check", "--spacing", "2.5", *more,
    ]  # fmt: skip


def rows_of(output: Path) -> dict[str, str]:
    return {row.scan: row.outcome for row in Manifest(output).rows()}


def test_the_scheduler_is_killed_and_the_command_goes_on(tmp_path):
    archive, output = many(tmp_path / "in", 8, slices=24), tmp_path / "out"
    with processes(tmp_path, workers=1, allowed_failures=3) as (address, started):
        run = subprocess.Popen(
            command(archive, output, "--scheduler", address),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        until(lambda: "done" in rows_of(output).values())
        started[0].kill()
        _, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "error[BATCH-SCHEDULER]: " in said
    assert "Traceback" not in said
    done = [name for name, outcome in rows_of(output).items() if outcome == "done"]
    assert 1 <= len(done) < 8
    assert all(is_whole(output / name) for name in done)
    again = subprocess.run(command(archive, output, "--workers", "1"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(rows_of(output)) == 8
    assert sum(outcome == "current" for outcome in rows_of(output).values()) >= len(done)
    assert no_remains(output)


@pytest.mark.parametrize(
    "signal_number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_ended_leaves_whole_results_and_goes_on(signal_number, tmp_path):
    archive, output = many(tmp_path / "in", 6, slices=24), tmp_path / "out"
    run = subprocess.Popen(
        command(archive, output, "--workers", "1"), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: "done" in rows_of(output).values())
    if signal_number == signal.SIGINT:
        os.killpg(run.pid, signal_number)  # as a terminal does
    else:
        run.send_signal(signal_number)
    _, said = run.communicate(timeout=120)
    assert run.returncode in (130, 128 + signal.SIGTERM, -signal.SIGKILL)
    assert "Traceback" not in said
    until(lambda: not alive_in(run.pid))
    done = [name for name, outcome in rows_of(output).items() if outcome == "done"]
    assert 1 <= len(done) < 6
    assert all(is_whole(output / name) for name in done)
    again = subprocess.run(command(archive, output, "--workers", "1"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert set(rows_of(output).values()) <= {"done", "current"}
    assert no_remains(output)


def alive_in(session: int) -> list[int]:
    """Processes of a session: workers must not outlive their batch."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


@pytest.mark.slow
def test_a_corrupt_series_among_many_stops_no_other(tmp_path):
    archive = many(tmp_path / "in", 5)
    broken = archive / "scan_002.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    done = subprocess.run(
        command(archive, tmp_path / "out", "--workers", "1"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 8
    found = rows_of(tmp_path / "out")
    assert found.pop("scan_002.nii.gz") == "refused"
    assert set(found.values()) == {"done"}


def test_a_full_disk_is_told_of_scan_by_scan_and_leaves_no_part(tmp_path):
    """A file system of one megabyte, in a mount namespace of its own."""
    archive, output = many(tmp_path / "in", 4, slices=200), tmp_path / "out"
    output.mkdir()
    script = (
        f"mount -t tmpfs -o size=1m tmpfs {output} && {' '.join(command(archive, output, '--workers', '1'))};"
        f"code=$?; cp -r {output} {tmp_path / 'kept'}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    kept = tmp_path / "kept"
    assert done.returncode in (6, 8), done.stderr
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert no_remains(kept)
    assert all(is_whole(path) for path in kept.glob("*.nii.gz"))


@pytest.mark.slow
def test_forty_scans_while_workers_are_killed_at_random(tmp_path):
    """Every scan is done, once, and the manifest says so."""
    archive, output = many(tmp_path / "in", 40, slices=24), tmp_path / "out"
    draw = random.Random(1)
    with processes(tmp_path, workers=2, allowed_failures=3) as (address, _):
        run = subprocess.Popen(command(archive, output, "--scheduler", address), stderr=subprocess.PIPE, text=True)
        killed = 0
        while run.poll() is None and killed < 12:
            time.sleep(draw.uniform(0.5, 2.5))
            if workers := worker_processes(address):
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed += 1
        _, said = run.communicate(timeout=600)
    found = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    assert len(found) == len({row["scan"] for row in found}) == 40
    assert {row["outcome"] for row in found} <= {"done", "lost"}
    assert sum(row["outcome"] == "lost" for row in found) <= killed / 2
    assert run.returncode == (8 if any(row["outcome"] == "lost" for row in found) else 0), said
    assert all(is_whole(output / row["scan"]) for row in found if row["outcome"] == "done")
    again = subprocess.run(command(archive, output, "--workers", "1"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(rows_of(output)) == 40
    assert no_remains(output)


def worker_processes(address: str) -> list[int]:
    """Process ids of the workers of a scheduler: those that compute, not the nannies that begin them anew."""
    with cluster.at(address) as client:
        return list(client.run(os.getpid, on_error="ignore").values())
