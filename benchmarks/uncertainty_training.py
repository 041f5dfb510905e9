"""Train the network of the uncertainty, and measure it on scans left out.

    python benchmarks/uncertainty_training.py FOLDER                                    # weights of all scans
    python benchmarks/uncertainty_training.py FOLDER --leave-out chest_rider_0117       # and figures of one left out

Results of the shipped weights on thin scans of $THINSLICE_CT are made once and kept in FOLDER, so that a run that was
cut off goes on; scans go in without their names. The weights are FOLDER/uncertainty.safetensors.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np

import thinslice
from thinslice.conventions import HU_RANGE
from thinslice.evaluation.protocols import cut, make_case
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.synthesis.fusion import synthesise, view_weights
from thinslice.weights import shipped

SHARED = Path(os.environ.get("THINSLICE_CT", Path(__file__).parents[2] / "shared/ct"))
SCANS = (
    "thin/chest_rider_0117", "more/chest_ge_lidc0002", "thin/chest_covidctmd_p002", "more/head_ge_c3n01192",
    "thin/chest_lungfcp0001", "thin/chest_cmbcrc01068", "more/extremity_ge_sts020", "more/head_ge_pcir77654033",
    "more/extremity_ge_sts001", "thin/chest_lidc0314",
)  # fmt: skip
CASES = (*product(("gap", "box"), (4, 2)), ("gauss", 3), ("gap", 3), ("box", 3))
SLICES, REGION = 64, {4: 176, 3: 136, 2: 136}  # a finer factor leaves more acquired slices to compute
STEPS = 3000


def results(folder: Path, path: str, protocol: str, factor: int) -> list[Path]:
    """Files of a case, and of its thick slices with every second one set aside; made where they are not there."""
    name = f"{Path(path).name}_{protocol}{factor}"
    file, aside = folder / f"{name}.npz", folder / f"{name}_held.npz"
    if not file.exists():
        scan = cut(thinslice.read(SHARED / f"{path}.nii.gz"), slices=SLICES, region=REGION[factor])
        case = make_case(scan, name, protocol=protocol, factor=factor)
        acquisition = Acquisition(np.clip(case.thick.hu, *HU_RANGE), case.grid, case.thick.voxel_mm[:2])
        thick, s = acquisition.hu, case.grid.spacing_mm
        count = len(thick) - 1 + len(thick) % 2
        grid = plan_grid((count + 1) // 2, 2 * s, s, thickness_mm=min(case.grid.thickness_mm, s))
        made(aside, acquisition.within(thick[:count:2], grid), thick[:count], np.arange(count) % 2 == 1)
        made(file, acquisition, case.truth, case.new)
    return [file, aside]


def made(file: Path, acquisition: Acquisition, truth: np.ndarray, new: np.ndarray) -> None:
    model, differs = shipped(), np.zeros(acquisition.output_shape, np.float32)
    out, _ = synthesise(
        acquisition, model=model, view_weights=view_weights(model, thinslice.VIEWS), disagreement=differs
    )
    grid = acquisition.grid
    np.savez(
        file, hu=acquisition.hu, out=out, dis=differs.astype(np.float16), truth=truth.astype(np.float32), new=new,
        acquired_mm=grid.acquired_mm, output_mm=grid.output_mm, T=grid.thickness_mm, flat=grid.flatness,
        pixel=acquisition.pixel_mm,
    )  # fmt: skip
    print(file.name, flush=True)
