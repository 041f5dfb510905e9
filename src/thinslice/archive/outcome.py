"""How it went with a scan: one row of the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Literal

from thinslice.archive.current import records_of
from thinslice.archive.plan import REPORT, THUMBNAIL, Task, beside
from thinslice.errors import ThinsliceError

Kind = Literal["done", "current", "refused", "failed", "lost"]
GOOD = ("done", "current")
_OF_THE_SCAN = (3, 4, 7)  # exit codes of what refuses a scan, whoever tries it


@dataclass(frozen=True)
class Outcome:
    """How it went with one scan. Paths are relative to the input and to the output folder.

    Attributes:
        scan: what it is called.
        outcome: "done"; "current": a whole result was there already; "refused": it is no scan that can be enhanced;
            "failed": it might be another time; "lost": its worker ended each time.
        code: of the error; "" where there is none.
        message: of the error, without names of files and folders.
        output: the result; the first where a series was split.
        record: its record.
        report: its report, or "".
        thumbnail: its picture.
        slices: of the scan.
        spacing_mm: of these.
        thickness_mm: of these.
        new_slices: of the result.
        new_spacing_mm: of these.
        gain_db: PSNR of slices set aside, against cubic interpolation; None without a self-check.
        noise_ratio: noise of synthesised slices over that of acquired ones; None where it is not known.
        warnings: their codes.
        seconds: that it took.
        finished: when, in UTC.
    """

    scan: str
    outcome: Kind
    code: str = ""
    message: str = ""
    output: str = ""
    record: str = ""
    report: str = ""
    thumbnail: str = ""
    slices: int | None = None
    spacing_mm: float | None = None
    thickness_mm: float | None = None
    new_slices: int | None = None
    new_spacing_mm: float | None = None
    gain_db: float | None = None
    noise_ratio: float | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    finished: str = ""

    @property
    def is_good(self) -> bool:
        """Whether there is a result."""
        return self.outcome in GOOD


def done(task: Task, *, outcome: Kind = "done") -> Outcome:
    """The outcome of a task whose record is written."""
    records = records_of(task)
    first = records[0]
    scan, result, check = first["input"], first["output"], first["self_check"]
    output_folder = task.target.parents[len(PurePath(task.shown).parts) - 1]

    def relative(ending: str) -> str:
        path = beside(task.target, ending)
        return path.relative_to(output_folder).as_posix() if path.exists() else ""

    return Outcome(
        scan=task.scan,
        outcome=outcome,
        output=relative(next(iter(first["batch"]["outputs"]))),
        record=task.record.relative_to(output_folder).as_posix(),
        report=relative(REPORT),
        thumbnail=relative(THUMBNAIL),
        slices=sum(record["input"]["grid"]["shape"][0] for record in records),
        spacing_mm=scan["grid"]["slice_spacing_mm"],
        thickness_mm=scan["thickness_mm"],
        new_slices=sum(record["output"]["grid"]["shape"][0] for record in records),
        new_spacing_mm=result["grid"]["slice_spacing_mm"],
        gain_db=None if check is None else check["psnr_db"] - check["psnr_cubic_db"],
        noise_ratio=first["noise"]["ratio"],
        warnings=tuple(dict.fromkeys(w["code"] for record in records for w in record["warnings"])),
        seconds=first["times_s"]["total"],
        finished=_now(),
    )


def failed(task: Task, error: ThinsliceError) -> Outcome:
    """The outcome of a task that an error ended."""
    kind: Kind = "refused" if error.exit_code in _OF_THE_SCAN else "failed"
    return Outcome(task.scan, kind, error.code, error.message, finished=_now())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
