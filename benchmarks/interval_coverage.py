"""How often the intervals of `thinslice measure` hold the truth: 85 to 95 % is what 90 % may be.

    python benchmarks/interval_coverage.py phantom SCAN.nii.gz ... --keep DIR

Thin scans are thickened (`gap`, `box`), made thin again by the shipped weights as they are, with the uncertainty and
the correlation of errors that the run itself finds, and labelled: connected pieces of lung, vessels, soft tissue and
bone as they stand in the result, and blobs at random. The truth of a figure is the same figure of the thin scan: mean
and share over the same label, volume and extents of its outline there (`thinslice.measures.outline`). Intervals
narrower than a thousandth of their figure are not counted, nor empty ones. Extents take minutes a case, and are asked
for.

With --keep, results lie in DIR as SLUG.npz and are taken from there, and every figure as a line of SLUG.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

import thinslice
from thinslice.evaluation.protocols import Case, cut, make_case
from thinslice.measures.figures import FIGURES, Threshold, grown, share_figure
from thinslice.measures.intervals import Figure, mean_figure
from thinslice.measures.outline import extent_figures, extents_mm, find_outline, volume_figure
from thinslice.phantom import make_phantom
from thinslice.uncertainty.correlation import Correlation

_SIZES_MM = (2.0, 4.0, 8.0, 16.0)  # of blobs
_OF_EACH = 12  # labels of a kind, at most


class Row(NamedTuple):
    """A figure of a label with its interval, and its truth."""

    group: str
    label: int
    figure: str
    value: float
    low: float
    high: float
    truth: float

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low - 1e-6 <= self.truth <= self.high + 1e-6


def main() -> None:
    """Print coverage for each case and kind of label, then for each figure over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", help='thin scans; "phantom" for the digital one')
    parser.add_argument("--slices", type=int, default=48)
    parser.add_argument("--region", type=int, default=128)
    parser.add_argument("--cases", default="box4,gap4")
    parser.add_argument("--extents", action="store_true", help="too, which takes long")
    parser.add_argument("--keep", type=Path, help="keep results and figures here, and take results from here")
    options = parser.parse_args()
    everything: dict[str, list[Row]] = defaultdict(list)
    for name in options.scans:
        if name == "phantom":
            volume = make_phantom(shape=(64, 160, 160), spacing_mm=(1.0, 2.0, 2.0)).volume
        else:
            volume = cut(thinslice.read(name), slices=options.slices, region=options.region)
        for kind in options.cases.split(","):
            slug = Path(name).name.split(".")[0]
            case = make_case(volume, slug, protocol=kind[:-1], factor=int(kind[-1]))  # type: ignore[arg-type]
            rows = list(figures(case, keep=options.keep, extents=options.extents))
            if options.keep:
                with (options.keep / f"{case.slug}.csv").open("w", newline="") as file:
                    csv.writer(file).writerows([Row._fields, *rows])
            everything["all"] += rows
            everything[kind] += rows
            print(case.title, flush=True)
            _say(_by_group(rows))
    print("over all scans")
    _say(everything | _by_group(everything["all"]))


def figures(case: Case, *, keep: Path | None, extents: bool) -> Iterator[Row]:
    """Every figure of every label whose interval is counted."""
    hu, sigma, correlation = _result(case, keep)
    voxel_mm = case.thick.voxel_mm
    mm = (case.grid.output_spacing_mm, voxel_mm[1], voxel_mm[0])
    for group, labels, threshold in _labels(hu, mm):
        for number, window in enumerate(ndimage.find_objects(labels), 1):
            if window is None:
                continue
            part = grown(window, mm)
            mask, near = labels[part] == number, (hu[part], case.truth[part], sigma[part])
            for figure, found, true in _measured(*near, mask, mm, threshold, correlation, extents=extents):
                if found.low is not None and found.high - found.low > 1e-3 * abs(found.value):
                    yield Row(group, number, figure, found.value, found.low, found.high, true)


