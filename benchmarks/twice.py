"""x4 at once against x2 and then x2 of the result, with the same weights.

    python benchmarks/twice.py SCAN.nii.gz ... [--weights FILE] [--region 256]

Synthesised slices are taken to be as thick as they are far apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import thinslice
from thinslice import weights
from thinslice.conventions import HU_RANGE
from thinslice.evaluation.metrics import psnr_new
from thinslice.evaluation.protocols import cut, make_case
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid
from thinslice.synthesis.fusion import synthesise


def main() -> None:
    """Print psnr_new of both ways, a line a scan and protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--slices", type=int, help="the central slices only")
    parser.add_argument("--region", type=int, default=256)
    options = parser.parse_args()

    model = weights.shipped() if options.weights is None else Model.load(options.weights)
    for path in options.scans:
        volume = cut(thinslice.read(path), slices=options.slices, region=options.region)
        for protocol in ("gap", "box"):
            case = make_case(volume, path.name, protocol=protocol, factor=4)
            pixel_mm = case.thick.voxel_mm[:2]

            def restore(hu: np.ndarray, grid: SliceGrid, pixel_mm: tuple[float, float] = pixel_mm) -> np.ndarray:
                acquisition = Acquisition(np.clip(hu, *HU_RANGE), grid, pixel_mm)
                return synthesise(acquisition, model=model, view_weights=model.fusion)[0]

            g = case.grid
            coarse, d = slice(0 if protocol == "gap" else None, None, 2), g.output_spacing_mm
            middle = g.output_mm[coarse] if protocol == "gap" else (g.output_mm[::2] + g.output_mm[1::2]) / 2
            thickness = g.thickness_mm if protocol == "gap" else 2 * d
            first = restore(case.thick.hu, SliceGrid(g.acquired_mm, middle, g.thickness_mm, g.profile))
            second = restore(first, SliceGrid(middle, g.output_mm, thickness, g.profile))
            figures = [psnr_new(case, result) for result in (restore(case.thick.hu, g), second)]
            print(f"{case.title}: at once {figures[0]:.2f}, twice {figures[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
