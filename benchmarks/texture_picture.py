"""docs/texture.png: the phantom with gaps, coronal, as synthesised and as a viewing copy."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import thinslice
from thinslice.phantom import make_phantom, thicken

SPACING_MM, OUTPUT_MM = 4.0, 1.0


def main(path: Path) -> None:
    volume = make_phantom(shape=(61, 160, 160), spacing_mm=(1.0, 1.0, 1.0), noise_hu=25.0).volume
    thick, _ = thicken(volume, SPACING_MM, thickness_mm=OUTPUT_MM)
    keep = thinslice.enhance(thick, spacing=OUTPUT_MM, iterations=20)
    match = thinslice.enhance(thick, spacing=OUTPUT_MM, fit="none", model=keep.model, texture="match")
    figure = Figure(figsize=(6.4, 2.0), facecolor="black")
    FigureCanvasAgg(figure)
    for column, (name, result) in enumerate({"keep": keep, "match": match}.items()):
        axes = figure.add_axes((0.01 + 0.5 * column, 0.01, 0.48, 0.87))
        axes.set_axis_off()
        plane = result.volume.hu[::-1, 92, 25:135]
        axes.imshow(plane, cmap="gray", vmin=-160, vmax=240, interpolation="nearest")
        ratio = result.record["noise"]["ratio"]
        axes.set_title(f"--texture {name}: noise {ratio:.2f} of acquired", color="white", fontsize=9, pad=4)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    print(np.round([result.record["noise"]["ratio"] for result in (keep, match)], 3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
