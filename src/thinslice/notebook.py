"""How a result shows itself in a shell and in a notebook: words and a small picture, without identity."""

from __future__ import annotations

import base64
import html as markup
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from thinslice.plan import grid_of
from thinslice.volume import Volume

_WINDOW_HU = -1000.0, 600.0  # lung and bone at once
_MOST_PIXELS = 256  # of one of the two pictures, either way


def how(volume: Volume, scan: Volume, record: Mapping[str, Any]) -> str:
    """One line: from what and in which way a volume was made, and which warnings there are."""
    made = f"from {scan.shape[0]} slices {scan.slice_spacing_mm:.4g} mm apart by fit {record['method']['fit']}"
    copied = record["output"]["copied_slices"]
    check, labels = record["self_check"], record["output"]["labels"]
    parts = [
        made,
        f"{copied} acquired, {volume.shape[0] - copied} synthesised" if copied else "all synthesised",
        *([f"self-check {check['psnr_db']:.1f} dB, cubic {check['psnr_cubic_db']:.1f}"] if check else []),
        *([f"{labels} label{'' if labels == 1 else 's'}"] if labels is not None else []),
    ]
    codes = list(dict.fromkeys(warning["code"] for warning in record["warnings"]))
    return "; ".join([*parts, f"warnings {', '.join(codes)}" if codes else "no warnings"])


def html(volume: Volume, scan: Volume, record: Mapping[str, Any], *, pictured: Volume) -> str:
    """The words, and a plane across the slices before and after: of the scan, and of what is `pictured` on its grid."""
    words = "<br>".join(markup.escape(line) for line in (f"Result: {volume.extent}", how(volume, scan, record)))
    return (
        f'<figure style="margin:0"><img alt="a plane across the slices: acquired to the left, result to the right" '
        f'src="data:image/png;base64,{base64.b64encode(_picture(pictured, scan)).decode()}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _picture(after: Volume, scan: Volume) -> bytes:
    """PNG of the middle plane across the slices: the nearest acquired slices, and the result."""
    from matplotlib.image import imsave

    grid = grid_of(scan, after)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    middle = after.shape[1] // 2
    shown = [_turned(plane, after) for plane in (scan.hu[nearest, middle], after.hu[:, middle])]
    between = np.full((len(shown[0]), 4), _WINDOW_HU[1])
    png = BytesIO()
    low, high = _WINDOW_HU
    imsave(png, np.hstack([shown[0], between, shown[1]]), vmin=low, vmax=high, cmap="gray", format="png")
    return png.getvalue()


def _turned(plane: np.ndarray, volume: Volume) -> np.ndarray:
    """A plane (slices, columns) in square pixels, head or front upwards, the patient's left or back to the right."""
    x, _, z = (volume.affine[:3, axis] for axis in range(3))
    if z[np.abs(z).argmax()] > 0:
        plane = plane[::-1]
    if x[np.abs(x).argmax()] > 0:
        plane = plane[:, ::-1]
    size_mm = np.array([plane.shape[0] * volume.slice_spacing_mm, plane.shape[1] * volume.voxel_mm[0]])
    pixel_mm = size_mm.max() / _MOST_PIXELS
    counts = np.maximum(1, np.rint(size_mm / pixel_mm)).astype(int)
    rows, columns = (np.arange(n) * length // n for n, length in zip(counts, plane.shape, strict=True))
    return plane[np.ix_(rows, columns)]
