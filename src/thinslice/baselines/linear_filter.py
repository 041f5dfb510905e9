"""The best linear filter found on the in-plane data: what of a gain is deconvolution, not anatomy.

In-plane pixels are sharp. They are degraded along x and y just as the scanner degraded z (the same
A, one pixel taken as one output slice), and for every output phase the linear filter of the
nearest coarse samples is found by least squares. Applied along z, it is the best that any linear
interpolation could learn from this scan alone.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from thinslice.physics.grid import SliceGrid, plan_grid
from thinslice.physics.operator import along_z, profile_weights
from thinslice.volume import Volume

TAPS = 8
_MIDDLE = TAPS // 2 - 1  # the sample just before the output slice
_MOST_LINES = 40_000  # lines of pixels used for the fit, evenly spread
_DAMPING = 1e-6  # of the mean square difference of coarse samples, towards linear interpolation


def smooth(thick: Volume, grid: SliceGrid) -> np.ndarray:
    """The thick volume on the output grid, by the filter learned in its own planes. (n, y, x) float32."""
    return along_z(filter_matrix(thick, grid), thick.hu)


def filter_matrix(thick: Volume, grid: SliceGrid) -> sparse.csr_matrix:
    """The learned filter as a matrix (n, m); rows sum to 1.

    Near the ends the samples beyond the scan repeat the end slice. Every output slice has its own
    filter by its phase: where it lies between its two acquired neighbours.
    """
    m, n = len(grid.acquired_mm), len(grid.output_mm)
    place = grid.output_mm / grid.spacing_mm
    cell = np.floor(place + 1e-6).astype(int)
    phases, phase_of = np.unique(np.round(place - cell, 4), return_inverse=True)
    filters = _fit_filters(thick, grid, phases)
    columns = np.clip(cell[:, None] + np.arange(1 - TAPS // 2, 1 + TAPS // 2)[None, :], 0, m - 1)
    rows = np.repeat(np.arange(n), TAPS)
    entries = (filters[phase_of].ravel(), (rows, columns.ravel()))
    return sparse.csr_matrix(entries, shape=(n, m), dtype=np.float32)


def _fit_filters(thick: Volume, grid: SliceGrid, phases: np.ndarray) -> np.ndarray:
    """Least-squares filters (phases, TAPS) from lines of pixels along x and y.

    The weight of the middle sample follows from the others, so that a filter's weights sum to 1. A
    scan too small or too flat to learn from is left with linear interpolation.
    """
    gram = np.zeros((len(phases), TAPS, TAPS))
    moment = np.zeros((len(phases), TAPS))
    for axis in (1, 2):
        lines = np.moveaxis(thick.hu, axis, -1).reshape(-1, thick.shape[axis])
        if int((lines.shape[1] - 1) / grid.factor) <= TAPS:
            continue
        lines = lines[np.linspace(0, len(lines) - 1, min(len(lines), _MOST_LINES)).astype(int)].astype(np.float64)
        coarse, start = _degrade(lines, grid)
        for index, phase in enumerate(phases):
            _accumulate(lines, coarse, start, grid.factor, phase, gram[index], moment[index])
    filters = np.zeros((len(phases), TAPS))
    for index, phase in enumerate(phases):
        linear = np.zeros(TAPS)
        linear[_MIDDLE + 1] = phase
        damping = max(_DAMPING * np.trace(gram[index]) / TAPS, 1e-9)
        solved = np.linalg.solve(gram[index] + damping * np.eye(TAPS), moment[index] + damping * linear)
        solved[_MIDDLE] = 0.0
        solved[_MIDDLE] = 1.0 - solved.sum()
        filters[index] = solved
    return filters


def _degrade(lines: np.ndarray, grid: SliceGrid) -> tuple[np.ndarray, float]:
    """Lines (l, pixels) as the scanner sampled z: (l, k), and the first sample's centre in pixels."""
    d = grid.output_spacing_mm
    in_pixels = plan_grid(
        int((lines.shape[1] - 1) / grid.factor),
        grid.factor,
        1.0,
        thickness_mm=grid.thickness_mm / d,
        flatness=grid.flatness,
    )
    operator = profile_weights(in_pixels)
    return lines[:, : operator.shape[1]] @ operator.T, -float(in_pixels.output_mm[0])


def _accumulate(
    lines: np.ndarray,
    coarse: np.ndarray,
    start: float,
    ratio: float,
    phase: float,
    gram: np.ndarray,
    moment: np.ndarray,
) -> None:
    """Add normal equations of one phase: pixels at that phase, from their nearest coarse samples.

    Samples are taken relative to the middle one, which removes the sum-to-one constraint.
    """
    half = TAPS // 2
    for cell in range(half, coarse.shape[1] - half):
        place = start + (cell + phase) * ratio
        below = int(np.floor(place + 1e-6))
        if below + 1 >= lines.shape[1]:
            break
        fraction = max(place - below, 0.0)
        target = (
            lines[:, below] if fraction < 1e-4 else (1 - fraction) * lines[:, below] + fraction * lines[:, below + 1]
        )
        anchor = coarse[:, cell]
        samples = coarse[:, cell + 1 - half : cell + 1 + half] - anchor[:, None]
        gram += samples.T @ samples
        moment += samples.T @ (target - anchor)
