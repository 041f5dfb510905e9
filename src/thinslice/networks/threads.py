"""How many threads PyTorch computes with, and random numbers that no other thread disturbs."""

from __future__ import annotations

import logging
import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from thinslice.errors import UsageError
from thinslice.system import forks

_log = logging.getLogger("thinslice")


def use_threads(count: int | None) -> int:
    """Compute with so many CPU threads from now on, or with as many as before; gives the number.

    It is one, whatever is asked for, in a process that was forked after PyTorch had been loaded (`system.forks`).

    Raises:
        UsageError: USE-THREADS where `count` is no whole number from 1.
    """
    try:
        wanted = torch.get_num_threads() if count is None else operator.index(count)
    except TypeError as error:
        raise UsageError("USE-THREADS", f"threads must be a whole number from 1, found {count!r}") from error
    if wanted < 1:
        raise UsageError("USE-THREADS", f"threads must be at least 1, found {count}")
    if forks.after_torch() and wanted > 1:
        _log.info("this process was forked: it computes with one thread, for those of its parent are not here")
        wanted = 1
    torch.set_num_threads(wanted)
    return wanted


class _Usual:
    """The number of threads outside of all blocks of `cpu_threads`, and how many of these run at the moment.

    PyTorch keeps the number for each thread, but one that computes for the first time begins with what any other set
    last. So several calls at once must not take one another's number for the usual one.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.count = 1


_usual = _Usual()
_drawing = threading.RLock()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Use so many CPU threads within the block, by default as many as before; gives the number.

    Raises:
        UsageError: USE-THREADS.
    """
    with _usual.lock:
        if not _usual.running:
            _usual.count = torch.get_num_threads()
        usual = _usual.count
        used = use_threads(usual if count is None else count)
        _usual.running += 1
    try:
        yield used
    finally:
        with _usual.lock:
            _usual.running = max(0, _usual.running - 1)  # 0 already in a child that was forked within the block
            torch.set_num_threads(usual)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from PyTorch's own random numbers, begun with `seed`, and leave them as they were.

    There is one generator for all threads: one of them draws at a time.
    """
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _after_fork() -> None:
    """In the child: locks that threads of the parent held would never be released, and one thread is all there is."""
    global _usual, _drawing
    _usual, _drawing = _Usual(), threading.RLock()
    torch.set_num_threads(1)


if forks.after_torch():
    torch.set_num_threads(1)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
