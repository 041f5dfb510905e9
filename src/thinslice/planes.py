"""A plane of a volume, turned the way a reader of CT expects to see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NAMES = ("sagittal", "coronal", "axial")  # by the patient axis that a plane stands on: left-right, front-back, up


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of a volume, turned for the reader.

    Attributes:
        name: "axial", "coronal" or "sagittal".
        hu: (rows, columns); the patient's left to the right, back or feet downwards.
        size_mm: height and width.
    """

    name: str
    hu: np.ndarray
    size_mm: tuple[float, float]


def turned(
    hu: np.ndarray, voxel_mm: tuple[float, float], down: np.ndarray, across: np.ndarray, normal: np.ndarray
) -> Plane:
    """Turn rows and columns so that both run towards left, back or feet (RAS: towards the negative), feet downwards."""
    if np.argmax(np.abs(down)) < np.argmax(np.abs(across)):
        hu, down, across, voxel_mm = hu.T, across, down, voxel_mm[::-1]
    if down[np.argmax(np.abs(down))] > 0:
        hu = hu[::-1]
    if across[np.argmax(np.abs(across))] > 0:
        hu = hu[:, ::-1]
    name = _NAMES[int(np.argmax(np.abs(normal)))]
    return Plane(name, np.ascontiguousarray(hu), (hu.shape[0] * voxel_mm[0], hu.shape[1] * voxel_mm[1]))
