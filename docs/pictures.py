"""Every picture of the README and of docs/, drawn anew into this folder, so that they stay true.

    make pictures                          # all of them: some minutes
    python docs/pictures.py coronal        # some of them, by name

On the same machine and with the same versions a picture has the same bytes every time; that of a terminal
tells how long its run took. To add a picture, write a function that takes the path of its file, and list it in
PICTURES.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.text import Text

import thinslice
from thinslice.evaluation.methods import CLASSICAL
from thinslice.evaluation.protocols import Case, make_case
from thinslice.phantom import make_phantom, thicken
from thinslice.report.figures import save_picture, write_png
from thinslice.report.reliability import draw_reliability
from thinslice.result import Result

LARGEST_BYTES = 300_000  # of a picture in the repository


@cache
def _phantom_result() -> tuple[Case, Result]:
    """The phantom of `thinslice demo`, 4 mm slices to 1 mm, by the shipped weights."""
    case = make_case(make_phantom().volume, "phantom", protocol="box", factor=4)
    spacing = case.grid.output_spacing_mm
    return case, thinslice.enhance(case.thick, spacing=spacing, fit="none", check=False, uncertainty=True)


def _phantom_run() -> tuple[Case, dict[str, np.ndarray]]:
    """The same, beside cubic interpolation."""
    case, result = _phantom_result()
    return case, {"cubic": CLASSICAL["cubic"](case.thick, case.grid), "thinslice": result.volume.hu}


def coronal(path: Path) -> None:
    """A part of one coronal plane, large: a nodule of 8 mm and vessels of the right lung."""
    case, results = _phantom_run()
    row, slices, columns = 107, slice(60, 116), slice(28, 84)
    nearest = np.abs(case.grid.output_mm[:, None] - case.grid.acquired_mm).argmin(axis=1)
    shown = {"thick, 4 mm": case.thick.hu[nearest], **results, "truth, 1 mm": case.truth}
    figure = Figure(figsize=(12.4, 3.38), facecolor="black")
    FigureCanvasAgg(figure)
    for column, (name, hu) in enumerate(shown.items()):
        axes = figure.add_axes((0.004 + 0.249 * column, 0.01, 0.245, 0.9))
        axes.set_axis_off()
        plane = hu[slices, row, columns][::-1]
        smoothing = "nearest" if column == 0 else "bicubic"
        axes.imshow(plane, cmap="gray", vmin=-1150, vmax=250, interpolation=smoothing)
        axes.set_title(name, color="white", fontsize=14, pad=5)
    write_png(figure, path)
    _in_greys(path, 64)


def phantom(path: Path) -> None:
    """Three planes of the same run in two windows, and the errors of the two."""
    case, results = _phantom_run()
    save_picture(case, results, path, overwrite=True)
    with Image.open(path) as picture:
        size = picture.width * 3 // 5, picture.height * 3 // 5
        smaller = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    colours = np.linspace(0, 1, 64)
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [int(255 * part) for name in ("gray", "seismic") for part in colormaps[name](colours)[:, :3].ravel()]
    )
    smaller.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def texture(path: Path) -> None:
    """A coronal plane of the phantom with gaps, as synthesised and as a viewing copy."""
    volume = make_phantom(shape=(61, 160, 160), spacing_mm=(1.0, 1.0, 1.0), noise_hu=25.0).volume
    thick, _ = thicken(volume, 4.0, thickness_mm=1.0)
    figure = Figure(figsize=(6.4, 2.0), facecolor="black")
    FigureCanvasAgg(figure)
    for column, name in enumerate(("keep", "match")):
        result = thinslice.enhance(thick, spacing=1.0, fit="none", check=False, texture=name)
        axes = figure.add_axes((0.01 + 0.5 * column, 0.01, 0.48, 0.87))
        axes.set_axis_off()
        plane = result.volume.hu[::-1, 92, 25:135]
        axes.imshow(plane, cmap="gray", vmin=-160, vmax=240, interpolation="nearest")
        ratio = result.record["noise"]["ratio"]
        axes.set_title(f"--texture {name}: noise {ratio:.2f} of acquired", color="white", fontsize=9, pad=4)
    write_png(figure, path)


def reliability(path: Path) -> None:
    """Errors expected and found on the phantom, of four ways to thicken it."""
    thin = make_phantom(shape=(96, 96, 96), spacing_mm=(1.0, 2.0, 2.0)).volume
    table = thinslice.evaluate(thin, methods=("thinslice",), names=("phantom",))
    write_png(draw_reliability({row.title: row.uncertainty.bins for row in table if row.uncertainty}), path)


def report(path: Path) -> None:
    """The head of the same run's report with its viewer, in Chromium."""
    from playwright.sync_api import sync_playwright

    _, result = _phantom_result()
    program = shutil.which("chromium") or sys.exit("chromium is not here: apt-get install chromium")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        result.report(page)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        tab = browser.new_page(viewport={"width": 1200, "height": 1500})
        tab.goto(page.as_uri())
        tab.wait_for_selector('#viewer[data-state="ready"]')
        tab.screenshot(path=path)
        browser.close()
    _in_colours(path, 64)


def terminal(path: Path) -> None:
    """What two commands say, but for their progress."""
    commands = ("inspect thick.nii.gz", "enhance -i thick.nii.gz -o thin.nii.gz --spacing 1 --fit none")
    console = Console(record=True, width=110, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    with TemporaryDirectory() as folder:
        thick, _ = thicken(make_phantom(shape=(80, 64, 64), spacing_mm=(1.0, 3.0, 3.0)).volume, 5.0)
        thinslice.write(thick, Path(folder) / "thick.nii.gz")
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-m", "thinslice", *command.split()], cwd=folder, check=True, text=True,
                capture_output=True, env=os.environ | {"COLUMNS": "110"},
            )  # fmt: skip
            warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
            said = "\n".join(line.rstrip() for line in [*warnings, *done.stdout.splitlines()])
            console.print(Text(f"$ thinslice {command}", style="bold"))
            console.print(Text(said))
            console.print()
    drawn = console.export_svg(title="thinslice", unique_id="terminal")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # they would come from a network
    path.write_text(drawn, encoding="utf-8")


def _in_greys(path: Path, count: int) -> None:
    """Store a picture without colours in so many greys."""
    with Image.open(path) as picture:
        greys = picture.convert("L").quantize(count)
    greys.save(path, optimize=True)


def _in_colours(path: Path, count: int) -> None:
    """Store a picture in so many colours."""
    with Image.open(path) as picture:
        colours = picture.convert("RGB").quantize(count, dither=Image.Dither.NONE)
    colours.save(path, optimize=True)


PICTURES = {
    "coronal.png": coronal, "phantom.png": phantom, "texture.png": texture, "reliability.png": reliability,
    "report.png": report, "terminal.svg": terminal,
}  # fmt: skip


def main(wanted: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    folder = Path(__file__).resolve().parent
    names = {name.partition(".")[0]: name for name in PICTURES}
    for name in wanted or names:
        if name not in names:
            sys.exit(f"no picture is called {name}; there are {', '.join(names)}")
        path = folder / names[name]
        PICTURES[path.name](path)
        size = path.stat().st_size
        print(f"{path.relative_to(folder.parent)}: {size / 1000:.0f} kB")
        if size > LARGEST_BYTES:
            sys.exit(f"{path.name} is larger than {LARGEST_BYTES / 1000:.0f} kB; draw it smaller")


if __name__ == "__main__":
    main(sys.argv[1:])
