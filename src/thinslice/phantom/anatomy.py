"""Anatomy of the phantom: chest and upper abdomen, in the millimetres of a grown patient.

The origin lies in the middle of the body at the height of the right diaphragm's dome; x to the
patient's left, y backwards, z upwards. Shapes are painted from outside to inside. Blood is
enhanced by contrast medium, as in most chest-abdomen scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinslice.phantom.space import Canvas, Point, Space, ellipsoid, superellipse

BLOOD_HU = 165.0
VERTEBRA_MM = 25.0  # from one vertebra, and one rib, to the next


@dataclass(frozen=True, eq=False)
class Tissue:
    """Random fields of unit variance that tissues take their texture from, (z, y, x).

    Attributes:
        coarse: a few mm, as in fat, muscle and organs.
        fine: about 1 mm, as in trabecular bone and lung.
    """

    coarse: np.ndarray
    fine: np.ndarray


def paint_body(canvas: Canvas, tissue: Tissue) -> None:
    """Table, skin, fat, muscle and the cavity within."""
    space = canvas.space
    _paint_table(canvas)
    skin = _wall(space, 0)
    canvas.paint(skin, 20.0)
    canvas.paint(skin + 2.2, -104 + 5 * tissue.coarse)
    muscle = np.maximum(_wall(space, 17), skin + 8)
    canvas.paint(muscle, 52 + 7 * tissue.coarse + 9 * tissue.fine)
    # Sheets of fat between muscles.
    sheets = np.abs(_wall(space, 24) + 2.5 * tissue.coarse) - 0.9
    canvas.paint(np.maximum(sheets, muscle + 2), -70.0)
    canvas.paint(thorax(space) - 3, 48 + 5 * tissue.coarse)
    canvas.paint(thorax(space), -98 + 6 * tissue.coarse)


def _paint_table(canvas: Canvas) -> None:
    space = canvas.space
    sag = space.y - 124 + np.square(space.x / 48)
    inside = np.abs(space.x) - 150
    canvas.paint(np.maximum(np.abs(sag - 9) - 10, inside) + 0 * space.z, -920.0)
    canvas.paint(np.maximum(np.abs(sag) - 1.2, inside) + 0 * space.z, -350.0)
    canvas.paint(np.maximum(np.abs(sag - 18) - 1.2, inside) + 0 * space.z, -350.0)


def _wall(space: Space, depth: float) -> np.ndarray:
    """The body's outline, `depth` mm below the skin; the chest is a little narrower than the belly."""
    wide = 157 - depth - 0.06 * space.z
    deep = 108 - 0.75 * depth + 0.03 * space.z
    return superellipse(space.x, space.y + 0 * space.z, wide, deep, power=2.4)


def thorax(space: Space) -> np.ndarray:
    """Inside of the rib cage and of the belly's wall."""
    return superellipse(space.x, space.y + 0 * space.z, 122 - 0.08 * space.z, 76.0, power=2.3)


def diaphragm(space: Space) -> np.ndarray:
    """Distance below the diaphragm (positive above it): two domes, the right one higher."""
    right = 14 - 44 * (np.square((space.x + 62) / 62) + np.square((space.y + 4) / 62))
    left = 2 - 44 * (np.square((space.x - 66) / 58) + np.square((space.y + 4) / 62))
    height = np.logaddexp(right / 6, left / 6) * 6
    steep = np.sqrt(1 + np.square((height - 14) / 45))  # a dome is steeper farther down
    return (space.z - height) / steep


def lung(space: Space, side: int) -> np.ndarray:
    """One lung (side -1: the patient's right, 1: left), before heart and spine take their room."""
    middle = 27 + 5 * np.sin(space.z / 25) - 16 * np.clip(-space.y / 70, -0.6, 1)
    medial = 0.93 * (middle - side * space.x)
    return np.maximum(np.maximum(thorax(space) + 2, medial), 2.0 - diaphragm(space))


def liver(space: Space) -> np.ndarray:
    """The liver, under the right dome and over to the left."""
    bulk = ellipsoid(space, (-50, -2, -40), (108, 84, 78), turn_y=-0.25)
    hilum = ellipsoid(space, (12, 42, -75), (62, 52, 55))
    return np.maximum(np.maximum(bulk, thorax(space) + 3), np.maximum(diaphragm(space) + 2, -hilum))


