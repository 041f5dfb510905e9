"""Whether this process was forked from one that had loaded PyTorch.

A fork copies the memory of a process, but of its threads only the one that called it. libgomp, through which PyTorch
spreads work over threads, keeps a pool of them. In the copy the pool still looks whole, and the next piece of work
that is spread waits for ever for threads that are not there. Work that stays on one thread needs no pool.

Fork is what `multiprocessing`, and with it the DataLoader, uses on Linux up to Python 3.13, and what joblib's
"multiprocessing" backend, Celery and gunicorn use.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC of linux/sched.h


def after_torch() -> bool:
    """True where PyTorch was loaded before the fork that made this process, so that its threads may be lost."""
    return _after_torch


def _note_fork() -> None:
    global _after_torch
    _after_torch = _after_torch or "torch" in sys.modules


def _late() -> bool:
    """For a process that imports thinslice after it was forked: whether PyTorch may have been there before.

    Where PyTorch is loaded by now it is not known when that was, so the answer is on the safe side.
    """
    return "torch" in sys.modules and _forked()


def _forked() -> bool:
    """Whether this process was forked, and did not start a program of its own afterwards."""
    process = sys.modules.get("multiprocessing.process")  # whoever was started by multiprocessing has it
    if process is not None and process.parent_process() is not None:
        from multiprocessing import get_start_method

        method = getattr(process.current_process(), "_start_method", None)
        return (method or get_start_method()) == "fork"  # a fork server has not used PyTorch
    with contextlib.suppress(OSError, ValueError, IndexError):
        state = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
        return bool(int(state.rpartition(")")[2].split()[6]) & _FORKED_WITHOUT_EXEC)
    return False


_after_torch = _late()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
