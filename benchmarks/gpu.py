"""A quarter of an hour on a graphics card: does it compute the same, how fast, and what can it learn in the rest?

    python benchmarks/gpu.py pack SCAN.nii.gz ... -o FOLDER     # where the scans are: the middle of each, to carry
    python benchmarks/gpu.py run FOLDER -o WEIGHTS.safetensors  # where the card is; --device cpu rehearses it

`run` ends within --minutes: a short training and a synthesis are compared with the CPU's, both are timed, training with
none and more workers, and what is left of the time goes into a training from the shipped weights.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import thinslice
from thinslice.evaluation.protocols import cut
from thinslice.networks.device import arithmetic_name, arithmetic_type, convolution_rate
from thinslice.training import ScanPool, TrainConfig, train
from thinslice.weights import shipped

_SECONDS = 20.0  # of a timed training
_CHECKED = 3  # steps that are compared
_KEPT = 0.85  # of the time that is left: steps differ in length
CPU = torch.device("cpu")


class _EnoughError(Exception):
    """The time of a timed training is over."""


def pack(scans: list[Path], folder: Path, *, pixels: int, slices: int) -> None:
    """Write the middle of every scan into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in scans:
        thinslice.write(cut(thinslice.read(path), slices=slices, region=pixels), folder / path.name)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{len(scans)} scans, {size / 2**20:.0f} MiB in {folder}")


class Run:
    """What is asked of a device.

    Args:
        folder: that `pack` made.
        device: to try.
        seconds: for all of it.
        batch: patches of a draw.
        validate: name of the file that is not learned from; the curve is measured on it.
    """

    def __init__(self, folder: Path, device: torch.device, *, seconds: float, batch: int, validate: str | None) -> None:
        self._ends, self._device = time.monotonic() + seconds, device
        self._paths = sorted(path for path in folder.iterdir() if path.name != validate)
        self._validation = [ScanPool([folder / validate], read=thinslice.read, memory_bytes=1)[0]] if validate else []
        self._start, self._workers = shipped(), 0
        defaults = TrainConfig()
        self._config = replace(defaults, fit=replace(defaults.fit, batch=batch), validate_every=200)
        self.table = Table("what", "found")

    def _pool(self) -> ScanPool:
        return ScanPool(self._paths, read=thinslice.read, memory_bytes=int(8e9))

    def _say(self, what: str, found: str) -> None:
        self.table.add_row(what, found)
        print(f"{what}: {found}", flush=True)

    def rate(self) -> None:
        """Convolutions alone."""
        rate = convolution_rate(self._device, arithmetic_type(self._device), seconds=1)
        self._say(f"convolutions, {arithmetic_name(self._device)}", f"{rate / 1e12:.2f} TFLOP/s")

    def synthesis(self) -> None:
        """The shipped weights, on the CPU and on the device."""
        scan = cut(thinslice.read(self._paths[0]), slices=40, region=128)
        spacing = scan.slice_spacing_mm / 3
        results = {}
        for name in dict.fromkeys(("cpu", self._device.type)):
            thinslice.enhance(scan, spacing=spacing, fit="none", device=name)  # the first run warms up
            began = time.monotonic()
            results[name] = thinslice.enhance(scan, spacing=spacing, fit="none", device=name).volume.hu
            self._say(f"synthesis of {results[name].shape} on {name}", f"{time.monotonic() - began:.2f} s")
        error = np.abs(results["cpu"].astype(float) - results[self._device.type])
        self._say("its difference from the CPU's", f"{error.mean():.2f} HU in the mean, {error.max():.0f} at most")

    def same_steps(self) -> None:
        """A few steps of training, on the CPU and on the device, from the same weights."""
        config = replace(self._config, iterations=_CHECKED, fit=replace(self._config.fit, batch=4))
        ends = [
            torch.cat([value.flatten() for value in train(self._pool(), config=config, start=self._start,
                                                          device=device).state().values()])
            for device in (CPU, self._device)
        ]  # fmt: skip
        began = torch.cat([value.flatten() for value in self._start.state().values()])
        off = (ends[1] - ends[0]).norm() / (ends[0] - began).norm()
        self._say(f"{_CHECKED} steps of training, off the CPU's way", f"{off:.1%}")

    def pace(self) -> float:
        """Steps a second with none and more workers; gives the best."""
        best = 0.0
        for workers in (0, 2, 8):
            if workers > (os.cpu_count() or 1):
                continue
            steps, seconds = self._timed(workers)
            best = max(best, steps / seconds)
            self._say(f"training, {workers} workers", f"{steps / seconds:.2f} steps/s")
            if best == steps / seconds:
                self._workers = workers
        return best

    def _timed(self, workers: int) -> tuple[int, float]:
        marks: list[float] = []

        def stop(stage: str, done: float, total: float) -> None:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            marks.append(time.monotonic())
            if marks[-1] - marks[0] > _SECONDS:
                raise _EnoughError

        with suppress(_EnoughError):
            train(self._pool(), config=self._config, device=self._device, workers=workers, on_progress=stop)
        first = min(10, len(marks) - 2)  # workers begin, and the device warms up
        return len(marks) - 1 - first, marks[-1] - marks[first]

    def learn(self, target: Path, rate: float) -> None:
        """Train on from the shipped weights in what is left of the time."""
        steps = int(max(1, (self._ends - time.monotonic()) * rate * _KEPT))
        config = replace(self._config, iterations=steps)
        model = train(
            self._pool(), config=config, start=self._start, device=self._device, workers=self._workers,
            validation=self._validation, checkpoint=target.with_name(target.name + ".checkpoint"),
        )  # fmt: skip
        model.save(target, overwrite=True)
        last = {key: round(value, 2) for key, value in model.facts["curve"][-1].items()}
        self._say(f"trained {steps} steps into {target.name}", str(last))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = options.add_subparsers(dest="command", required=True)
    packing, running = commands.add_parser("pack"), commands.add_parser("run")
    packing.add_argument("scans", type=Path, nargs="+")
    packing.add_argument("--pixels", type=int, default=224)
    packing.add_argument("--slices", type=int, default=96)
    running.add_argument("folder", type=Path)
    running.add_argument("--device", default="cuda")
    running.add_argument("--minutes", type=float, default=8)
    running.add_argument("--batch", type=int, default=16)
    running.add_argument("--validate", metavar="NAME", help="a file of FOLDER that is not learned from")
    for command in (packing, running):
        command.add_argument("-o", "--output", type=Path, required=True)
    chosen = options.parse_args()
    if chosen.command == "pack":
        pack(chosen.scans, chosen.output, pixels=chosen.pixels, slices=chosen.slices)
        return
    device = torch.device(chosen.device)
    run = Run(chosen.folder, device, seconds=60 * chosen.minutes, batch=chosen.batch, validate=chosen.validate)
    logging.basicConfig(filename=chosen.output.with_suffix(".log"), level=logging.INFO, format="%(message)s")
    run.rate()
    run.synthesis()
    run.same_steps()
    run.learn(chosen.output, run.pace())
    Console().print(run.table)


if __name__ == "__main__":
    main()
