"""Outputs come whole or not at all.

What is written goes under a recognisable temporary name beside its target, is flushed to disk and
renamed. A run that fails or is interrupted leaves neither output nor temporary name; one that is killed
leaves a temporary name at most, and the next run into the same folder removes it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thinslice.errors import OutputError, ResourceError, counted, named
from thinslice.system.temporary import PREFIX, clear_away, exchange, temporary_name

IsOwn = Callable[[Path], bool]  # whether a run of this program wrote an entry of a folder


def numbered(path: Path, number: int, *, ending: str) -> Path:
    """The name of one of several outputs: thin.nii.gz becomes thin_1.nii.gz; `ending` is that of the name, or ""."""
    return path.with_name(f"{path.name[: len(path.name) - len(ending)]}_{number}{ending}")


def refuse_existing(path: Path, *, overwrite: bool = False, is_own: IsOwn | None = None) -> None:
    """Raise OutputError where an output exists and may not be replaced, or cannot be written.

    Asked before work starts; on writing, `whole_file` and `whole_folder` ask again.

    Args:
        path: of the output.
        overwrite: replace what an earlier run wrote.
        is_own: where the output is a folder, whether an entry is one that a run wrote; None where it is a file. An
            empty folder may always be written into; one with anything else in it is never replaced.
    """
    with _as_output_errors(path):
        if path.is_symlink() and not path.exists():
            raise OutputError(
                "OUT-WRITE", f"output {named(path, '')} is a link that leads nowhere; choose another name"
            )
        if is_own is None and path.is_dir():
            raise OutputError("OUT-EXISTS", f"output {named(path, '')} is a folder; name a file")
        inside = _entries(path) if path.is_dir() else []
        if path.exists() and not overwrite and (inside or not path.is_dir()):
            raise OutputError("OUT-EXISTS", f"output {named(path, '')} exists; choose another name or add --overwrite")
        if is_own is not None:
            if path.exists() and not path.is_dir():
                raise OutputError("OUT-EXISTS", f"output {named(path, '')} is a file; name a folder")
            if foreign := [entry for entry in inside if entry.is_dir() or not is_own(entry)]:
                many = counted(len(foreign), "entry", "entries")
                raise OutputError(
                    "OUT-EXISTS", f"output folder {named(path, '')} holds {many} that no run writes; name another"
                )
            if path.resolve() in (here := Path.cwd(), *here.parents):
                raise OutputError(
                    "OUT-WRITE", f"output {named(path, '')} is the folder you are in, or holds it; name another folder"
                )
        into = _goes_into(path)
        if not into.is_dir() or not os.access(into, os.W_OK | os.X_OK):
            raise OutputError(
                "OUT-WRITE", f"cannot write into folder {named(into, 'of the output')}; choose another place"
            )


def refuse_full(path: Path, size: int) -> None:
    """Raise ResourceError (RES-DISK) where an output of `size` bytes cannot fit: before work starts."""
    with _as_output_errors(path):
        disk = shutil.disk_usage(_goes_into(path.resolve()))
    if disk.total and size > disk.free:  # some network drives report nothing
        raise ResourceError(
            "RES-DISK",
            f"{named(path, 'the output')} needs {size / 1e6:.3g} MB where it is to go and {disk.free / 1e6:.3g} MB are "
            "free; free some or choose another place",
        )


def refuse_clashes(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Raise where an output is an input, or a folder that holds one, or where two outputs are one.

    No user means to lose a scan or a result, not even under `overwrite`.

    Args:
        inputs: what is read, or None for what is not asked for.
        outputs: what is written, or None.

    Raises:
        OutputError: OUT-INPUT, OUT-TWICE.
    """
    given = [_place(path) for path in inputs if path]
    places: set[Path] = set()
    for output in (path for path in outputs if path):
        place = _place(output)
        if any(path.is_relative_to(place) for path in given):
            raise OutputError("OUT-INPUT", f"output {named(output, '')} is an input, or holds one; choose another name")
        if place in places:
            raise OutputError("OUT-TWICE", f"output {named(output, '')} is asked for twice; choose different names")
        places.add(place)


