"""Volumes within a page: at reduced size, as codes of HU that a browser unpacks without a library.

Codes count the values of a table of HU, whose steps are 1 HU where windows are narrow. Each voxel is written as the
difference of its code from the one predicted from its neighbours in the slice, low bytes apart from high ones, then
deflated and written in base64. `viewer.js` undoes it.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MOST_VOXELS = 19_000_000  # of a volume in a page
FINE_HU = -160, 240  # where steps are small: the window of soft tissue
COARSE_STEP = 4  # times as long beyond
_LOW, _HIGH = -1024, 3071


@dataclass(frozen=True)
class Reduction:
    """How many voxels of a volume become one.

    Attributes:
        slices: along the slice axis.
        pixels: either way within a slice.
    """

    slices: int = 1
    pixels: int = 1

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(slices, rows, columns) of a volume of that shape; what fills no block at the end is left out."""
        n, rows, columns = shape
        return max(1, n // self.slices), max(1, rows // self.pixels), max(1, columns // self.pixels)

    def applied(self, hu: np.ndarray, *, power: int = 1) -> Iterator[np.ndarray]:
        """Means over blocks, of values or of a power of them, slice by slice: float32 (rows, columns)."""
        n, rows, columns = self.shape(hu.shape)
        for number in range(n):
            block = hu[number * self.slices : (number + 1) * self.slices]
            block = block if power == 1 else block**power
            yield self._of_slice(block.mean(axis=0) if len(block) > 1 else block[0], rows, columns)

    def along_slices(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n, m) that make slices, for slices of blocks."""
        if self.slices == 1:
            return weights
        n = max(1, len(weights) // self.slices)
        return np.stack([weights[k * self.slices : (k + 1) * self.slices].mean(axis=0) for k in range(n)])

    def _of_slice(self, plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
        k = self.pixels
        if k == 1:
            return plane
        plane = plane[: rows * k, : columns * k]
        return plane.reshape(rows, k, columns, k).mean(axis=(1, 3))


def reduction(shape: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> Reduction:
    """What makes a volume (z, y, x) with voxels (x, y, z) small enough, and keeps its voxels near to cubes."""
    found = Reduction()
    while math.prod(found.shape(shape)) > MOST_VOXELS:
        if found.pixels * max(voxel_mm[:2]) <= found.slices * voxel_mm[2] * 1.5:
            found = Reduction(found.slices, found.pixels + 1)
        else:
            found = Reduction(found.slices + 1, found.pixels)
    return found


def table_of_hu(coarser: int = 1) -> np.ndarray:
    """(codes,) increasing HU: every `coarser` from -160 to 240, every four times as many beyond."""
    low, high = FINE_HU
    parts: list[np.ndarray | list[int]] = [
        np.arange(_LOW, low, COARSE_STEP * coarser),
        np.arange(low, high, coarser),
        np.arange(high, _HIGH, COARSE_STEP * coarser),
        np.array([_HIGH]),
    ]
    return np.concatenate(parts)


def coded(slices: Iterator[np.ndarray], table: np.ndarray) -> np.ndarray:
    """Codes of the nearest values of a table of whole numbers: int16 (n, rows, columns)."""
    values = np.arange(table[0], table[-1] + 1)
    nearest = np.searchsorted((table[1:] + table[:-1]) / 2, values).astype(np.int16)
    return np.stack([
        nearest[np.clip(np.rint(plane), table[0], table[-1]).astype(np.int32) - table[0]] for plane in slices
    ])  # fmt: skip


def packed(codes: np.ndarray) -> str:
    """Codes (n, rows, columns), from 0 to 32767, as text."""
    low, high = (np.empty(codes.shape, np.uint8) for _ in range(2))
    for number, plane in enumerate(codes.astype(np.int32)):
        left, above, corner = (np.zeros_like(plane) for _ in range(3))
        left[:, 1:], above[1:], corner[1:, 1:] = plane[:, :-1], plane[:-1], plane[:-1, :-1]
        error = plane - predicted(left, above, corner)
        folded = np.where(error < 0, -2 * error - 1, 2 * error)
        low[number], high[number] = folded & 255, folded >> 8
    deflate = zlib.compressobj(strategy=zlib.Z_RLE)  # on noise smaller than with matches, and five times as fast
    stream = deflate.compress(low.tobytes()) + deflate.compress(high.tobytes()) + deflate.flush()
    return base64.b64encode(stream).decode("ascii")


def predicted(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """What a voxel is expected to be: the median of left, above and left + above - corner (as in JPEG-LS)."""
    least, most = np.minimum(left, above), np.maximum(left, above)
    return np.clip(left + above - corner, least, most)
