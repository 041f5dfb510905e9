"""A lock on a folder that ends with the process that holds it, however it ends."""

from __future__ import annotations

import os
from pathlib import Path


def lock(path: Path) -> int | None:
    """An open file that no other process can lock until this one closes it (`os.close`), or ends; None where one has.

    Args:
        path: of the file, which is made where it is not there, for its owner alone.

    Raises:
        OSError: it cannot be made.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
