"""Leave out the residual blocks that a trained network can best do without.

    python benchmarks/prune.py SCAN.nii.gz [SCAN.nii.gz ...] --weights w.safetensors --blocks 6 -o shorter.safetensors

Of the coronal and sagittal network, those are left out that each cost the least alone: the mean, over thin scans and
protocols, of what psnr_new of the result loses in dB. Train on from the result (`thinslice train --weights`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

import thinslice
from thinslice.conventions import HU_RANGE, VIEWS
from thinslice.evaluation.protocols import Case, cut, make_case
from thinslice.networks.model import Model
from thinslice.physics.acquisition import Acquisition
from thinslice.synthesis.fusion import synthesise, view_weights

SLICES, REGION, FACTOR = 40, 96, 4


def without(model: Model, blocks: set[int]) -> Model:
    """A copy of a model that lacks some blocks."""
    kept = [part for number, part in enumerate(model.inplane.body.blocks) if number not in blocks]
    shorter = Model.new(replace(model.inplane.config, blocks=len(kept)), model.axial.config)
    shorter.inplane.load_state_dict(
        {name: value for name, value in model.inplane.state_dict().items() if ".blocks." not in name}
        | {f"body.blocks.{name}": value for name, value in nn.ModuleList(kept).state_dict().items()}
    )
    shorter.axial.load_state_dict(model.axial.state_dict())
    return replace(shorter, fusion=dict(model.fusion), facts=dict(model.facts))


def decibels(model: Model, cases: Sequence[Case]) -> np.ndarray:
    """Squared error of the new slices of every case, in dB."""
    weights, errors = view_weights(model, VIEWS), []
    for case in cases:
        acquisition = Acquisition(np.clip(case.thick.hu, *HU_RANGE), case.grid, case.thick.voxel_mm[:2])
        out, _ = synthesise(acquisition, model=model, view_weights=weights)
        error = np.clip(out[case.new], *HU_RANGE) - case.truth[case.new]
        errors.append(10 * np.log10(np.mean(np.square(error, dtype=np.float64))))
    return np.array(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+", metavar="SCAN")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE")
    parser.add_argument("--blocks", type=int, required=True, metavar="N")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    asked = parser.parse_args()
    model = Model.load(asked.weights)
    thin = [cut(thinslice.read(path), slices=SLICES, region=REGION) for path in asked.scans]
    cases = [
        make_case(scan, path.name, protocol=protocol, factor=FACTOR)  # type: ignore[arg-type]
        for scan, path in zip(thin, asked.scans, strict=True)
        for protocol in ("gap", "box")
    ]
    whole, costs = decibels(model, cases), []
    for block in range(model.inplane.config.blocks):
        costs.append(report(f"without block {block}", decibels(without(model, {block}), cases) - whole))
    least = {int(block) for block in np.argsort(costs)[: len(costs) - asked.blocks]}
    shorter = without(model, least)
    report(f"without {sorted(least)}", decibels(shorter, cases) - whole)
    shorter.save(asked.output)


def report(name: str, lost: np.ndarray) -> float:
    """Say what is lost in dB, in all and case by case; returns the mean."""
    each = " ".join(f"{cost:.3f}" for cost in lost)
    print(f"{name}: {lost.mean():.3f} dB lost ({each})", flush=True)
    return float(lost.mean())


if __name__ == "__main__":
    main()
