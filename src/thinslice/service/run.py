"""`serve`: everything put together, begun, and ended in order."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.archive import cluster
from thinslice.archive.attempts import Attempts
from thinslice.archive.dispatch import check_workers, outcomes
from thinslice.archive.extras import import_extra
from thinslice.archive.outcome import Outcome
from thinslice.archive.plan import Task
from thinslice.errors import ThinsliceError
from thinslice.service.board import Board
from thinslice.service.carry import Carrier
from thinslice.service.config import Config
from thinslice.service.follow import Follower
from thinslice.service.journal import note
from thinslice.service.notify import Notifier
from thinslice.service.orthanc import Away, Locked, Orthanc
from thinslice.service.spool import Spool
from thinslice.service.status import status_pages
from thinslice.service.waiting import Waiting
from thinslice.system.memory import estimate_bytes

if TYPE_CHECKING:
    from distributed import Client

_USUAL = (80, 512, 512), (400, 512, 512)  # acquired and output slices that a worker must have memory for
_MORE, _MOST = 1, 32  # threads that carry series beside one a worker, for fetching and storing; at most
_LONGEST_PAUSE_S = 60.0
_GRACE_S, _PUT_DOWN_S = 20.0, 10.0  # for what is being stored when the program is told to end; and for the rest
_WAIT_FOR_WORKERS_S = 600.0


def serve(config: Config) -> None:
    """Follow an Orthanc until SIGTERM or Ctrl-C, and enhance what the rules say.

    Raises:
        UsageError: SRV-SECRET, SRV-PORT, USE-EXTRA; SRV-LOGIN and SRV-TLS at the beginning.
        OutputError: SRV-BUSY, OUT-WRITE.
        ThinsliceError: BATCH-SCHEDULER, BATCH-WORKERS.
    """
    for module in ("requests", "prometheus_client", "distributed"):
        import_extra(module, "serve")
    os.umask(0o077)  # of the workers as well: whatever they write is for its owner alone
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of theirs: what libraries say is no line of the log
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_ending_by_signal(stop))
        orthanc, spool, waiting = Orthanc(config.orthanc), _spool(config), Waiting()
        stack.callback(spool.close)
        board = Board(waiting=lambda: len(waiting), contact=lambda: orthanc.last_contact, spool_bytes=spool.used)
        port = stack.enter_context(status_pages(board, config.status))
        note("begun", status_port=port)
        follower = Follower(
            orthanc, config.rules, config.settings.digest(), waiting=waiting, spool=spool, url=config.orthanc.url
        )
        if not _first_contact(orthanc, board, stop):
            return
        client = stack.enter_context(_workers(config))
        check_workers(client, wait_s=_WAIT_FOR_WORKERS_S)
        carrier = Carrier(
            orthanc, waiting, _enhancer(client, config, spool, stop), settings=config.settings, spool=spool,
            board=board, notifier=Notifier(config.notify), stop=stop, delete_superseded=config.store.delete_superseded,
        )  # fmt: skip
        threads = [threading.Thread(target=carrier.run, daemon=True) for _ in range(_carriers(client))]
        for thread in threads:
            thread.start()
        _follow(follower, board, stop, poll_s=config.orthanc.poll_s)
        note("ending")
        _wait_for(threads, _GRACE_S)
    _wait_for(threads, _PUT_DOWN_S)  # there are no workers any more: what they were at is put down
    if carrier.broken is not None:
        raise carrier.broken
    note("ended")


def _follow(follower: Follower, board: Board, stop: threading.Event, *, poll_s: float) -> None:
    """Look for series until `stop` is set; longer and longer pauses while Orthanc is away."""
    pause = poll_s
    while not stop.is_set():
        try:
            follower.look()
            if board.trouble:
                note("orthanc is back")
            board.trouble, pause = "", poll_s
        except (Away, Locked) as error:
            _note_trouble(board, error, pause)
            follower.lost_sight()
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        stop.wait(pause)


def _first_contact(orthanc: Orthanc, board: Board, stop: threading.Event) -> bool:
    """Wait until Orthanc answers; False where the program is to end before.

    Raises:
        UsageError: SRV-LOGIN, SRV-TLS: no waiting helps.
    """
    pause = 0.5
    while not stop.is_set():
        try:
            note("orthanc answers", version=orthanc.system().get("Version", ""))
            board.trouble = ""
            return True
        except Away as error:
            _note_trouble(board, error, pause)
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    return False


def _note_trouble(board: Board, error: ThinsliceError, pause: float) -> None:
    board.trouble = error.message
    note("orthanc is away", code=error.code, message=error.message, again_s=pause)


def _enhancer(client: Client, config: Config, spool: Spool, stop: threading.Event) -> Any:
    """A function that hands a task to the workers and waits for how it went."""
    attempts = Attempts(spool.notes, uuid.uuid4().hex[:12])

    def enhance(task: Task) -> Outcome:
        if stop.is_set():
            raise InterruptedError
        return next(outcomes(client, [task], config.settings, attempts))

    return enhance


def _workers(config: Config) -> AbstractContextManager[Client]:
    if config.workers.scheduler:
        return cluster.at(config.workers.scheduler)
    return cluster.local(
        [estimate_bytes(*_USUAL)], workers=config.workers.count or None, threads=config.workers.threads,
        device=config.settings.options.get("device", "auto"),
    )  # fmt: skip


def _carriers(client: Client) -> int:
    """How many series are under way at once: the next is fetched, and the last stored, while workers work."""
    slots = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    return min(max(1, slots) + _MORE, _MOST)


def _wait_for(threads: list[threading.Thread], seconds: float) -> None:
    """Give what is under way the time to end; what takes longer is made again."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _spool(config: Config) -> Spool:
    return Spool(Path(config.spool.folder).expanduser().resolve(), config.spool.quota_bytes)


@contextmanager
def _ending_by_signal(stop: threading.Event) -> Iterator[None]:
    """Within the block SIGTERM and Ctrl-C set `stop`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):  # one that was not set from Python
                signal.signal(number, handler)
