"""Train the network of the uncertainty, and measure it on scans left out.

    python benchmarks/uncertainty_training.py FOLDER                                # weights of all scans
    python benchmarks/uncertainty_training.py FOLDER --leave-out chest_rider_0117   # and figures of one left out

The test scan, chest_lidc0314, is always left out. Results of the shipped weights on thin scans of $THINSLICE_CT are
made once and kept in FOLDER, so that a run that was cut off goes on (an hour on two cores; training takes three
minutes). Some scans are also smoothed along z first: slices of many scans are thicker than they are apart, and it
cannot be seen. The weights are FOLDER/uncertainty.safetensors.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

import thinslice
from thinslice.conventions import HU_RANGE, VIEWS
from thinslice.evaluation.protocols import Case, cut, make_case
from thinslice.evaluation.reliability import measure_reliability
from thinslice.phantom import make_phantom
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import SliceGrid, plan_grid
from thinslice.synthesis.fusion import synthesise, view_weights
from thinslice.training.uncertainty import Example, examples, train_network
from thinslice.uncertainty.calibration import SetAside, calibrate
from thinslice.uncertainty.expected import expected_error
from thinslice.uncertainty.network import UncertaintyNetwork
from thinslice.volume import Volume
from thinslice.weights import shipped

SHARED = Path(os.environ.get("THINSLICE_CT", Path(__file__).parents[2] / "shared/ct"))
SCANS = {
    name: f"{folder}/{name}"
    for folder, names in {
        "thin": (
            "chest_rider_0117", "chest_covidctmd_p002", "chest_lungfcp0001", "chest_cmbcrc01068", "chest_lidc0314",
        ),
        "more": (
            "chest_ge_lidc0002", "head_ge_c3n01192", "head_ge_pcir77654033", "extremity_ge_sts020",
            "extremity_ge_sts001",
        ),
    }.items()
    for name in names
}  # fmt: skip
SMOOTHED = ("chest_covidctmd_p002", "chest_ge_lidc0002", "chest_cmbcrc01068", "head_ge_c3n01192")
TEST = "chest_lidc0314"
WHOLE = (*product(("gap", "box"), (4, 2)), ("gauss", 3), ("gauss", 2))
STEPS = 3000
WEIGHTS = view_weights(shipped(), VIEWS)


def cases() -> Iterator[tuple[str, str, str, int]]:
    """(name, variant, protocol, factor): scans as they are, smoothed along z, and the phantom."""
    for (protocol, factor), name in product(WHOLE, (*SCANS, "phantom")):
        yield name, "", protocol, factor
    for protocol, factor in product(("gap", "box"), (2, 4)):
        for name in SMOOTHED:
            yield name, "_smooth", protocol, factor


def scan_of(name: str, variant: str, factor: int) -> Volume:
    if name == "phantom":
        return make_phantom(shape=(64, 128, 128), spacing_mm=(1.25, 1.5, 1.5)).volume
    region = 136 if factor == 4 or not variant else 112  # of finer factors more acquired slices are computed
    scan = cut(thinslice.read(SHARED / f"{SCANS[name]}.nii.gz"), slices=52 if variant else 64, region=region)
    if not variant:
        return scan
    hu = np.clip(scan.hu, *HU_RANGE)
    ends = np.concatenate([hu[:1], hu, hu[-1:]])
    return replace(scan, hu=(0.25 * ends[:-2] + 0.5 * hu + 0.25 * ends[2:]).astype(np.float32))


def kept(folder: Path, name: str, variant: str, protocol: str, factor: int) -> tuple[Path, Path]:
    """Files of a case, and of its thick slices with every second one set aside; made where they are not there."""
    stem = f"{name}{variant}_{protocol}_x{factor}"
    file, aside = folder / f"{stem}.npz", folder / f"{stem}_aside.npz"
    if not file.exists():
        case = make_case(scan_of(name, variant, factor), stem, protocol=protocol, factor=factor)  # type: ignore[arg-type]
        acquisition = Acquisition(np.clip(case.thick.hu, *HU_RANGE), case.grid, case.thick.voxel_mm[:2])
        thick, s = acquisition.hu, case.grid.spacing_mm
        count = len(thick) - 1 + len(thick) % 2
        grid = plan_grid((count + 1) // 2, 2 * s, s, thickness_mm=min(case.grid.thickness_mm, s))
        make(aside, acquisition.within(thick[:count:2], grid), thick[:count], np.arange(count) % 2 == 1)
        make(file, acquisition, case.truth, case.new)
    return file, aside


def make(file: Path, acquisition: Acquisition, truth: np.ndarray, new: np.ndarray) -> None:
    differs, grid = np.zeros(acquisition.output_shape, np.float32), acquisition.grid
    out, _ = synthesise(acquisition, model=shipped(), view_weights=WEIGHTS, disagreement=differs)
    np.savez(
        file, hu=acquisition.hu, out=out, differs=differs.astype(np.float16), truth=truth.astype(np.float32), new=new,
        acquired_mm=grid.acquired_mm, output_mm=grid.output_mm, shape=(grid.thickness_mm, grid.flatness),
        pixel_mm=acquisition.pixel_mm,
    )  # fmt: skip
    print(file.stem, flush=True)


def read(file: Path) -> tuple[Acquisition, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Acquisition, truth, new slices, result and disagreement of the views."""
    with np.load(file) as found:
        grid = SliceGrid(found["acquired_mm"], found["output_mm"], *map(float, found["shape"]))
        acquisition = Acquisition(found["hu"], grid, tuple(found["pixel_mm"]))
        return acquisition, found["truth"], found["new"], found["out"], found["differs"].astype(np.float32)


