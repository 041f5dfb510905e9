"""Training scans, read when they are wanted and kept while memory for them lasts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from thinslice.conventions import BODY_HU, HU_RANGE
from thinslice.errors import GeometryError, UsageError, named
from thinslice.synthesis.padding import fill_padding
from thinslice.volume import Volume, refuse_small

MOST_THIN_PIXELS = 4.0  # slices up to so many pixels apart are thin: they serve as labels along z

_LEAST_CHANCE = 0.02  # that a scan is taken when its turn comes: a pool of air would never be done


@dataclass(frozen=True)
class TrainingScan:
    """A scan as labels are cut from it.

    Attributes:
        hu: (z, y, x) int16, clipped to what networks are given, padding filled (`fill_padding`).
        pixel_mm: (x, y) pixel spacing.
        spacing_mm: of the slices.
    """

    hu: np.ndarray
    pixel_mm: tuple[float, float]
    spacing_mm: float

    @cached_property
    def turned(self) -> np.ndarray:
        """(z, x, y) in that order in memory: sagittal images are cut from it many times as fast."""
        return np.ascontiguousarray(self.hu.transpose(0, 2, 1))

    @cached_property
    def body_voxels(self) -> int:
        """Voxels denser than air and lung: how much there is to learn from."""
        return int(np.count_nonzero(self.hu > BODY_HU))

    @property
    def thin(self) -> bool:
        """Whether slices lie close enough to be labels along z themselves."""
        return self.spacing_mm <= MOST_THIN_PIXELS * max(self.pixel_mm)


class ScanPool:
    """Scans by number; the least recently used ones leave when memory for them is spent.

    Args:
        paths: files or DICOM folders.
        read: gives the volume of a path.
        memory_bytes: what scans may take together; one is always kept.
    """

    def __init__(self, paths: Sequence[Path], *, read: Callable[[Path], Volume], memory_bytes: int) -> None:
        if not paths:
            raise UsageError("USE-INPUT", "no scan to train on is given")
        self._paths, self._read, self._memory = list(paths), read, memory_bytes
        self._held: OrderedDict[int, TrainingScan] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def digest(self) -> str:
        """SHA-256 of the scans' names, in order: what is drawn depends on which they are; they may be moved."""
        return hashlib.sha256("\0".join(path.name for path in self._paths).encode(errors="surrogateescape")).hexdigest()

    def share_among(self, workers: int) -> None:
        """Read every scan once, for processes that are about to be forked: what is held, they have in common.

        Where not all scans can be held, each of them keeps its own share of the memory instead.
        """
        for number in range(len(self)):
            _ = self[number].body_voxels
            if self[number].thin:
                _ = self[number].turned
        if len(self._held) < len(self):
            self._held.clear()
            self._memory //= workers

    def draw(self, random: np.random.Generator, *, enough_body: float = 0.0) -> TrainingScan:
        """A scan by chance.

        Args:
            random: source of the draw.
            enough_body: voxels of the body from which on a scan is drawn as often as any other; smaller ones less
                often, in proportion. 0 draws all scans alike.
        """
        while True:
            scan = self[int(random.integers(len(self)))]
            if len(self) == 1 or not enough_body:
                return scan
            if random.random() < max(_LEAST_CHANCE, scan.body_voxels / enough_body):
                return scan

    def __getitem__(self, number: int) -> TrainingScan:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        volume = self._read(self._paths[number])
        try:
            refuse_small(volume.shape)
            volume.refuse_uneven()
        except GeometryError as error:
            raise GeometryError(error.code, f"{named(self._paths[number])}: {error.marked}") from error
        hu = np.rint(np.clip(fill_padding(volume), *HU_RANGE)).astype(np.int16)
        scan = TrainingScan(hu, volume.voxel_mm[:2], volume.slice_spacing_mm)
        while self._held and 2 * (hu.nbytes + sum(other.hu.nbytes for other in self._held.values())) > self._memory:
            self._held.popitem(last=False)
        self._held[number] = scan
        return scan
