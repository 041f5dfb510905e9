"""Methods: rows of the table, from classical interpolation to what thinslice learns.

Every classical method is a function of the thick volume and the grid, nothing else:
``(thick, grid) -> (n, y, x) float32``. Learned rows come in one call, because views and fusions of
one fit share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thinslice.baselines.linear_filter import smooth
from thinslice.conventions import OnProgress
from thinslice.errors import UsageError
from thinslice.evaluation.names import LEARNED
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid
from thinslice.volume import Volume

if TYPE_CHECKING:
    from thinslice.networks.model import Model

Classical = Callable[[Volume, SliceGrid], np.ndarray]


def _by_matrix(matrix: Callable[[SliceGrid], np.ndarray]) -> Classical:
    def method(thick: Volume, grid: SliceGrid) -> np.ndarray:
        weights = interpolation.as_sparse(matrix(grid))
        rows = weights @ thick.hu.reshape(len(thick.hu), -1)
        return np.asarray(rows, dtype=np.float32).reshape(-1, *thick.shape[1:])

    return method


CLASSICAL: dict[str, Classical] = {
    "linear": _by_matrix(interpolation.linear),
    "cubic": _by_matrix(interpolation.cubic),
    "bspline": _by_matrix(interpolation.bspline),
    "smooth": smooth,
}

METHODS = (*CLASSICAL, *LEARNED)


@dataclass(frozen=True)
class Effort:
    """What a learned row may spend, and what it starts from.

    Attributes:
        budget_s: wall time of each fit in seconds.
        iterations: steps of each fit instead; repeatable.
        weights: in place of the shipped ones.
        device: "auto", "cpu", "cuda" or "mps".
    """

    budget_s: float = 180.0
    iterations: int | None = None
    weights: Model | None = None
    device: str = "auto"


def check_methods(names: Sequence[str], effort: Effort) -> None:
    """Refuse rows that cannot be had.

    Raises:
        UsageError: USE-METHOD for a name that no method has; USE-BUDGET, USE-DEVICE for learned ones.
    """
    for name in names:
        if name not in METHODS:
            raise UsageError("USE-METHOD", f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    if set(names) & set(LEARNED):
        from thinslice.evaluation.learned import check_effort  # torch is imported on first use

        check_effort(effort)


def run_methods(
    thick: Volume, grid: SliceGrid, names: Sequence[str], *, effort: Effort, seed: int, on_progress: OnProgress | None
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield (name, (n, y, x) float32, seconds) for each method, classical ones first.

    The seconds of a learned row are those of its fit and its synthesis.
    """
    for name in names:
        if name in CLASSICAL:
            start = time.perf_counter()
            result = CLASSICAL[name](thick, grid)
            yield name, result, time.perf_counter() - start
    if learned := [name for name in names if name in LEARNED]:
        from thinslice.evaluation.learned import learned_rows  # torch is imported on first use

        yield from learned_rows(thick, grid, learned, effort=effort, seed=seed, on_progress=on_progress)
