"""Where the time of `enhance` goes, beside what the machine could do at best.

The floor of a stage is its floating-point operations, counted while it runs, over the rate at which
this machine convolves 64 channels by 3 x 3 in the same number format. What the self-check after a fit
computes, a hundredth, is counted with the synthesis.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

import thinslice
from thinslice.networks.model import VIEWS
from thinslice.phantom import make_phantom, thicken


def convolution_rate(dtype: torch.dtype, *, seconds: float = 2.0) -> float:
    """Floating-point operations a second of a 3 x 3 convolution of 64 channels, forward."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype=dtype, memory_format=torch.channels_last)
    images = torch.randn(8, 64, 96, 96, dtype=dtype).to(memory_format=torch.channels_last)
    work = 2 * images.numel() * 64 * 9
    with torch.inference_mode():
        layer(images)
        began, runs = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds:
            layer(images)
            runs += 1
    return work * runs / spent


class StageFlops:
    """A progress callback that books the operations counted so far to the stage that did them."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self._counter, self._before = counter, 0
        self.flops: dict[str, float] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        stage = "synthesis" if stage in VIEWS else stage
        now = self._counter.get_total_flops()
        self.flops[stage] = self.flops.get(stage, 0.0) + now - self._before
        self._before = now


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=256, help="pixels along x and y")
    options.add_argument("--fit", choices=["auto", "scan", "none"], default="auto")
    options.add_argument("--iterations", type=int, default=30)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    phantom = make_phantom(shape=(160, chosen.size, chosen.size), spacing_mm=(1.25, 1.0, 1.0)).volume
    thick, _ = thicken(phantom, 5.0)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "thick.nii.gz"), Path(folder, "thin.nii.gz")
        thinslice.write(thick, source)
        with FlopCounterMode(display=False) as counter:
            stages = StageFlops(counter)
            result = thinslice.enhance(
                source, spacing=1.25, fit=chosen.fit, iterations=chosen.iterations, threads=chosen.threads,
                on_progress=stages,
            )  # fmt: skip
        began = time.perf_counter()
        result.save(target)
        writing = time.perf_counter() - began
    record = result.record
    precision = record["device"]["precision"]
    rate = convolution_rate(getattr(torch, precision))
    table = Table("stage", "seconds", "GFLOP", "floor, s", "times the floor")
    for stage, seconds in (record["times_s"] | {"write": writing}).items():
        flops = stages.flops.get(stage, 0.0)
        floor = flops / rate
        table.add_row(
            stage,
            f"{seconds:.2f}",
            f"{flops / 1e9:.0f}" if flops else "-",
            f"{floor:.2f}" if flops else "-",
            f"{seconds / floor:.1f}" if flops else "-",
        )
    console = Console()
    console.print(
        f"{thick.shape} -> {result.volume.shape}, {chosen.threads} threads, {precision}: {rate / 1e9:.0f} GFLOP/s"
    )
    console.print(table)
    console.print(f"peak memory {record['peak_memory_bytes'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
