"""Each view's residuals over a whole volume, image by image.

A coronal or sagittal image spans the whole stack and a whole row, an axial one a whole slice: there
are no tiles inside an image, hence no seams. Images go through the network in batches that fit the
cache and a fixed memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from thinslice.conventions import HU_RANGE
from thinslice.networks.axial import around
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps, with_neighbours
from thinslice.networks.task import condition
from thinslice.networks.unfold import Unfolding, unfolding
from thinslice.physics.acquisition import Acquisition
from thinslice.synthesis.body import nearness

_PIXELS = 2**15  # acquired pixels in a batch: features of a layer stay in the cache
_WIDTHS = 8  # that images are cut to, at most: what PyTorch keeps for every shape took a gigabyte

OnImages = Callable[[float, float], None]  # (images done, in all)


def add_view(
    out: np.ndarray,
    acquisition: Acquisition,
    *,
    model: Model,
    view: str,
    weight: float,
    disagreement: np.ndarray | None = None,
    on_progress: OnImages = lambda done, total: None,
) -> None:
    """Add a view's residuals, times `weight`, to `out` in place; coronal and sagittal ones not in air about the body.

    Args:
        out: (n, y, x) float32; slices that are copies of acquired ones are left alone.
        acquisition: what it is made from.
        model: its networks give residuals in HU.
        view: "axial", "coronal" or "sagittal".
        weight: factor on the residuals.
        disagreement: (n, y, x) float32, to which residuals of the coronal view are added, and from which those of the
            sagittal one are taken, unweighted; or None.
        on_progress: called with images done and images in all.
    """
    with torch.inference_mode():
        if view == "axial":
            _add_axial(out, acquisition, model=model, weight=weight, on_progress=on_progress)
        else:
            _add_inplane(
                out, acquisition, model=model, view=view, weight=weight, disagreement=disagreement,
                on_progress=on_progress,
            )  # fmt: skip


def _add_inplane(
    out: np.ndarray,
    acquisition: Acquisition,
    *,
    model: Model,
    view: str,
    weight: float,
    disagreement: np.ndarray | None,
    on_progress: OnImages,
) -> None:
    axis, network, device = (1 if view == "coronal" else 2), model.inplane, model.device
    acquired, grid = acquisition.hu, acquisition.grid
    m, count, width = acquired.shape[0], acquired.shape[axis], acquired.shape[3 - axis]
    reach, step = network.config.neighbours, plane_steps(acquisition)[view]
    new = grid.synthesised()
    where, conditioned = unfolding(grid).of(new).to(device), condition(grid).to(device)
    near = nearness(acquired, reach=network.config.reach)
    near = near if axis == 1 else near.T
    batch = max(1, _PIXELS // (m * width))
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        if (across := _some(near[start:stop])) is not None:
            low, high = max(0, start - reach * step), min(count, stop + reach * step)
            block = acquired[:, low:high, across] if axis == 1 else acquired[:, across, low:high]
            block = block.transpose(axis, 0, 3 - axis)
            images = torch.from_numpy(np.clip(block, *HU_RANGE))
            planes = with_neighbours(images, start - low, stop - low, reach=reach, step=step)
            residual = network.residual(planes.to(device), where, conditioned)
            residual.mul_(torch.from_numpy(near[start:stop, None, across]).to(device))
            place = (slice(start, stop), across) if axis == 1 else (across, slice(start, stop))
            if disagreement is not None:
                _add(disagreement, residual.mul(1 if axis == 1 else -1), new, place, axis=axis)
            _add(out, residual.mul_(weight), new, place, axis=axis)
        on_progress(stop, count)


def _some(near: np.ndarray) -> slice | None:
    """Pixels across images (planes, across) from the first near the body to the last, or more; None where none is."""
    columns, width = np.flatnonzero(near.any(axis=0)), near.shape[1]
    if not columns.size:
        return None
    step = -(-width // _WIDTHS)
    wide = min(width, step * -(-int(columns[-1] - columns[0] + 1) // step))
    start = min(int(columns[0]), width - wide)
    return slice(start, start + wide)


def _add(
    volume: np.ndarray, images: torch.Tensor, slices: np.ndarray, place: tuple[slice, slice], *, axis: int
) -> None:
    """Add images (planes, slices, across) to a place (y, x) of a volume (n, y, x), coronal ones along its axis 1."""
    volume[(slices, *place)] += images.cpu().numpy().transpose((1, 0, 2) if axis == 1 else (1, 2, 0))


def _add_axial(
    out: np.ndarray, acquisition: Acquisition, *, model: Model, weight: float, on_progress: OnImages
) -> None:
    network, device, acquired = model.axial, model.device, acquisition.hu
    where, conditioned = unfolding(acquisition.grid), condition(acquisition.grid).to(device)
    parts = list(_by_interval(where, acquisition.grid.synthesised()))
    for done, (interval, mine) in enumerate(parts, 1):
        slices = torch.from_numpy(np.clip(acquired[around(interval, len(acquired))], *HU_RANGE))[None]
        here = Unfolding(torch.zeros(len(mine), dtype=torch.int64), where.of(mine).series).to(device)
        out[mine] += network.residual(slices.to(device), here, conditioned).mul_(weight).cpu().numpy()
        on_progress(done, len(parts))


def _by_interval(where: Unfolding, slices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(interval, those of the output slices in it) for every interval that has some."""
    interval = where.interval.numpy()[slices]
    for value in np.unique(interval):
        yield int(value), slices[interval == value]
