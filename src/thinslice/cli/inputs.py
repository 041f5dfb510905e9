"""One scan from what a shell makes of a line: ``-i folder/*.dcm`` names every slice of a series."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from thinslice.errors import UsageError


def one_scan(paths: Sequence[Path]) -> Path:
    """The scan that the paths name: the only one, or the folder whose DICOM files they all are.

    Raises:
        UsageError: USE-INPUT where they name several scans, or some slices of a folder only.
    """
    if len(paths) == 1:
        return paths[0]
    if not all(map(_is_slice, paths)):
        raise UsageError(
            "USE-INPUT", f"one scan at a time is taken, and {len(paths)} paths are given; run each by itself"
        )
    folder = paths[0].parent
    there = {entry for entry in folder.iterdir() if entry.is_dir() or _is_slice(entry)}
    if there != set(paths):
        raise UsageError(
            "USE-INPUT",
            f"{len(paths)} DICOM files are given, which are not all of one folder; give the folder that holds the "
            "series (--series chooses where it holds several)",
        )
    return folder


def _is_slice(path: Path) -> bool:
    """Whether a file is one of DICOM, and neither an archive of several nor the list of a medium."""
    from thinslice.io.dicom import looks_like_dicom

    if not path.is_file() or path.name.upper() == "DICOMDIR":
        return False
    return looks_like_dicom(path) and not zipfile.is_zipfile(path)
