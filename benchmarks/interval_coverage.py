"""How often the intervals of `thinslice measure` hold the truth: 85 to 95 % is what 90 % may be.

    python benchmarks/interval_coverage.py SCAN.nii.gz ...                    # with a stand-in for the uncertainty
    python benchmarks/interval_coverage.py SCAN.nii.gz ... --results DIR --maps DIR --correlation FILE.json

Thin scans are thickened (`gap`, `box`), made thin again by the shipped weights as they are, and labelled: connected
pieces of lung, vessels, soft tissue and bone as they stand in the result, and blobs at random. The truth of a figure is
the same figure of the thin scan: mean and share over the same label, volume and extents of its outline there
(`thinslice.measures.outline`). Intervals narrower than a thousandth of their figure are not counted, nor empty ones.

The stand-in takes the actual errors for known but for their sign and place: their root mean square among voxels in like
surroundings, so that intervals and correlation alone are judged. The correlation is estimated on the upper half of each
case and labels lie in its lower half. With --maps, maps NAME_PROTOCOL_xF.nii.gz (HU) lie beside results of that name:

    thinslice evaluate -i SCAN.nii.gz --methods none --write-inputs thick ...
    thinslice enhance -i thick/NAME.nii.gz -o results/NAME.nii.gz --uncertainty maps/NAME.nii.gz ...
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

import thinslice
from thinslice.evaluation.learned import learned_results
from thinslice.evaluation.learning import Learning
from thinslice.evaluation.protocols import Case, cut, make_case
from thinslice.fitting.effort import Effort
from thinslice.io import files
from thinslice.measures.figures import FIGURES, Threshold, grown, measure_labels
from thinslice.measures.outline import extents_mm, find_outline
from thinslice.phantom import make_phantom
from thinslice.uncertainty.correlation import Correlation, estimate_correlation

_SIZES_MM = (2.0, 4.0, 8.0, 16.0)  # of blobs
_OF_EACH = 12  # labels of a kind, at most


def main() -> None:
    """Print coverage for each case and kind of label, then for each figure over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", help='thin scans; "phantom" for the digital one')
    parser.add_argument("--slices", type=int, default=48)
    parser.add_argument("--region", type=int, default=128)
    parser.add_argument("--cases", default="box4,gap4,box2,gap2")
    parser.add_argument("--results", type=Path, help="thin results, in place of making them")
    parser.add_argument("--maps", type=Path, help="their uncertainty, in place of the stand-in")
    parser.add_argument("--correlation", type=Path, help="an entry of Correlation, in place of estimating it")
    parser.add_argument("--keep", type=Path, help="keep results here, and take them from here")
    options = parser.parse_args()
    everything: dict[str, list[bool]] = defaultdict(list)
    for name in options.scans:
        if name == "phantom":
            volume = make_phantom(shape=(64, 160, 160), spacing_mm=(1.0, 2.0, 2.0)).volume
        else:
            volume = cut(thinslice.read(name), slices=options.slices, region=options.region)
        for kind in options.cases.split(","):
            slug = Path(name).name.split(".")[0]
            case = make_case(volume, slug, protocol=kind[:-1], factor=int(kind[-1]))  # type: ignore[arg-type]
            held: dict[str, list[bool]] = defaultdict(list)
            for group, figure, hit in coverage(case, options):
                held[f"{group}: {figure}"].append(hit)
                everything[f"{kind}: {figure}"].append(hit)
                everything[f"{group}: {figure}"].append(hit)
                everything[f"all: {figure}"].append(hit)
            print(case.title, flush=True)
            _say(held)
    print("over all scans")
    _say(everything)


def coverage(case: Case, options: argparse.Namespace) -> Iterator[tuple[str, str, bool]]:
    """Kind of label, figure, and whether its interval holds the truth."""
    result, sigma = _result(case, options)
    voxel_mm = case.thick.voxel_mm
    mm = (case.grid.output_spacing_mm, voxel_mm[1], voxel_mm[0])
    half = len(result) // 2
    if options.correlation:
        correlation = Correlation.from_entry(json.loads(options.correlation.read_text()))
    else:
        correlation = estimate_correlation((result - case.truth)[half:], sigma[half:], mm, hu=result[half:])
    hu, truth, sigma = result[:half], case.truth[:half], sigma[:half]
    for group, labels, threshold in _labels(hu, mm):
        figures = measure_labels(hu, labels, mm, threshold=threshold, sigma=sigma, correlation=correlation)
        for row in figures:
            true = _truth(hu, truth, labels == row.label, mm, threshold)
            for figure in FIGURES:
                found = getattr(row, figure)
                if found.low is not None and found.high - found.low > 1e-3 * abs(found.value):
                    yield group, figure, found.low - 1e-6 <= true[figure] <= found.high + 1e-6


def _result(case: Case, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The thin result and the error to be expected of it."""
    kept = options.keep and options.keep / f"{case.slug}.npy"
    if options.results:
        result = files.read_values(options.results / f"{case.slug}.nii.gz").hu
    elif kept and kept.exists():
        result = np.load(kept)
    else:
        ((_, result, _),) = learned_results(
            case.thick, case.grid, ["thinslice"], Learning(Effort(seconds=1)), on_progress=None
        )
        if kept:
            np.save(kept, result)
    if options.maps:
        return result, files.read_values(options.maps / f"{case.slug}.nii.gz").hu
    return result, stand_in(result, case.truth, case.new)


def stand_in(result: np.ndarray, truth: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The root mean square of errors around a voxel (3 pixels), at gradients like its own; 0 in copied slices."""
    squares = np.square(result - truth)
    near = ndimage.gaussian_filter(squares, (0, 3, 3)) + 1
    smooth = ndimage.gaussian_filter(result, (0.7, 0.7, 0.7))
    steep = np.sqrt(sum(np.square(g) for g in np.gradient(smooth)) / near)
    bins = np.digitize(steep, np.quantile(steep, np.linspace(0, 1, 25)[1:-1]))
    weights = np.broadcast_to(new[:, None, None], bins.shape).ravel()
    above, below = (np.bincount(bins.ravel(), weights * values.ravel(), minlength=24) for values in (squares, near))
    ratio = above / np.maximum(below, 1)
    sigma = np.sqrt(near * ratio[bins]).astype(np.float32)
    sigma[~new] = 0
    return sigma


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


def _truth(
    hu: np.ndarray, truth: np.ndarray, mask: np.ndarray, mm: tuple[float, float, float], threshold: Threshold
) -> dict[str, float]:
    """The figures of a label by the thin scan."""
    true = {"mean_hu": float(truth[mask].mean()), "share": 100 * float((threshold.over(truth)[mask] > 0).mean())}
    (window,) = ndimage.find_objects(mask.astype(np.uint8))
    around = grown(window, mm)
    outline = find_outline(hu[around], mask[around], mm)
    redrawn = mask if outline is None else outline.redrawn(truth[around])
    z, y, x = extents_mm(redrawn, mm)
    return true | {"volume_ml": redrawn.sum() * float(np.prod(mm)) / 1e3, "z_mm": z, "y_mm": y, "x_mm": x}


def _say(held: dict[str, list[bool]]) -> None:
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for key, hits in held.items():
        group, figure = key.split(": ")
        groups[group][figure] = f"{100 * np.mean(hits):.0f} ({len(hits)})"
    print(f"  {'':12}" + "".join(f"{figure:>12}" for figure in FIGURES))
    for group, row in groups.items():
        print(f"  {group:12}" + "".join(f"{row.get(figure, '-'):>12}" for figure in FIGURES), flush=True)


if __name__ == "__main__":
    main()
