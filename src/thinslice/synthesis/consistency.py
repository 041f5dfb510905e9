"""Make the result agree with what was measured: x <- x + P (y - A x)."""

from __future__ import annotations

import numpy as np

from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.interpolation import as_sparse
from thinslice.physics.noise import noise_hu
from thinslice.physics.operator import SliceOperator, along_z, slabs


def finish(out: np.ndarray, acquisition: Acquisition, *, damping: float | str | None = None) -> float | None:
    """Turn the base interpolation and what views added to it, `out`, into the result, in place; return the damping.

    Networks are trained behind `Task.null_projector`: what they add to the part that acquired slices determine means
    nothing. A projection without damping takes it away as well; before any other one, and where there is none, it is
    taken away here.

    Args:
        out: (n, y, x) float32 HU, `base_matrix` and residuals.
        acquisition: what it was made from.
        damping: as for `project`.
    """
    grid = acquisition.grid
    if not grid.copies and (grid.usual_damping or damping):
        operator = SliceOperator(grid)
        of_base = as_sparse(operator.apply(base_matrix(grid)))
        for rows in slabs(out.shape):
            wanted = along_z(of_base, acquisition.hu[:, rows])
            out[:, rows] += operator.pseudo_inverse(wanted - operator.apply(out[:, rows]))
    return project(out, acquisition, damping=damping)


def project(out: np.ndarray, acquisition: Acquisition, *, damping: float | str | None = None) -> float | None:
    """Project `out` in place and return the damping used.

    Where T <= d, acquired slices that lie on the output grid are copied, bit for bit, and nothing else is done
    (`SliceGrid.held`).

    Args:
        out: (n, y, x) float32 HU.
        acquisition: what it was made from.
        damping: lambda; None chooses it from T/s and the noise; "off" does nothing.
    """
    grid = acquisition.grid
    if damping == "off":
        return None
    if grid.copies:
        taken, given = grid.on_grid()
        out[given] = acquisition.hu[taken]
        return None
    if damping is None:
        damping = choose_damping(out, acquisition)
    operator = SliceOperator(grid, float(damping))
    for rows in slabs(out.shape):
        out[:, rows] += operator.pseudo_inverse(acquisition.hu[:, rows] - operator.apply(out[:, rows]))
    return float(damping)


def residual(
    out: np.ndarray, acquisition: Acquisition, *, padding: np.ndarray | None = None, rounded: bool = False
) -> tuple[float, float]:
    """(rms, max) of |A x - y| in HU over the slices that a result gives back (`SliceGrid.held`).

    Args:
        out: (n, y, x) HU.
        acquisition: what it was made from.
        padding: bool (n, y, x) of the output; slices whose profile covers some of it do not count.
        rounded: of `out` rounded to whole numbers.
    """
    held = acquisition.grid.held()
    operator = SliceOperator(acquisition.grid, slices=held)
    square, count, largest = 0.0, 0, 0.0
    for rows in slabs(out.shape):
        x = out[:, rows].astype(np.float64)
        difference = np.abs(operator.apply(np.rint(x) if rounded else x) - acquisition.hu[held, rows])
        if padding is not None:
            difference = difference[~operator.covers(padding[:, rows])]
        square += float(np.square(difference).sum())
        count += difference.size
        largest = max(largest, float(difference.max(initial=0)))
    return (square / max(count, 1)) ** 0.5, largest


def choose_damping(out: np.ndarray, acquisition: Acquisition) -> float:
    """lambda: the usual one; of an ill-posed grid such that |A x - y| equals the noise of y (discrepancy principle).

    Found by bisection in log lambda on a sample of columns. Where A x is nearer to y than the
    noise already, the largest damping tried is returned: there is nothing to correct.
    """
    acquired, grid = acquisition.hu, acquisition.grid
    if not grid.ill_posed:
        return grid.usual_damping
    stride = max(1, acquired[0].size // 4096)
    y = acquired.reshape(len(acquired), -1)[:, ::stride].astype(np.float64)
    difference = y - SliceOperator(grid).apply(out.reshape(len(out), -1)[:, ::stride])
    tissue = (y > -200) & (y < 300)
    wanted = noise_hu(acquired)
    if not tissue.any() or not wanted:
        return grid.usual_damping
    low, high = -6.0, 3.0
    for _ in range(24):
        middle = (low + high) / 2
        left = 10**middle * SliceOperator(grid, 10**middle).solve(difference)
        low, high = (low, middle) if float(np.sqrt(np.mean(left[tissue] ** 2))) > wanted else (middle, high)
    return float(10 ** ((low + high) / 2))
