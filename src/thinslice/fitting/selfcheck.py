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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from thinslice.conventions import HU_RANGE, OnProgress
from thinslice.fitting import increments
from thinslice.fitting.config import FitConfig
from thinslice.fitting.inplane_pairs import InplaneTeacher
from thinslice.networks import axial, inplane
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.physics import interpolation
from thinslice.physics.acquisition import Acquisition

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
    acquisition: Acquisition,
    *,
    view_weights: Mapping[str, float],
    held_out: np.ndarray,
    compares: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> SelfCheck | None:
    """Predict the held-out slices by the fused views and by cubic, and compare. None where there are none.

    Args:
        model: networks, on the device that computes.
        acquisition: the scan and its grid.
        view_weights: those of the synthesis (`synthesis.fusion.view_weights`); views of weight 0 do not run.
        held_out: indices of the slices to predict.
        compares: whether slices are restored from themselves as well, for two models to choose from.
        on_progress: called with ("self-check", done, total).
    """
    if not len(held_out):
        return None
    total = len(held_out) + (_PLANE_DRAWS if compares else 0)

    def report(done: int) -> None:
        on_progress("self-check", done, total)

    truths, fusions, cubics = [], [], []
    for done, k in enumerate(held_out):
        report(done)
        truth, fused, cubic = _predict(int(k), model, acquisition, view_weights)
        truths.append(truth)
        fusions.append(fused)
        cubics.append(cubic)
    plane = None
    if compares:
        plane = _plane_db(
            model, acquisition, held_out, weight=sum(view_weights.values()),
            on_draw=lambda draw: report(len(held_out) + draw),
        )  # fmt: skip
    report(total)
    truth, positions = np.stack(truths), tuple(int(k) for k in held_out)
    return SelfCheck(positions, _psnr(np.stack(fusions) - truth), _psnr(np.stack(cubics) - truth), plane)


def _predict(
    k: int, model: Model, acquisition: Acquisition, view_weights: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Acquired slice k, its prediction by the fused views and by cubic, (y, x) HU each, in the central window."""
    acquired, grid = acquisition.hu, acquisition.grid
    window = tuple(_central(length) for length in acquired.shape[1:])
    even = grid.even_run()
    given = np.arange(k - 2 * _REACH + 1, k + 2 * _REACH, 2)
    given = given[(given >= even.start) & (given < even.stop)]
    stack = np.clip(acquired[given][(slice(None), *window)], *HU_RANGE).astype(np.float32)
    row = int(np.searchsorted(given, k)) - 1
    increment = increments.minus_one(2 * len(given) - 1, grid.scale)
    increment = replace(increment, observation=increment.observation[row : row + 1])
    active = [view for view, weight in view_weights.items() if weight]
    with torch.inference_mode():
        thick = torch.from_numpy(stack).to(model.device)
        views = increments.predict(model, thick, increment.task, plane_steps=plane_steps(acquisition), views=active)
        base = axial.interpolate(thick, increment.task)
        fused = base + sum(view_weights[view] * (hu - base) for view, hu in views.items())
        predicted = increment.observe(fused)[0].cpu().numpy()
    cubic = increment.observation.numpy() @ interpolation.cubic(increment.task.grid)
    return np.clip(acquired[k][window], *HU_RANGE), predicted, np.tensordot(cubic, stack, 1)[0]


def _plane_db(
    model: Model,
    acquisition: Acquisition,
    held_out: np.ndarray,
    *,
    weight: float,
    on_draw: Callable[[int], None] = lambda draw: None,
) -> float:
    """PSNR of patches of slices, thickened along x or y and restored with `weight` times what the network adds.

    The patches are the same for every model.
    """
    config = FitConfig(inplane=model.inplane.config, batch=16)
    slices = np.clip(acquisition.hu[held_out], *HU_RANGE)
    teacher = InplaneTeacher(
        slices, acquisition.pixel_mm, grid=acquisition.grid, config=config, random=np.random.default_rng(0)
    )
    errors = []
    with torch.no_grad():  # not inference mode: tasks made here are kept, and a fit may use them again
        for draw in range(_PLANE_DRAWS):
            on_draw(draw)
            patches = teacher.draw().to(model.device)
            base = inplane.interpolate(patches.thick, patches.task)
            restored = base + weight * (model.inplane(patches.thick, patches.task) - base)
            errors.append((restored - patches.truth).square().mean())
    return _psnr(np.sqrt(float(torch.stack(errors).mean())))


def _psnr(error: np.ndarray | float) -> float:
    mean_square = max(float(np.mean(np.square(error, dtype=np.float64))), 1e-6)
    return float(10 * np.log10(_PEAK_HU**2 / mean_square))


def _central(length: int) -> slice:
    start = max(0, (length - _SIDE) // 2)
    return slice(start, start + _SIDE)
