"""Branching vessels: trees that fill a region, drawn as tubes.

A tree grows towards points spread over its region: the points are split in two about their middle,
a branch goes part of the way to each half, and so on until one point is left (the volume-filling
idea of Tawhai et al. 2000). Radii follow Murray's law: the cube of a radius goes with the number
of points that a branch feeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from thinslice.phantom.space import Canvas, Point

Branch = tuple[Point, Point, float]

_REACH = 0.42  # share of the way to the middle of its points that a branch goes


def grow(points: np.ndarray, root: Point, generator: np.random.Generator, *, radius_mm: float) -> Iterator[Branch]:
    """Yield the branches (start, end, radius in mm) of a tree from `root` to `points` (n, 3), thick ones first."""
    total = len(points)
    open_ends = [(points, np.asarray(root, dtype=float))]
    while open_ends:
        fed, start = open_ends.pop(0)
        middle = fed.mean(axis=0)
        radius = radius_mm * (len(fed) / total) ** (1 / 3)
        if len(fed) == 1:
            yield _point(start), _point(middle), radius
            continue
        step = _REACH * (middle - start)
        end = start + step + generator.normal(0, 0.08 * np.linalg.norm(step), 3)
        yield _point(start), _point(end), radius
        direction = np.linalg.svd(fed - middle, full_matrices=False)[2][0] + generator.normal(0, 0.25, 3)
        order = np.argsort((fed - middle) @ direction)
        split = int(np.clip(round(len(fed) * generator.uniform(0.3, 0.7)), 1, len(fed) - 1))
        open_ends.append((fed[order[:split]], end))
        open_ends.append((fed[order[split:]], end))


def draw(canvas: Canvas, branches: Iterable[Branch], hu: float, *, wall_mm: float = 0.0, wall_hu: float = 0.0) -> None:
    """Draw branches as tubes of one HU, in a wall where one is asked for."""
    drawn = list(branches)
    if wall_mm:
        for start, end, radius in drawn:
            canvas.paint_tube(start, end, radius + wall_mm, wall_hu)
    for start, end, radius in drawn:
        canvas.paint_tube(start, end, radius, hu)


def _point(place: np.ndarray) -> Point:
    return float(place[0]), float(place[1]), float(place[2])
