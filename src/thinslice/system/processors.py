"""How many processors there are to work with."""

from __future__ import annotations

import os


def processors() -> int:
    """Those that this process may run on, and no more than `--threads` (OMP_NUM_THREADS) allows."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(bound, int(given)) if given.isdigit() and int(given) else bound
