"""Tasks handed to a Dask cluster, and outcomes as they come. What a lost worker costs is decided here.

Dask counts, for a task whose worker is gone, every task that was waiting on that worker as well, and ends those that
were counted too often. Here notes of scans that were begun (`attempts`) say whom a crash belongs to: a scan is set
aside when it ended its worker twice itself, and an innocent one is handed out again.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thinslice.archive.attempts import MOST, Attempts
from thinslice.archive.extras import import_extra
from thinslice.archive.outcome import Outcome, failed
from thinslice.archive.plan import Task
from thinslice.archive.settings import Settings
from thinslice.archive.task import enhance_scan, lost
from thinslice.errors import ResourceError, ThinsliceError, as_thinslice_error

if TYPE_CHECKING:
    from distributed import Client, Future

_log = logging.getLogger("thinslice.archive")

MEMORY = "memory"
"""The resource that workers offer and tasks take, in bytes."""
_AHEAD = 2  # tasks handed out for each that can run: the next is there when one ends, and no more are in flight
_ASK_S = 1.0  # so old what is known of the workers may be: to ask takes the scheduler longer than a task, with hundreds
_RESENT = 20  # times that an innocent task may be handed out again before workers are taken to be broken

Do = Callable[[Task, Settings, str, Attempts], Outcome]


def outcomes(
    client: Client, tasks: Iterable[Task], settings: Settings, attempts: Attempts, *, do: Do = enhance_scan
) -> Iterator[Outcome]:
    """The outcome of each task, as they end.

    Args:
        client: of the cluster.
        tasks: in the order in which they are handed out.
        settings: what is done.
        attempts: notes of this run, in a folder that every worker can write to.
        do: what a worker does to a task.

    Raises:
        ThinsliceError: BATCH-SCHEDULER where the scheduler is gone; what is done is done.
    """
    distributed = import_extra("distributed", "batch")
    digest, waiting = settings.digest(), iter(tasks)
    running: dict[Future, Task] = {}
    sent: Counter[str] = Counter()
    ended, workers = distributed.as_completed([], loop=client.loop), _Workers(client)

    def hand_out(task: Task) -> Outcome | None:
        needs = _needs(task, workers)
        if isinstance(needs, ThinsliceError):
            return failed(task, needs)
        sent[task.key] += 1
        future = client.submit(
            do, task, settings, digest, attempts, key=f"enhance-{task.key}-{attempts.run}-{sent[task.key]}",
            pure=False, resources=needs,
        )  # fmt: skip
        running[future] = task
        ended.add(future)
        return None

    def fill() -> Iterator[Outcome]:
        most = _AHEAD * max(1, workers.slots())
        while len(running) < most and (task := next(waiting, None)) is not None:
            if (refused := hand_out(task)) is not None:
                yield refused

    yield from fill()
    while running:
        future = next(ended)
        task = running.pop(future)
        found = _outcome(future, task)
        if found is None and attempts.begun(task.key) >= MOST:
            found = lost(task)
            attempts.end(task.key)
        if found is None and sent[task.key] > _RESENT:
            found = failed(task, ThinsliceError("BATCH-WORKERS", "workers keep ending, whatever they are given"))
        if found is None:
            _log.info("a worker ended; a scan that waited on it is handed out again")
            found = hand_out(task)
        if found is not None:
            yield found
        yield from fill()


def _outcome(future: Future, task: Task) -> Outcome | None:
    """How a task ended; None where its worker did.

    Raises:
        ThinsliceError: BATCH-SCHEDULER.
    """
    from distributed import CancelledError, KilledWorker

    try:
        if future.status not in ("cancelled", "lost"):
            found: Outcome = future.result()  # of a worker that was lost before it could tell, it is done once more
            return found
    except KilledWorker:
        return None
    except CancelledError:
        pass
    except Exception as error:
        return failed(task, as_thinslice_error(error))
    message = "the scheduler is gone; what is done is done: run the same command again to go on"
    raise ThinsliceError("BATCH-SCHEDULER", message)


class _Workers:
    """The workers of a cluster, as its scheduler knows them.

    Args:
        client: of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = -math.inf
        self._known: list[Mapping[str, Any]] = []

    def slots(self) -> int:
        """How many tasks can run at once."""
        return sum(worker["nthreads"] for worker in self._recent())

    def offers(self, *, anew: bool = False) -> list[int]:
        """Bytes of memory of each worker that says how much it has; asked anew, those that have just joined too."""
        workers = self._recent(0.0 if anew else _ASK_S)
        return [worker["resources"][MEMORY] for worker in workers if MEMORY in worker.get("resources", {})]

    def _recent(self, age_s: float = _ASK_S) -> Sequence[Mapping[str, Any]]:
        if time.monotonic() - self._asked >= age_s:
            self._known = list(self._client.scheduler_info(n_workers=-1)["workers"].values())
            self._asked = time.monotonic()
        return self._known


def _needs(task: Task, workers: _Workers) -> dict[str, float] | ResourceError | None:
    """The memory that a task takes of its worker, where workers say how much they have; an error where none has it."""
    offers = workers.offers()
    if offers and task.need_bytes > max(offers):
        offers = workers.offers(anew=True)
    if not offers:
        return None
    if task.need_bytes > max(offers):
        need, most = task.need_bytes / 1e9, max(offers) / 1e9
        return ResourceError(
            "RES-MEMORY", f"this scan needs {need:.1f} GB of memory and the largest worker has {most:.1f} GB"
        )
    return {MEMORY: task.need_bytes}


def check_workers(client: Any, *, wait_s: float) -> None:
    """Wait until there is a worker, and refuse those that cannot do what they will be asked for.

    Raises:
        ThinsliceError: BATCH-WORKERS where none comes in time, or thinslice is not there, or is another version.
    """
    from thinslice import __version__

    try:
        client.wait_for_workers(1, timeout=wait_s)
    except TimeoutError as error:
        raise ThinsliceError(
            "BATCH-WORKERS", f"no worker joined the scheduler within {wait_s:g} s; start some"
        ) from error
    found: set[str] = set(client.run(_version, on_error="return").values())
    if wrong := {str(version) for version in found if version != __version__}:
        message = f"workers have thinslice {', '.join(sorted(wrong))}, and here it is {__version__}"
        raise ThinsliceError("BATCH-WORKERS", f"{message}; install the same version for both")


def _version() -> str:
    from thinslice import __version__

    return __version__
