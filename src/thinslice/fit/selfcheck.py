"""Self-check: acquired slices set aside before the fit, predicted from their neighbours afterwards.

The user has no thin truth, so some is made: a held-out slice is predicted from slices at twice the
spacing around it. That is harder than the real task, so the figure is for comparison with cubic
interpolation, which does the same; it is no estimate of the error (method.md 3e).

They do not choose the weights of the fusion: at 2 s the coronal and sagittal views, taught at s, are
out of their range, and what is best there is not best at s (docs/experiments.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from thinslice import interpolation
from thinslice.fit import increments
from thinslice.networks.blocks import HU_RANGE
from thinslice.networks.model import Model
from thinslice.slice_profile import SliceGrid
from thinslice.synthesis.views import plane_step

_SIDE = 128  # pixels of the central window that is checked
_REACH = 4  # slices used on either side
_PEAK_HU = 4095.0


@dataclass(frozen=True)
class SelfCheck:
    """Figures over the held-out slices.

    Attributes:
        positions: indices of the held-out slices among the acquired ones.
        psnr_db, psnr_cubic_db: of the fused result and of cubic interpolation, peak 4095 HU.
    """

    positions: tuple[int, ...]
    psnr_db: float
    psnr_cubic_db: float

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        return {
            "held_out": len(self.positions),
            "positions": list(self.positions),
            "psnr_db": self.psnr_db,
            "psnr_cubic_db": self.psnr_cubic_db,
            "verdict": self.verdict,
        }

    @property
    def verdict(self) -> str:
        """Against cubic: "better", "equal" (within 0.05 dB) or "worse"."""
        gain = self.psnr_db - self.psnr_cubic_db
        return "equal" if abs(gain) < 0.05 else "better" if gain > 0 else "worse"


def choose_held_out(slices: int) -> np.ndarray:
    """A twelfth of the slices, at least 4 and at most 24, spread, never two neighbours, no end slice.

    Fewer where a scan is so short that four would leave too little to learn from; none below 8 slices.
    """
    if slices < 8:
        return np.empty(0, int)
    wanted = min(int(np.clip(round(slices / 12), 4, 24)), (slices - 2) // 3)
    return np.unique(np.rint(np.linspace(1, slices - 2, wanted + 2)[1:-1]).astype(int))


def check(
    model: Model,
    acquired: np.ndarray,
    grid: SliceGrid,
    *,
    held_out: np.ndarray,
    pixel_mm: tuple[float, float],
    device: torch.device,
) -> SelfCheck | None:
    """Predict the held-out slices by the fused views and by cubic, and compare. None where there are none."""
    if not len(held_out):
        return None
    window = tuple(_central(length) for length in acquired.shape[1:])
    weights = {view: weight for view, weight in model.fusion.items() if weight}
    even = grid.even_run()
    truths, fusions, cubics = [], [], []
    for k in held_out:
        given = np.arange(k - 2 * _REACH + 1, k + 2 * _REACH, 2)
        given = given[(given >= even.start) & (given < even.stop)]
        stack = np.clip(acquired[given][(slice(None), *window)], *HU_RANGE).astype(np.float32)
        row = int(np.searchsorted(given, k)) - 1
        g = grid
        scale = (round(g.factor, 6), round(g.thickness_mm / g.output_spacing_mm, 6), g.profile)
        increment = increments.minus_one(2 * len(given) - 1, *scale)
        seen = increment.seen[row : row + 1]
        with torch.inference_mode():
            thick, step = torch.from_numpy(stack).to(device), plane_step(grid, pixel_mm[0])
            views = increments.predict(model, thick, increment.task, plane_step=step, views=list(weights))
            fused = torch.stack([weights[view] * hu for view, hu in views.items()]).sum(0)
            fusions.append(increments.see(seen.to(device), fused)[0].cpu().numpy())
        cubic = seen.numpy() @ interpolation.cubic(increment.task.grid)
        cubics.append(np.tensordot(cubic, stack, 1)[0])
        truths.append(np.clip(acquired[k][window], *HU_RANGE))
    truth = np.stack(truths)
    return SelfCheck(tuple(int(k) for k in held_out), _psnr(np.stack(fusions) - truth), _psnr(np.stack(cubics) - truth))


def _psnr(error: np.ndarray) -> float:
    mean_square = max(float(np.mean(np.square(error, dtype=np.float64))), 1e-6)
    return float(10 * np.log10(_PEAK_HU**2 / mean_square))


def _central(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, start + _SIDE)
