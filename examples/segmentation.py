"""Segmentation of thick and thin slices: the lung of the phantom, whose truth is known.

    python examples/segmentation.py [DIR]

There are two ways to labels on thin slices, and both are shown. A segmentation of the thick slices is carried to
the thin ones (`result.carry`, or `enhance --labels FILE`): for labels that a reader has drawn already. Or the
result is segmented anew, as a thin scan is. Lung is what a threshold and a few steps of scipy find; with a folder
as argument, result and labels are written to it as NIfTI.

A trained model takes the thin scan as any other one, for example

    TotalSegmentator -i DIR/thin.nii.gz -o DIR/organs
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

import thinslice
from thinslice.phantom import make_phantom, thicken

THICK_MM, THIN_MM = 5.0, 1.0
LUNG_HU = -500.0
CLOSED_MM = 4.0  # vessels and walls thinner than this count as lung


def lung(volume: thinslice.Volume) -> np.ndarray:
    """The lungs of a scan: air that does not reach the edge of the picture, its large parts, with their vessels.

    Args:
        volume: the scan.

    Returns:
        bool (z, y, x).
    """
    air = volume.hu < LUNG_HU
    outside = np.stack([_joined_to_edge(plane) for plane in air])
    parts, count = ndimage.label(air & ~outside)
    if count == 0:
        return np.zeros(volume.shape, bool)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    large = np.isin(parts, np.flatnonzero(sizes > 0.1 * sizes.max()))
    disc = _disc(CLOSED_MM / 2 / max(volume.voxel_mm[:2]))
    return np.stack([ndimage.binary_closing(np.pad(plane, 9), disc)[9:-9, 9:-9] for plane in large])


def _joined_to_edge(plane: np.ndarray) -> np.ndarray:
    """Of a plane (y, x): air that reaches its edge."""
    parts, _ = ndimage.label(plane)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return np.isin(parts, edge[edge > 0])


def _disc(radius: float) -> np.ndarray:
    reach = max(1, int(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return x**2 + y**2 <= max(1.0, radius) ** 2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two masks: 1 where they are the same."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def main(
    folder: Path | None = None,
    shape: tuple[int, int, int] = (80, 96, 96),
    spacing_mm: tuple[float, float, float] = (1.0, 2.0, 2.0),
) -> dict[str, float]:
    """Print the overlap with the lung of the truth of each way to labels on thin slices, and return it."""
    phantom = make_phantom(shape=shape, spacing_mm=spacing_mm)
    thick, grid = thicken(phantom.volume, THICK_MM)
    drawn = lung(thick)
    result = thinslice.enhance(thick, spacing=THIN_MM, fit="none", check=False, labels=drawn.astype(np.uint8))
    truth = lung(phantom.volume)[: len(grid.output_mm)]
    nearest = np.abs(grid.output_mm[:, None] - grid.acquired_mm).argmin(axis=1)
    overlaps = {
        "thick slices, repeated": dice(drawn[nearest], truth),
        "thick slices, carried": dice(result.labels > 0, truth),
        "the result, segmented anew": dice(lung(result.volume), truth),
    }
    for name, overlap in overlaps.items():
        print(f"{name:28} Dice {overlap:.4f}")
    if folder is not None:
        result.save(folder / "thin.nii.gz", overwrite=True)  # and its labels, as thin_labels.nii.gz
        print(f"{folder / 'thin.nii.gz'} and {folder / 'thin_labels.nii.gz'} written")
    return overlaps


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
