"""How long the overview of an archive takes to write, to open in Chromium, to sort, and what it weighs."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from thinslice.archive.outcome import Outcome
from thinslice.archive.overview import PAGE, write_overview

PICTURES = 40
_WATCH = """
requestAnimationFrame(function look() {
  if (document.querySelector("tbody tr")) window.first = performance.now(); else requestAnimationFrame(look);
});
document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(() => {
  window.ready = performance.now();
})));
"""


def rows_of(count: int, folder: Path) -> list[Outcome]:
    """Rows with names as long as they are in public collections, one in fifty without a result."""
    draw = np.random.default_rng(0)
    for number in range(PICTURES):
        grey = draw.random((120, 324)).cumsum(axis=1) % 9
        imsave(folder / f"picture{number}.jpg", grey, cmap="gray", format="jpeg", pil_kwargs={"quality": 80})
    found = []
    for number in range(count):
        name = f"collection-{number % 7}/subject-{number:05d}/1.3.6.1.4.1.14519.5.2.1.{number:012d}"
        if number % 50 == 0:
            row = Outcome(name, "refused", "GEO-SPACING", "slices are not evenly spaced: 5 mm and 7.5 mm")
        else:
            row = Outcome(
                name, "done", output=f"{name}.nii.gz", record=f"{name}.record.json", report=f"{name}.report.html",
                thumbnail=f"picture{number % PICTURES}.jpg", slices=40 + number % 60, spacing_mm=5.0, thickness_mm=5.0,
                new_slices=4 * (40 + number % 60), new_spacing_mm=1.25, gain_db=float(draw.normal(2, 1)),
                noise_ratio=float(draw.random()), warnings=("QUAL-THICKNESS",) if number % 3 else (),
                seconds=float(draw.random() * 400), finished="2026-11-30T12:00:00+00:00",
            )  # fmt: skip
        found.append(row)
    return found


def timed(page: Any, act: str) -> float:
    """Seconds that a script takes until what it did is drawn."""
    drawn = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
    return page.evaluate(
        f"async () => {{ const began = performance.now(); {act}; {drawn} return performance.now() - began; }}"
    ) / 1e3  # fmt: skip


def measure(count: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        rows = rows_of(count, folder)
        began = time.perf_counter()
        write_overview(folder, rows)
        written = time.perf_counter() - began
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.add_init_script(_WATCH)
        page.goto((folder / PAGE).as_uri(), wait_until="commit")
        while not page.evaluate("() => window.ready"):  # rarely asked: asking takes time of the page
            time.sleep(2.0)
        first, ready = page.evaluate("() => [window.first, window.ready]")
        times = {
            "sort by gain": timed(page, "document.querySelectorAll('thead button')[7].click()"),
            "sort by scan": timed(page, "document.querySelectorAll('thead button')[0].click()"),
            "filter by text": timed(
                page,
                "const box = document.querySelector('[data-part=text]'); box.value = '-3/subject'; "
                "box.dispatchEvent(new Event('input'))",
            ),
            "mark a scan": timed(page, "document.querySelector('td.mark button').click()"),
        }
        heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
        weight = (folder / PAGE).stat().st_size / 1e6
        chromium.close()
    seconds = {"write": written, "first picture of the page": first / 1e3, "all there, sortable": ready / 1e3} | times
    return {name: f"{value:.2f} s" for name, value in seconds.items()} | {
        "page": f"{weight:.1f} MB", "heap of the script": f"{heap:.0f} MB",
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[400, 4000, 40_000])
    chosen = options.parse_args()
    found = {count: measure(count) for count in chosen.rows}
    table = Table("", *(f"{count:,} rows" for count in found))
    for name in next(iter(found.values())):
        table.add_row(name, *(one[name] for one in found.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
