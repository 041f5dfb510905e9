"""psnr_new of each view and of fusions for one scan, with any field of FitConfig changed.

    python benchmarks/ablate.py SCAN.nii.gz --protocol gap --factor 4 --steps 1000 --set gamma=0.25 teacher=0

Rows of docs/experiments.md were measured with it.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import time
from pathlib import Path

import numpy as np

import thinslice
from thinslice.evaluate.metrics import Judge
from thinslice.evaluate.protocols import cut, make_case
from thinslice.fit.config import FitConfig
from thinslice.fit.loop import Budget
from thinslice.fit.scan import fit_scan
from thinslice.networks.blocks import HU_RANGE
from thinslice.networks.device import choose_device
from thinslice.networks.model import VIEWS
from thinslice.synthesis.fuse import synthesise


def main() -> None:
    """Fit once, print one line a fusion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--protocol", default="gap", choices=["gap", "box", "gauss"])
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--region", type=int, default=256)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()

    changes = {field: ast.literal_eval(value) for field, value in (item.split("=", 1) for item in options.set)}
    volume = cut(thinslice.read(options.scan), slices=None, region=options.region)
    case = make_case(volume, options.scan.name, protocol=options.protocol, factor=options.factor)
    acquired, pixel_mm, device = np.clip(case.thick.hu, *HU_RANGE), case.thick.voxel_mm[:2], choose_device()
    start = time.monotonic()
    fitted = fit_scan(
        acquired, case.grid, pixel_mm=pixel_mm, budget=Budget(options.budget, options.steps), seed=options.seed,
        config=dataclasses.replace(FitConfig(), **changes), device=device,
    )  # fmt: skip
    seconds = time.monotonic() - start
    print(f"{case.title} {changes or 'defaults'}: {fitted.steps} steps in {seconds:.0f} s; {fitted.check}")
    judge = Judge(case)
    fusions = {view: {view: 1.0} for view in VIEWS} | {
        "coronal + sagittal": {"coronal": 0.5, "sagittal": 0.5},
        "mean3": dict.fromkeys(VIEWS, 1 / 3),
        "fused": dict(fitted.model.fusion),
    }
    for name, weights in fusions.items():
        result, _ = synthesise(
            acquired, case.grid, model=fitted.model, weights=weights, pixel_mm=pixel_mm, device=device
        )
        scores = judge.score(result)
        bias = " ".join(f"{value:+.1f}" for value in (scores.bias_lung, scores.bias_soft, scores.bias_bone))
        print(f"{name:20s} psnr_new {scores.psnr_new:.2f}   bias lung, soft, bone {bias} HU")


if __name__ == "__main__":
    main()
