"""How pixels are stored in a file: bits, sign, and the intercept that makes Hounsfield units of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thinslice.io.dicom.headers.slices import Slice


@dataclass(frozen=True)
class PixelLayout:
    """16 bits allocated, slope 1.

    Attributes:
        bits: BitsStored.
        signed: whether PixelRepresentation is 1.
        intercept: RescaleIntercept, a whole number.
    """

    bits: int = 16
    signed: bool = True
    intercept: int = 0

    @property
    def lowest(self) -> int:
        """The smallest value that can be stored."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest value that can be stored."""
        return self.lowest + (1 << self.bits) - 1

    def stored(self, hu: np.ndarray) -> tuple[np.ndarray, int]:
        """Little-endian stored values of a slice, and the number of values that are clipped to fit."""
        rounded = np.rint(hu) - self.intercept
        beyond = int(np.count_nonzero((rounded < self.lowest) | (rounded > self.highest)))
        return rounded.clip(self.lowest, self.highest).astype("<i2" if self.signed else "<u2"), beyond


OWN = PixelLayout()
"""16 bits signed, intercept 0: one meaning for all slices, whatever the source's."""


def layout_of(slices: Sequence[Slice], *, rescale: tuple[float, float] | None = None) -> PixelLayout | None:
    """The layout that all slices share, or None where they do not, or where it is none of 16 bits and slope 1.

    Args:
        slices: of a stack.
        rescale: slope and intercept in place of what the slices say.
    """
    found = set()
    for image in slices:
        attributes = image.attributes
        slope, intercept = rescale or (attributes.number("RescaleSlope"), attributes.number("RescaleIntercept"))
        bits = attributes.integer("BitsStored")
        if attributes.integer("BitsAllocated") != 16 or slope != 1 or intercept is None or intercept % 1:
            return None
        if bits is None or bits < 2:
            return None
        found.add(PixelLayout(bits, attributes.integer("PixelRepresentation") == 1, int(intercept)))
    return found.pop() if len(found) == 1 else None
