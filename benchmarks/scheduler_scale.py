"""What a Dask scheduler sustains: many workers in a few processes, tasks that sleep, handed out as `batch` does it.

The scheduler is a process of its own. Workers are coroutines (`distributed.Worker`, one thread each, no nanny) in a few
processes, since a thousand processes do not fit into a small machine; tasks only sleep, so that it does not compute
either.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from thinslice.archive.attempts import Attempts
from thinslice.archive.dispatch import MEMORY, outcomes
from thinslice.archive.outcome import Outcome
from thinslice.archive.plan import Task
from thinslice.archive.settings import Settings

NEED = 10**9  # bytes that each task takes and each worker offers, so that resources are counted as they are in `batch`
_QUIET = {
    "distributed.worker.memory.target": False, "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False, "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False, "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
}  # fmt: skip  # what a worker does for its own process: a thousand in one would do it a thousand times


def sleeping(task: Task, settings: Settings, digest: str, attempts: Attempts) -> Outcome:
    """In place of `enhance_scan`: as long as a task says, and an outcome as large as a real one."""
    time.sleep(task.size / 1e3)
    return Outcome(
        task.scan, "done", output=task.shown, record=f"{task.shown}.record.json", report=f"{task.shown}.report.html",
        thumbnail=f"{task.shown}.thumbnail.jpg", slices=40, spacing_mm=5.0, thickness_mm=5.0, new_slices=160,
        new_spacing_mm=1.25, gain_db=1.5, noise_ratio=0.8, warnings=("QUAL-THICKNESS",), seconds=task.size / 1e3,
        finished="2026-11-30T12:00:00+00:00",
    )  # fmt: skip


def tasks_of(milliseconds: int) -> Iterator[Task]:
    """Tasks like those of DICOM series of 40 slices, without end; `size` says how long each sleeps."""
    names = tuple(f"1-{k:03d}.dcm" for k in range(40))
    for number in itertools.count():
        name = f"collection/subject-{number:06d}/1.3.6.1.4.1.14519.5.2.1.{number:012d}"
        source, target, shape = Path("/in", name), Path("/out", name), (160, 512, 512)
        yield Task(name, source, names, f"1.2.{number}", target, name, milliseconds, NEED, shape)


def hold_workers(address: str, count: int) -> None:
    """One process with many workers, until the scheduler ends."""
    import dask
    from distributed import Worker

    async def run() -> None:
        workers = [
            Worker(
                address, nthreads=1, resources={MEMORY: NEED}, memory_limit=0, dashboard=False, host="127.0.0.1",
                heartbeat_interval="5s", death_timeout=80,
            )
            for _ in range(count)
        ]  # fmt: skip
        for first in range(0, count, 20):
            await asyncio.gather(*workers[first : first + 20])
        await asyncio.gather(*(worker.finished() for worker in workers))

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    dask.config.set(_QUIET)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.disable(logging.CRITICAL)
    asyncio.run(run())


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler of its own, as `dask scheduler` starts it: its address and its process."""
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--no-dashboard", "--scheduler-file", str(file)]  # fmt: skip
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000000"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            while not file.exists() or not file.read_text():
                if process.poll() is not None:
                    raise SystemExit(f"the scheduler ended at once, with {process.returncode}")
                time.sleep(0.05)
            yield json.loads(file.read_text())["address"], psutil.Process(process.pid)
        finally:
            process.kill()


def measure(workers: int, *, processes: int, seconds: float, milliseconds: int) -> dict[str, str]:
    """One row of the table: as many tasks as come back within `seconds`."""
    from distributed import Client

    with tempfile.TemporaryDirectory() as name, scheduler(Path(name)) as (address, process):
        held = min(processes, workers)
        shares = [workers // held + (number < workers % held) for number in range(held)]
        children = [
            multiprocessing.Process(target=hold_workers, args=(address, share), daemon=True) for share in shares
        ]
        began = time.perf_counter()
        empty = process.memory_info().rss
        for child in children:
            child.start()
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=80)
            connected = time.perf_counter() - began
            print(f"{workers:,} workers connected in {connected:.1f} s", flush=True)
            idle = process.memory_info().rss
            attempts = Attempts(Path(name, "attempts"), "run")
            found, beats = outcomes(client, tasks_of(milliseconds), Settings(), attempts, do=sleeping), []
            next(found)  # by then all workers have been given tasks, as fast as these can be handed out
            filled = time.perf_counter() - began - connected
            print(f"first tasks handed out in {filled:.1f} s", flush=True)
            for _ in range(min(workers, 200)):
                next(found)
            before, own = process.cpu_times(), time.process_time()
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                assert next(found).outcome == "done"
                beats.append(time.perf_counter())
            spent = time.perf_counter() - began
            after, own = process.cpu_times(), time.process_time() - own
            busy = after.user + after.system - before.user - before.system
            full = process.memory_info().rss
        for child in children:
            child.kill()
            child.join()
    rate = len(beats) / spent
    return {
        "workers": f"{workers:,}",
        "task sleeps": f"{milliseconds / 1e3:g} s",
        "connected in": f"{connected:.1f} s",
        "first tasks handed out in": f"{filled:.1f} s",
        "tasks a second": f"{rate:.1f}",
        "of what they could": f"{rate / (workers / (milliseconds / 1e3)):.0%}",
        "scheduler, CPU a task": f"{busy / len(beats) * 1e3:.2f} ms",
        "scheduler, busy": f"{busy / spent:.0%}",
        "client, CPU a task": f"{own / len(beats) * 1e3:.2f} ms",
        "scheduler, memory": f"{empty / 1e6:.0f}, {idle / 1e6:.0f}, {full / 1e6:.0f} MB",
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    options.add_argument("--processes", type=int, default=4, help="that hold the workers")
    options.add_argument("--seconds", type=float, default=20.0, help="that each row is measured")
    options.add_argument("--sleep-ms", type=int, nargs="+", default=[100], help="of a task: one for all, or one a row")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the scheduler and the workers end as well
    sleeps = chosen.sleep_ms * (len(chosen.workers) if len(chosen.sleep_ms) == 1 else 1)
    rows: list[dict[str, Any]] = []
    for workers, sleep in zip(chosen.workers, sleeps, strict=True):
        rows.append(measure(workers, processes=chosen.processes, seconds=chosen.seconds, milliseconds=sleep))
    table = Table("", *(row["workers"] for row in rows))
    for name in list(rows[0])[1:]:
        table.add_row(name, *(row[name] for row in rows))
    Console().print(table)


if __name__ == "__main__":
    main()
