"""Outputs in the making: their names, what killed runs left of them, and the exchange with what was there.

A name states which process made it, so that the next run into the same folder knows what no process will
finish from what another run is writing at this moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from pathlib import Path

import psutil

PREFIX = ".thinslice-tmp-"
_NAME = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]{{8}})-(\d+)-(\d+)-[0-9a-f]{{8}}-(old-)?(.*)", re.DOTALL)
_FORGOTTEN_S = 86_400.0  # another machine's processes cannot be asked: what it did not touch for a day is left over
_LONGEST_ENDING = 40  # characters of the target's name; a file name has room for 255 bytes
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def temporary_name(path: Path, *, old: bool = False) -> Path:
    """A new name beside `path`, with its ending; `old` marks what `path` is renamed to until it is replaced."""
    unique = f"{_machine()}-{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f"{PREFIX}{unique}-" + (f"old-{path.name}" if old else path.name[-_LONGEST_ENDING:]))


def clear_away(folder: Path) -> None:
    """Remove what killed runs left in a folder; an old output that was about to be replaced gets its name back."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another run may be clearing away as well
            if not (parts := _NAME.fullmatch(path.name)) or not _left_over(path, *parts.groups()[:3]):
                continue
            target = path.with_name(parts[5])
            if parts[4] and not target.exists():
                path.rename(target)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, so that neither is ever missing; False where the system cannot.

    Raises:
        OSError: it could, and it failed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    if not rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):  # by the kernel or the file system
        return False
    raise OSError(number, os.strerror(number))


def _left_over(path: Path, machine: str, pid: str, started: str) -> bool:
    """Whether the process that made this name is gone."""
    if machine == _machine():
        return not psutil.pid_exists(int(pid)) or _started(int(pid)) != int(started)
    return time.time() - path.stat().st_mtime > _FORGOTTEN_S


def _started(pid: int) -> int:
    """When a process began, in ticks since the machine started; 0 where that is not known. Process ids come again."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


@functools.cache
def _machine() -> str:
    """Eight hex digits for what process ids are counted by: machine, its start, container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
