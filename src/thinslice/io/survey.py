"""What scans lie below a folder, by their headers alone: CT series of DICOM and volume files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.errors import InputError, ThinsliceError, named
from thinslice.io import files
from thinslice.system.temporary import PREFIX

if TYPE_CHECKING:
    from thinslice.io.dicom.survey import SurveyedSeries

_AT_ONCE = 8  # folders looked at side by side: what a network drive makes one wait for
_BESIDE = ("_labels", "_uncertainty")  # what this program writes beside a result is no scan


@dataclass(frozen=True)
class Scan:
    """A scan that was found.

    Attributes:
        path: a file, or the folder of a DICOM series.
        names: the files of a series, relative to that folder; none of a file.
        size: bytes.
        shape: slices, rows, columns; zeros where the header cannot be read.
        pixel_mm: along x and y; None where missing.
        spacing_mm: of the slices; None where missing.
        thickness_mm: slice thickness; None where it is not stated.
        uid: SeriesInstanceUID; "" of a file. Identity.
        number: SeriesNumber, or None.
        description: SeriesDescription; identity.
        kernel: ConvolutionKernel.
        manufacturer: of the scanner.
        kvp: tube voltage, or None.
        synthetic: whether it is marked as synthetic.
        error: what its header is refused for, or None.
    """

    path: Path
    names: tuple[str, ...]
    size: int
    shape: tuple[int, int, int]
    pixel_mm: tuple[float, float] | None
    spacing_mm: float | None
    thickness_mm: float | None
    uid: str = ""
    number: int | None = None
    description: str = ""
    kernel: str = ""
    manufacturer: str = ""
    kvp: float | None = None
    synthetic: bool = False
    error: ThinsliceError | None = None

    @property
    def is_dicom(self) -> bool:
        """Whether it is a DICOM series."""
        return bool(self.names)

    @property
    def format(self) -> str:
        """The ending of the file without its point, or "dicom"."""
        return "dicom" if self.is_dicom else files.ending_of(self.path)[1:]


def survey(
    top: Path, *, leave_out: Sequence[Path] = (), on_file: Callable[[int], None] = lambda count: None
) -> list[Scan]:
    """All scans below a folder, in the order of their paths. Links to folders are not followed.

    Args:
        top: the folder, or one file.
        leave_out: folders not to look into.
        on_file: called with the number of files looked at so far.

    Raises:
        InputError: FILE-MISSING, FILE-UNREADABLE where there is no such folder, or it may not be read.
    """
    files.check_there(top)
    from thinslice.io.dicom import survey as of_dicom

    scans: list[Scan] = []
    parts: defaultdict[str, list[of_dicom.Gathered]] = defaultdict(list)
    broken: dict[Path, list[str]] = {}
    count = 0
    folders = [(top.parent, [top.name])] if top.is_file() else _folders(top, {path.resolve() for path in leave_out})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for folder, names, (found, unreadable) in pool.map(_look_at, folders):
            volumes = (_file(folder / name) for name in names if files.has_known_ending(name))
            scans += [scan for scan in volumes if scan is not None]
            for uid, gathered in found.items():
                parts[uid].append(gathered)
            if unreadable:
                broken[folder] = unreadable
            count += len(names)
            on_file(count)
    for uid, gathered in parts.items():
        scans += [_series(of_dicom.summary(uid, together, broken)) for together in of_dicom.joined(gathered)]
    of_a_series = {part.folder for gathered in parts.values() for part in gathered}
    scans += [_unreadable(folder, names) for folder, names in broken.items() if folder not in of_a_series]
    return sorted(scans, key=lambda scan: (str(scan.path), scan.number or 0, scan.uid))


def _folders(top: Path, left_out: set[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Folders and the names of the files in them, but for results in the making."""

    def refuse(error: OSError) -> None:
        what = named(Path(error.filename or top), "a folder of the input")
        raise InputError("FILE-UNREADABLE", f"cannot read {what}: {error.strerror}; a scan may be lost") from error

    for folder, folders, names in os.walk(top, onerror=refuse):
        place = Path(folder)
        folders[:] = sorted(n for n in folders if not n.startswith(PREFIX) and (place / n).resolve() not in left_out)
        yield place, sorted(name for name in names if not name.startswith("."))


def _look_at(found: tuple[Path, list[str]]) -> tuple[Path, list[str], tuple[dict[str, Any], list[str]]]:
    """A folder, its files, and what lies in it as DICOM."""
    from thinslice.io.dicom.survey import survey_folder

    folder, names = found
    return folder, names, survey_folder(folder, [name for name in names if not files.has_known_ending(name)])


def _file(path: Path) -> Scan | None:
    """The scan in a volume file; None where this program wrote it beside a result."""
    if path.name[: len(path.name) - len(files.ending_of(path))].endswith(_BESIDE):
        return None
    size = sum(part.stat().st_size for part in files.parts_read(path) if part.is_file())
    try:
        header = files.read_header(path)
    except ThinsliceError as error:
        return Scan(path, (), size, (0, 0, 0), None, None, None, error=error)
    x, y, z = header.voxel_mm
    spacing = round(z, 4)
    return Scan(path, (), size, header.shape, (x, y), spacing, header.thickness_mm, synthetic=header.synthetic)


def _series(found: SurveyedSeries) -> Scan:
    return Scan(
        found.folder, found.names, found.size, found.shape, found.pixel_mm, found.spacing_mm, found.thickness_mm,
        uid=found.uid, number=found.number, description=found.description, kernel=found.kernel,
        manufacturer=found.manufacturer, kvp=found.kvp, synthetic=found.synthetic,
    )  # fmt: skip


def _unreadable(folder: Path, names: list[str]) -> Scan:
    """DICOM files that cannot be read, in a folder that holds no series that they could be of."""
    first = named(folder / names[0], "a file of the input")
    more = f" and {len(names) - 1} more" if names[1:] else ""
    error = InputError("DCM-UNREADABLE", f"{first}{more} cannot be read: the header is damaged; copy the series anew")
    return Scan(folder, tuple(names), 0, (0, 0, 0), None, None, None, error=error)
