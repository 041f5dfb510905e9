"""Pixels that were never measured: declared padding, and the void outside a round field of view."""

from __future__ import annotations

import numpy as np

from thinslice.dicom.slices import Slice

LOWEST_MEASURED_HU = -1024.0
_LEAST_REGION = 8  # pixels; smaller regions below -1024 HU at the border are noise in air


def declared_padding(image: Slice, stored: np.ndarray) -> np.ndarray | None:
    """(rows, columns) True where the *stored* value is the declared padding; None where nothing is declared.

    The tag's bits are read as the pixels' bits are: some writers state 63536 for a signed -2000.
    """
    attributes = image.attributes
    signed = attributes.integer("PixelRepresentation") == 1
    bits = attributes.integer("BitsAllocated") or 16
    value = attributes.word("PixelPaddingValue", signed=signed, bits=bits)
    if value is None:
        return None
    limit = attributes.word("PixelPaddingRangeLimit", signed=signed, bits=bits)
    if limit is None:
        return stored == value
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def border_void(hu: np.ndarray) -> np.ndarray | None:
    """(rows, columns) True in regions below -1024 HU that touch the image's border; None where there is none."""
    low = hu < LOWEST_MEASURED_HU
    edges = np.concatenate([low[0], low[-1], low[:, 0], low[:, -1]])
    if not edges.any():
        return None
    from scipy import ndimage  # only where a scan has such a void

    labels, _ = ndimage.label(low)
    sizes = np.bincount(labels.ravel())
    least = max(_LEAST_REGION, low.size // 5000)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    kept = [label for label in touching if label and sizes[label] >= least]
    return np.isin(labels, kept) if kept else None
