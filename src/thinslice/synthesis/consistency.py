"""Make the result agree with what was measured: x <- x + P (y - A x)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from thinslice.networks.task import base_matrix
from thinslice.physics.grid import Projection, SliceGrid, acquired_operator
from thinslice.physics.interpolation import as_sparse
from thinslice.physics.noise import noise_hu

_VALUES = 2**22  # of the output in a slab: 34 MB as float64, and a few copies of it


def finish(
    out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, damping: float | str | None = None
) -> float | None:
    """Make of interpolation and what views added to it, `out`, the result, in place; return the damping used.

    Networks learn with `Task.free` behind them: what they say of that which acquired slices determine is not heard.
    A projection without damping takes it away as well; before any other one, and where there is none, it is taken
    away here.

    Args:
        out: (n, y, x) float32 HU, `base_matrix` and residuals.
        acquired: (m, y, x) float32 HU.
        grid: of both.
        damping: as for `project`.
    """
    if not grid.copies and (grid.ill_posed or damping):
        operator = acquired_operator(grid)
        of_base = as_sparse(operator @ base_matrix(grid))
        _correct(out, acquired, operator, of_base, Projection(operator, grid.usual_damping))
    return project(out, acquired, grid=grid, damping=damping)


def project(
    out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, damping: float | str | None = None
) -> float | None:
    """Project `out` in place and return the damping used.

    Where T <= d, acquired slices that lie on the output grid are copied, bit for bit, and nothing else is done
    (`SliceGrid.held`).

    Args:
        out: (n, y, x) float32 HU.
        acquired: (m, y, x) float32 HU.
        grid: of both.
        damping: lambda; None chooses it from T/s and the noise; "off" does nothing.
    """
    if damping == "off":
        return None
    if grid.copies:
        taken, given = grid.on_grid()
        out[given] = acquired[taken]
        return None
    operator = acquired_operator(grid)
    if damping is None:
        damping = choose_damping(out, acquired, grid=grid)
    _correct(
        out, acquired, operator, sparse.identity(len(acquired), format="csr"), Projection(operator, float(damping))
    )
    return float(damping)


def _correct(
    out: np.ndarray, acquired: np.ndarray, operator: sparse.csr_matrix, wanted: sparse.csr_matrix, by: Projection
) -> None:
    """x <- x + P (W y - A x), slab by slab, in place."""
    for rows in _slabs(out.shape):
        x, y = _columns(out[:, rows]), _columns(acquired[:, rows])
        correction = by.correction(wanted @ y - operator @ x)
        out[:, rows] += correction.reshape(len(x), -1, out.shape[2])


def residual(
    out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid, padding: np.ndarray | None = None, rounded: bool = False
) -> tuple[float, float]:
    """(rms, max) of |A x - y| in HU over the slices held, where a slice sees no `padding`, (n, y, x) of the output.

    Of `out` as it is, or rounded.
    """
    held = grid.held()
    operator = acquired_operator(grid)[held]
    seen = (operator != 0).astype(np.float32)
    square, count, largest = 0.0, 0, 0.0
    for rows in _slabs(out.shape):
        x = _columns(out[:, rows]).astype(np.float64)
        difference = np.abs(operator @ (np.rint(x) if rounded else x) - _columns(acquired[held, rows]))
        if padding is not None:
            difference = difference[seen @ _columns(padding[:, rows]).astype(np.float32) == 0]
        square += float(np.square(difference).sum())
        count += difference.size
        largest = max(largest, float(difference.max(initial=0)))
    return (square / max(count, 1)) ** 0.5, largest


def choose_damping(out: np.ndarray, acquired: np.ndarray, *, grid: SliceGrid) -> float:
    """lambda: 0 unless the grid is ill-posed; there such that |A x - y| equals the noise of y (discrepancy principle).

    Found by bisection in log lambda on a sample of columns. Where A x is nearer to y than the
    noise already, the largest damping tried is returned: there is nothing to correct.
    """
    if not grid.ill_posed:
        return 0.0
    operator = acquired_operator(grid)
    stride = max(1, acquired[0].size // 4096)
    y = acquired.reshape(len(acquired), -1)[:, ::stride].astype(np.float64)
    difference = y - operator @ out.reshape(len(out), -1)[:, ::stride]
    tissue = (y > -200) & (y < 300)
    wanted = noise_hu(acquired)
    if not tissue.any() or not wanted:
        return grid.usual_damping
    low, high = -6.0, 3.0
    for _ in range(24):
        middle = (low + high) / 2
        left = 10**middle * Projection(operator, 10**middle).solve(difference)
        low, high = (low, middle) if float(np.sqrt(np.mean(left[tissue] ** 2))) > wanted else (middle, high)
    return float(10 ** ((low + high) / 2))


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Ranges of rows that hold about `_VALUES` voxels of all slices."""
    step = max(1, _VALUES // (shape[0] * shape[2]))
    for start in range(0, shape[1], step):
        yield slice(start, start + step)


def _columns(block: np.ndarray) -> np.ndarray:
    """(slices, y, x) to (slices, pixels)."""
    return np.ascontiguousarray(block).reshape(len(block), -1)
