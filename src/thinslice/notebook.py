"""How a result shows itself in a shell and in a notebook: words, pictures, and NiiVue where there is a kernel for it.

Nothing here names the scan: neither its file nor what its header says.
"""

from __future__ import annotations

import base64
import html as markup
import logging
import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np

from thinslice.plan import grid_of
from thinslice.planes import Plane, turned
from thinslice.volume import Volume

_log = logging.getLogger("thinslice")

_WINDOW_HU = -1000.0, 600.0  # lung and bone at once
_MOST_PIXELS = 208  # of one of the two pictures, either way
_MOST_POSITIONS = 24  # of a slider
_MOST_CHARACTERS = 1_900_000  # of all pictures together: a notebook with a few results can still be sent about
_MOST_VOXELS = 200_000_000  # that NiiVue is given; a browser holds each of them several times

# Without an id and without a script element: it works wherever the picture is copied to, several times on a page.
_ON_INPUT = (
    "const at=this.value,figure=this.parentNode;"
    "figure.querySelector('img').src='data:image/jpeg;base64,'+this.dataset.pictures.split(' ')[at];"
    "figure.querySelector('output').value=this.dataset.places.split(' ')[at]"
)


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
    """Words, and three planes before and after, each with a slider: of the scan, and of what is `pictured` on its grid.

    The sliders need neither a kernel nor a network, so that they work in an exported notebook. Where
    scripts are taken out, as in a notebook that is not trusted, the middle of each plane stays. It is
    two million characters long at most: a slider has fewer positions where a scan is noisy.
    """
    low, high = _WINDOW_HU
    words = (
        f"Result: {volume.extent}",
        how(volume, scan, record),
        f"Acquired to the left, result to the right; reduced pictures, {low:g} to {high:g} HU.",
    )
    return (
        '<figure style="margin:0"><div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-end">'
        f"{''.join(_sliders(pictured, scan))}</div>"
        f"<figcaption>{'<br>'.join(map(markup.escape, words))}</figcaption></figure>"
    )


def viewer(volume: Volume, scan: Volume) -> dict[str, Any] | None:
    """Scan and result in NiiVue, side by side with one crosshair, as IPython wants a widget; None where that cannot be.

    There has to be a kernel of Jupyter, ipyniivue (extra `[notebook]`), evenly spaced slices, and
    a volume that a browser can hold. Whatever goes wrong with it, the pictures of `html` are shown instead.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None or scan.slice_positions_mm is not None:
        return None
    if volume.hu.size + scan.hu.size > _MOST_VOXELS:
        return None
    try:
        from ipyniivue import NiiVue
        from ipywidgets import GridBox, Layout

        shown = []
        for name, each in (("acquired", scan), ("result", volume)):
            low, high = _WINDOW_HU
            view = NiiVue(
                height=480, is_radiological_convention=True, is_nearest_interpolation=True,  # voxels as they are
                crosshair_width_unit="mm",
            )  # fmt: skip
            view.load_volumes([{"data": _nifti(each), "name": f"{name}.nii", "cal_min": low, "cal_max": high}])
            shown.append(view)
        for view, other in (shown, reversed(shown)):
            view.broadcast_to(other, {"2d": True, "cal_min": True, "cal_max": True})
        # A grid, because NiiVue has no width of its own: in an HBox it is 0 pixels wide.
        beside = GridBox(shown, layout=Layout(width="100%", grid_template_columns="1fr 1fr"))
        bundle = beside._repr_mimebundle_()
    except Exception:  # a widget must not stand between a user and a result
        _log.debug("NiiVue cannot show the result", exc_info=True)
        return None
    return {kind: what for kind, what in bundle.items() if not kind.startswith("text/")}


def _nifti(volume: Volume) -> bytes:
    """The volume as the bytes of a NIfTI file, int16, with nothing in its header but the grid."""
    from thinslice.io.files.to_objects import to_nibabel

    image = to_nibabel(Volume(np.clip(np.rint(volume.hu), -32768, 32767), volume.affine))
    image.set_data_dtype(np.int16)
    image.header.set_slope_inter(1, 0)
    return bytes(image.to_bytes())


def _sliders(after: Volume, scan: Volume) -> Iterator[str]:
    """A picture with a slider for each axis of the array, with as many positions as there is room for."""
    positions = _MOST_POSITIONS
    pictures = [_pictures(after, scan, axis, positions) for axis in range(3)]
    while positions > 1 and sum(len(data) + 1 for shown in pictures for _, _, data in shown) > _MOST_CHARACTERS:
        pictures = [shown[len(shown) // 4 % 2 :: 2] for shown in pictures]
        positions //= 2
    for shown in pictures:
        middle = len(shown) // 2
        place, name, data = shown[middle]
        yield (
            f'<div style="flex:0 1 auto"><img alt="{name} plane: acquired to the left, result to the right" '
            f'style="display:block;max-width:100%" src="data:image/jpeg;base64,{data}">'
            f'<input type="range" min="0" max="{len(shown) - 1}" value="{middle}" aria-label="{name} slice" '
            f'style="width:60%" oninput="{_ON_INPUT}" data-places="{" ".join(str(each) for each, _, _ in shown)}" '
            f'data-pictures="{" ".join(each for _, _, each in shown)}"> {name} <output>{place}</output></div>'
        )


def _pictures(after: Volume, scan: Volume, axis: int, positions: int) -> list[tuple[int, str, str]]:
    """Planes across an axis of the array, evenly spread: index of the plane, its name, and a JPEG in base64."""
    grid = grid_of(scan, after)
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    count = after.shape[axis]
    found = []
    for place in np.unique(np.linspace(0, count - 1, min(count, positions)).astype(int)):
        before = scan.hu[nearest[place]] if axis == 0 else np.take(scan.hu, place, axis)[nearest]
        planes = [_turned(hu, axis, after) for hu in (before, np.take(after.hu, place, axis))]
        found.append((int(place), planes[0].name, base64.b64encode(_jpeg(planes)).decode()))
    return found


def _turned(hu: np.ndarray, axis: int, volume: Volume) -> Plane:
    """A plane across an axis of a volume's array, as a reader expects it."""
    steps, sizes = volume.affine[:3, 2::-1].T, (volume.slice_spacing_mm, *volume.voxel_mm[1::-1])
    down, across = (other for other in range(3) if other != axis)
    return turned(hu, (sizes[down], sizes[across]), steps[down], steps[across], steps[axis])


def _jpeg(planes: list[Plane]) -> bytes:
    """Planes side by side with a white line between them, in square pixels."""
    from matplotlib.image import imsave

    shown = [_square(plane) for plane in planes]
    line = np.full((len(shown[0]), 4), _WINDOW_HU[1])
    low, high = _WINDOW_HU
    jpeg = BytesIO()
    imsave(
        jpeg, np.hstack([shown[0], line, *shown[1:]]), vmin=low, vmax=high, cmap="gray", format="jpeg",
        pil_kwargs={"quality": 80},
    )  # fmt: skip
    return jpeg.getvalue()


def _square(plane: Plane) -> np.ndarray:
    """HU of a plane in square pixels, by the nearest."""
    size_mm = np.array(plane.size_mm)
    counts = np.maximum(1, np.rint(size_mm / size_mm.max() * _MOST_PIXELS)).astype(int)
    rows, columns = (np.arange(n) * length // n for n, length in zip(counts, plane.hu.shape, strict=True))
    return plane.hu[np.ix_(rows, columns)]
