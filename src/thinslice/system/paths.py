"""Paths as users mean them."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from thinslice.errors import UsageError


def as_path(path: str | PathLike[str]) -> Path:
    """The path, ``~`` being the home folder.

    Raises:
        UsageError: USE-PATH where it is empty or no path at all.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise UsageError("USE-PATH", f"a path {'holds a NUL character' if text else 'is empty'}; name a file or folder")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no user has such a home: it is a name
        return Path(text)
