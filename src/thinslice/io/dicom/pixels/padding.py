"""Pixels that a file declares to be padding."""

from __future__ import annotations

import numpy as np

from thinslice.io.dicom.headers.slices import Slice
from thinslice.io.padding import touching_border

_LOWEST_GAS_HU = -1024.0


def declared_padding(image: Slice, stored: np.ndarray, hu: np.ndarray) -> np.ndarray | None:
    """(rows, columns) True where the *stored* value is the declared padding; None where nothing is declared.

    Where gas may have that value as well, only what is joined to the image's border counts.
    """
    value, limit = padding_value(image), padding_value(image, "PixelPaddingRangeLimit")
    if value is None:
        return None
    first, last = sorted((value, value if limit is None else limit))
    declared = (stored >= first) & (stored <= last)
    return touching_border(declared) if (hu >= _LOWEST_GAS_HU).any(where=declared) else declared


def padding_value(image: Slice, keyword: str = "PixelPaddingValue") -> int | None:
    """The stored value that a padding attribute declares, or None.

    The tag's bits are read as the pixels' bits are: some writers state 63536 for a signed -2000. They are read as
    signed as well where the value is beyond BitsStored: no pixel is so bright.
    """
    attributes = image.attributes
    allocated = attributes.integer("BitsAllocated") or 16
    signed = attributes.integer("PixelRepresentation") == 1
    value = attributes.word(keyword, signed=signed, bits=allocated)
    if value is None or value < 1 << (attributes.integer("BitsStored") or allocated):
        return value
    return attributes.word(keyword, signed=True, bits=allocated)
