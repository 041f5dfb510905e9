"""Outputs come whole or not at all.

What is written goes under a recognisable temporary name beside its target, is flushed to disk and
renamed. A run that fails or is interrupted leaves neither output nor temporary name; one that is killed
leaves a temporary name at most, and the next run into the same folder removes it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thinslice.errors import OutputError, named
from thinslice.temporary import clear_away, exchange, temporary_name

SERIES = (".dcm",)  # endings of the files in a folder that holds a DICOM series


def numbered(path: Path, number: int) -> Path:
    """The name of one of several outputs: thin.nii.gz becomes thin_1.nii.gz."""
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return path.with_name(f"{path.name.removesuffix(ending)}_{number}{ending}")


def refuse_existing(
    path: Path, *, overwrite: bool = False, code: str = "OUT-EXISTS", folder_of: tuple[str, ...] | None = None
) -> None:
    """Raise OutputError where an output exists and may not be replaced, or cannot be written.

    Called before work starts, and again on writing.

    Args:
        path: of the output.
        overwrite: replace what an earlier run wrote.
        code: of the error where it exists.
        folder_of: endings of the files in it where the output is a folder, None where it is a file. An empty
            folder may always be written into; one with other files in it is never replaced.
    """
    with _as_output_errors(path):
        if path.is_symlink() and not path.exists():
            raise OutputError(
                "OUT-WRITE", f"output {named(path, '')} is a link that leads nowhere; choose another name"
            )
        if folder_of is None and path.is_dir():
            raise OutputError(code, f"output {named(path, '')} is a folder; name a file")
        inside = list(path.iterdir()) if path.is_dir() else []
        if path.exists() and not overwrite and (inside or not path.is_dir()):
            raise OutputError(code, f"output {named(path, '')} exists; choose another name or add --overwrite")
        if folder_of is not None:
            if path.exists() and not path.is_dir():
                raise OutputError(code, f"output {named(path, '')} is a file; name a folder")
            if foreign := [entry for entry in inside if entry.is_dir() or entry.suffix not in folder_of]:
                raise OutputError(
                    code,
                    f"output folder {named(path, '')} holds {len(foreign)} entries that no run writes; name another",
                )
            if path.resolve() in (here := Path.cwd(), *here.parents):
                raise OutputError("OUT-WRITE", "the output is the folder you are in, or holds it; name another folder")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(
                "OUT-WRITE", f"cannot write into folder {named(parent, 'of the output')}; choose another place"
            )


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary file name beside `path` (same ending); rename it to `path` at the end.

    A link is followed: what it leads to is replaced.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE (no permission, no folder), OUT-FULL (no space left).
    """
    refuse_existing(path, overwrite=overwrite)
    path = path.resolve()
    temporary = temporary_name(path)
    with _as_output_errors(path):
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
def whole_folder(
    path: Path, *, overwrite: bool = False, code: str = "OUT-EXISTS", folder_of: tuple[str, ...] = SERIES
) -> Iterator[Path]:
    """Give a temporary folder beside `path`; rename it to `path` at the end. A link is followed.

    Under `overwrite` the old folder is exchanged for the new one and only then removed, and only if
    every file in it carries a name that a run writes (one of `folder_of`); a folder with foreign
    files is never removed.
    """
    refuse_existing(path, overwrite=overwrite, code=code, folder_of=folder_of)
    path = path.resolve()
    temporary = temporary_name(path)
    with _as_output_errors(path):
        try:
            temporary.mkdir(parents=True)
            clear_away(path.parent)
            yield temporary
            for file in (*temporary.iterdir(), temporary):
                _flush(file)
            _put_in_place(temporary, path)
            _flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def none_left(paths: Iterable[Path]) -> Iterator[None]:
    """Remove, where the block fails or is interrupted, what it has written of several outputs.

    What was there before it and was replaced stays replaced.
    """
    new = [path for path in paths if not path.exists() or (path.is_dir() and not any(path.iterdir()))]
    try:
        yield
    except BaseException:
        for path in new:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a folder to `path`; what was there goes under the temporary name, to be removed."""
    if not path.exists() or not any(path.iterdir()):
        temporary.rename(path)
    elif not exchange(temporary, path):
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