def paint_lungs(canvas: Canvas, tissue: Tissue) -> None:
    """Parenchyma: denser at the back, where the patient lies; with fissures."""
    space = canvas.space
    texture = -865 + 0.35 * space.y + 14 * tissue.coarse + 26 * tissue.fine
    for side in (-1, 1):
        distance = lung(space, side)
        canvas.paint(distance, texture)
        fissure = np.abs(space.z - 45 - 0.9 * space.y + 0.15 * side * space.x + 3 * np.sin(space.x / 17)) / 1.4 - 0.35
        canvas.paint(np.maximum(fissure, distance + 1), -660.0)


def paint_belly(canvas: Canvas, tissue: Tissue) -> None:
    """Diaphragm, liver, spleen, stomach with its gas, kidneys, bowel."""
    space = canvas.space
    below = diaphragm(space)
    inside = thorax(space)
    canvas.paint(np.maximum(np.abs(below + 1) - 1.6, inside), 55.0)
    canvas.paint(liver(space), 108 + 5 * tissue.coarse + 4 * tissue.fine)
    under = np.maximum(below + 3, inside + 3)
    spleen = np.maximum(ellipsoid(space, (92, 30, -38), (27, 44, 46), turn_z=-0.4), under)
    canvas.paint(spleen, 122 + 5 * tissue.coarse)
    stomach = np.maximum(
        ellipsoid(space, (52, -18, -42), (44, 45, 52), turn_z=0.4, turn_y=0.4), np.maximum(under, -liver(space) + 2)
    )
    canvas.paint(stomach, 72.0)
    canvas.paint(stomach + 4, 18 + 9 * tissue.coarse)
    canvas.paint(np.maximum(stomach + 4, space.y + 34), -970.0)
    for side in (-1, 1):
        kidney = ellipsoid(space, (58 * side, 42, -102), (25, 24, 48), turn_y=0.25 * side)
        canvas.paint(np.maximum(kidney, inside + 5), 185.0)
        canvas.paint(ellipsoid(space, (53 * side, 40, -102), (12, 12, 30), turn_y=0.25 * side), -60.0)
    _paint_bowel(canvas, tissue)


def _paint_bowel(canvas: Canvas, tissue: Tissue) -> None:
    loops: list[tuple[Point, Point, float, float]] = [
        ((-70, -48, -112), (-20, -58, -100), 14, -880),
        ((-20, -58, -100), (45, -52, -108), 13, 30),
        ((88, -20, -118), (92, -12, -86), 13, -850),
        ((20, -10, -118), (60, -5, -112), 12, 25),
        ((-15, -15, -120), (10, -25, -104), 12, 40),
    ]
    for start, end, radius, content in loops:
        canvas.paint_tube(start, end, radius, 60.0)
        filled = content + (25 if content > 0 else 60) * tissue.fine
        canvas.paint_tube(start, end, radius - 3, filled)


def paint_heart(canvas: Canvas, tissue: Tissue) -> None:
    """Heart with its chambers, great vessels, windpipe, gullet."""
    space = canvas.space
    muscle = 100 + 5 * tissue.coarse
    above = -diaphragm(space) + 1
    sac = np.maximum(
        ellipsoid(space, (20, -24, 12), (62, 46, 48), turn_z=0.5, turn_y=0.35), np.maximum(above, thorax(space) + 4)
    )
    canvas.paint(sac, 30.0)
    canvas.paint(sac + 1.5, -85 + 6 * tissue.coarse)
    canvas.paint(np.maximum(ellipsoid(space, (24, -22, 10), (54, 38, 40), turn_z=0.5, turn_y=0.35), sac + 3), muscle)
    chambers: list[tuple[Point, Point]] = [
        ((38, -22, 3), (30, 16, 17)),  # left ventricle
        ((6, -40, 6), (27, 12, 20)),  # right ventricle
        ((-22, -22, 18), (18, 21, 24)),  # right atrium
        ((12, 8, 27), (30, 15, 18)),  # left atrium
    ]
    for centre, radii in chambers:
        chamber = ellipsoid(space, centre, radii, turn_z=0.5, turn_y=0.35)
        canvas.paint(np.maximum(chamber, sac + 5), BLOOD_HU + 6 * tissue.coarse)
    _paint_tubes(canvas)