def _measured(
    hu: np.ndarray, truth: np.ndarray, sigma: np.ndarray, mask: np.ndarray, mm: tuple[float, float, float],
    threshold: Threshold, correlation: Correlation, *, extents: bool,
) -> Iterator[tuple[str, Figure, float]]:  # fmt: skip
    """Figures of one label as `thinslice.measures.figures` has them, each with its truth."""
    outline = find_outline(hu, mask, mm)
    if outline is not None:
        correlation, redrawn = correlation.of_structure, outline.redrawn(truth)
        ml = float(np.prod(mm)) / 1e3
        yield "volume_ml", volume_figure(hu, outline, sigma, correlation, mm).scaled(1e-3), redrawn.sum() * ml
        if extents:
            generator = np.random.default_rng(0)
            reaches = extent_figures(hu, outline, sigma, correlation, mm, generator=generator)
            yield from zip(("z_mm", "y_mm", "x_mm"), reaches, extents_mm(redrawn, mm), strict=True)
    yield "mean_hu", mean_figure(hu, mask, sigma, correlation, mm), float(truth[mask].mean())
    share = 100 * float((threshold.over(truth)[mask] > 0).mean())
    yield "share", share_figure(hu, mask, threshold, sigma, correlation, mm), share


def _result(case: Case, keep: Path | None) -> tuple[np.ndarray, np.ndarray, Correlation]:
    """The thin result, its uncertainty and the correlation of its errors, as a run of `enhance` gives them."""
    kept = keep and keep / f"{case.slug}.npz"
    if kept and kept.exists():
        with np.load(kept) as arrays:
            return arrays["hu"], arrays["sigma"], Correlation.from_entry(json.loads(str(arrays["correlation"])))
    grid = case.grid
    run = thinslice.enhance(
        case.thick, spacing=grid.output_spacing_mm, thickness=grid.thickness_mm, profile="box", grid="slabs",
        fit="none", check=False, uncertainty=True,
    )  # fmt: skip
    entry = run.record["uncertainty"]["correlation"]
    hu, sigma = run.volume.hu, run.uncertainty
    if sigma is None or hu.shape != case.truth.shape:
        raise SystemExit(f"{case.slug}: the result is {hu.shape}, the truth {case.truth.shape}")
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, hu=hu, sigma=sigma, correlation=json.dumps(entry))
    return hu, sigma, Correlation.from_entry(entry)


def _labels(hu: np.ndarray, mm: tuple[float, float, float]) -> Iterator[tuple[str, np.ndarray, Threshold]]:
    """Kinds of labels, with the threshold whose share is asked for."""
    smooth = ndimage.gaussian_filter(hu, [0.5 / step for step in mm])
    lung = ndimage.binary_closing(smooth < -600, iterations=2)
    kinds = {
        "lung": (smooth < -600, Threshold(-950.0)),
        "vessel": ((hu > -450) & ndimage.binary_erosion(lung, iterations=2), Threshold(-200.0, "above")),
        "soft": ((smooth > 0) & (smooth < 200), Threshold(60.0, "above")),
        "bone": (hu > 220, Threshold(500.0, "above")),
    }
    for group, (mask, threshold) in kinds.items():
        pieces, _ = ndimage.label(mask)
        yield group, _largest(pieces, least=20), threshold
    generator = np.random.default_rng(0)
    for size in _SIZES_MM:
        field = ndimage.gaussian_filter(generator.standard_normal(hu.shape), [size / 2 / step for step in mm])
        pieces, _ = ndimage.label(field > np.quantile(field, 0.85))
        labels = _largest(pieces, least=20)
        yield f"blob {size:g} mm", labels, Threshold(-800.0 if size < 8 else -950.0)


def _largest(pieces: np.ndarray, *, least: int) -> np.ndarray:
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    order = [int(n) for n in np.argsort(-sizes) if sizes[n] >= least]
    chosen = order[:: max(1, len(order) // _OF_EACH)][:_OF_EACH]
    return np.where(np.isin(pieces, chosen), pieces, 0).astype(np.int32)


def _by_group(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return groups


def _say(groups: dict[str, list[Row]]) -> None:
    """A line a group: percent of intervals that hold the truth, and how many there are."""
    print(f"  {'':12}" + "".join(f"{figure:>12}" for figure in FIGURES))
    for group, rows in groups.items():
        line = f"  {group:12}"
        for figure in FIGURES:
            held = [row.held for row in rows if row.figure == figure]
            line += f"{f'{100 * np.mean(held):.0f} ({len(held)})' if held else '-':>12}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
