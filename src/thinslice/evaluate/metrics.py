"""Metrics: a result against the truth of its case.

All of them on HU clipped to [-1024, 3071], over the whole region, padding included, and over the
*new* slices unless the name says otherwise. `Judge` holds what depends on the truth alone (masks,
smoothed truth, edges), so that a dozen methods on one case pay for it once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from thinslice.errors import GeometryError
from thinslice.evaluate.edges import edge_width_mm, find_edges
from thinslice.evaluate.protocols import HU_RANGE, Case

PEAK_HU = HU_RANGE[1] - HU_RANGE[0]
LUNG_WINDOW = (-1350.0, 150.0)
SOFT_WINDOW = (-160.0, 240.0)
TISSUES = {"lung": (-1000.0, -500.0), "soft": (-50.0, 150.0), "bone": (250.0, np.inf)}


@dataclass(frozen=True)
class Scores:
    """What one result scores on one case; nan where a case has no such tissue or edge.

    Attributes:
        psnr_new: dB over new slices, peak 4095 HU.
        psnr_all: dB over all slices, acquired ones included.
        ssim_new: mean over new axial slices, Gaussian window of sigma 1.5, peak 4095.
        mae_new: mean absolute error in HU.
        psnr_lung: dB after windowing to [-1350, 150], peak 1500.
        psnr_soft: dB after windowing to [-160, 240], peak 400.
        bias_lung: mean error in HU inside eroded lung.
        bias_soft: the same in soft tissue.
        bias_bone: the same in bone.
        laa950: percentage points of lung below -950 HU, result minus truth.
        edge_mm: 10-90 % width along z of the truth's strong edges (edges.py).
    """

    psnr_new: float
    psnr_all: float
    ssim_new: float
    mae_new: float
    psnr_lung: float
    psnr_soft: float
    bias_lung: float
    bias_soft: float
    bias_bone: float
    laa950: float
    edge_mm: float


class Judge:
    """Scores results of one case.

    Args:
        case: the case, with its truth.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self._new = np.flatnonzero(case.new)
        x, y, _ = case.thick.voxel_mm
        d = case.grid.output_spacing_mm
        smooth = ndimage.gaussian_filter(case.truth, (2 / d, 2 / y, 2 / x))
        self._masks = {name: self._tissue(smooth, low, high) for name, (low, high) in TISSUES.items()}
        self._lung = smooth < TISSUES["lung"][1]
        self._in_plane = (1.5 / y, 1.5 / x)
        self._edges = find_edges(case.truth, step_mm=d, acquired_mm=case.grid.spacing_mm)

    def _tissue(self, smooth: np.ndarray, low: float, high: float) -> np.ndarray:
        """Voxels of a tissue, 2 pixels in plane and half an acquired spacing along z away from its border.

        What lies beyond the region counts as border.
        """
        along_z = int(np.ceil(self.case.grid.factor / 2 - 1e-6))
        return ndimage.binary_erosion((smooth > low) & (smooth < high), np.ones((2 * along_z + 1, 5, 5)))

    def score(self, result: np.ndarray) -> Scores:
        """Scores of a result.

        Args:
            result: (n, y, x) HU on the truth's grid.

        Raises:
            GeometryError: GEO-SHAPE where the shape is not the truth's.
        """
        case = self.case
        if result.shape != case.truth.shape:
            raise GeometryError("GEO-SHAPE", f"the result of {case.slug} is {result.shape}, not {case.truth.shape}")
        sums = _Sums()
        for k in range(len(result)):
            ours = np.clip(result[k], *HU_RANGE).astype(np.float64)
            truth = case.truth[k].astype(np.float64)
            error = ours - truth
            sums.add("all", np.square(error))
            if not case.new[k]:
                continue
            sums.add("new", np.square(error))
            sums.add("mae", np.abs(error))
            sums.add("ssim", np.array([ssim(ours, truth, peak=PEAK_HU)]))
            for name, window in (("lung_window", LUNG_WINDOW), ("soft_window", SOFT_WINDOW)):
                sums.add(name, np.square(np.clip(ours, *window) - np.clip(truth, *window)))
            for name, mask in self._masks.items():
                sums.add(name, error[mask[k]])
            lung = self._lung[k]
            for name, plane in (("laa_ours", ours), ("laa_truth", truth)):
                sums.add(name, ndimage.gaussian_filter(plane, self._in_plane)[lung] < -950)
        return Scores(
            psnr_new=psnr(sums.mean("new"), peak=PEAK_HU),
            psnr_all=psnr(sums.mean("all"), peak=PEAK_HU),
            ssim_new=sums.mean("ssim"),
            mae_new=sums.mean("mae"),
            psnr_lung=psnr(sums.mean("lung_window"), peak=LUNG_WINDOW[1] - LUNG_WINDOW[0]),
            psnr_soft=psnr(sums.mean("soft_window"), peak=SOFT_WINDOW[1] - SOFT_WINDOW[0]),
            bias_lung=sums.mean("lung"),
            bias_soft=sums.mean("soft"),
            bias_bone=sums.mean("bone"),
            laa950=100 * (sums.mean("laa_ours") - sums.mean("laa_truth")),
            edge_mm=edge_width_mm(np.clip(result, *HU_RANGE), self._edges),
        )


class _Sums:
    """Running means by name, so that no more than a slice is held at a time."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = total + float(values.sum(dtype=np.float64)), count + values.size

    def mean(self, name: str) -> float:
        total, count = self._sums.get(name, (0.0, 0))
        return total / count if count else float("nan")


def psnr(mean_square: float, *, peak: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite where nothing differs."""
    return float(10 * np.log10(peak**2 / mean_square)) if mean_square > 0 else float("inf")


def ssim(image: np.ndarray, truth: np.ndarray, *, peak: float) -> float:
    """Structural similarity of two planes (Wang et al. 2004): Gaussian window of sigma 1.5, 11 wide.

    Means are taken where the window lies inside the plane, and variances are those of the window
    (not the sample's), as the original has them.
    """
    if min(truth.shape) < 11:
        return float("nan")

    def local(plane: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(plane, 1.5, truncate=3.5)[5:-5, 5:-5]

    mean_i, mean_t = local(image), local(truth)
    variance = local(image * image) - mean_i**2 + local(truth * truth) - mean_t**2
    covariance = local(image * truth) - mean_i * mean_t
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similar = (2 * mean_i * mean_t + c1) * (2 * covariance + c2)
    return float((similar / ((mean_i**2 + mean_t**2 + c1) * (variance + c2))).mean())