def _paint_tubes(canvas: Canvas) -> None:
    """(start, end, radius of the wall, wall HU, radius of the lumen, lumen HU)."""
    soft, air = 45.0, -985.0
    tubes: list[tuple[Point, Point, float, float, float, float]] = [
        ((16, 34, -200), (18, 38, 78), 12.5, 60, 11, BLOOD_HU + 15),  # descending aorta
        ((18, 38, 78), (-12, -14, 88), 13, 60, 11.5, BLOOD_HU + 15),  # its arch
        ((-12, -14, 88), (2, -16, 36), 14.5, 60, 13, BLOOD_HU + 15),  # ascending aorta
        ((-22, 20, -200), (-20, 0, 22), 12, 70, 11, 125),  # inferior vena cava
        ((-28, -14, 30), (-26, -12, 200), 9.5, 60, 8.5, 230),  # superior vena cava
        ((14, -28, 38), (14, -4, 60), 13, 70, 12, BLOOD_HU),  # pulmonary trunk and arteries
        ((14, -4, 60), (-36, 8, 48), 9.5, 60, 8.5, BLOOD_HU),
        ((14, -4, 60), (40, 12, 54), 9.5, 60, 8.5, BLOOD_HU),
        ((2, 29, -30), (4, 28, 200), 7, soft, 2.2, -300),  # gullet
        ((0, 10, 66), (0, 8, 200), 10, 40, 8.2, air),  # windpipe and main bronchi
        ((0, 10, 66), (-34, 14, 44), 7.6, 40, 6, air),
        ((0, 10, 66), (40, 16, 44), 7.2, 40, 5.6, air),
    ]
    for outer in (True, False):
        for start, end, wall, wall_hu, lumen, lumen_hu in tubes:
            radius, hu = (wall, wall_hu) if outer else (lumen, lumen_hu)
            canvas.paint_tube(start, end, radius, hu)


def paint_bones(canvas: Canvas, tissue: Tissue) -> None:
    """Spine, ribs and breastbone: a dense shell around trabecular bone."""
    space = canvas.space
    spongy = 190 + 75 * tissue.fine + 15 * tissue.coarse
    _paint_spine(canvas, spongy)
    ring = superellipse(space.x, space.y + 0 * space.z, 129 - 0.08 * space.z, 82.0, power=2.3)
    angle = np.abs(np.arctan2(space.x / 129, space.y / 82))  # 0 at the spine, pi at the breastbone
    drop = 30 * (1 - np.cos(angle))
    height = (space.z + drop) / VERTEBRA_MM
    off = (height - np.rint(height)) * VERTEBRA_MM * 0.95
    span = np.maximum(0.18 - angle, angle - 2.72) * 100
    for radial, tall, hu in (
        (4.0, 6.8, np.where(angle < 2.3, 720.0, 140.0)),
        (2.4, 5.0, np.where(angle < 2.3, spongy, 115.0)),
    ):
        distance = superellipse(ring, off, radial, tall, power=2.2)
        canvas.paint(np.maximum(distance, span), hu)
    sternum = superellipse(space.x + 0 * space.z, space.y + 84, 17.0, 5.5, power=3) + np.maximum(0, -20 - space.z)
    canvas.paint(sternum, 480.0)
    canvas.paint(sternum + 1.8, spongy)


def _paint_spine(canvas: Canvas, spongy: np.ndarray) -> None:
    space = canvas.space
    level = space.z / VERTEBRA_MM + 0.3
    off = np.abs(level - np.rint(level)) * VERTEBRA_MM  # from the middle of a vertebra
    waist = 17 + 1.8 * np.square(off / 10)
    column = superellipse(space.x, space.y - 54, waist, waist - 2.5, power=2.2)
    body = np.maximum(column, off - 10.2)
    canvas.paint(column + 1, 85.0 + 0 * space.z)
    arch = np.maximum(superellipse(space.x + 0 * space.z, space.y - 74, 15.0, 12.0, power=2.2), off - 8)
    process = superellipse(space.x + 0 * space.z, off + 0 * space.x, 3.2, 7.0, power=2.2)
    process = np.maximum(process, np.abs(space.y - 88) - 11)
    across = superellipse(space.y - 73 + 0.12 * np.abs(space.x), off - 1, 4.5, 5.0, power=2.2)
    across = np.maximum(across, np.abs(space.x) - 33)
    for shape, shell in ((body, 1.3), (arch, 2.2), (process, 1.4), (across, 1.6)):
        canvas.paint(shape, 640.0)
        canvas.paint(shape + shell, spongy)
    canvas.paint(superellipse(space.x + 0 * space.z, space.y - 76, 9.5, 7.5, power=2.0), 18.0)
    canvas.paint(superellipse(space.x + 0 * space.z, space.y - 76, 4.6, 3.6, power=2.0), 38.0)
