"""Whether a result is whole, and of the scan and settings that are meant: what is, is not made again.

Contents decide, never the order of times: clocks are set back, and copies keep the times of their originals. As long
as names, sizes and times of the scan's files are exactly those that were noted, its contents are taken to be, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thinslice.archive.plan import Task, beside
from thinslice.io import files

_PIECE = 1 << 20


def input_files(task: Task) -> list[Path]:
    """The files that a scan consists of, as far as they are there."""
    if task.names:
        return [task.source / name for name in task.names]
    return [path for path in files.parts_read(task.source) if path.is_file()]


def stamp(task: Task) -> str:
    """A digest of names, sizes and times of the scan's files: quick, and the same as long as nobody touched them."""
    digest = hashlib.sha256()
    for path in input_files(task):
        status = path.stat()
        digest.update(
            f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n".encode("utf-8", "replace")
        )
    return digest.hexdigest()


def contents(task: Task) -> str:
    """SHA-256 of the contents of the scan's files, whatever they are called."""
    digests = sorted(_of_file(path) for path in input_files(task))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def entry(task: Task, settings_digest: str, *, input_digest: str, outputs: Iterable[Path]) -> dict[str, Any]:
    """What a record notes, so that its result is known again: no names, but what they end in."""
    return {
        "settings_sha256": settings_digest,
        "input_sha256": input_digest,
        "input_stamp": stamp(task),
        "outputs": {path.name[len(beside(task.target, "").name) :]: _size(path) for path in outputs},
    }


def is_current(task: Task, settings_digest: str) -> bool:
    """Whether the result of a task is whole, and made from this scan by these settings."""
    found = records_of(task)
    if not found:
        return False
    noted = found[0]["batch"]
    if noted["settings_sha256"] != settings_digest or not _whole(task, noted["outputs"]):
        return False
    try:
        return bool(noted["input_stamp"] == stamp(task) or noted["input_sha256"] == contents(task))
    except OSError:
        return False


def records_of(task: Task) -> list[dict[str, Any]]:
    """The records of a task's results, one for each part of a series; none where there is no whole record."""
    try:
        found = json.loads(task.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    listed = found if isinstance(found, list) else [found]
    keys = {"settings_sha256", "input_sha256", "input_stamp", "outputs"}
    good = all(isinstance(record, dict) and keys <= set(record.get("batch") or ()) for record in listed)
    return listed if listed and good else []


def _whole(task: Task, outputs: dict[str, int]) -> bool:
    try:
        return all(_size(beside(task.target, ending)) == size for ending, size in outputs.items())
    except OSError:
        return False


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.iterdir())
    return path.stat().st_size


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
