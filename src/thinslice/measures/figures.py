"""Figures of labels that a reader quotes, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from thinslice.errors import UsageError
from thinslice.measures.intervals import Figure, count_above, mean_figure, within
from thinslice.measures.outline import extent_figures, extents_mm, find_outline, reach_of, volume_figure
from thinslice.uncertainty.correlation import TYPICAL, Correlation

Side = Literal["below", "above"]
LAA_HU = -950.0
"""Threshold of low attenuation areas, which emphysema is graded by."""
_COUNTED_UP_TO = 1 << 16
_ONE_SIDED = 0.8
"""Errors beside a vessel that was missed are of one sign, and lung is no darker than air: fewer voxels pass a threshold
than errors of either sign would take over it. The interval stands half-way between what is counted and what Gaussian
errors would give, and how far off it may be is this share of the half; docs/experiments/intervals.md."""


@dataclass(frozen=True)
class Threshold:
    """What voxels are counted.

    Attributes:
        hu: the threshold.
        side: "below" or "above" it.

    Raises:
        UsageError: USE-THRESHOLD.
    """

    hu: float = LAA_HU
    side: Side = "below"

    def __post_init__(self) -> None:
        if not np.isfinite(self.hu) or self.side not in get_args(Side):
            raise UsageError(
                "USE-THRESHOLD", f"a threshold is a number of HU, below or above; found {self.side} {self.hu}"
            )

    def over(self, hu: np.ndarray) -> np.ndarray:
        """By how many HU voxels lie on the side that counts."""
        return (hu - np.float32(self.hu)) * (1 if self.side == "above" else -1)


@dataclass(frozen=True)
class LabelFigures:
    """The figures of one label.

    Attributes:
        label: its number.
        name: as its file calls it; "" where it does not.
        voxels: how many there are.
        volume_ml: volume.
        mean_hu: mean.
        share: of voxels on the side of the threshold that counts, in percent.
        x_mm, y_mm, z_mm: from the outer face of its first voxel along an axis to that of its last: along the rows of a
            slice, along its columns, across the slices.
    """

    label: int
    name: str
    voxels: int
    volume_ml: Figure
    mean_hu: Figure
    share: Figure
    x_mm: Figure
    y_mm: Figure
    z_mm: Figure


FIGURES = ("volume_ml", "mean_hu", "share", "x_mm", "y_mm", "z_mm")


def measure_labels(
    hu: np.ndarray,
    labels: np.ndarray,
    voxel_mm: Sequence[float],
    *,
    threshold: Threshold | None = None,
    sigma: np.ndarray | None = None,
    correlation: Correlation | None = None,
    names: Mapping[int, str] | None = None,
) -> list[LabelFigures]:
    """The figures of every label, in rising order of their numbers.

    Args:
        hu: (z, y, x).
        labels: (z, y, x) whole numbers; 0 is no label.
        voxel_mm: (z, y, x).
        threshold: what the share counts; by default voxels below -950 HU.
        sigma: (z, y, x) HU, the root-mean-square error to be expected; without it there are no intervals.
        correlation: of the errors; `TYPICAL` where None.
        names: of labels.
    """
    figures = []
    for number, window in _windows(labels).items():
        around = grown(window, voxel_mm)
        mask, own = labels[around] == number, None if sigma is None else sigma[around]
        figures.append(
            _measure(
                hu[around], mask, voxel_mm, threshold or Threshold(), own, correlation or TYPICAL,
                label=number, name=(names or {}).get(number, ""),
            )
        )  # fmt: skip
    return figures


def grown(window: tuple[slice, slice, slice], voxel_mm: Sequence[float]) -> tuple[slice, ...]:
    """A window (z, y, x) with as much around it as an outline may move."""
    return tuple(
        slice(max(0, part.start - reach - 1), part.stop + reach + 1)
        for part, reach in zip(window, reach_of(voxel_mm), strict=True)
    )


def _measure(
    hu: np.ndarray, mask: np.ndarray, voxel_mm: Sequence[float], threshold: Threshold, sigma: np.ndarray | None,
    correlation: Correlation, *, label: int, name: str,
) -> LabelFigures:  # fmt: skip
    """One label in the window that holds it and what lies around it."""
    voxels = int(mask.sum())
    volume, extents = Figure(voxels * float(np.prod(voxel_mm))), tuple(map(Figure, extents_mm(mask, voxel_mm)))
    outline = None if sigma is None else find_outline(hu, mask, voxel_mm)
    if sigma is not None and outline is not None:
        correlation = correlation.of_structure
        volume = volume_figure(hu, outline, sigma, correlation, voxel_mm)
        generator = np.random.default_rng(label)
        extents = extent_figures(hu, outline, sigma, correlation, voxel_mm, generator=generator)
    return LabelFigures(
        label=label,
        name=name,
        voxels=voxels,
        volume_ml=volume.scaled(1e-3),
        mean_hu=mean_figure(hu, mask, sigma, correlation, voxel_mm),
        share=share_figure(hu, mask, threshold, sigma, correlation, voxel_mm),
        z_mm=extents[0],
        y_mm=extents[1],
        x_mm=extents[2],
    )


def share_figure(
    hu: np.ndarray, mask: np.ndarray, threshold: Threshold, sigma: np.ndarray | None, correlation: Correlation,
    voxel_mm: Sequence[float],
) -> Figure:  # fmt: skip
    """Percent of the voxels of a mask that lie on the side of a threshold that counts; arguments as `mean_figure`."""
    over, voxels = threshold.over(hu), int(mask.sum())
    counted = Figure(int(np.count_nonzero(over[mask] > 0)))
    if sigma is not None:
        expected, variance = count_above(over, mask, sigma, correlation, voxel_mm)
        half = (expected - counted.value) / 2
        counted = within(counted.value, counted.value + half, variance + (_ONE_SIDED * half) ** 2, most=voxels)
    return counted.scaled(100 / voxels)


def _windows(labels: np.ndarray) -> dict[int, tuple[slice, slice, slice]]:
    """Bounding boxes of labels, by number."""
    if int(labels.max()) <= _COUNTED_UP_TO:
        return {number: window for number, window in enumerate(ndimage.find_objects(labels), 1) if window is not None}
    numbers, inverse = np.unique(labels, return_inverse=True)
    small = inverse.reshape(labels.shape).astype(np.int32) + (numbers[0] > 0)
    return dict(zip(map(int, numbers[numbers > 0]), ndimage.find_objects(small), strict=True))
