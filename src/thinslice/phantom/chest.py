"""The digital chest-abdomen phantom: a scan whose truth is known and of no patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from thinslice.errors import UsageError
from thinslice.phantom import anatomy
from thinslice.phantom.space import Canvas, Space, coverage
from thinslice.phantom.targets import grid_affine
from thinslice.phantom.texture import grain, scanner_noise
from thinslice.phantom.tree import draw, grow
from thinslice.volume import Origin, Volume

_ADULT_WIDTH_MM = 340.0  # field of view that anatomy.py is drawn for
_NODULE_DIAMETERS_MM = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
_NODULE_HU = 35.0
_LESION_DIAMETER_MM = 12.0
_LESION_HU = 58.0


@dataclass(frozen=True)
class Structure:
    """A sphere at a known place.

    Attributes:
        name: "nodule" or "lesion".
        centre: voxel (z, y, x), with fractions.
        diameter_mm: its diameter.
        hu: of its material.
    """

    name: str
    centre: tuple[float, float, float]
    diameter_mm: float
    hu: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A phantom and what is known about it.

    Attributes:
        volume: the scan.
        structures: lung nodules and a liver lesion.
    """

    volume: Volume
    structures: tuple[Structure, ...]


def make_phantom(
    *,
    shape: tuple[int, int, int] = (128, 192, 192),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    nodules: bool = True,
    noise_hu: float = 18.0,
) -> Phantom:
    """Draw a chest and upper abdomen that fills the width of the grid.

    The body is scaled to the grid's width; nodules, textures, vessels' finest branches and noise
    keep their size in mm. Same arguments, same voxels.

    Args:
        shape: slices, rows, columns.
        spacing_mm: of slices, rows, columns.
        seed: of vessels, nodules, textures and noise.
        nodules: with lung nodules of 3 to 8 mm and a liver lesion, or without.
        noise_hu: standard deviation of the noise in the middle of the body; 0 for none.

    Raises:
        UsageError: USE-PHANTOM where a size or spacing is not positive.
    """
    if min(shape) < 1 or min(spacing_mm) <= 0 or noise_hu < 0:
        raise UsageError(
            "USE-PHANTOM", f"a phantom needs sizes, spacings > 0 and noise >= 0, found {shape}, {spacing_mm} mm"
        )
    generator = np.random.default_rng(seed)
    scale = shape[2] * spacing_mm[2] / _ADULT_WIDTH_MM
    space = Space.centred(shape, tuple(step / scale for step in spacing_mm))  # type: ignore[arg-type]
    canvas = Canvas(space, -1000.0)
    tissue = anatomy.Tissue(
        coarse=grain(shape, _voxels(3.5, spacing_mm), generator), fine=grain(shape, _voxels(0.8, spacing_mm), generator)
    )
    anatomy.paint_body(canvas, tissue)
    anatomy.paint_lungs(canvas, tissue)
    anatomy.paint_belly(canvas, tissue)
    _paint_vessels(canvas, generator)
    anatomy.paint_heart(canvas, tissue)
    anatomy.paint_bones(canvas, tissue)
    structures = _paint_structures(canvas, generator, spacing_mm, scale) if nodules else ()
    hu = _scan(canvas.hu, spacing_mm, generator, noise_hu)
    origin = Origin(kind="phantom", facts={"seed": seed, "noise_hu": noise_hu})
    affine = grid_affine(shape, spacing_mm)
    return Phantom(Volume(hu, affine, thickness=float(spacing_mm[0]), origin=origin), structures)


def _paint_vessels(canvas: Canvas, generator: np.random.Generator) -> None:
    """Arteries, veins and airways of both lungs, and the vessels of the liver."""
    space = canvas.space
    for side in (-1, 1):
        inside = anatomy.lung(space, side)
        for hilum, radius in (((34.0 * side, 10.0, 50.0), 6.5), ((30.0 * side, 4.0, 34.0), 6.0)):
            draw(canvas, grow(_spread(inside, space, 560, generator), hilum, generator, radius_mm=radius), 60.0)
        airways = grow(_spread(inside, space, 16, generator), (36.0 * side, 15.0, 44.0), generator, radius_mm=4.5)
        draw(canvas, airways, -985.0, wall_mm=0.9, wall_hu=-150.0)
    liver = anatomy.liver(space)
    for root, radius in (((-14.0, 20.0, -62.0), 6.5), ((-20.0, 16.0, -2.0), 6.0)):
        draw(canvas, grow(_spread(liver, space, 110, generator), root, generator, radius_mm=radius), 158.0)


