"""A first synthesis of parts of the scan, for what learns from synthesised planes.

A whole scan would cost more than it teaches, so blocks of it are taken, spread over its length and
placed where the body is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from thinslice.conventions import HU_RANGE
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_step
from thinslice.networks.task import base_matrix
from thinslice.physics.grid import SliceGrid, plan_grid
from thinslice.synthesis.consistency import finish
from thinslice.synthesis.texture import add_texture
from thinslice.synthesis.views import add_view

_SLICES, _SIDE = 32, 256  # largest block
_BLOCKS = 2


@dataclass(frozen=True)
class Context:
    """Acquired slices of a block of the scan with synthesised planes on either side.

    Attributes:
        along_x: (k, planes, y, x) for patches whose z is x, from the sagittal view.
        along_y: (k, planes, y, x) for patches whose z is y, from the coronal view.
    """

    along_x: np.ndarray
    along_y: np.ndarray


@dataclass(frozen=True)
class Block:
    """A part of the scan.

    Attributes:
        acquired: (k, y, x) float32 HU within the networks' range.
        labels: (k,) bool, False for slices set aside.
    """

    acquired: np.ndarray
    labels: np.ndarray


def choose_blocks(acquired: np.ndarray, labels: np.ndarray) -> list[Block]:
    """At most `_BLOCKS` blocks that reach from end to end, or nearly so, each centred on the body in x and y."""
    count = min(_BLOCKS, -(-len(acquired) // _SLICES))
    starts = np.linspace(0, max(0, len(acquired) - _SLICES), count).astype(int)
    blocks = []
    for start in starts:
        part = acquired[start : start + _SLICES]
        body = part[len(part) // 2] > -500
        window = tuple(_centred(body.any(axis=1 - axis), part.shape[axis + 1]) for axis in (0, 1))
        cut = np.clip(part[(slice(None), *window)], *HU_RANGE)
        blocks.append(Block(np.ascontiguousarray(cut, np.float32), labels[start : start + _SLICES]))
    return blocks


def _centred(occupied: np.ndarray, length: int) -> slice:
    where = np.flatnonzero(occupied)
    middle = int(where.mean()) if len(where) else length // 2
    start = int(np.clip(middle - _SIDE // 2, 0, max(0, length - _SIDE)))
    return slice(start, start + _SIDE)


def synthesise(
    block: Block, grid: SliceGrid, *, model: Model, view: str, pixel_mm: tuple[float, float], device: torch.device
) -> tuple[np.ndarray, SliceGrid]:
    """A block as one view gives it, consistent with its acquired slices: (n, y, x) and its grid."""
    own = plan_grid(
        len(block.acquired),
        grid.spacing_mm,
        grid.output_spacing_mm,
        thickness_mm=grid.thickness_mm,
        profile=grid.profile,
    )
    base = base_matrix(own).astype(np.float32)
    out = np.tensordot(base, block.acquired, 1)
    add_view(out, block.acquired, grid=own, model=model, view=view, weight=1.0, pixel_mm=pixel_mm, device=device)
    finish(out, block.acquired, grid=own)
    return out, own


def contexts(
    blocks: list[Block],
    grid: SliceGrid,
    *,
    model: Model,
    pixel_mm: tuple[float, float],
    device: torch.device,
    noise: bool = False,
) -> Iterator[Context]:
    """Planes of each block with their neighbours on either side, from what either view synthesises.

    Where slices are no thicker than output slices (`SliceGrid.copies`) the planes are the labelled slices as
    acquired; with `noise` their neighbours are as noisy, and blocks that have too little tissue to know it from
    are left out. A slice thicker than an output slice is no plane among thin neighbours: there the planes are
    synthesised as well, where labelled slices are the nearest.

    Args:
        blocks: parts of the scan, (k, y, x) HU each.
        grid: of the whole scan; blocks repeat its spacings, thickness and profile.
        model: its coronal and sagittal network synthesises.
        pixel_mm: (x, y) pixel spacing.
        device: where the model is.
        noise: whether neighbours of acquired planes carry noise.

    Yields:
        For each block its planes in HU, (planes, 2 neighbours + 1, y, x) from either view.
    """
    reach = model.inplane.config.neighbours
    for number, block in enumerate(blocks):
        planes = []
        for view, pixel in (("sagittal", pixel_mm[0]), ("coronal", pixel_mm[1])):
            thin, own = synthesise(block, grid, model=model, view=view, pixel_mm=pixel_mm, device=device)
            if noise and own.copies and add_texture(thin, block.acquired, grid=own, seed=number) == "unknown":
                break
            offsets = np.arange(-reach, reach + 1) * plane_step(grid, pixel) * pixel
            places = own.acquired_mm[block.labels] if own.copies else _thin_places(own, block.labels)
            # The nearest output slices: a mean of two would be less noisy than either.
            rows = np.rint((places[:, None] + offsets - own.output_mm[0]) / own.output_spacing_mm).astype(int)
            stack = thin[np.clip(rows, 0, len(thin) - 1)]
            if own.copies:
                stack[:, reach] = block.acquired[block.labels]
            planes.append(stack)
        if len(planes) == 2:
            yield Context(along_x=planes[0], along_y=planes[1])


def _thin_places(grid: SliceGrid, labels: np.ndarray) -> np.ndarray:
    """Where output slices lie that see no slice set aside on either side, two for each acquired one."""
    every = grid.output_mm[:: max(1, round(grid.factor / 2))]
    last = len(labels) - 1
    above = np.clip(np.searchsorted(grid.acquired_mm, every - 1e-6), 0, last)
    below = np.clip(np.searchsorted(grid.acquired_mm, every + 1e-6) - 1, 0, last)
    return every[labels[above] & labels[below]]
