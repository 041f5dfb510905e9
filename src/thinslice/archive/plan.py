"""From scans that were found to tasks: where each result goes, and what it will need."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from thinslice.archive.settings import DICOM, SAME, Settings
from thinslice.errors import ThinsliceError
from thinslice.io import files
from thinslice.io.survey import Scan
from thinslice.plan import output_spacing_mm
from thinslice.system.memory import estimate_bytes
from thinslice.system.output import numbered

RECORD, REPORT, THUMBNAIL = ".record.json", ".report.html", ".thumbnail.jpg"
"""What the names of files beside a result end in."""
SECONDS_A_VOXEL = 9e-6  # of one thread without fast bf16 arithmetic: 386 s for 512 x 512 x 257 slices on two


@dataclass(frozen=True)
class Task:
    """One scan to be enhanced. It carries paths, never voxels.

    Attributes:
        scan: what it is called: its path relative to the input folder, with the series where a folder has several.
        source: its file, or the folder of a DICOM series, as an absolute path that every worker can read.
        names: the files of a DICOM series, relative to that folder; none of a file.
        series: SeriesInstanceUID, or "" of a file.
        target: where the result goes, absolute.
        shown: the same path, relative to the output folder.
        size: bytes of the scan's files.
        need_bytes: memory that it takes, estimated.
        output_shape: (n, y, x) of the result, as headers suggest it.
    """

    scan: str
    source: Path
    names: tuple[str, ...]
    series: str
    target: Path
    shown: str
    size: int
    need_bytes: int
    output_shape: tuple[int, int, int]

    @property
    def key(self) -> str:
        """A short name that is its own."""
        return hashlib.sha256(f"{self.scan}\0{self.series}\0{self.target}".encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def record(self) -> Path:
        """Where its record goes: written last, it says that all else is whole."""
        return beside(self.target, RECORD)

    @property
    def seconds(self) -> float:
        """What it may take on one thread, roughly, without a fit."""
        return 2.0 + SECONDS_A_VOXEL * math.prod(self.output_shape)


def beside(target: Path, ending: str) -> Path:
    """The name of what goes beside a result: thin.nii.gz and ".record.json" give thin.record.json."""
    known = files.ending_of(target)
    return target.with_name(target.name[: len(target.name) - len(known)] + ending)


def tasks_of(scans: Sequence[Scan], *, top: Path, output: Path, settings: Settings) -> list[Task]:
    """A task for every scan that can be read, in their order; results lie as the scans do.

    Args:
        scans: as `survey` found them.
        top: the folder that they were found in.
        output: the folder that results go to.
        settings: what is done to them.
    """
    numbers = _numbers(scans)
    places = _places(scans, numbers, top, settings.format)
    tasks = []
    for scan, place, number in zip(scans, places, numbers, strict=True):
        need, shape = _need(scan, settings.options)
        tasks.append(
            Task(
                scan=called(scan, top) + (f" series {number}" if number else ""),
                source=scan.path.resolve(),
                names=scan.names,
                series=scan.uid,
                target=output.resolve() / place,
                shown=str(place),
                size=scan.size,
                need_bytes=need,
                output_shape=shape,
            )
        )
    return tasks


def called(scan: Scan, top: Path) -> str:
    """What a scan is called: its path relative to the input folder, and nothing of what its header says."""
    return str(scan.path.relative_to(top)) if scan.path != top else top.name


def _numbers(scans: Sequence[Scan]) -> list[str]:
    """By which number a series is told from others of its folder, as `inspect` counts them; "" where it is alone."""
    folders = Counter(scan.path for scan in scans)
    alike = Counter((scan.path, scan.number) for scan in scans)
    seen: Counter[tuple[Path, int | None]] = Counter()
    found = []
    for scan in scans:
        same = scan.path, scan.number
        seen[same] += 1
        place = f".{seen[same]}" if alike[same] > 1 else ""
        found.append(_number(scan) + place if folders[scan.path] > 1 else "")
    return found


def _places(scans: Sequence[Scan], numbers: Sequence[str], top: Path, form: str) -> list[PurePath]:
    """Where results go, relative to the output folder: no two to one place, none into another's folder."""
    plain = [_place(scan, top, form) for scan in scans]
    below = {parent for place in plain for parent in place.parents}
    places: list[PurePath] = []
    taken: set[PurePath] = set()
    for scan, number, place in zip(scans, numbers, plain, strict=True):
        ending = "" if form in (SAME, DICOM) else f".{form}"
        if scan.is_dicom and (number or place in below or not place.name):
            place = PurePath(scan.path.relative_to(top)) / f"series_{number or _number(scan)}{ending}"
        first, count = place, 1
        while place in taken:
            count += 1
            place = numbered(Path(first), count, ending=files.ending_of(Path(first)))
        taken.add(place)
        places.append(place)
    return places


def _place(scan: Scan, top: Path, form: str) -> PurePath:
    """Where the result of a scan goes if nothing else wants to go there."""
    relative = PurePath(scan.path.relative_to(top))
    if form in (SAME, DICOM) or not relative.name:  # a file cannot become DICOM: its task will say so
        return relative
    known = "" if scan.is_dicom else files.ending_of(scan.path)
    return relative.with_name(f"{relative.name[: len(relative.name) - len(known)]}.{form}")


def _number(scan: Scan) -> str:
    """Its SeriesNumber as `inspect` shows it."""
    return "-" if scan.number is None else str(scan.number)


def _need(scan: Scan, options: Any) -> tuple[int, tuple[int, int, int]]:
    """Bytes of memory, and the shape of the result, as far as headers tell."""
    slices, rows, columns = scan.shape
    factor = 1.0
    if scan.spacing_mm and scan.pixel_mm:
        try:
            wanted = output_spacing_mm(
                scan.spacing_mm, scan.pixel_mm, spacing=options.get("spacing"), factor=options.get("factor")
            )
            factor = scan.spacing_mm / wanted
        except ThinsliceError:  # its task will say so
            factor = 1.0
    shape = math.ceil(slices * factor), rows, columns
    return estimate_bytes(scan.shape, shape, padding=True, more=4 * math.prod(shape)), shape
