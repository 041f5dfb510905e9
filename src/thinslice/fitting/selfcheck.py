"""Self-check: acquired slices set aside before the fit, predicted from their neighbours afterwards.

The user has no thin truth, so some is made: a held-out slice is predicted from slices at twice the
spacing around it. That is harder than the real task, so the figure is for comparison with cubic
interpolation, which does the same; it is no estimate of the error (docs/method.md, "Self-check").

What is best at 2 s is not best at s: a model adapted to a scan loses there what it gains at s
(docs/experiments/adapting.md). So the same slices are also thickened in their plane, as the scanner thickened
along z, and restored: the right scale in another direction. That chooses between two models, and the
check at 2 s only guards against one that was spoilt. Where there is one model, nothing is chosen, and it
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from thinslice.conventions import HU_RANGE, OnProgress
from thinslice.fitting import increments
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import InplaneTeacher
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid

_SIDE = 128  # pixels of the central window that is checked
_REACH = 4  # slices used on either side
_PEAK_HU = 4095.0
_PLANE_DRAWS = 16  # batches of patches
_SPOILT_DB = 1.0  # a good adaptation loses up to 0.6 dB at twice the spacing


@dataclass(frozen=True)
class SelfCheck:
    """Figures over the held-out slices.

    Attributes:
        positions: indices of the held-out slices among the acquired ones.
        psnr_db, psnr_cubic_db: of the fused result and of cubic interpolation, peak 4095 HU.
        psnr_plane_db: of the slices restored from themselves, thickened in their plane; None where no two models are
            to be compared.
    """

    positions: tuple[int, ...]
    psnr_db: float
    psnr_cubic_db: float
    psnr_plane_db: float | None = None

    def beats(self, other: SelfCheck) -> bool:
        """Whether the model checked here is to be kept rather than the other one, checked on the same slices."""
        if self.psnr_plane_db is None or other.psnr_plane_db is None:
            raise ValueError("models are compared by the slices thickened in their plane as well")
        return self.psnr_plane_db > other.psnr_plane_db and self.psnr_db > other.psnr_db - _SPOILT_DB

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        return {
            "held_out": len(self.positions),
            "positions": list(self.positions),
            "psnr_db": self.psnr_db,
            "psnr_cubic_db": self.psnr_cubic_db,
            "psnr_plane_db": self.psnr_plane_db,
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
    wanted = min(int(np.clip(round(slices / 12), 4, 24)), (slices - 2) // 3, (slices - 5) // 2)
    return np.unique(np.rint(np.linspace(1, slices - 2, wanted + 2)[1:-1]).astype(int))


def check(
    model: Model,
    acquired: np.ndarray,
    grid: SliceGrid,
    *,
    weights: Mapping[str, float],
    held_out: np.ndarray,
    pixel_mm: tuple[float, float],
    device: torch.device,
    compares: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> SelfCheck | None:
    """Predict the held-out slices by the fused views and by cubic, and compare. None where there are none.

    `weights` are those of the synthesis (`synthesis.fuse.view_weights`): views that do not run are not judged. With
    `compares`, for two models to choose from, they are restored from themselves as well. `on_progress` is called with
    ("self-check", done, total).
    """
    if not len(held_out):
        return None
    total = len(held_out) + (_PLANE_DRAWS if compares else 0)

    def told(done: int) -> None:
        on_progress("self-check", done, total)

    window = tuple(_central(length) for length in acquired.shape[1:])
    heard = [view for view, weight in weights.items() if weight]
    even = grid.even_run()
    truths, fusions, cubics = [], [], []
    for done, k in enumerate(held_out):
        told(done)
        given = np.arange(k - 2 * _REACH + 1, k + 2 * _REACH, 2)
        given = given[(given >= even.start) & (given < even.stop)]
        stack = np.clip(acquired[given][(slice(None), *window)], *HU_RANGE).astype(np.float32)
        row = int(np.searchsorted(given, k)) - 1
        increment = increments.minus_one(2 * len(given) - 1, *grid.scale)
        seen = increment.seen[row : row + 1]
        with torch.inference_mode():
            thick, steps = torch.from_numpy(stack).to(device), plane_steps(grid, pixel_mm)
            views = increments.predict(model, thick, increment.task, plane_steps=steps, views=heard)
            base = increments.interpolate(thick, increment.task)
            fused = base + sum(weights[view] * (hu - base) for view, hu in views.items())
            fusions.append(increments.see(seen, fused)[0].cpu().numpy())
        cubic = seen.numpy() @ interpolation.cubic(increment.task.grid)
        cubics.append(np.tensordot(cubic, stack, 1)[0])
        truths.append(np.clip(acquired[k][window], *HU_RANGE))
    truth, plane = np.stack(truths), None
    if compares:
        plane = _plane_db(
            model, acquired[held_out], grid, share=sum(weights.values()), pixel_mm=pixel_mm, device=device,
            on_draw=lambda draw: told(len(held_out) + draw),
        )  # fmt: skip
    told(total)
    positions = tuple(int(k) for k in held_out)
    return SelfCheck(positions, _psnr(np.stack(fusions) - truth), _psnr(np.stack(cubics) - truth), plane)


def _plane_db(
    model: Model,
    slices: np.ndarray,
    grid: SliceGrid,
    *,
    share: float,
    pixel_mm: tuple[float, float],
    device: torch.device,
    on_draw: Callable[[int], None] = lambda draw: None,
) -> float:
    """PSNR of patches of slices, thickened along x or y and restored with so much of what the network adds.

    The patches are the same for every model.
    """
    config = FitConfig(inplane=model.inplane.config, batch=16)
    slices = np.clip(slices, *HU_RANGE)
    teacher = InplaneTeacher(slices, pixel_mm, grid=grid, config=config, random=np.random.default_rng(0))
    errors = []
    with torch.no_grad():  # not inference mode: tasks made here are kept, and a fit may meet them again
        for draw in range(_PLANE_DRAWS):
            on_draw(draw)
            patches = teacher.draw().to(device)
            base = patches.task.base @ patches.thick[:, config.inplane.neighbours]
            restored = base + share * (model.inplane.restore(patches.thick, patches.task) - base)
            errors.append((restored - patches.truth).square().mean())
    return _psnr(np.sqrt(float(torch.stack(errors).mean())))


def _psnr(error: np.ndarray | float) -> float:
    mean_square = max(float(np.mean(np.square(error, dtype=np.float64))), 1e-6)
    return float(10 * np.log10(_PEAK_HU**2 / mean_square))


def _central(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, start + _SIDE)
