"""A viewing copy whose synthesised slices are as noisy as the acquired ones.

Synthesis averages, so that synthesised slices are smoother than acquired ones, and where acquired
slices are copied every f-th slice flickers in coronal view. `add_texture` adds noise to the slices between: Gaussian,
of the spectrum that flat soft tissue of the acquired slices has in the plane, independent from slice
to slice, and as strong as the synthesised slices fall short, place by place:

* How much is added: what the noise of flat soft tissue falls short by (variances subtract), as the record
  measures it. Where: as blocks of 16 x 16 pixels fall short, by the robust variance of a high-pass where no
  edge is near, of the acquired slices, interpolated along z, less that of the synthesised slice.
* Air takes none, nor does metal (values near the end of the scale), nor a column with padding; but see the next.
* Where output slices are not copies of acquired ones, the noise is projected onto the null space of A:
  n <- n - A^+ A n. So A x = y holds as it did. What the projection takes away is made up for beforehand. Air and metal
  above and below tissue, within the reach of a slab, take part of what the tissue's noise is balanced with.

It is noise, not anatomy: measured values and what is measured on the result are better left alone,
which is why this is not the default.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage, sparse

from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
from thinslice.physics.noise import flat, flat_tissue, noise_hu, noise_kernel, noise_plane, some_of
from thinslice.physics.operator import SliceOperator

_BLOCK = 16  # pixels
_AIR_HU, _TISSUE_HU = -1000.0, -900.0  # none at the former, all at the latter
_METAL_HU, _BELOW_METAL_HU = 3000.0, 2800.0
_LARGEST_SHARE = 1.5  # of what soft tissue takes: noise differs over a body, but not by more than that
_LARGEST_GAIN = 4.0  # where the projection leaves next to nothing, nothing much can be added


def add_texture(
    out: np.ndarray, acquisition: Acquisition, *, padding: np.ndarray | None = None, seed: int = 0
) -> Literal["added", "enough", "unknown", "padded"]:
    """Add noise to the synthesised slices of `out`, in place; copies of acquired slices keep every bit.

    Slice by slice: no more than a few slices of noise are held at a time.

    Args:
        out: (n, y, x) float32 HU, consistent with the acquired slices.
        acquisition: what it was made from.
        padding: (m, y, x) bool, what was never measured.
        seed: same seed, same noise.

    Returns:
        "added"; "enough" where synthesised slices are as noisy as acquired ones, "unknown" where there is too little
        flat soft tissue to know noise from, "padded" where every column holds padding: nothing is added then.
    """
    acquired, grid = acquisition.hu, acquisition.grid
    free, mixing = _null_space(grid)
    kernel, before, after = noise_kernel(acquired), noise_hu(acquired), noise_hu(out, free)
    if kernel is None or before is None or after is None:
        return "unknown"
    lacking = float(np.sqrt(max(before**2 - after**2, 0)))
    wanted = np.stack([_variances(plane) for plane in acquired])
    places = np.clip(grid.places(), 0, len(acquired) - 1)
    sample = free[some_of(len(free))]
    in_soft_tissue = [_shortfall(out[k], wanted, at=places[k])[flat_tissue(out[k])] for k in sample]
    unit = float(np.sqrt(np.mean(np.square(np.concatenate(in_soft_tissue)))))
    if not lacking or not unit:
        return "enough"
    clear = np.zeros(out.shape[1:], bool) if padding is None else padding.any(axis=0)
    if clear.all():
        return "padded"
    starts = mixing.indptr
    noise: dict[int, np.ndarray] = {}
    for row, index in enumerate(free):
        needed, weights = mixing.indices[starts[row] : starts[row + 1]], mixing.data[starts[row] : starts[row + 1]]
        for other in (int(i) for i in needed):
            if other not in noise:  # of a slice that is as it was synthesised: the mixing is symmetric
                k = int(free[other])
                strength = np.minimum(_shortfall(out[k], wanted, at=places[k]) / unit, _LARGEST_SHARE) * lacking
                strength[clear] = 0
                noise[other] = strength * noise_plane(kernel, out.shape[1:], seed=seed, number=k)
        for other, weight in zip(needed, weights, strict=True):
            out[index] += np.float32(weight) * noise[int(other)]
        noise = {other: plane for other, plane in noise.items() if other >= _first_needed(mixing, row + 1)}
    return "added"


def _first_needed(mixing: sparse.csr_matrix, row: int) -> int:
    """The first slice of noise that `row` or a later one asks for."""
    later = mixing.indices[mixing.indptr[row] :]
    return int(later.min()) if len(later) else mixing.shape[0]


_BINOMIAL = np.array([0.25, 0.5, 0.25])


def _binomial_high_pass(plane: np.ndarray) -> np.ndarray:
    """The plane less its binomial mean over 3 x 3 pixels: linear, so that variances of independent parts add."""
    return plane - ndimage.correlate1d(ndimage.correlate1d(plane, _BINOMIAL, axis=0), _BINOMIAL, axis=1)


def _variances(plane: np.ndarray) -> np.ndarray:
    """Robust variance of the high-pass by block, (rows, columns), from pixels with no edge near.

    Blocks that have few such pixels take the value of those around them.
    """
    high = np.where(flat(plane), np.abs(_binomial_high_pass(plane)), np.inf).astype(np.float32)
    high = np.pad(high, [(0, -n % _BLOCK) for n in high.shape], constant_values=np.inf)
    rows, columns = (n // _BLOCK for n in high.shape)
    blocks = np.sort(high.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(rows, columns, -1), axis=2)
    count = np.isfinite(blocks).sum(axis=2)
    median = np.take_along_axis(blocks, count[:, :, None] // 2, axis=2)[:, :, 0]
    variance = np.where(count > 0, np.square(1.4826 * np.where(np.isfinite(median), median, 0)), 0)
    near = [ndimage.gaussian_filter(part * 1.0, 1.0, mode="nearest", truncate=3) for part in (variance * count, count)]
    return near[0] / np.maximum(near[1], 1e-6)


def _shortfall(plane: np.ndarray, wanted: np.ndarray, *, at: float) -> np.ndarray:
    """Deviation of the high-pass that an output slice (y, x) falls short by: 0 in air and metal.

    Args:
        plane: the slice.
        wanted: `_variances` of the acquired slices.
        at: its place among them.
    """
    below = min(int(at), len(wanted) - 2)
    acquired = (1 - at + below) * wanted[below] + (at - below) * wanted[below + 1]
    lacking = np.sqrt(np.maximum(acquired - _variances(plane), 0))
    rows, columns = ((np.arange(n) + 0.5) / _BLOCK - 0.5 for n in plane.shape)
    spread = ndimage.map_coordinates(lacking, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
    smooth = ndimage.gaussian_filter(plane, 1.5)
    in_tissue = np.clip((smooth - _AIR_HU) / (_TISSUE_HU - _AIR_HU), 0, 1)
    no_metal = np.clip((_METAL_HU - ndimage.maximum_filter(plane, 3)) / (_METAL_HU - _BELOW_METAL_HU), 0, 1)
    return (spread * in_tissue * no_metal).astype(np.float32)


def _null_space(grid: SliceGrid) -> tuple[np.ndarray, sparse.csr_matrix]:
    """The slices that take noise, and what mixes their noise such that A x does not change.

    I - A^+ A on the slices that are no copies, each column scaled so that mixed noise is as strong as asked for.
    """
    free = np.arange(len(grid.output_mm))
    if grid.copies:
        free = np.setdiff1d(free, grid.on_grid()[1])
        return free, sparse.identity(len(free), format="csr")
    mixing = SliceOperator(grid, 0.0).null_projector(np.eye(len(free)))
    mixing[np.abs(mixing) < 1e-6] = 0
    gain = np.ones(len(free))
    for _ in range(50):
        gain = np.clip(gain / np.maximum(np.square(mixing) @ gain, 1e-3), 0, _LARGEST_GAIN**2)
    return free, sparse.csr_matrix(mixing * np.sqrt(gain)[None, :])
