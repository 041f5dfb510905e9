"""Where a phantom is drawn: a canvas of HU, and distances from shapes in millimetres.

A shape is a signed distance in mm, negative inside. A voxel takes the share of a shape that covers
it, which follows from the distance of its centre to first order: half of it where the surface runs
through the centre. So edges carry partial volume and no staircase.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np

Window = tuple[slice, slice, slice]
Point = tuple[float, float, float]

_FAR_MM = 1e4


@dataclass(frozen=True, eq=False)
class Space:
    """Millimetres at voxel centres, broadcastable; x to the patient's left, y backwards, z upwards.

    Attributes:
        x: (1, 1, nx).
        y: (1, ny, 1).
        z: (nz, 1, 1).
        voxel_mm: mean voxel size.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    voxel_mm: float

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Space:
        """A space whose origin is the middle of the grid; shape and spacing in the order (z, y, x)."""
        z, y, x = (
            ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32)
            for size, step in zip(shape, spacing_mm, strict=True)
        )
        return cls(x[None, None, :], y[None, :, None], z[:, None, None], float(np.cbrt(np.prod(spacing_mm))))

    def part(self, window: Window) -> Space:
        """The space of a window of the canvas."""
        return Space(self.x[:, :, window[2]], self.y[:, window[1]], self.z[window[0]], self.voxel_mm)

    def around(self, low: Point, high: Point) -> Window | None:
        """The window that holds the box from `low` to `high` (x, y, z) and a voxel more, or None if outside."""
        slices = []
        for axis, a, b in zip((self.z, self.y, self.x), low[::-1], high[::-1], strict=True):
            first, stop = np.searchsorted(axis.ravel(), (a - self.voxel_mm, b + self.voxel_mm))
            if first >= stop:
                return None
            slices.append(slice(int(first), int(stop)))
        return slices[0], slices[1], slices[2]


class Canvas:
    """HU painted shape by shape, later ones over earlier ones."""

    def __init__(self, space: Space, background_hu: float) -> None:
        self.space = space
        shape = (space.z.size, space.y.size, space.x.size)
        self.hu = np.full(shape, background_hu, dtype=np.float32)

    def paint(
        self, distance_mm: np.ndarray, hu: float | np.ndarray, *, window: Window | None = None, share: float = 1.0
    ) -> None:
        """Paint a shape given by its signed distance (broadcastable to the canvas or its window).

        Args:
            distance_mm: signed distance, negative inside.
            hu: its HU, one value or a field.
            window: part of the canvas that the distance belongs to.
            share: of the shape's material, under 1 for what is thinner than a voxel.
        """
        part = self.hu[window] if window is not None else self.hu
        part += share * coverage(distance_mm, self.space.voxel_mm) * (hu - part)

    def paint_tube(self, start: Point, end: Point, radius_mm: float, hu: float | np.ndarray) -> None:
        """Paint a tube with round ends (a sphere where they coincide); `hu` may be a field of the canvas."""
        low, high = np.minimum(start, end) - radius_mm, np.maximum(start, end) + radius_mm
        window = self.space.around(tuple(low), tuple(high))
        if window is None:
            return
        field = hu[window] if isinstance(hu, np.ndarray) else hu
        distance = capsule(self.space.part(window), start, end, radius_mm)
        self.paint(distance, field, window=window, share=_thin_share(radius_mm, self.space.voxel_mm))


def coverage(distance_mm: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Share of a voxel that a shape covers."""
    return np.clip(0.5 - distance_mm / voxel_mm, 0, 1)


def ellipsoid(space: Space, centre: Point, radii: Point, *, turn_z: float = 0.0, turn_y: float = 0.0) -> np.ndarray:
    """Distance from an ellipsoid, turned about z and then about y by angles in radians.

    Far from it, where nothing is painted, the distance is merely large.
    """
    distance = np.full((space.z.size, space.y.size, space.x.size), _FAR_MM, dtype=np.float32)
    reach = max(radii) + 2 * space.voxel_mm
    window = space.around(*((centre[0] + r, centre[1] + r, centre[2] + r) for r in (-reach, reach)))
    if window is None:
        return distance
    near = space.part(window)
    x, y, z = near.x - centre[0], near.y - centre[1], near.z - centre[2]
    x, y = cos(turn_z) * x + sin(turn_z) * y, cos(turn_z) * y - sin(turn_z) * x
    x, z = cos(turn_y) * x + sin(turn_y) * z, cos(turn_y) * z - sin(turn_y) * x
    x, y, z = x / radii[0], y / radii[1], z / radii[2]
    norm = np.sqrt(x * x + y * y + z * z)
    x, y, z = x / radii[0], y / radii[1], z / radii[2]
    slope = np.sqrt(x * x + y * y + z * z)
    distance[window] = norm * (norm - 1) / np.maximum(slope, 1e-6)
    return distance


def superellipse(
    x: np.ndarray, y: np.ndarray, a: float | np.ndarray, b: float | np.ndarray, *, power: float
) -> np.ndarray:
    """Distance from |x/a|^p + |y/b|^p = 1: an ellipse at power 2, boxier above."""
    u, v = np.abs(x) / a, np.abs(y) / b
    norm = np.maximum((u**power + v**power) ** (1 / power), 1e-3)
    slope = norm ** (1 - power) * np.sqrt(np.square(u ** (power - 1) / a) + np.square(v ** (power - 1) / b))
    return (norm - 1) / np.maximum(slope, 1e-6)


def capsule(space: Space, start: Point, end: Point, radius: float) -> np.ndarray:
    """Distance from a tube with round ends."""
    axis = np.subtract(end, start)
    length = float(axis @ axis)
    x, y, z = space.x - start[0], space.y - start[1], space.z - start[2]
    along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / max(length, 1e-9), 0, 1)
    return (
        np.sqrt(np.square(x - along * axis[0]) + np.square(y - along * axis[1]) + np.square(z - along * axis[2]))
        - radius
    )


def _thin_share(radius: float, voxel: float) -> float:
    """What keeps the cross-section of a tube thinner than a voxel at pi r^2.

    `coverage` draws it as a cone of height 1/2 + r/h on a disc of radius r + h/2.
    """
    if radius >= voxel / 2:
        return 1.0
    return radius**2 * 3 * voxel / (radius + voxel / 2) ** 3
