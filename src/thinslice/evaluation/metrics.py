"""Metrics: a result against the truth of its case.

All of them on HU clipped to [-1024, 3071], over the whole region, padding included, and over the
*new* slices unless the name says otherwise. `Scorer` holds what depends on the truth alone (masks,
smoothed truth, edges), so that a dozen methods on one case pay for it once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from thinslice.conventions import HU_RANGE, TISSUES
from thinslice.errors import GeometryError
from thinslice.evaluation.edges import edge_width_mm, find_edges
from thinslice.evaluation.protocols import Case
from thinslice.evaluation.tissue import BONE_OVER, VESSEL_OVER, inside_lung, lung_mask, tissue_mask
from thinslice.physics.noise import noise_hu

PEAK_HU = HU_RANGE[1] - HU_RANGE[0]
LUNG_WINDOW = (-1350.0, 150.0)
SOFT_WINDOW = (-160.0, 240.0)
EMPHYSEMA_HU = -950.0


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
        laa950: percentage points of lung (tissue.py) below -950 HU, result minus truth, both smoothed in plane.
        perc15: 15th percentile of lung in HU, result minus truth, smoothed as for laa950.
        dice_bone: overlap of what is over 200 HU in result and truth, 1 where they agree.
        dice_vessel: the same of what is over -600 HU inside the lungs (tissue.py).
        edge_mm: 10-90 % width along z of the truth's strong edges (edges.py).
        noise_acquired: noise of soft tissue in the acquired slices, in HU (synthesis/noise.py).
        noise_new: the same in the new slices of the result.
        noise_ratio: new over acquired.
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
    perc15: float
    dice_bone: float
    dice_vessel: float
    edge_mm: float
    noise_acquired: float
    noise_new: float
    noise_ratio: float


class Scorer:
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
        along_z = int(np.ceil(case.grid.factor / 2 - 1e-6))  # half an acquired spacing each way
        self._masks = {name: tissue_mask(smooth, name, along_z=along_z) for name in TISSUES}
        self._lung = lung_mask(case.truth, smooth, (x, y))
        self._inside = inside_lung(self._lung, (x, y))
        self._in_plane = (1.5 / y, 1.5 / x)
        self._truth_lung = np.concatenate([self._smooth_lung(case.truth[k], k) for k in self._new])
        self._edges = find_edges(case.truth, step_mm=d, acquired_mm=case.grid.spacing_mm)
        self._noise_acquired = _known(noise_hu(case.thick.hu))

    def _smooth_lung(self, plane: np.ndarray, k: int | np.integer) -> np.ndarray:
        """Lung of slice k after an in-plane Gaussian of 1.5 mm, HU of its voxels: noise alone is no emphysema."""
        return ndimage.gaussian_filter(plane.astype(np.float32), self._in_plane)[self._lung[k]]

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
        sums, lung = _Sums(), []
        for k in range(len(result)):
            found = np.clip(result[k], *HU_RANGE).astype(np.float64)
            truth = case.truth[k].astype(np.float64)
            error = found - truth
            sums.add("all", np.square(error))
            if not case.new[k]:
                continue
            sums.add("new", np.square(error))
            sums.add("mae", np.abs(error))
            sums.add("ssim", np.array([ssim(found, truth, peak=PEAK_HU)]))
            for name, window in (("lung_window", LUNG_WINDOW), ("soft_window", SOFT_WINDOW)):
                sums.add(name, np.square(np.clip(found, *window) - np.clip(truth, *window)))
            for name, mask in self._masks.items():
                sums.add(name, error[mask[k]])
            lung.append(self._smooth_lung(found, k))
            for name, over, where in (("bone", BONE_OVER, True), ("vessel", VESSEL_OVER, self._inside[k])):
                result_over, truth_over = (found > over) & where, (truth > over) & where
                sums.add(f"{name}_common", result_over & truth_over)
                sums.add(f"{name}_both", np.stack([result_over, truth_over]).mean(0))
        clipped = np.clip(result, *HU_RANGE)
        laa950, perc15 = _lung_indices(np.concatenate(lung), self._truth_lung)
        noise_new = _known(noise_hu(clipped, self._new))
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
            laa950=laa950,
            perc15=perc15,
            dice_bone=sums.share("bone_common", "bone_both"),
            dice_vessel=sums.share("vessel_common", "vessel_both"),
            edge_mm=edge_width_mm(clipped, self._edges),
            noise_acquired=self._noise_acquired,
            noise_new=noise_new,
            noise_ratio=noise_new / self._noise_acquired if self._noise_acquired else float("nan"),
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

    def share(self, part: str, whole: str) -> float:
        """Sum of `part` over sum of `whole`."""
        total = self._sums.get(whole, (0.0, 0))[0]
        return self._sums[part][0] / total if total else float("nan")


def _lung_indices(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """laa950 and perc15, result minus truth, of the smoothed lung voxels of both; nan without lung."""
    if not len(truth):
        return float("nan"), float("nan")
    below = [100 * float(np.mean(lung < EMPHYSEMA_HU)) for lung in (found, truth)]
    percentile = [float(np.percentile(lung, 15)) for lung in (found, truth)]
    return below[0] - below[1], percentile[0] - percentile[1]


def psnr(mean_square: float, *, peak: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite where nothing differs, nan of nan."""
    return float(10 * np.log10(peak**2 / mean_square)) if mean_square else float("inf")


def psnr_new(case: Case, result: np.ndarray) -> float:
    """`Scores.psnr_new` in dB alone, for who needs no more: of an (n, y, x) result in HU on the truth's grid."""
    error = np.clip(result, *HU_RANGE) - np.clip(case.truth, *HU_RANGE)
    return psnr(float(np.mean(np.square(error[case.new], dtype=np.float64))), peak=PEAK_HU)


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


def _known(figure: float | None) -> float:
    return float("nan") if figure is None else figure
