"""The manifest of an archive: a line of JSON for each scan, whole lines only, whatever happens to the run.

Lines rather than a table file: each is on the disk before the next scan is accounted for, a crash costs the last one
at most, and pandas opens it by `pandas.read_json("manifest.jsonl", lines=True)`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from thinslice.archive.outcome import Outcome
from thinslice.errors import OutputError, named
from thinslice.system.lock import lock
from thinslice.system.output import whole_file

NAME = "manifest.jsonl"
STATE = ".thinslice-batch"
"""Folder in the output folder: the lock, notes of scans that were begun, what the archive is known by."""


@contextlib.contextmanager
def locked(output: Path) -> Iterator[Path]:
    """Have the output folder to oneself within the block; gives the folder for notes. The lock ends with its process.

    Raises:
        OutputError: OUT-BUSY where another batch writes into it; OUT-WRITE.
    """
    state = output / STATE
    try:
        state.mkdir(parents=True, exist_ok=True)
        handle = lock(state / "lock")
    except OSError as error:
        raise OutputError("OUT-WRITE", f"cannot write into folder {named(output, '')}: {error.strerror}") from error
    if handle is None:
        message = f"another batch is writing into {named(output, 'the output folder')}; wait for it, or name another"
        raise OutputError("OUT-BUSY", message)
    try:
        yield state
    finally:
        os.close(handle)


class Manifest:
    """The manifest of an output folder.

    Args:
        output: that folder.
    """

    def __init__(self, output: Path) -> None:
        self.path = output / NAME

    def rows(self) -> list[Outcome]:
        """What it says, one row a scan, the last where a scan has several; a line that is cut off is left out."""
        found: dict[str, Outcome] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    row = json.loads(line)
                    found[row["scan"]] = Outcome(**row | {"warnings": tuple(row["warnings"])})
        return list(found.values())

    def begin(self, rows: Iterable[Outcome]) -> None:
        """Write it anew, with what is known before work begins."""
        with whole_file(self.path, overwrite=True) as file, file.open("w", encoding="utf-8") as lines:
            lines.writelines(map(_line, rows))

    def add(self, row: Outcome) -> None:
        """Add a row; it is on the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(_line(row))
            lines.flush()
            os.fsync(lines.fileno())


def _line(row: Outcome) -> str:
    return json.dumps(asdict(row), allow_nan=False) + "\n"
