"""Pictures of a report that need no script: planes across the slices, before and after, and the curve of the fit."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from markupsafe import Markup, escape
from matplotlib.image import imsave

from thinslice.physics import interpolation
from thinslice.plan import grid_of
from thinslice.planes import Plane
from thinslice.report.figures import WINDOWS
from thinslice.report.planes import across_slices
from thinslice.volume import Volume

_SHARES = (("a quarter", 0.25), ("half", 0.5), ("three quarters", 0.75))  # of the way through the body
_BODY_HU = -400
_LUNG_HU = -950, -600
_LEAST_LUNG = 0.05  # of the middle of a scan, to be shown in the window of lungs
_QUALITY = 85  # of JPEG
_CURVE = 560, 150  # size of the curve, in its own units


@dataclass(frozen=True)
class Picture:
    """One picture in a page.

    Attributes:
        name: what stands below it.
        words: what it shows, for those who do not see it.
        source: a data address, JPEG.
        ratio: width over height in mm.
    """

    name: str
    words: str
    source: str
    ratio: float


@dataclass(frozen=True)
class Row:
    """Pictures of one plane: before, after, and what they differ by."""

    title: str
    pictures: tuple[Picture, ...]


def usual_window(scan: Volume) -> str:
    """The name of the window that fits a scan: "lung" where there is much of it, else "soft tissue"."""
    m, rows, columns = scan.shape
    middle = scan.hu[m // 4 : m - m // 4, rows // 4 : rows - rows // 4 : 4, columns // 4 : columns - columns // 4 : 4]
    low, high = _LUNG_HU
    return "lung" if ((middle > low) & (middle < high)).mean() > _LEAST_LUNG else "soft tissue"


def rows_of(thick: Volume, result: Volume, uncertainty: np.ndarray | None, *, window: str, top_hu: float) -> list[Row]:
    """Coronal and sagittal planes at three places each.

    Args:
        thick: the acquired slices, (m, y, x).
        result: the same scan on a finer grid along z, (n, y, x).
        uncertainty: (n, y, x) HU, or None.
        window: of `figures.WINDOWS`.
        top_hu: uncertainty at which its colours end.
    """
    grid = grid_of(thick, result)
    nearest, own = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1), np.arange(len(grid.output_mm))
    sources = {"acquired": (thick.hu, nearest), "cubic": (thick.hu, interpolation.cubic(grid))}
    sources["thinslice"] = result.hu, own
    if uncertainty is not None:
        sources["uncertainty"] = uncertainty, own
    found: tuple[list[Row], list[Row]] = ([], [])
    for (share, row), (_, column) in zip(_places(thick, axis=1), _places(thick, axis=2), strict=True):
        planes = {
            name: across_slices(hu, along_z, result, row=row, column=column) for name, (hu, along_z) in sources.items()
        }
        for which, rows in enumerate(found):
            shown = {name: both[which] for name, both in planes.items()}
            title = f"{shown['cubic'].name}, {share} of the way through the body"
            rows.append(Row(title[0].upper() + title[1:], _pictures(shown, window=window, top_hu=top_hu)))
    return [*found[0], *found[1]]


def curve(points: Sequence[Mapping[str, float]]) -> Markup:
    """The loss over the steps, as SVG; nothing of less than two points."""
    if len(points) < 2:
        return Markup()
    steps, losses = (np.array([point[name] for point in points], float) for name in ("step", "loss"))
    width, height = _CURVE
    across = (steps - steps[0]) / max(float(np.ptp(steps)), 1e-9) * (width - 60) + 50
    down = (losses.max() - losses) / max(float(np.ptp(losses)), 1e-9) * (height - 40) + 10
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    words = f"Training loss over {steps[-1]:.0f} steps: from {losses[0]:.3g} to {losses[-1]:.3g}"
    return Markup(
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<path d="M50 10V{height - 30}H{width - 10}" class="axis"/><polyline points="{line}"/>'
        f'<text x="44" y="18" class="end">{losses.max():.3g}</text>'
        f'<text x="44" y="{height - 30}" class="end">{losses.min():.3g}</text>'
        f'<text x="50" y="{height - 10}">step {steps[0]:.0f}</text>'
        f'<text x="{width - 10}" y="{height - 10}" class="end">step {steps[-1]:.0f}</text></svg>'
    )


def _places(scan: Volume, *, axis: int) -> list[tuple[str, int]]:
    """Indices along rows (1) or columns (2) at shares of the way through the body, or through the image without one."""
    m = len(scan.hu)
    body = (scan.hu[m // 4 : m - m // 4 or 1] > _BODY_HU).mean(axis=(0, 3 - axis)) > 0.02
    inside = np.flatnonzero(body) if body.any() else np.arange(scan.shape[axis])
    first, last = inside[0], inside[-1]
    return [(words, round(float(first + share * (last - first)))) for words, share in _SHARES]


def _pictures(shown: Mapping[str, Plane], *, window: str, top_hu: float) -> tuple[Picture, ...]:
    (low, high), limit = WINDOWS[window]
    found = [
        _picture(name, shown[name], colours="gray", limits=(low, high), words=words)
        for name, words in (
            ("acquired", "acquired slices, as thick as they are"),
            ("cubic", "cubic interpolation"),
            ("thinslice", "result of thinslice"),
        )
    ]
    plane = shown["thinslice"]
    difference = np.clip(plane.hu, low, high) - np.clip(shown["cubic"].hu, low, high)
    found.append(_picture(
        "thinslice minus cubic", Plane(plane.name, difference, plane.size_mm), colours="seismic",
        limits=(-limit, limit), words=f"difference: blue where thinslice is lower, red where it is higher, full at "
        f"{limit:g} HU",
    ))  # fmt: skip
    if "uncertainty" in shown:
        words = f"uncertainty: from black at 0 to pale yellow at {top_hu:g} HU"
        found.append(_picture("uncertainty", shown["uncertainty"], colours="inferno", limits=(0, top_hu), words=words))
    return tuple(found)


def _picture(name: str, plane: Plane, *, colours: str, limits: tuple[float, float], words: str) -> Picture:
    file = BytesIO()
    low, high = limits
    imsave(file, plane.hu, vmin=low, vmax=high, cmap=colours, format="jpeg", pil_kwargs={"quality": _QUALITY})
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    height, width = plane.size_mm
    return Picture(name, f"{plane.name} plane, {words}", source, round(width / height, 4))