def refuse_inside(folder: Path, outputs: Iterable[Path | None]) -> None:
    """Raise where an output is to lie in an output folder, which comes whole and may be replaced whole.

    Raises:
        OutputError: OUT-TWICE.
    """
    for output in outputs:
        if output and _place(output).is_relative_to(_place(folder)):
            raise OutputError(
                "OUT-TWICE", f"output {named(output, '')} is to go into a folder that is an output; put it beside"
            )


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary file name beside `path` (same ending); rename it to `path` at the end.

    A link is followed: what it leads to is replaced.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE (no permission, no folder), OUT-FULL (no space left).
    """
    refuse_existing(path, overwrite=overwrite)
    typed, path = path, path.resolve()
    temporary = temporary_name(path)
    with _as_output_errors(typed):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            clear_away(path.parent)
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, is_own: IsOwn, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`; rename it to `path` at the end. A link is followed.

    Under `overwrite` the old folder is exchanged for the new one and only then removed, and only if
    a run wrote every file in it (`is_own`). A folder that is empty, or a place where something is mounted,
    stays what it is: the temporary folder is made in it, and the files move up at the end.
    """
    refuse_existing(path, overwrite=overwrite, is_own=is_own)
    typed, path = path, path.resolve()
    stays = _stays(path)
    temporary = temporary_name(path / path.name if stays else path)
    with _as_output_errors(typed):
        try:
            temporary.mkdir(parents=True)
            clear_away(temporary.parent)
            yield temporary
            for file in (*temporary.iterdir(), temporary):
                _flush(file)
            if stays:
                _move_up(temporary, path)
            else:
                _put_in_place(temporary, path)
            _flush(temporary.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(document: Any, path: Path, *, overwrite: bool = False) -> None:
    """Write a JSON document to a file, whole or not at all.

    Raises:
        OutputError: as `whole_file`.
    """
    with whole_file(path, overwrite=overwrite) as file:
        file.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def none_left(paths: Iterable[Path]) -> Iterator[None]:
    """Remove, where the block fails or is interrupted, what it has written of several outputs.

    What was there before it and was replaced stays replaced; an empty folder that was there stays, empty.
    """
    paths = list(paths)
    prepared = [path for path in paths if path.is_dir() and not _entries(path)]
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in (*new, *(entry for folder in prepared for entry in _entries(folder))):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(NotADirectoryError):  # what was to be its folder is a file
                    path.unlink(missing_ok=True)
        raise


def _place(path: Path) -> Path:
    """Where a path leads; a loop of links, which others refuse, leads to itself."""
    return Path(os.path.realpath(path))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, but for outputs in the making."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(PREFIX)]


def _goes_into(path: Path) -> Path:
    """The folder that is there and that an output is made in: its own where it stays, else the nearest above it."""
    return (
        path
        if _stays(path)
        else next(folder for folder in (*path.parents, *path.absolute().parents) if folder.exists())
    )


def _stays(path: Path) -> bool:
    """Whether an output folder is there that is not renamed: somebody prepared it, or it cannot be."""
    return path.is_dir() and (path.is_mount() or not _entries(path))


def _move_up(temporary: Path, path: Path) -> None:
    """Move what is in a folder into `path`, which holds it, for what was there."""
    aside = temporary_name(temporary / path.name)
    moves = [(old, aside / old.name) for old in _entries(path)]
    moves += [(new, path / new.name) for new in temporary.iterdir()]
    aside.mkdir()
    done = []
    try:
        for here, there in moves:
            here.rename(there)
            done.append((here, there))
    except BaseException:
        for here, there in reversed(done):
            there.rename(here)
        raise


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a folder to `path`; what was there goes under the temporary name, to be removed."""
    if not path.exists():
        temporary.rename(path)
        return
    shutil.copymode(path, temporary)
    if not exchange(temporary, path):
        old = temporary_name(path, old=True)
        path.rename(old)
        try:
            temporary.rename(path)
        except BaseException:
            old.rename(path)
            raise
        old.rename(temporary)


@contextmanager
def _as_output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutputError(
                "OUT-FULL", f"no space left to write {named(path, 'the output')}; free some or choose another place"
            ) from error
        raise OutputError(
            "OUT-WRITE", f"cannot write {named(path, 'the output')}: {error.strerror or type(error).__name__}"
        ) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