def measured(network: UncertaintyNetwork, file: Path, aside: Path) -> str:
    """Figures of a case: the uncertainty as a run would have calibrated it, against the errors."""
    acquisition, truth, new, out, expected = read(aside)
    expected_error(expected, out, acquisition, view_weights=WEIGHTS, network=network)
    errors = np.clip(out[new], *HU_RANGE) - truth[new]
    calibration = calibrate(SetAside(errors, expected[new], (1.0, 1.0, 1.0)))
    acquisition, truth, new, out, differs = read(file)
    unsure = differs.copy()
    expected_error(unsure, out, acquisition, view_weights=WEIGHTS, network=network, factor=calibration.factor)
    thick = Volume(acquisition.hu, np.diag([*acquisition.pixel_mm, acquisition.grid.spacing_mm, 1.0]))
    case = Case(file.stem, "gap", 2, thick, acquisition.grid, truth, new)  # protocol and factor stand in the name
    found = measure_reliability(case, out, unsure, differs)
    return (
        f"{file.stem:36} rmse {found.rmse:6.1f}  error of calibration {found.calibration_error:.3f}  within "
        f"{found.within:.3f}  rank {found.rank:.3f} of {found.rank_ceiling:.3f}, views {found.rank_views:.3f}, slope "
        f"{found.rank_slope:.3f}  found over expected {calibration.ratio:.3f} aside"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--leave-out", metavar="NAME", nargs="*", default=[], choices=list(SCANS))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    out = [TEST, *asked.leave_out]
    given: list[Example] = []
    left_out: list[tuple[Path, Path]] = []  # the test scan among them
    for name, *rest in cases():
        files = kept(asked.folder, name, *rest)  # type: ignore[arg-type]
        if name in out:
            left_out.append(files)
        else:
            given += [example for file in files for example in examples(*read(file))]
    network = train_network(given, steps=STEPS)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()},
              asked.folder / "uncertainty.safetensors")  # fmt: skip
    for files in left_out:
        print(measured(network, *files), flush=True)


if __name__ == "__main__":
    main()