def _spread(distance: np.ndarray, space: Space, count: int, generator: np.random.Generator) -> np.ndarray:
    """Points (n, 3), (x, y, z) in mm, spread at random over the inside of a shape, 3 mm off its surface."""
    inside = np.flatnonzero(distance < -3)
    if len(inside) == 0:
        return np.empty((0, 3))
    chosen = inside[generator.integers(len(inside), size=count)]
    z, y, x = np.unravel_index(chosen, distance.shape)
    points = np.stack([space.x.ravel()[x], space.y.ravel()[y], space.z.ravel()[z]], axis=1).astype(float)
    return points + generator.uniform(-0.5, 0.5, points.shape) * space.voxel_mm


def _paint_structures(
    canvas: Canvas, generator: np.random.Generator, spacing_mm: tuple[float, float, float], scale: float
) -> tuple[Structure, ...]:
    """Nodules where lung leaves room for them, and one lesion in the liver."""
    space = canvas.space
    lungs = np.minimum(anatomy.lung(space, -1), anatomy.lung(space, 1))
    lungs = np.where(ndimage.uniform_filter(canvas.hu, 5) < -700, lungs, 1.0)  # not in heart, spine or large vessels
    wanted = [("nodule", diameter, _NODULE_HU, lungs) for diameter in _NODULE_DIAMETERS_MM]
    wanted.append(("lesion", _LESION_DIAMETER_MM, _LESION_HU, anatomy.liver(space)))
    found: list[Structure] = []
    for name, diameter, hu, region in wanted:
        centre = _place(region, diameter / 2 / scale + 2, space, found, spacing_mm, diameter, generator)
        if centre is None:
            continue
        x, y, z = centre
        canvas.paint_tube(centre, centre, diameter / 2 / scale, hu)
        voxel = tuple(
            float((value - axis.ravel()[0]) * scale / step)
            for value, axis, step in zip((z, y, x), (space.z, space.y, space.x), spacing_mm, strict=True)
        )
        found.append(Structure(name, voxel, diameter, hu))  # type: ignore[arg-type]
    return tuple(found)


def _place(
    region: np.ndarray,
    clearance: float,
    space: Space,
    others: list[Structure],
    spacing_mm: tuple[float, float, float],
    diameter: float,
    generator: np.random.Generator,
) -> tuple[float, float, float] | None:
    """A place (x, y, z) inside a region, clear of its surface and of other structures; None where there is none."""
    room = np.flatnonzero(region < -clearance)
    for _ in range(200 if len(room) else 0):
        z, y, x = np.unravel_index(room[generator.integers(len(room))], region.shape)
        near = [
            np.linalg.norm((np.array([z, y, x]) - other.centre) * spacing_mm) - (diameter + other.diameter_mm) / 2
            for other in others
        ]
        if min(near, default=np.inf) > 6:
            return float(space.x.ravel()[x]), float(space.y.ravel()[y]), float(space.z.ravel()[z])
    return None


def _scan(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], generator: np.random.Generator, noise_hu: float
) -> np.ndarray:
    """What a scanner makes of it: the kernel's blur in plane, and noise, strongest deep in the body."""
    blurred = ndimage.gaussian_filter(hu, (0, *_voxels(0.45, spacing_mm)[1:]))
    if noise_hu:
        dense = coverage(-(blurred + 700), 400.0)
        depth = ndimage.gaussian_filter(dense, (0, *_voxels(22.0, spacing_mm)[1:]), truncate=2.5)
        noise = scanner_noise(hu.shape, spacing_mm[1:], generator)
        blurred = blurred + noise_hu * (0.35 + 0.75 * depth) * noise
    return np.clip(blurred, -1024, 3071)


def _voxels(mm: float, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    return mm / spacing_mm[0], mm / spacing_mm[1], mm / spacing_mm[2]
