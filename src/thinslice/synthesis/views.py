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
from thinslice.networks.axial import AxialNetwork, around
from thinslice.networks.inplane import InplaneNetwork
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_step, with_neighbours
from thinslice.networks.task import condition
from thinslice.networks.unfold import Unfolding, unfolding
from thinslice.physics.grid import SliceGrid

_PIXELS = 2**15  # acquired pixels in a batch: features of a layer stay in the cache

OnImages = Callable[[float, float], None]  # (images done, in all)


def add_view(
    out: np.ndarray,
    acquired: np.ndarray,
    *,
    grid: SliceGrid,
    model: Model,
    view: str,
    weight: float,
    pixel_mm: tuple[float, float],
    device: torch.device,
    on_progress: OnImages = lambda done, total: None,
) -> None:
    """Add a view's residuals, times `weight`, to `out` in place.

    Args:
        out: (n, y, x) float32; slices that are copies of acquired ones are left alone.
        acquired: (m, y, x) float32 HU.
        grid: of both.
        model: its networks give residuals in HU.
        view: "axial", "coronal" or "sagittal".
        weight: factor on the residuals.
        pixel_mm: (x, y) pixel spacing.
        device: where the model is.
        on_progress: called with images done and images in all.
    """
    with torch.inference_mode():
        if view == "axial":
            _add_axial(
                out, acquired, grid=grid, network=model.axial, weight=weight, device=device, on_progress=on_progress
            )
        else:
            axis = 1 if view == "coronal" else 2
            _add_inplane(
                out,
                acquired,
                grid=grid,
                network=model.inplane,
                weight=weight,
                axis=axis,
                pixel_mm=pixel_mm,
                device=device,
                on_progress=on_progress,
            )


def _new_rows(grid: SliceGrid) -> np.ndarray:
    """Indices of the output slices that have to be synthesised."""
    rows = np.arange(len(grid.output_mm))
    return np.setdiff1d(rows, grid.on_grid()[1]) if grid.copies else rows


def _rows(where: Unfolding, rows: np.ndarray) -> Unfolding:
    index = torch.from_numpy(rows)
    return Unfolding(where.interval[index], where.series[index])


def _add_inplane(
    out: np.ndarray,
    acquired: np.ndarray,
    *,
    grid: SliceGrid,
    network: InplaneNetwork,
    weight: float,
    axis: int,
    pixel_mm: tuple[float, float],
    device: torch.device,
    on_progress: OnImages,
) -> None:
    m, count, width = acquired.shape[0], acquired.shape[axis], acquired.shape[3 - axis]
    reach, step = network.config.neighbours, plane_step(grid, pixel_mm[2 - axis])
    rows = _new_rows(grid)
    where, told = _rows(unfolding(grid), rows).to(device), condition(grid).to(device)
    batch = max(1, _PIXELS // (m * width))
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        low, high = max(0, start - reach * step), min(count, stop + reach * step)
        block = acquired[:, low:high].transpose(1, 0, 2) if axis == 1 else acquired[:, :, low:high].transpose(2, 0, 1)
        images = torch.from_numpy(np.clip(block, *HU_RANGE))
        planes = with_neighbours(images, start - low, stop - low, reach=reach, step=step)
        residual = network(planes.to(device), where, told).mul_(weight).cpu().numpy()
        if axis == 1:
            out[rows, start:stop] += residual.transpose(1, 0, 2)
        else:
            out[rows, :, start:stop] += residual.transpose(1, 2, 0)
        on_progress(stop, count)


def _add_axial(
    out: np.ndarray,
    acquired: np.ndarray,
    *,
    grid: SliceGrid,
    network: AxialNetwork,
    weight: float,
    device: torch.device,
    on_progress: OnImages,
) -> None:
    m = acquired.shape[0]
    where, told, rows = unfolding(grid), condition(grid).to(device), _new_rows(grid)
    parts = list(_by_interval(where, rows))
    for done, (interval, mine) in enumerate(parts, 1):
        slices = torch.from_numpy(np.clip(acquired[around(interval, m)], *HU_RANGE))[None]
        series = where.series[torch.from_numpy(mine)].to(device)
        here = Unfolding(torch.zeros(len(mine), dtype=torch.int64, device=device), series)
        out[mine] += network(slices.to(device), here, told).mul_(weight).cpu().numpy()
        on_progress(done, len(parts))


def _by_interval(where: Unfolding, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(interval, output slices in it) for every interval that has some."""
    interval = where.interval.numpy()[rows]
    for value in np.unique(interval):
        yield int(value), rows[interval == value]
