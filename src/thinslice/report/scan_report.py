"""The report of a result: one HTML file with a viewer, pictures and the record in words. It needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from thinslice.report.figures import WINDOWS
from thinslice.report.sections import how_to_read, sections
from thinslice.report.stills import curve, rows_of, usual_window
from thinslice.report.template import render_page, script, script_hash
from thinslice.report.viewer import colours, viewer
from thinslice.report.words import grid_line
from thinslice.system.output import whole_file
from thinslice.volume import Volume


def save_report(
    scan: Volume,
    result: Volume,
    record: Mapping[str, Any],
    path: str | Path,
    *,
    uncertainty: np.ndarray | None = None,
    overwrite: bool = False,
) -> None:
    """Write the report of a result.

    Args:
        scan: the acquired slices.
        result: the same scan on a finer grid along z, (n, y, x): sheared as the scan is.
        record: of the run; the page holds names of files only where it has an entry `identity`.
        path: of the HTML file.
        uncertainty: (n, y, x) HU, or None; it is shown where it is on the grid of `result`.
        overwrite: replace an existing file.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE, OUT-FULL.
    """
    with whole_file(Path(path), overwrite=overwrite) as file:
        file.write_text(_page(scan, result, record, uncertainty), encoding="utf-8")


def _page(scan: Volume, result: Volume, record: Mapping[str, Any], uncertainty: np.ndarray | None) -> str:
    window = usual_window(scan)
    fitting = uncertainty if uncertainty is not None and uncertainty.shape == result.shape else None
    shown = viewer(scan, result, fitting, window=WINDOWS[window][0])
    uncertain = shown.numbers["uncertainty"]
    top_hu = uncertain["top"] if uncertain else 0
    source = script("viewer.js")
    return render_page(
        "scan.html.j2",
        record=record,
        scan_line=grid_line(record["input"]["grid"]),
        result_line=grid_line(record["output"]["grid"]),
        lines=how_to_read(record, uncertain=uncertainty is not None),
        sections=sections(record),
        curve=curve(record["fit"]["curve"] if record["fit"] else ()),
        rows=rows_of(scan, result, fitting, window=window, top_hu=top_hu),
        window=window,
        window_hu=_window_hu(window),
        top_hu=top_hu,
        uncertain=uncertainty is not None,
        colours=[f"rgb({r}, {g}, {b})" for r, g, b in colours()[::9]],
        upright=_is_upright(record),
        json=json.dumps(record, indent=2, ensure_ascii=False),
        script=source,
        script_hash=script_hash(source),
        numbers=Markup(json.dumps(shown.numbers, separators=(",", ":"))),
        volumes={name: Markup(text) for name, text in shown.volumes.items()},
        scale=shown.words,
    )


def _is_upright(record: Mapping[str, Any]) -> bool:
    return any(warning["code"] == "GEO-UPRIGHT" for warning in record["warnings"])


def _window_hu(name: str) -> str:
    low, high = WINDOWS[name][0]
    return f"{low:g} to {high:g} HU".replace("-", "\N{MINUS SIGN}")
