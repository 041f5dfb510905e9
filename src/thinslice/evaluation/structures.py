"""Size and overlap of structures whose truth is known: the phantom's nodules and its lesion.

A structure is cut out as a reader's tool does it: voxels beyond half of its contrast, joined to its
middle, within one and a half radii. Contrast is that of its material against what surrounds it in the
truth, and HU are smoothed by a sixteenth of the diameter first, so that noise does not fray a faint one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from rich.table import Table as RichTable
from rich.text import Text
from scipy import ndimage

from thinslice.evaluation.table import format_score
from thinslice.phantom import Structure


@dataclass(frozen=True)
class StructureRow:
    """One structure in one result.

    Attributes:
        method: name of the result; "truth" for what the measurement itself is off by.
        structure: "nodule" or "lesion".
        diameter_mm: true diameter.
        volume_error: measured volume over that of the sphere, less 1, in percent; -100 where it is lost.
        diameter_error_mm: width at half contrast along the slice axis through its middle, less the diameter.
        dice: overlap with the sphere.
    """

    method: str
    structure: str
    diameter_mm: float
    volume_error: float
    diameter_error_mm: float
    dice: float

    def as_dict(self) -> dict[str, Any]:
        """The row, ready for CSV and JSON."""
        return asdict(self)


def measure_structures(
    structures: Sequence[Structure], results: Mapping[str, np.ndarray], truth: np.ndarray, voxel_mm: Sequence[float]
) -> list[StructureRow]:
    """Rows of every structure that lies in the volume, for the truth and every result.

    Args:
        structures: with centres in voxels of the truth.
        results: (z, y, x) HU by method, on the truth's grid.
        truth: (z, y, x) HU.
        voxel_mm: voxel size in the order (z, y, x).
    """
    inside = [s for s in structures if all(0 <= c <= n - 1 for c, n in zip(s.centre, truth.shape, strict=True))]
    return [
        _measure(structure, hu, truth, np.asarray(voxel_mm, float), method=method)
        for method, hu in {**results, "truth": truth}.items()
        for structure in inside
    ]


def _measure(s: Structure, hu: np.ndarray, truth: np.ndarray, voxel_mm: np.ndarray, *, method: str) -> StructureRow:
    radius = s.diameter_mm / 2
    reach = np.ceil((radius + 6) / voxel_mm).astype(int)
    low = np.maximum(np.rint(s.centre).astype(int) - reach, 0)
    window = tuple(slice(a, a + 2 * r + 1) for a, r in zip(low, reach, strict=True))
    grid = np.indices(truth[window].shape) + low[:, None, None, None] - np.reshape(s.centre, (3, 1, 1, 1))
    distance = np.sqrt(np.square(grid * voxel_mm[:, None, None, None]).sum(axis=0))
    around = np.median(truth[window][(distance > radius + 1.5) & (distance < radius + 5)])
    share = (ndimage.gaussian_filter(hu, s.diameter_mm / 16 / voxel_mm)[window] - around) / (s.hu - around)
    pieces, _ = ndimage.label((share > 0.5) & (distance < 1.5 * radius + 1))
    middle = np.unique(pieces[distance < max(radius / 2, float(voxel_mm.max()))])
    mask, sphere = np.isin(pieces, middle[middle > 0]), distance <= radius
    volume = mask.sum() * voxel_mm.prod()
    z, y, x = np.unravel_index(distance.argmin(), distance.shape)
    return StructureRow(
        method=method,
        structure=s.name,
        diameter_mm=s.diameter_mm,
        volume_error=float(100 * (volume / (math.pi / 6 * s.diameter_mm**3) - 1)),
        diameter_error_mm=_width(share[:, y, x], int(z)) * float(voxel_mm[0]) - s.diameter_mm,
        dice=float(2 * (mask & sphere).sum() / max(1, mask.sum() + sphere.sum())),
    )


def _width(share: np.ndarray, middle: int) -> float:
    """Samples between the places on either side of `middle` where a profile falls to a half; 0 if it never is above."""
    if share[middle] <= 0.5:
        return 0.0
    width = 0.0
    for side in (share[middle:], share[middle::-1]):
        below = np.flatnonzero(side <= 0.5)
        if not len(below):
            width += len(side) - 0.5
            continue
        k = int(below[0])
        width += float(k - (0.5 - side[k]) / (side[k - 1] - side[k]))
    return width


def structure_table(rows: Iterable[StructureRow]) -> RichTable:
    """For a terminal of 80 columns: a line a method, means of absolute errors over the nodules, and the lesion."""
    rows = list(rows)
    shown = RichTable(
        title=Text("nodules (mean) and lesion: absolute errors of volume and of diameter along z"),
        title_justify="left", title_style="cyan", box=None, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    shown.add_column("method", min_width=14, no_wrap=True)
    kinds = [kind for kind in ("nodule", "lesion") if any(row.structure == kind for row in rows)]
    for kind in kinds:
        for heading in (f"{kind} vol %", "mm", "Dice"):
            shown.add_column(heading, justify="right", no_wrap=True)
    for method in dict.fromkeys(row.method for row in rows):
        cells = []
        for kind in kinds:
            mine = [row for row in rows if row.method == method and row.structure == kind]
            for name, decimals in (("volume_error", 0), ("diameter_error_mm", 2), ("dice", 3)):
                cells.append(format_score(float(np.mean([abs(getattr(row, name)) for row in mine])), decimals))
        shown.add_row(Text(method), *cells)
    return shown


def row_names() -> list[str]:
    """Names of a row's columns."""
    return [field.name for field in fields(StructureRow)]
