"""Planes from a first synthesis of parts of the scan: the neighbours that an acquired slice lacks.

A whole scan would cost more than it is worth, so blocks of it are taken, spread over its length and
placed where the body is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from thinslice.conventions import HU_RANGE
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
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
        acquisition: its slices, within the networks' range, on a grid of their own with the scan's spacings.
        labels: (k,) bool, False for slices set aside.
    """

    acquisition: Acquisition
    labels: np.ndarray


def choose_blocks(acquisition: Acquisition, labels: np.ndarray) -> list[Block]:
    """At most `_BLOCKS` blocks that reach from end to end, or nearly so, each centred on the body in x and y.

    Args:
        acquisition: the scan; blocks are of its evenly spaced run.
        labels: (m,) bool, False for slices set aside.
    """
    even = acquisition.grid.even_run()
    acquired, labels = acquisition.hu[even], labels[even]
    count = min(_BLOCKS, -(-len(acquired) // _SLICES))
    starts = np.linspace(0, max(0, len(acquired) - _SLICES), count).astype(int)
    blocks = []
    for start in starts:
        part = acquired[start : start + _SLICES]
        body = part[len(part) // 2] > -500
        window = tuple(_centred(body.any(axis=1 - axis), part.shape[axis + 1]) for axis in (0, 1))
        cut = np.clip(part[(slice(None), *window)], *HU_RANGE)
        regular = acquisition.grid.scale.grid(len(cut), acquisition.grid.output_spacing_mm)
        own = acquisition.within(np.ascontiguousarray(cut, np.float32), regular)
        blocks.append(Block(own, labels[start : start + _SLICES]))
    return blocks


def _centred(occupied: np.ndarray, length: int) -> slice:
    where = np.flatnonzero(occupied)
    middle = int(where.mean()) if len(where) else length // 2
    start = int(np.clip(middle - _SIDE // 2, 0, max(0, length - _SIDE)))
    return slice(start, start + _SIDE)


def synthesise(acquisition: Acquisition, *, model: Model, view: str) -> np.ndarray:
    """A block as one view gives it, consistent with its acquired slices: (n, y, x) HU."""
    out = np.tensordot(base_matrix(acquisition.grid).astype(np.float32), acquisition.hu, 1)
    add_view(out, acquisition, model=model, view=view, weight=1.0)
    finish(out, acquisition)
    return out


def contexts(blocks: list[Block], *, model: Model, noise: bool = False) -> Iterator[Context]:
    """Planes of each block with their neighbours on either side, from what either view synthesises.

    Where slices are no thicker than output slices (`SliceGrid.copies`) the planes are the labelled slices as
    acquired; with `noise` their neighbours are as noisy, and blocks that have too little tissue to know it from
    are left out. A slice thicker than an output slice is no plane among thin neighbours: there the planes are
    synthesised as well, where labelled slices are the nearest.

    Args:
        blocks: parts of the scan.
        model: its coronal and sagittal network synthesises.
        noise: whether neighbours of acquired planes carry noise.

    Yields:
        For each block its planes in HU, (planes, 2 neighbours + 1, y, x) from either view.
    """
    reach = model.inplane.config.neighbours
    for number, block in enumerate(blocks):
        acquisition, grid, steps = block.acquisition, block.acquisition.grid, plane_steps(block.acquisition)
        planes = []
        for view, pixel in zip(("sagittal", "coronal"), acquisition.pixel_mm, strict=True):
            thin = synthesise(acquisition, model=model, view=view)
            if noise and grid.copies and add_texture(thin, acquisition, seed=number) == "unknown":
                break
            offsets = np.arange(-reach, reach + 1) * steps[view] * pixel
            places = grid.acquired_mm[block.labels] if grid.copies else _thin_places(grid, block.labels)
            # The nearest output slices: a mean of two would be less noisy than either.
            nearest = np.rint((places[:, None] + offsets - grid.output_mm[0]) / grid.output_spacing_mm).astype(int)
            stack = thin[np.clip(nearest, 0, len(thin) - 1)]
            if grid.copies:
                stack[:, reach] = acquisition.hu[block.labels]
            planes.append(stack)
        if len(planes) == 2:
            yield Context(along_x=planes[0], along_y=planes[1])


def _thin_places(grid: SliceGrid, labels: np.ndarray) -> np.ndarray:
    """Places of output slices with no slice set aside on either side, two for each acquired one."""
    every = grid.output_mm[:: max(1, round(grid.factor / 2))]
    last = len(labels) - 1
    above = np.clip(np.searchsorted(grid.acquired_mm, every - 1e-6), 0, last)
    below = np.clip(np.searchsorted(grid.acquired_mm, every + 1e-6) - 1, 0, last)
    return every[labels[above] & labels[below]]
