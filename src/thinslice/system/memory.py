"""Memory: what a run needs, reported before it starts, and where its output array lives."""

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
from thinslice.system.temporary import PREFIX

WORKING_BYTES = 1_500_000_000  # libraries, networks, batches and blocks: measured at 512 x 512
_MATRICES = 6  # of (output, acquired) slices in float64, held at once while the profile is made
_PIXEL_BYTES = 600  # activations of one acquired pixel in a batch that is one large image


def estimate_bytes(
    acquired: tuple[int, int, int],
    output: tuple[int, int, int],
    *,
    padding: bool = False,
    labels: bool = False,
    copies: Sequence[tuple[int, int, int]] = (),
    more: int = 0,
) -> int:
    """Largest memory a run takes: input and a cleaned copy, output, and what the networks need.

    Args:
        acquired: (m, y, x).
        output: (n, y, x).
        padding: input and output have a padding mask.
        labels: a label map is carried along: 16 or 32 bits a voxel, and the output's once more to be written.
        copies: shapes of upright copies of the output, each with its padding mask.
        more: bytes that something else takes.
    """
    voxels_in, voxels_out = (int(np.prod(shape, dtype=np.int64)) for shape in (acquired, output))
    image = max(acquired[0] * max(acquired[1:]), acquired[1] * acquired[2])
    stored = 8 * voxels_in + 4 * voxels_out + (voxels_in + voxels_out if padding else 0)
    stored += 2 * voxels_in + 6 * voxels_out if labels else 0
    stored += sum(5 * math.prod(shape) for shape in copies)
    matrices = _MATRICES * 8 * acquired[0] * output[0]
    return WORKING_BYTES + stored + matrices + _PIXEL_BYTES * image + more


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
    """Memory that can be had now, within the limits of a container or a scheduler's job."""
    free = int(psutil.virtual_memory().available)
    for group in _control_groups():
        with contextlib.suppress(OSError, ValueError):
            limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
            kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free = min(free, limit - used + int(kept.get("inactive_file", 0)))  # files it may forget at any time
    return free


def _control_groups() -> list[Path]:
    """The group that limits this process and those that hold it (cgroup v2); what is no group has no files."""
    top, own = Path("/sys/fs/cgroup"), ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = top / own
    return [group, *(parent for parent in group.parents if parent.is_relative_to(top))]


def _in_memory(folder: str) -> bool:
    """Whether a folder's files take memory instead of a disk."""
    kinds = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    place = Path(folder).resolve()
    mount = next((str(parent) for parent in (place, *place.parents) if str(parent) in kinds), "")
    return kinds.get(mount) in ("tmpfs", "ramfs")


def output_array(
    acquired: tuple[int, int, int],
    output: tuple[int, int, int],
    *,
    padding: bool = False,
    labels: bool = False,
    copies: Sequence[tuple[int, int, int]] = (),
    more: int = 0,
    held: int = 0,
) -> np.ndarray:
    """An empty float32 array for the output: in memory, or in a nameless file where it exceeds half of what is free.

    Arguments are those of `estimate_bytes`, and `held`: bytes of these that are taken already.

    Raises:
        ResourceError: RES-MEMORY, RES-DISK with the figures.
    """
    size, free = 4 * int(np.prod(output, dtype=np.int64)), free_bytes()
    need = estimate_bytes(acquired, output, padding=padding, labels=labels, copies=copies, more=more) - held
    file_backed = size > free / 2 and not _in_memory(tempfile.gettempdir())
    if need - (size if file_backed else 0) > free:
        raise ResourceError(
            "RES-MEMORY",
            f"this run needs {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            "take a coarser spacing or a part of the scan",
        )
    if not file_backed:
        return np.empty(output, np.float32)
    left = shutil.disk_usage(tempfile.gettempdir()).free
    if size > left:
        raise ResourceError(
            "RES-DISK",
            f"this run needs {size / 1e9:.1f} GB of temporary space and {left / 1e9:.1f} GB are free; "
            "set TMPDIR to a larger disk",
        )
    return _in_file(output)


def zeros_like_output(out: np.ndarray) -> np.ndarray:
    """Zeros of the shape and kind of an output array, and in a file where that is in one."""
    return _in_file(out.shape) if isinstance(out, np.memmap) else np.zeros(out.shape, np.float32)


def _in_file(shape: tuple[int, ...]) -> np.ndarray:
    file = tempfile.TemporaryFile(prefix=PREFIX)  # noqa: SIM115 - the array keeps it open
    return np.memmap(file, np.float32, "w+", shape=shape)
