"""The slice profile of thick slices, measured over thin ones of the same acquisition."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thinslice.errors import GeometryError, InputError, Notice
from thinslice.evaluation.pairs import SlicePair
from thinslice.physics.grid import SliceGrid
from thinslice.physics.profile import shape_of, share_below

_REACH = 1.5  # spacings of thick slices from a centre to where its profile ends
_MOST_VALUES = 4_000_000  # pixels of thick slices that a profile is fitted to
_ALIKE = 0.9  # correlation of thick slices with what thin ones make of them
_TRANSFER = (0.8, 1.25)  # in the plane; beyond, kernels differ
_LINE_PAIRS = (1, 2, 3, 4, 5)  # per cm


@dataclass(frozen=True)
class MeasuredProfile:
    """How thick slices come of thin ones, fitted to a pair.

    Attributes:
        name: of the pair.
        slices: thick slices that it was fitted to.
        offsets_mm: of thin slices from the centre of a thick one.
        weights: of thin slices at these offsets, fitted freely.
        fwhm_mm: full width at half maximum of the weights.
        deviation_mm: their standard deviation.
        residual_hu: root-mean-square residual of the free fit.
        thickness_mm: T of the profile of the family (`physics.profile`) that fits best.
        flatness: its shape.
        family_residual_hu: its residual.
        stated_mm: stated thickness.
        box_residual_hu: residual of a box of that width.
        correlation: of thick slices with what the best profile makes of the thin ones.
        transfer: in-plane modulation of thick slices over that, at 1, 2, ... 5 line pairs a cm; None beyond the pixels.
    """

    name: str
    slices: int
    offsets_mm: tuple[float, ...]
    weights: tuple[float, ...]
    fwhm_mm: float
    deviation_mm: float
    residual_hu: float
    thickness_mm: float
    flatness: float
    family_residual_hu: float
    stated_mm: float
    box_residual_hu: float
    correlation: float
    transfer: tuple[float | None, ...]

    @property
    def shape(self) -> str:
        """A word for the shape that fits best: "box", "gauss" or "rounded"."""
        return shape_of(self.flatness)

    @property
    def mean_transfer(self) -> float:
        """Mean of what is known of `transfer`."""
        return float(np.mean([value for value in self.transfer if value is not None]))

    @property
    def entry(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self) | {"shape": self.shape, "mean_transfer": self.mean_transfer}

    @property
    def lines(self) -> list[str]:
        """For a reader."""
        known = ", ".join("-" if value is None else f"{value:.2f}" for value in self.transfer)
        middle = [
            f"{weight:.3f}" for offset, weight in zip(self.offsets_mm, self.weights, strict=True)
            if abs(offset) <= self.stated_mm
        ]  # fmt: skip
        return [
            f"width:      {self.fwhm_mm:.2f} mm at half maximum, standard deviation {self.deviation_mm:.2f} mm",
            f"shape:      {self.shape}, {self.thickness_mm:.2f} mm wide, flatness {self.flatness:.2f}",
            f"residual:   {self.residual_hu:.1f} HU freely fitted, {self.family_residual_hu:.1f} HU of that shape",
            f"            {self.box_residual_hu:.1f} HU of a box of {self.stated_mm:g} mm",
            f"in plane:   {known} of the thin slices' modulation",
            "            at 1, 2, 3, 4, 5 line pairs a cm",
            *textwrap.wrap("weights:    " + " ".join(middle), 79, subsequent_indent=" " * 12),
        ]

    def warnings(self) -> list[Notice]:
        """What stands against comparing both series."""
        mean = self.mean_transfer
        if _TRANSFER[0] <= mean <= _TRANSFER[1]:
            return []
        message = (
            f"{self.name}: thick slices have {mean:.2f} of the modulation of thin ones in their plane: they were "
            "reconstructed with other kernels, and figures count that as an error"
        )
        return [Notice("PAIR-KERNEL", message)]


def measure_profile(pair: SlicePair) -> MeasuredProfile:
    """Fit the profile of thick slices over thin ones, freely and within the family.

    Weights are those of a piecewise linear function of the offset with knots a thin spacing apart: where thick centres
    lie on thin ones, the weights of thin slices.

    Raises:
        GeometryError: GEO-PAIR where no profile lies within the thin slices.
        InputError: IN-PAIR where the two do not show the same body.
    """
    grid, d, s = pair.grid, pair.grid.output_spacing_mm, pair.grid.spacing_mm
    shift = _common_offset(grid)
    half = int(np.ceil(_REACH * max(s, grid.thickness_mm) / d))
    knots = shift + d * np.arange(-half, half + 1)
    used = [
        k for k, centre in enumerate(grid.acquired_mm)
        if grid.output_mm[0] <= centre + knots[0] and centre + knots[-1] <= grid.output_mm[-1]
    ]  # fmt: skip
    if len(used) < 2:
        raise GeometryError(
            "GEO-PAIR",
            f"{pair.name}: fewer than 2 thick slices whose whole profile, {2 * half * d:.3g} mm, lies in thin ones",
        )
    y, x = pair.thick.shape[1:]
    step = max(1, int(np.sqrt(len(used) * y * x / _MOST_VALUES)))
    gram, moment = np.zeros((len(knots), len(knots))), np.zeros(len(knots))
    total, count, sums = 0.0, 0, 0.0
    for k in used:
        thick = pair.thick.hu[k, ::step, ::step].reshape(-1).astype(np.float64)
        near = _hats(grid.output_mm - grid.acquired_mm[k], knots, d)
        rows = np.flatnonzero(near.any(axis=0))
        thin = near[:, rows] @ pair.thin[rows, ::step, ::step].reshape(len(rows), -1).astype(np.float64)
        gram += thin @ thin.T
        moment += thin @ thick
        total, count, sums = total + float(thick @ thick), count + thick.size, sums + float(thick.sum())

    def residual(weights: np.ndarray) -> float:
        square = weights @ gram @ weights - 2 * moment @ weights + total
        return float(np.sqrt(max(square, 0.0) / count))

    free = np.linalg.solve(gram + 1e-9 * np.trace(gram) * np.eye(len(knots)), moment)
    widths, shapes = np.geomspace(max(0.2 * s, d), 2 * s, 160), np.linspace(0, 1, 21)
    width, flatness = min(
        ((width, flatness) for width in widths for flatness in shapes),
        key=lambda kind: residual(_family(kind[0], kind[1], knots, d)),
    )
    weights = _family(width, flatness, knots, d)
    deviation = float(np.sqrt(max(total / count - (sums / count) ** 2, 1e-12)))
    correlation = float(np.sqrt(max(0.0, 1 - (residual(weights) / deviation) ** 2)))
    if correlation < _ALIKE:
        raise InputError(
            "IN-PAIR",
            f"{pair.name}: thick and thin slices do not show the same body: their correlation is {correlation:.2f}; "
            "give two reconstructions of one acquisition",
        )
    mean = float(free @ knots / free.sum())
    return MeasuredProfile(
        pair.name, len(used), tuple(map(float, knots)), tuple(map(float, free)), _fwhm(knots, free),
        float(np.sqrt(max(free @ (knots - mean) ** 2 / free.sum(), 0))), residual(free), float(width),
        float(flatness), residual(weights), grid.thickness_mm, residual(_family(grid.thickness_mm, 1.0, knots, d)),
        correlation, _transfer(pair, used, weights, knots),
    )  # fmt: skip


def _common_offset(grid: SliceGrid) -> float:
    """From thick centres to the nearest thin slices, where that is the same for all of them; else 0."""
    d = grid.output_spacing_mm
    phases = (grid.acquired_mm - grid.output_mm[0]) / d
    rests = phases - np.rint(phases)
    return float(-d * np.mean(rests)) if np.ptp(rests) < 0.02 else 0.0


def _hats(offsets: np.ndarray, knots: np.ndarray, d: float) -> np.ndarray:
    """(knots, offsets) weights of the piecewise linear functions that are 1 at a knot and 0 at all others."""
    return np.clip(1 - np.abs(offsets[None, :] - knots[:, None]) / d, 0, 1)


def _family(thickness: float, flatness: float, knots: np.ndarray, d: float) -> np.ndarray:
    """Weights of thin slices in a profile of the family."""
    edges = np.concatenate([knots - d / 2, [knots[-1] + d / 2]])
    weights = np.diff(share_below(edges, thickness, flatness))
    return weights / weights.sum()


def _fwhm(knots: np.ndarray, weights: np.ndarray) -> float:
    """Width at half maximum of weights, linear between knots."""
    fine = np.linspace(knots[0], knots[-1], 4001)
    above = fine[np.interp(fine, knots, weights) >= weights.max() / 2]
    return float(above[-1] - above[0])


def _transfer(pair: SlicePair, used: list[int], weights: np.ndarray, knots: np.ndarray) -> tuple[float | None, ...]:
    """Modulation of thick slices over that of the thin ones' weighted sum, in rings of spatial frequency."""
    grid, d = pair.grid, pair.grid.output_spacing_mm
    x_mm, y_mm, _ = pair.thick.voxel_mm
    shape = pair.thick.shape[1:]
    ring = 10 * np.hypot(np.fft.fftfreq(shape[0], y_mm)[:, None], np.fft.rfftfreq(shape[1], x_mm)[None, :])
    window = np.hanning(shape[0])[:, None] * np.hanning(shape[1])[None, :]
    shared, power = np.zeros(ring.shape), np.zeros(ring.shape)
    for k in used[:: max(1, len(used) // 12)]:
        near = weights @ _hats(grid.output_mm - grid.acquired_mm[k], knots, d)
        model = np.tensordot(near, pair.thin, 1)
        thick, made = (np.fft.rfft2(window * (image - image.mean())) for image in (pair.thick.hu[k], model))
        shared += (thick * made.conj()).real
        power += np.abs(made) ** 2
    found: list[float | None] = []
    for pairs_cm in _LINE_PAIRS:
        within = np.abs(ring - pairs_cm) < 0.5
        known = pairs_cm + 0.5 < 10 / (2 * max(x_mm, y_mm)) and power[within].sum() > 0
        found.append(float(shared[within].sum() / power[within].sum()) if known else None)
    return tuple(found)
