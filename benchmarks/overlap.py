"""What overlapping slices (T over s) become, which `evaluate` has no protocol for: dB against the truth.

    python benchmarks/overlap.py SCAN.nii.gz ... --weights weights.safetensors

Thin slices are averaged into slabs of 1.5 and 2 times their distance. Of each case a line: the interpolation that the
networks add to; the result with what networks add to the part that acquired slices determine taken away before the
projection, as `enhance` does it, and without that. Rows of
docs/experiments/consistency-and-profile.md were measured with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import thinslice
from thinslice.conventions import HU_RANGE
from thinslice.evaluation.metrics import PEAK_HU, psnr
from thinslice.evaluation.protocols import cut
from thinslice.networks.model import Model
from thinslice.networks.task import base_matrix
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.physics.operator import SliceOperator
from thinslice.synthesis.consistency import finish, project
from thinslice.synthesis.views import add_view
from thinslice.weights import shipped

CASES = ((2, 1.5), (2, 2.0), (3, 1.5), (4, 1.5), (4, 2.0))  # factor, T/s


def main() -> None:
    """Print a line for each scan and case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, help="in place of the shipped ones")
    parser.add_argument("--slices", type=int, default=73)
    parser.add_argument("--region", type=int, default=80)
    options = parser.parse_args()
    model = shipped() if options.weights is None else Model.load(options.weights)
    for path in options.scans:
        volume = cut(thinslice.read(path), slices=options.slices, region=options.region)
        hu, d = np.clip(volume.hu, *HU_RANGE), volume.slice_spacing_mm
        for factor, overlap in CASES:
            grid = plan_grid(len(hu) // factor, factor * d, d, thickness_mm=overlap * factor * d)
            first = (len(hu) - len(grid.output_mm)) // 2
            truth = hu[first : first + len(grid.output_mm)]
            thick = SliceOperator(grid).apply(truth).astype(np.float32)
            acquisition = Acquisition(thick, grid, volume.voxel_mm[:2])
            base = np.tensordot(base_matrix(grid), thick, 1).astype(np.float32)
            added = base.copy()
            for view in ("coronal", "sagittal"):
                add_view(added, acquisition, model=model, view=view, weight=0.5)
            without = added.copy()
            project(without, acquisition)
            finish(added, acquisition)
            figures = (psnr(float(np.mean(np.square(x - truth))), peak=PEAK_HU) for x in (base, added, without))
            print(
                f"{path.name}, x{factor}, T/s {overlap:g}: "
                + ", ".join(
                    f"{name} {db:.2f}" for name, db in zip(("base", "result", "without"), figures, strict=True)
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
