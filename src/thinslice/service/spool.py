"""The folder in which series lie while they are worked on: private, within a quota, and empty after a restart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinslice.errors import OutputError, ResourceError, named
from thinslice.system.lock import lock
from thinslice.system.output import write_json

_WORK, _HINT, _LOCK = "work", "followed.json", "lock"


class Spool:
    """It has its folder to itself; what an earlier run left of series is removed, for it is made again.

    Args:
        folder: of the spool.
        quota: bytes that series may take together.

    Raises:
        OutputError: SRV-BUSY where another `serve` works in it, OUT-WRITE.
    """

    def __init__(self, folder: Path, quota: int) -> None:
        self.folder, self.quota, self.reserved = folder, quota, 0
        self._changed = threading.Condition()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = lock(folder / _LOCK)
            if handle is None:
                what = named(folder, "the spool")
                raise OutputError(
                    "SRV-BUSY", f"another thinslice serve works in {what}; end it, or name another folder"
                )
            self._lock = handle
            shutil.rmtree(folder / _WORK, ignore_errors=True)
            (folder / _WORK).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            message = f"cannot write into the spool {named(folder, '')}: {error.strerror}"
            raise OutputError("OUT-WRITE", message) from error

    @contextlib.contextmanager
    def room(self, size: int, stop: threading.Event) -> Iterator[Path]:
        """A new folder for a series, once there is room for so many bytes; removed after the block.

        Raises:
            ResourceError: SRV-QUOTA where it would not even fit alone.
            InterruptedError: `stop` was set before there was room.
        """
        if size > self.quota:
            need, most = size / 1e9, self.quota / 1e9
            raise ResourceError(
                "SRV-QUOTA", f"this series needs {need:.2f} GB of the spool; its quota is {most:.2f} GB"
            )
        with self._changed:
            while self.reserved + size > self.quota:
                if stop.is_set():
                    raise InterruptedError
                self._changed.wait(0.5)
            self.reserved += size
        folder = self.folder / _WORK / uuid.uuid4().hex[:12]
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._changed:
                self.reserved -= size
                self._changed.notify_all()

    @property
    def notes(self) -> Path:
        """Folder for notes of series that a worker began."""
        return self.folder / _WORK / "attempts"

    def used(self) -> int:
        """Bytes that it takes now."""
        total = 0
        for place, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(place, name)).st_size
        return total

    def hint(self) -> dict[str, Any]:
        """How far an earlier run followed; empty where that is not known."""
        try:
            found = json.loads((self.folder / _HINT).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def keep_hint(self, hint: dict[str, Any]) -> None:
        """Note how far this run has followed."""
        write_json(hint, self.folder / _HINT, overwrite=True)

    def close(self) -> None:
        """Let another have the folder."""
        os.close(self._lock)
