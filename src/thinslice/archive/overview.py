"""The overview of an archive: one page with a row for each scan, its picture, and how it went.

It stands in the folder of the results and points into it. Scans are sorted, filtered and marked in the browser
(`overview.js`); the table is there without scripts as well.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args
from urllib.parse import quote

from thinslice.archive.manifest import STATE
from thinslice.archive.outcome import Kind, Outcome
from thinslice.report.template import render_page, script, script_hash
from thinslice.system.output import whole_file

PAGE = "index.html"
MEANING = {
    "done": "enhanced",
    "current": "a whole result was there already",
    "refused": "not a scan that can be enhanced; the code and the message say why",
    "failed": "it might go well another time; the code and the message say why",
    "lost": "its worker ended each time, by a crash or for want of memory",
}
_COLUMNS = (  # name, and whether it is a number
    ("Scan", False), ("Outcome", False), ("Slices", True), ("New slices", True), ("Spacing, mm", True),
    ("New spacing, mm", True), ("Thick\N{SOFT HYPHEN}ness, mm", True), ("Gain, dB", True), ("Noise ratio", True),
    ("Warnings", False), ("Seconds", True), ("Mark", False),
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """One scan as the page shows it: text that can be shown, links that can be followed, "" where there is none."""

    key: str
    name: str
    outcome: str
    code: str
    message: str
    picture: str
    report: str
    links: tuple[tuple[str, str], ...]
    cells: tuple[str, ...]


def write_overview(output: Path, rows: Sequence[Outcome]) -> None:
    """Write the page into the folder of the results, in place of an earlier one.

    Args:
        output: the folder.
        rows: of the manifest.

    Raises:
        OutputError: OUT-WRITE, OUT-FULL.
    """
    source = script("overview.js", of="thinslice.archive")
    count = Counter(row.outcome for row in rows)
    finished = sorted(row.finished for row in rows if row.finished)
    page = render_page(
        "overview.html.j2",
        of="thinslice.archive",
        archive=_identity(output),
        columns=_COLUMNS,
        counts=[(kind, count[kind], MEANING[kind]) for kind in get_args(Kind)],
        effort=_duration(sum(row.seconds for row in rows)),
        first=_moment(finished[0]) if finished else "",
        last=_moment(finished[-1]) if finished else "",
        rows=[_shown(row) for row in rows],
        script=source,
        script_hash=script_hash(source),
    )
    with whole_file(output / PAGE, overwrite=True) as file:
        file.write_text(page, encoding="utf-8")


def _identity(output: Path) -> str:
    """What the archive is known by in a browser, so that marks of two archives do not mix.

    It is drawn once and lies in the folder: marks are found again where more scans were added to it, or it was moved.
    """
    path = output / STATE / "identity"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as file:
            file.write_text(uuid.uuid4().hex, encoding="ascii")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _shown(row: Outcome) -> _Row:
    report = _link(row.report)
    links = (("result", _link(row.output)), ("record", _link(row.record)), ("report", report))
    return _Row(
        key="s" + hashlib.sha256(row.scan.encode("utf-8", "surrogatepass")).hexdigest()[:12],
        name=_text(row.scan),
        outcome=row.outcome,
        code=row.code,
        message=_text(row.message),
        picture=_link(row.thumbnail),
        report=report,
        links=tuple((name, link) for name, link in links if link),
        cells=(
            _number(row.slices, "d"),
            _number(row.new_slices, "d"),
            _number(row.spacing_mm, ".4g"),
            _number(row.new_spacing_mm, ".4g"),
            _number(row.thickness_mm, ".4g"),
            _number(row.gain_db, "+.2f"),
            _number(row.noise_ratio, ".2f"),
            " ".join(row.warnings),
            _number(row.seconds or None, ".1f" if row.seconds < 10 else ".0f"),
        ),
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form).replace("-", "\N{MINUS SIGN}")


def _link(path: str) -> str:
    """A relative path as a link: each name percent-encoded, bytes that are no UTF-8 among it."""
    return "/".join(quote(name, safe="", errors="surrogateescape") for name in path.split("/"))


def _text(name: str) -> str:
    """A name that can be written, with marks for bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _duration(seconds: float) -> str:
    """Such as ``12 s``, ``3 min 20 s``, ``41 h 7 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes_rest} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _moment(iso: str) -> str:
    """Such as ``2026-11-30 20:22 UTC``."""
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M} UTC"
