"""Memory: what a run needs, said before it starts, and where its output array lives."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from thinslice.errors import ResourceError
from thinslice.temporary import PREFIX

WORKING_BYTES = 1_500_000_000  # libraries, networks, batches and blocks: measured at 512 x 512
_PIXEL_BYTES = 600  # activations of one acquired pixel in a batch that is one large image


def estimate_bytes(
    acquired: tuple[int, int, int],
    output: tuple[int, int, int],
    *,
    padding: bool = False,
    labels: bool = False,
    copies: Sequence[tuple[int, int, int]] = (),
) -> int:
    """Largest memory a run takes: input and a cleaned copy, output, and what the networks need.

    Args:
        acquired: (m, y, x).
        output: (n, y, x).
        padding: input and output have a padding mask.
        labels: a label map is carried along: 16 bits a voxel, and the output's once more as float32 to be written.
        copies: shapes of upright copies of the output, each with its padding mask.
    """
    voxels_in, voxels_out = (int(np.prod(shape, dtype=np.int64)) for shape in (acquired, output))
    image = max(acquired[0] * max(acquired[1:]), acquired[1] * acquired[2])
    stored = 8 * voxels_in + 4 * voxels_out + (voxels_in + voxels_out if padding else 0)
    stored += 2 * voxels_in + 6 * voxels_out if labels else 0
    stored += sum(5 * math.prod(shape) for shape in copies)
    return WORKING_BYTES + stored + _PIXEL_BYTES * image


def check_room_for(shape: tuple[int, ...]) -> None:
    """Refuse a scan that memory cannot hold, before anything is allocated for it.

    Args:
        shape: of the float32 array.

    Raises:
        ResourceError: RES-MEMORY with the figures.
    """
    need, free = 4 * math.prod(int(size) for size in shape), free_bytes()
    if need > free:
        raise ResourceError(
            "RES-MEMORY",
            f"this scan needs {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; take a part of it",
        )


def free_bytes() -> int:
    """Memory that can be had now, within the limits of a container."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(kept.get("inactive_file", 0)))  # files it may forget at any time
    return free


def output_array(
    acquired: tuple[int, int, int],
    output: tuple[int, int, int],
    *,
    padding: bool = False,
    labels: bool = False,
    copies: Sequence[tuple[int, int, int]] = (),
) -> np.ndarray:
    """An empty float32 array for the output: in memory, or in a nameless file where it exceeds half of what is free.

    Arguments are those of `estimate_bytes`.

    Raises:
        ResourceError: RES-MEMORY, RES-DISK with the figures.
    """
    size = 4 * int(np.prod(output, dtype=np.int64))
    free, need = free_bytes(), estimate_bytes(acquired, output, padding=padding, labels=labels, copies=copies)
    file_backed = size > free / 2
    if need - (size if file_backed else 0) > free:
        raise ResourceError(
            "RES-MEMORY",
            f"this run needs {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            "take a coarser spacing or a part of the scan",
        )
    if not file_backed:
        return np.empty(output, np.float32)
    file = tempfile.TemporaryFile(prefix=PREFIX)  # noqa: SIM115 - the array keeps it open
    left = shutil.disk_usage(tempfile.gettempdir()).free
    if size > left:
        raise ResourceError(
            "RES-DISK",
            f"this run needs {size / 1e9:.1f} GB of temporary space and {left / 1e9:.1f} GB are free; "
            "set TMPDIR to a larger disk",
        )
    return np.memmap(file, np.float32, "w+", shape=output)
