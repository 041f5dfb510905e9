"""Where tasks run: workers on this machine, a Dask scheduler that is there already, or jobs of Slurm."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from thinslice.archive.dispatch import MEMORY
from thinslice.archive.extras import import_extra
from thinslice.errors import InputError, ThinsliceError, UsageError, named
from thinslice.system.memory import free_bytes
from thinslice.system.processors import cores, graphics, thread_environment

if TYPE_CHECKING:
    from distributed import Client

_NEVER = 1_000_000  # times that Dask itself may blame a task; our notes decide (`attempts`)
_CONNECT_S = 20
_LOOPBACK = "127.0.0.1:0"  # of what Dask serves by HTTP, dashboard or not
_NO_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers run first: Ctrl-C is for the batch, which then ends them."""


@contextmanager
def local(
    needs: Sequence[int], *, workers: int | None = None, threads: int = 1, device: str = "cpu"
) -> Iterator[Client]:
    """Workers on this machine, processes of one scan at a time each.

    Args:
        needs: bytes of memory of the scans.
        workers: how many; by default one a core, or one a graphics processor, as far as memory goes.
        threads: of each; one is best where there are scans enough (docs/scaling.md).
        device: what they compute on, as for `thinslice.enhance`; each has a graphics processor to itself.

    Raises:
        UsageError: USE-EXTRA, USE-WORKERS.
    """
    distributed, dask = import_extra("distributed", "batch"), import_extra("dask", "batch")
    cards = [] if device == "cpu" else graphics()
    count = workers or len(cards) or max(1, cores() // threads)
    if count * threads > cores():
        message = f"{count} workers of {threads} threads are more than the {cores()} cores here"
        raise UsageError("USE-WORKERS", f"{message}: they would only wait for one another")
    offers = shares(free_bytes(), needs, count)
    environment = thread_environment(threads)
    options = {
        "nthreads": 1, "memory_limit": 0, "env": environment, "silence_logs": logging.CRITICAL, "dashboard": False,
        "dashboard_address": _LOOPBACK, "host": "127.0.0.1", "preload": [_NO_INTERRUPT],
    }  # fmt: skip
    specification = {
        number: {
            "cls": distributed.Nanny,
            "options": options
            | {"resources": {MEMORY: offer}}
            | ({"env": environment | {"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]}} if cards else {}),
        }
        for number, offer in enumerate(offers)
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": _LOOPBACK},
    }
    settings = {
        "distributed.scheduler.allowed-failures": _NEVER,
        "distributed.worker.profile.enabled": False,  # its samples of an hour grow a worker by 0.4 MB a second
        "distributed.nanny.pre-spawn-environ": environment,
    }
    with (
        dask.config.set(settings),
        distributed.SpecCluster(
            workers=specification, scheduler=scheduler, silence_logs=logging.CRITICAL, asynchronous=False
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def shares(total: int, needs: Sequence[int], count: int) -> list[int]:
    """Bytes of memory for each worker: together no more than there are, and the largest scan has one that holds it.

    Where most scans would not fit into an equal share there are fewer workers.

    Args:
        total: bytes that can be had.
        needs: of the scans.
        count: of the workers, at most.
    """
    largest, usual = (max(needs), int(median(needs))) if needs else (0, 0)
    for workers in range(count, 1, -1):
        first = max(total // workers, min(largest, total))
        rest = (total - first) // (workers - 1)
        if rest >= usual:
            return [first, *[rest] * (workers - 1)]
    return [total]


@contextmanager
def at(address: str) -> Iterator[Client]:
    """A scheduler that is there already.

    Raises:
        ThinsliceError: BATCH-SCHEDULER where it does not answer.
        UsageError: USE-EXTRA.
    """
    distributed = import_extra("distributed", "batch")
    try:
        host, port = distributed.comm.get_address_host_port(address)
        socket.create_connection((host, port), timeout=_CONNECT_S).close()  # a client that fails prints a traceback
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        message = f"no Dask scheduler answers at {address} ({type(error).__name__})"
        raise ThinsliceError("BATCH-SCHEDULER", f"{message}; give an address such as tcp://host:8786") from error
    with client:
        yield client


@contextmanager
def slurm(file: Path) -> Iterator[Client]:
    """Jobs of Slurm, as a TOML file describes them: arguments of `dask_jobqueue.SLURMCluster`, and `jobs`.

    Raises:
        UsageError: USE-EXTRA, USE-SLURM.
        InputError: FILE-MISSING, FILE-FORMAT.
    """
    distributed, jobqueue = import_extra("distributed", "batch"), import_extra("dask_jobqueue", "slurm")
    from dask.utils import parse_bytes

    options = dict(read_toml(file))
    jobs, processes = options.pop("jobs", 1), int(options.get("processes", 1))
    environment = thread_environment(max(1, int(options.get("cores", 1)) // processes))
    exports = [f"export {name}={value}" for name, value in environment.items()]
    options["job_script_prologue"] = [*exports, *options.get("job_script_prologue", [])]
    more = ["--nthreads", "1"]
    try:
        if "memory" in options:
            more += ["--resources", f"{MEMORY}={parse_bytes(options['memory']) // processes}"]
        options["worker_extra_args"] = [*more, *options.get("worker_extra_args", [])]
        cluster = jobqueue.SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise UsageError("USE-SLURM", f"{named(file, 'the file for Slurm')}: {error}") from error
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        cluster.scale(jobs=jobs)
        yield client


def read_toml(file: Path) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        InputError: FILE-MISSING, FILE-FORMAT.
    """
    try:
        import tomllib
    except ImportError:  # Python 3.10
        tomllib = import_extra("tomli", "batch")
    from thinslice.io import files

    files.check_there(file, what="file")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError("FILE-FORMAT", f"{named(file, 'the file')} is no TOML: {error}") from error
