"""How many processors there are to work with."""

from __future__ import annotations

import os
import re
from pathlib import Path


def processors() -> int:
    """Those that this process may run on, and no more than `--threads` (OMP_NUM_THREADS) allows."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(given)) if given.isdigit() and int(given) else cores()


def cores() -> int:
    """Those that this process, and others that it starts, may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def graphics() -> list[str]:
    """The numbers of NVIDIA's devices that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [number for number in given.split(",") if number.strip() not in ("", "-1")]
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return sorted(match[1] for match in found if match)


THREAD_COUNTS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
"""Variables that numerical libraries take their number of threads from when they are first imported."""


def let_idle_threads_rest() -> None:
    """Have threads of this process that have nothing to do rest at once, unless its environment says otherwise.

    By default they spin for some milliseconds and take the processors from other programs: two runs of two threads side
    by side on two cores took 2.6 times as long, and alone no less (docs/scaling.md). PyTorch reads it when it is first
    imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def thread_environment(threads: int) -> dict[str, str]:
    """What makes the numerical libraries of a new process compute with so many threads, and rest when they have none.

    Threads that have nothing to do spin for a while by default, and take the processor from another worker
    (docs/scaling.md).
    """
    return dict.fromkeys(THREAD_COUNTS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
