"""Interpolation along z as matrices (n, m): output slices from acquired slices.

These are what every method is compared with, and the base that the networks add a residual to.
A matrix serves numpy volumes, torch patches and tests alike.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.interpolate import CubicSpline

from thinslice.physics.grid import SliceGrid
from thinslice.physics.operator import SliceOperator


def linear(grid: SliceGrid) -> np.ndarray:
    """Linear interpolation through the slice centres; constant beyond them. (n, m) float64."""
    return np.stack([np.interp(grid.output_mm, grid.acquired_mm, row) for row in np.eye(len(grid.acquired_mm))], 1)


def cubic(grid: SliceGrid) -> np.ndarray:
    """Interpolating cubic spline through the slice centres, not-a-knot ends. (n, m) float64.

    Constant beyond the first and last centre: a continued end polynomial costs up to 0.6 dB of a scan.
    """
    inside = np.clip(grid.output_mm, grid.acquired_mm[0], grid.acquired_mm[-1])
    return CubicSpline(grid.acquired_mm, np.eye(len(grid.acquired_mm)))(inside)


def bspline(grid: SliceGrid) -> np.ndarray:
    """Cubic spline that interpolates integrals, not points: its slab means are the slices.

    A spline of degree 4 through the running integral of the slices (slabs of width s, contiguous)
    is differentiated; then each output voxel takes its mean. Where slabs overlap or leave gaps
    (T != s), or the profile is no box, what is left of y - A x is projected away. Slices that are missing
    between others are put in on straight lines first: a slab reaches no further than half a spacing. (n, m) float64.
    """
    d, centres, bridges = grid.output_spacing_mm, *_bridged(grid.acquired_mm, grid.spacing_mm)
    m = len(centres)
    middle = (centres[1:] + centres[:-1]) / 2
    edges = np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
    running = np.concatenate([np.zeros((1, m)), np.cumsum(np.diag(np.diff(edges)), axis=0)])
    integral = CubicSpline(edges, running)
    weights = (integral(grid.output_mm + d / 2) - integral(grid.output_mm - d / 2)) / d
    if bridges is not None:
        weights = weights @ bridges
    operator = SliceOperator(grid)
    return weights + operator.pseudo_inverse(np.eye(len(grid.acquired_mm)) - operator.apply(weights))


def _bridged(places: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Places with those that are missing between them, and their values out of the others', (more, m), if any are."""
    every = [
        np.linspace(start, stop, max(1, round((stop - start) / spacing)), endpoint=False)
        for start, stop in pairwise(places)
    ]
    centres = np.concatenate([*every, places[-1:]])
    if len(centres) == len(places):
        return places, None
    return centres, np.stack([np.interp(centres, places, one) for one in np.eye(len(places))], axis=1)


def as_sparse(matrix: np.ndarray) -> sparse.csr_matrix:
    """The matrix without its negligible weights: spline weights fade by about 3.7 per slice."""
    return sparse.csr_matrix(np.where(np.abs(matrix) < 1e-7, 0, matrix).astype(np.float32))
