"""How many processors there are to work with."""

from __future__ import annotations

import os


def processors() -> int:
    """Those that this process may run on, and no more than `--threads` (OMP_NUM_THREADS) allows."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(bound, int(given)) if given.isdigit() and int(given) else bound


def thread_environment(threads: int) -> dict[str, str]:
    """What makes the numerical libraries of a new process compute with so many threads, and rest when they have none.

    Threads that have nothing to do spin for a while by default, and take the processor from another worker
    (docs/scaling.md).
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    return dict.fromkeys(names, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
