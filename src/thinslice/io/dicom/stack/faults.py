"""Files that should be slices and cannot be read: of which series each is, and what that means for one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from thinslice.errors import InputError, ThinsliceError
from thinslice.io.dicom.headers.codes import Findings, listed
from thinslice.io.dicom.headers.find import Entry
from thinslice.io.dicom.headers.slices import Slice

_LOOKED_THROUGH = 1 << 20  # bytes of a damaged file


@dataclass(frozen=True, eq=False)
class Fault:
    """A file that is no readable slice.

    Attributes:
        error: what is wrong with it.
        series: SeriesInstanceUID of the series that it is of; None where nothing states it.
        file: what messages call it.
    """

    error: ThinsliceError
    series: str | None
    file: str


def placed(entry: Entry, error: ThinsliceError, images: Sequence[Slice]) -> Fault:
    """A damaged file as the fault of a series: the one whose UID it holds, else the only one in its folder."""
    series = {image.attributes.text("SeriesInstanceUID") for image in images} - {""}
    try:
        data = entry.start(_LOOKED_THROUGH)
    except InputError:
        data = b""
    named = [uid for uid in series if re.search(rb"(?<![0-9.])" + re.escape(uid.encode()) + rb"(?![0-9.])", data)]
    if len(named) == 1:
        return Fault(error, named[0], entry.shown)
    folder = PurePath(entry.name).parent
    beside = {
        image.attributes.text("SeriesInstanceUID")
        for image in images
        if PurePath(image.file.entry.name).parent == folder
    }
    return Fault(error, beside.pop() if len(beside) == 1 else None, entry.shown)


def fault_of(faults: Sequence[Fault], uid: str, *, distinguished: bool) -> Fault | None:
    """What keeps a series from being read: its first fault.

    Args:
        faults: of the input.
        uid: of the series.
        distinguished: whether it is one of several and was asked for: then what may be of any of them is not counted.
    """
    return next(
        (fault for fault in faults if fault.series == uid or (fault.series is None and not distinguished)), None
    )


def behind_a_gap(faults: Sequence[Fault], error: ThinsliceError) -> ThinsliceError:
    """The error of a series: where slices are missing and a damaged file may be one of them, that one's."""
    unknown = [fault.error for fault in faults if fault.series is None]
    return unknown[0] if unknown and error.code in ("DCM-GAP", "DCM-UNEVEN", "DCM-FEW") else error


def warn_of_others(faults: Sequence[Fault], uid: str, findings: Findings) -> None:
    """Note files that cannot be read and are not of this series, as far as they show."""
    others = [fault for fault in faults if fault.series != uid]
    unknown = sum(fault.series is None for fault in others)
    if others:
        which = listed([fault.file for fault in others], 6)
        may = f"; {unknown} of {len(others)} may be of this one" if unknown else ""
        findings.warn(
            "DCM-LEFT-OUT",
            f"files beside this series that cannot be read were left out: {which}{may}",
        )
