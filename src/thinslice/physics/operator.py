"""The slice sensitivity profile as a linear operator along z: y = A x.

x lies on the output grid (slices of spacing d), y are the acquired slices (spacing s, thickness T). Row k of A holds
the profile of width T centred on acquired slice k, integrated over each output voxel, and sums to 1. See docs/method.md
for the choice of damping.

Three facts fix the details:

* An output slice is itself d wide, so a profile narrower than d is taken as d wide. A box of width d centred between
  two output slices weighs them as linear interpolation does, and one centred on a slice copies it: where T <= d and
  the centre lies on the grid, the row is a unit vector.
* Beyond the first and the last output slice the scan is taken to go on straight. (`profile_weights` alone puts what a
  profile covers there on the end slice: of measured slices that would put a part in a wrong place.)
* Rows touch few columns, so A is sparse and A A^T is banded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg, sparse

from thinslice.physics.grid import SliceGrid
from thinslice.physics.profile import share_below

_NEGLIGIBLE = 1e-4  # weight of an output slice in an acquired one
_VALUES = 2**22  # voxels of a slab: 34 MB as float64, and a few copies of it


class SliceOperator:
    """A of a grid: what acquired slices are of output slices; with its adjoint and its pseudo-inverse.

    Methods take arrays whose first axis is z and treat all columns alike; volumes (z, y, x) slab by slab, so that
    memory stays bounded. Results are float64.

        >>> import numpy as np
        >>> from thinslice.physics.grid import plan_grid
        >>> from thinslice.physics.operator import SliceOperator
        >>> operator = SliceOperator(plan_grid(3, 4.0, 1.0, thickness_mm=4.0))
        >>> operator.apply(np.arange(12.0))
        array([1.5, 5.5, 9.5])

    Args:
        grid: acquired and output slices.
        damping: lambda >= 0 of the pseudo-inverse; by default `SliceGrid.usual_damping`. 0 asks for A x = y exactly.
        slices: indices of the acquired slices that it is of; by default all.
    """

    def __init__(self, grid: SliceGrid, damping: float | None = None, *, slices: np.ndarray | None = None) -> None:
        self.grid = grid
        self._damping = damping
        rows = _straight_ends(grid)
        self.matrix: sparse.csr_matrix = rows if slices is None else rows[slices]
        """(m, n) float64; rows sum to 1."""

    @property
    def damping(self) -> float:
        """lambda."""
        return self.grid.usual_damping if self._damping is None else float(self._damping)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A x: what would be acquired of output slices, (n, ...) to (m, ...)."""
        return along_z(self.matrix, x)

    def adjoint(self, y: np.ndarray) -> np.ndarray:
        """A^T y: (m, ...) to (n, ...)."""
        return along_z(self.matrix.T, y)

    def pseudo_inverse(self, y: np.ndarray) -> np.ndarray:
        """P y with P = A^T (A A^T + lambda I)^-1: (m, ...) to (n, ...)."""
        return self.adjoint(self.solve(y))

    def null_projector(self, x: np.ndarray) -> np.ndarray:
        """x - P A x: what acquired slices do not determine of x, (n, ...) to the same."""
        return x - self.pseudo_inverse(self.apply(x))

    def solve(self, y: np.ndarray) -> np.ndarray:
        """(A A^T + lambda I)^-1 y: (m, ...) to the same."""
        return linalg.cho_solve_banded((self._factor, False), y.reshape(len(y), -1)).reshape(y.shape)

    def covers(self, mask: np.ndarray) -> np.ndarray:
        """Whether the profile of an acquired slice covers any voxel of a mask: bool (n, ...) to (m, ...)."""
        return along_z((self.matrix != 0).astype(np.float32), mask.astype(np.float32)) != 0

    @cached_property
    def _factor(self) -> np.ndarray:
        """Cholesky factor of A A^T + lambda I, banded as `scipy.linalg.cholesky_banded` has it."""
        gram = (self.matrix @ self.matrix.T).tocsr()
        offsets = gram.tocoo()
        band = int((offsets.col - offsets.row).max())
        banded = np.zeros((band + 1, gram.shape[0]))
        for offset in range(band + 1):
            banded[band - offset, offset:] = gram.diagonal(offset)
        # Two profiles may coincide on a coarse grid; the smallest damping keeps the factor positive.
        banded[band] += max(self.damping, 1e-10)
        return linalg.cholesky_banded(banded)


def along_z(matrix: Any, volume: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """A matrix applied along the first axis, (j, k) on (k, ...) to (j, ...); volumes slab by slab.

    Args:
        matrix: dense or sparse.
        volume: array of at least one axis.
        out: (j, ...) array to fill; made where None.
    """
    if volume.ndim < 3 and out is None:
        return matrix @ volume
    if out is None:
        out = np.empty((matrix.shape[0], *volume.shape[1:]), np.result_type(matrix.dtype, volume.dtype))
    for rows in slabs((max(matrix.shape), *volume.shape[1:])):
        block = volume[:, rows]
        out[:, rows] = (matrix @ block.reshape(len(block), -1)).reshape(-1, *block.shape[1:])
    return out


def slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Ranges of rows y of a volume (z, y, x) that hold about `_VALUES` voxels of all slices."""
    step = max(1, _VALUES // (shape[0] * shape[2]))
    for start in range(0, shape[1], step):
        yield slice(start, start + step)


def profile_weights(grid: SliceGrid) -> sparse.csr_matrix:
    """Weights of output slices in each acquired one, (m, n); what lies beyond the ends falls to the end slices."""
    d = grid.output_spacing_mm
    width, flatness = (d, 1.0) if grid.copies else (grid.thickness_mm, grid.flatness)
    edges = np.concatenate([grid.output_mm - d / 2, [grid.output_mm[-1] + d / 2]])
    from_centre = edges[None, :] - grid.acquired_mm[:, None]
    below = share_below(from_centre, width, flatness)
    below[:, 0], below[:, -1] = 0, 1
    weights = np.diff(below, axis=1)
    weights[weights < _NEGLIGIBLE] = 0
    return sparse.csr_matrix(weights / weights.sum(axis=1, keepdims=True))


def _straight_ends(grid: SliceGrid) -> sparse.csr_matrix:
    """`profile_weights` where the scan goes on straight beyond the end output slices, (m, n).

    What a profile covers there is taken to lie on the line through the last two output slices, for an acquired spacing,
    and to stay level from there on. On a linear slope A x is then what is measured there, at the ends as well.
    """
    d, n = grid.output_spacing_mm, len(grid.output_mm)
    outside = max(grid.output_mm[0] - grid.acquired_mm[0], grid.acquired_mm[-1] - grid.output_mm[-1], 0.0)
    more = int(np.ceil((outside + 1.5 * max(grid.thickness_mm, d)) / d))
    beyond = np.arange(-more, n + more)
    weights = profile_weights(replace(grid, output_mm=grid.output_mm[0] + d * beyond))
    end = np.clip(beyond, 0, n - 1)
    inner = np.where(beyond < 0, 1, n - 2)
    steps = np.minimum(np.abs(beyond - end), grid.factor)
    everywhere = np.arange(len(beyond))
    continued = sparse.csr_matrix(
        (np.concatenate([1 + steps, -steps]), (np.tile(everywhere, 2), np.concatenate([end, inner]))),
        shape=(len(beyond), n),
    )
    operator = (weights @ continued).tocsr()
    operator.eliminate_zeros()
    return operator
