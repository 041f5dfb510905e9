"""Pixels that were never measured: declared padding, and the void outside a round field of view."""

from __future__ import annotations

import numpy as np

from thinslice.dicom.slices import Slice

LOWEST_MEASURED_HU = -1024.0
_LEAST_REGION = 8  # pixels; smaller regions below -1024 HU at the border are noise in air


def declared_padding(image: Slice, stored: np.ndarray) -> np.ndarray | None:
    """(rows, columns) True where the *stored* value is the declared padding; None where nothing is declared."""
    value, limit = padding_value(image), padding_value(image, "PixelPaddingRangeLimit")
    if value is None:
        return None
    if limit is None:
        return stored == value
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


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


def border_void(hu: np.ndarray) -> np.ndarray | None:
    """(rows, columns) True in regions below -1024 HU that touch the image's border; None where there is none."""
    return touching_border(hu < LOWEST_MEASURED_HU, least=max(_LEAST_REGION, hu.size // 5000))


def touching_border(mask: np.ndarray, *, least: int = 1) -> np.ndarray | None:
    """(rows, columns) True in regions of a mask, of `least` pixels, that touch its border; None where there is none."""
    edges = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if not edges.any():
        return None
    from scipy import ndimage  # only where a scan has such regions

    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    kept = [label for label in touching if label and sizes[label] >= least]
    return np.isin(labels, kept) if kept else None
