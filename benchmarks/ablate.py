"""What a choice of the fit is worth: variants of FitConfig on several scans and seeds, against the first one.

    python benchmarks/ablate.py SCAN.nii.gz ... --protocol gap --factor 4 --steps 400 --seeds 0 1 2 \\
        --variant "alone context_share=0.0" --variant "mutual"

Each variant is a name and fields of FitConfig or IncrementConfig with their values (of FitConfig.adapting() with
--weights). Every fit prints a line: psnr_new of single views, their mean and the model's own fusion in dB, mean error
of HU in lung, soft tissue and bone, and how far the coronal and the sagittal view disagree (rms, HU). Rows of
docs/experiments were measured with it.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np

import thinslice
from thinslice.conventions import HU_RANGE, VIEWS
from thinslice.evaluation.metrics import Scorer, psnr_new
from thinslice.evaluation.protocols import Case, cut, make_case
from thinslice.fitting.config import FitConfig
from thinslice.fitting.effort import Effort
from thinslice.fitting.scan import fit_scan
from thinslice.networks.device import choose_device
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.synthesis.fusion import synthesise


def variant(text: str) -> tuple[str, dict[str, object]]:
    """A name and the fields that it changes."""
    name, *fields = text.split()
    return name, {field: ast.literal_eval(value) for field, value in (item.split("=", 1) for item in fields)}


def changed(config: FitConfig, changes: dict[str, object]) -> FitConfig:
    """The configuration with fields of its own, or of what is learned at increments, changed."""
    own = {name: value for name, value in changes.items() if hasattr(config, name)}
    increments = {name: value for name, value in changes.items() if name not in own}
    return dataclasses.replace(config, increments=dataclasses.replace(config.increments, **increments), **own)


def measure(case: Case, effort: Effort, *, config: FitConfig, start: Model | None, damping: str | None) -> float:
    """Fit once, print a line, give psnr_new of the fusion."""
    acquisition = Acquisition(np.clip(case.thick.hu, *HU_RANGE), case.grid, case.thick.voxel_mm[:2])
    fitted = fit_scan(acquisition, effort, config=config, device=choose_device(), start=start)
    views = {
        view: synthesise(acquisition, model=fitted.model, view_weights={view: 1.0}, damping=damping)[0]
        for view in VIEWS
    }
    score = Scorer(case).score(sum(weight * views[view] for view, weight in fitted.model.fusion.items()))
    figures = {view: psnr_new(case, hu) for view, hu in views.items()}
    figures |= {"mean3": psnr_new(case, sum(views.values()) / 3), "fused": score.psnr_new}
    apart = float(np.sqrt(np.mean(np.square(views["coronal"] - views["sagittal"])[case.new])))
    print(
        f"  seed {effort.seed}, {fitted.steps} steps, {fitted.seconds:.0f} s, kept {fitted.kept}: "
        + ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        + f"; bias {score.bias_lung:+.1f} {score.bias_soft:+.1f} {score.bias_bone:+.1f}; apart {apart:.1f} HU",
        flush=True,
    )
    return score.psnr_new


def main() -> None:
    """Run all variants, print the differences to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--variant", type=variant, action="append", required=True, metavar='"NAME FIELD=VALUE ..."')
    parser.add_argument("--protocol", default="gap", choices=["gap", "box", "gauss"])
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--slices", type=int, help="the central slices only")
    parser.add_argument("--region", type=int, default=256)
    effort = parser.add_mutually_exclusive_group(required=True)
    effort.add_argument("--budget", type=float)
    effort.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--weights", type=Path, help="adapt these instead of starting from nothing")
    parser.add_argument("--consistency", choices=["off"])
    options = parser.parse_args()

    start = None if options.weights is None else Model.load(options.weights)
    gains: dict[str, list[float]] = defaultdict(list)
    for path in options.scans:
        volume = cut(thinslice.read(path), slices=options.slices, region=options.region)
        case = make_case(volume, path.name, protocol=options.protocol, factor=options.factor)
        first: list[float] = []
        for name, changes in options.variant:
            print(f"{case.title} {name} {changes or 'defaults'}", flush=True)
            config = changed(FitConfig.adapting() if start else FitConfig(), changes)
            values = [
                measure(
                    case, Effort(options.budget, options.steps, seed), config=config, start=start,
                    damping=options.consistency,
                )
                for seed in options.seeds
            ]  # fmt: skip
            first = first or values
            gains[name].append(float(np.mean(values) - np.mean(first)))
    for name, values in gains.items():
        better = sum(value > 0 for value in values)
        print(f"{name:20s} {np.mean(values):+.3f} dB on average, better on {better} of {len(values)}: "
              + " ".join(f"{value:+.3f}" for value in values))  # fmt: skip


if __name__ == "__main__":
    main()
