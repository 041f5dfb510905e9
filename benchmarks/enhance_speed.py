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
from thinslice.networks.device import convolution_rate
from thinslice.phantom import make_phantom, thicken


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
    rate = convolution_rate(torch.device("cpu"), getattr(torch, precision), seconds=2)
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
