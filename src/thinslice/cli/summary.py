"""A record as lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinslice.errors import printable
from thinslice.report.words import (
    THICKNESS_FROM,
    consistency_line,
    grid_line,
    profile_line,
    self_check_line,
    uncertainty_line,
    weights_line,
)


def summary(record: Mapping[str, Any], written: Sequence[Path], *, whole: bool) -> Iterator[str]:
    """What was done, line by line, none over 80 columns wide for ordinary names; `whole` HU were written or not."""
    scan, result = record["input"], record["output"]
    source = THICKNESS_FROM[scan["thickness_from"]]
    yield f"scan:       {grid_line(scan['grid'])}"
    yield f"thickness:  {scan['thickness_mm']:g} mm, {source} ({scan['regime']})"
    yield f"profile:    {profile_line(scan['profile'])}"
    yield f"result:     {grid_line(result['grid'])}"
    yield f"weights:    {weights_line(record)}"
    if record["self_check"]:
        yield self_check_line(record["self_check"])
    yield f"acquired:   {consistency_line(record, whole=whole)}"
    noise = record["noise"]
    if noise["ratio"] is not None:
        yield f"noise:      {noise['acquired_hu']:.1f} HU acquired, {noise['synthesised_hu']:.1f} HU between them"
    if record["uncertainty"]:
        yield f"unsure:     {uncertainty_line(record['uncertainty'])}"
    yield f"cost:       {record['times_s']['total']:.0f} s, {record['peak_memory_bytes'] / 2**30:.1f} GiB at the peak"
    yield from written_lines(written)


def written_lines(paths: Sequence[Path], *, name: str = "written") -> Iterator[str]:
    """What was written, a path a line, as it was typed: no secret from who typed it."""
    for number, path in enumerate(paths):
        yield f"{'' if number else f'{name}:':<11} {printable(path)}"
