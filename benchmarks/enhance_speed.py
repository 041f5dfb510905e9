"""Where the time of `enhance` goes, beside what the machine could do at best.

The floor is the floating-point operations of all networks (fit, self-check, synthesis), counted while they
run, over the rate at which this machine convolves 64 channels by 3 x 3 in the same number format.
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
            result = thinslice.enhance(
                source, spacing=1.25, fit=chosen.fit, iterations=chosen.iterations, threads=chosen.threads,
            )  # fmt: skip
        began = time.perf_counter()
        result.save(target)
        writing = time.perf_counter() - began
    record = result.record
    precision = record["device"]["precision"]
    rate = convolution_rate(getattr(torch, precision))
    flops, seconds = counter.get_total_flops(), dict(record["times_s"]) | {"write": writing}
    networks = seconds.pop("fit") + seconds.pop("synthesis")
    table = Table("stage", "seconds", "GFLOP", "floor, s", "times the floor")
    table.add_row(
        "networks", f"{networks:.2f}", f"{flops / 1e9:.0f}", f"{flops / rate:.2f}", f"{networks * rate / flops:.1f}"
    )
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.2f}", "-", "-", "-")
    console = Console()
    console.print(
        f"{thick.shape} -> {result.volume.shape}, {chosen.threads} threads, {precision}: {rate / 1e9:.0f} GFLOP/s"
    )
    console.print(table)
    console.print(f"peak memory {record['peak_memory_bytes'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
