"""A reliability diagram: the error that was expected against the error that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_CURVES = 10
_INCHES = 5.6, 5.2


def draw_reliability(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Draw bins of voxels, from the most certain to the least, one curve a result.

    Args:
        curves: by name, pairs of uncertainty and error in HU, both root mean squares; the first ten are shown.

    Returns:
        A figure with logarithmic axes. On the diagonal, errors are as large as expected; below it they are smaller.
    """
    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = list(curves.items())[:_MOST_CURVES]
    values = [value for _, bins in shown for pair in bins for value in pair if value > 0] or [1.0]
    low, high = min(values) * 0.8, max(values) * 1.25
    axes.plot([low, high], [low, high], color="0.6", linewidth=1)
    axes.fill_between([low, high], [0.8 * low, 0.8 * high], [1.25 * low, 1.25 * high], color="0.93", linewidth=0)
    for name, bins in shown:
        expected, found = zip(*bins, strict=True)
        axes.plot(expected, found, marker="o", markersize=4, linewidth=1.2, label=name)
    axes.set(
        xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="error expected (HU, RMS)",
        ylabel="error found (HU, RMS)", title="Ten bins of voxels, from the most certain to the least",
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.legend(fontsize=8, frameon=False)
    return figure
