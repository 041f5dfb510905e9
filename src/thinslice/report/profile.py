"""A picture of a slice profile, measured on a pair of reconstructions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thinslice.physics.profile import share_below
from thinslice.report.figures import write_png
from thinslice.system.output import whole_file

if TYPE_CHECKING:
    from thinslice.evaluation.measured_profile import MeasuredProfile


def save_profile(measured: MeasuredProfile, path: Path, *, overwrite: bool = False) -> None:
    """Write a PNG: the weights that were fitted, the shape that fits best, and a box of the stated thickness."""
    offsets = np.array(measured.offsets_mm)
    step = float(np.diff(offsets).mean())
    edges = np.linspace(offsets[0] - step / 2, offsets[-1] + step / 2, 801)
    figure = Figure(figsize=(7.0, 4.2))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(offsets, measured.weights, 0.8 * step, color="#9db8d2", label="weights, freely fitted")
    best = f"{measured.shape}, {measured.thickness_mm:.2f} mm wide"
    drawn = (
        (measured.thickness_mm, measured.flatness, "#1f4e79", "-", best),
        (measured.stated_mm, 1.0, "#b5482a", "--", f"box of the stated {measured.stated_mm:g} mm"),
    )
    for width, flatness, colour, style, label in drawn:
        density = np.diff(share_below(edges, width, flatness)) / np.diff(edges) * step
        axes.plot((edges[1:] + edges[:-1]) / 2, density, style, color=colour, label=label)
    axes.set_xlabel("offset from the centre of the thick slice, mm")
    axes.set_ylabel(f"weight of a thin slice of {step:.3g} mm")
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    with whole_file(path, overwrite=overwrite) as file:
        write_png(figure, file)
