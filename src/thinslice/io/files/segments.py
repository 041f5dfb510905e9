"""Segmentations of 3D Slicer (.seg.nrrd): segments in layers, made one label map.

Slicer keeps segments that overlap in layers, each a label map of its own, and says in the header which
label in which layer is which segment. ITK reads layers as a vector for each voxel. A file is cropped to what
is segmented; its origin is that of the voxels it holds, so nothing more is to be known to place it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thinslice.errors import InputError, Notice
from thinslice.io.label_image import LabelImage, narrowed, overlapping, whole_numbers

_KEY = re.compile(r"Segment(\d{1,6})_(ID|Name|LabelValue|Layer)")


@dataclass(frozen=True)
class Segment:
    """A segment: the voxels of a layer that hold a value, and its name, which may be empty."""

    layer: int
    value: int
    name: str = ""


def segments_of(header: Mapping[str, str]) -> list[Segment]:
    """The segments that a header lists, in its order; older files have a layer for each."""
    numbers = sorted({int(found[1]) for key in header if (found := _KEY.fullmatch(key))})
    return [
        Segment(
            _integer(header.get(f"Segment{number}_Layer"), number),
            _integer(header.get(f"Segment{number}_LabelValue"), 1),
            header.get(f"Segment{number}_Name", "").strip(),
        )
        for number in numbers
    ]


def join_layers(layers: np.ndarray, segments: list[Segment], *, affine: np.ndarray, name: str) -> LabelImage:
    """One label map from layers; where segments overlap, the later one counts, as when Slicer exports a label map.

    Labels are the values of the header where these differ, else 1, 2, 3 ... in the order of the header.

    Args:
        layers: (k, j, i, layers).
        segments: as the header lists them.
        affine: voxel (i, j, k) to RAS mm.
        name: what messages call the map.

    Raises:
        InputError: FILE-BROKEN where the header names a layer or value that cannot be; LABEL-VALUES, LABEL-MANY.
    """
    count = layers.shape[-1]
    if any(not 0 <= segment.layer < count or segment.value < 0 for segment in segments):
        message = f"{name} lists a segment in a layer that is none of its {count}, or of a value that is no number"
        raise InputError("FILE-BROKEN", f"{message}; write it again")
    values = [segment.value for segment in segments]
    warnings = []
    if len(set(values)) < len(values) or min(values) < 1:
        values = list(range(1, len(segments) + 1))
        message = (
            f"segments of the label map share values; they are numbered 1 to {len(values)} in the order of its header"
        )
        warnings.append(Notice("LABEL-NUMBERED", message))
    labels = np.zeros(layers.shape[:3], np.int32)
    overlap = 0
    stored = [whole_numbers([layers[..., layer]], layers.shape[:3], name=name) for layer in range(count)]
    unnamed = sum(int(np.count_nonzero(layer)) for layer in stored)
    for segment, label in zip(segments, values, strict=True):
        mask = (stored[segment.layer] == segment.value) & (segment.value > 0)
        overlap += int(np.count_nonzero(labels[mask]))
        unnamed -= int(np.count_nonzero(mask))
        labels[mask] = label
    if overlap:
        warnings.append(overlapping(overlap))
    if unnamed > 0:
        message = f"{unnamed} voxels of the label map belong to no segment that its header lists, and are left out"
        warnings.append(Notice("LABEL-UNNAMED", message))
    names = {label: segment.name for segment, label in zip(segments, values, strict=True) if segment.name}
    return LabelImage(narrowed(labels, largest=max(values)), affine, name, warnings=tuple(warnings), names=names)


def _integer(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else int(text)
    except ValueError:
        return -1
