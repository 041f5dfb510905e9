"""Outputs come whole or not at all.

What is written goes under a recognisable temporary name beside its target, is flushed to disk and
renamed. A run that fails or is interrupted leaves neither output nor temporary name.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thinslice.errors import OutputError

TEMPORARY_PREFIX = ".thinslice-tmp-"


def numbered(path: Path, number: int) -> Path:
    """The name of one of several outputs: thin.nii.gz becomes thin_1.nii.gz."""
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return path.with_name(f"{path.name.removesuffix(ending)}_{number}{ending}")


def refuse_existing(path: Path, *, overwrite: bool = False, code: str = "OUT-EXISTS") -> None:
    """Raise OutputError where `path` exists and may not be replaced, or cannot be written.

    An empty folder may always be written into. Called before work starts, and again on writing.
    """
    if path.is_symlink() and not path.exists():
        raise OutputError("OUT-WRITE", f"output {path.name} is a link that leads nowhere; choose another name")
    occupied = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if occupied and not overwrite:
        raise OutputError(code, f"output {path.name} exists; choose another name or add --overwrite")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError("OUT-WRITE", f"cannot write into folder {parent.name or '/'}; choose another place")


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary file name beside `path` (same ending); rename it to `path` at the end.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE (no permission, no folder), OUT-FULL (no space left).
    """
    refuse_existing(path, overwrite=overwrite)
    if path.is_dir():
        raise OutputError("OUT-EXISTS", f"output {path.name} is a folder; name a file")
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-{path.name}")
    with _as_output_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(
    path: Path, *, overwrite: bool = False, code: str = "OUT-EXISTS", suffixes: tuple[str, ...] = (".dcm",)
) -> Iterator[Path]:
    """Give a temporary folder beside `path`; rename it to `path` at the end.

    Under `overwrite` the old folder is renamed away, replaced and only then removed, and only if
    every file in it carries a name that a run writes (one of `suffixes`); a folder with foreign
    files is never removed.
    """
    refuse_existing(path, overwrite=overwrite, code=code)
    if path.exists() and not path.is_dir():
        raise OutputError(code, f"output {path.name} is a file; name a folder")
    if path.is_dir() and (foreign := [p.name for p in path.iterdir() if p.is_dir() or p.suffix not in suffixes]):
        raise OutputError(
            code,
            f"output folder {path.name} holds {len(foreign)} entries that no run of this kind writes; name another",
        )
    unique = uuid.uuid4().hex[:12]
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{unique}-{path.name}")
    old = path.with_name(f"{TEMPORARY_PREFIX}{unique}-old-{path.name}")
    with _as_output_errors(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.iterdir():
                _flush(file)
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            _flush(path.parent)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _as_output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise OutputError(
                "OUT-FULL", f"no space left to write {path.name}; free some or choose another place"
            ) from error
        raise OutputError("OUT-WRITE", f"cannot write {path.name}: {error.strerror or error}") from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
