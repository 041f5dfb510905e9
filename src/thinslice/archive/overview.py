"""The overview of an archive: one page with a row for each scan, its picture, and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thinslice.archive.outcome import Outcome
from thinslice.report.template import render_page
from thinslice.system.output import whole_file

PAGE = "index.html"


def write_overview(output: Path, rows: Sequence[Outcome]) -> None:
    """Write the page into the folder of the results, in place of an earlier one.

    Args:
        output: the folder.
        rows: of the manifest.
    """
    with whole_file(output / PAGE, overwrite=True) as file:
        file.write_text(render_page("overview.html.j2", of="thinslice.archive", rows=rows), encoding="utf-8")
