"""Methods that are compared: from classical interpolation to what thinslice learns.

Every classical method is a function of the thick volume and the grid, nothing else:
``(thick, grid) -> (n, y, x) float32``. Learned methods come in one call, because views and fusions of
one fit share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from thinslice.baselines.linear_filter import smooth
from thinslice.conventions import OnProgress
from thinslice.errors import UsageError
from thinslice.evaluation import learned
from thinslice.evaluation.learned import OnUncertainty
from thinslice.evaluation.learning import LEARNED, PAPER_TRAINED, Learning
from thinslice.physics import interpolation
from thinslice.physics.grid import SliceGrid
from thinslice.physics.operator import along_z
from thinslice.volume import Volume

Classical = Callable[[Volume, SliceGrid], np.ndarray]


def _by_matrix(matrix: Callable[[SliceGrid], np.ndarray]) -> Classical:
    def method(thick: Volume, grid: SliceGrid) -> np.ndarray:
        return along_z(interpolation.as_sparse(matrix(grid)), thick.hu)

    return method


CLASSICAL: dict[str, Classical] = {
    "linear": _by_matrix(interpolation.linear),
    "cubic": _by_matrix(interpolation.cubic),
    "bspline": _by_matrix(interpolation.bspline),
    "smooth": smooth,
}

METHODS = (*CLASSICAL, *LEARNED)


def check_methods(names: Sequence[str], learning: Learning) -> None:
    """Refuse methods that cannot run.

    Raises:
        UsageError: USE-METHOD for a name that no method has; USE-BUDGET, USE-DEVICE for learned ones.
    """
    for name in names:
        if name not in METHODS:
            raise UsageError("USE-METHOD", f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    if PAPER_TRAINED in names and learning.paper is None:
        raise UsageError(
            "USE-METHOD",
            f"{PAPER_TRAINED} needs weights; thinslice train --recipe paper makes them, --weights names them",
        )
    if set(names) & set(LEARNED):
        learned.check_learning(learning)


def run_methods(
    thick: Volume,
    grid: SliceGrid,
    names: Sequence[str],
    learning: Learning,
    *,
    on_progress: OnProgress | None,
    on_uncertainty: OnUncertainty | None = None,
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield (name, (n, y, x) float32, seconds) for each method, classical ones first.

    The seconds of a learned method are those of its fit and its synthesis. Of results that have an uncertainty,
    `on_uncertainty` is called before they are yielded.
    """
    for name in names:
        if name in CLASSICAL:
            start = time.perf_counter()
            result = CLASSICAL[name](thick, grid)
            yield name, result, time.perf_counter() - start
    if wanted := [name for name in names if name in LEARNED]:
        yield from learned.learned_results(
            thick, grid, wanted, learning, on_progress=on_progress, on_uncertainty=on_uncertainty
        )
