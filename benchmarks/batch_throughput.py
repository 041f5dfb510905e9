"""How many scans an hour: workers x threads, against `enhance` in one process; and whether memory stays flat.

    python benchmarks/batch_throughput.py scans FOLDER     40 small scans cut from real ones, in FOLDER/in
    python benchmarks/batch_throughput.py compare FOLDER   1 x 1, 2 x 1 and 1 x 2 workers x threads, and a plain loop
    python benchmarks/batch_throughput.py memory FOLDER    400 tiny scans, resident memory of the worker after each 50
    python benchmarks/batch_throughput.py spin FOLDER      one scan by two threads, beside a program that computes

The machine should have nothing else to do. Real scans are looked for in $THINSLICE_CT, then ../shared/ct.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

import thinslice

OPTIONS = {"fit": "none", "check": False, "factor": 4.0}
TYPED = ["--fit", "none", "--no-check", "--factor", "4"]


def cut_scans(folder: Path, *, count: int = 40, shape: tuple[int, int, int] = (12, 56, 56)) -> None:
    """Write windows of real scans, thickened to 4 slices' means where they are thin."""
    real = Path(os.environ.get("THINSLICE_CT", "../shared/ct"))
    sources = [thinslice.read(path) for path in sorted((real / "thick").glob("*.nii.gz"))]
    draw, (slices, rows, columns) = np.random.default_rng(0), shape
    for number in range(count):
        scan = sources[number % len(sources)]
        z = draw.integers(len(scan.hu) - slices + 1)
        y, x = (
            int(draw.integers(size // 5, size - size // 5 - side))
            for size, side in zip(scan.hu.shape[1:], (rows, columns), strict=True)
        )
        part = thinslice.Volume(scan.hu[z : z + slices, y : y + rows, x : x + columns].copy(), scan.affine)
        (folder / "in").mkdir(parents=True, exist_ok=True)
        thinslice.write(part, folder / "in" / f"scan_{number:03d}.nii.gz", overwrite=True)


def compare(folder: Path) -> None:
    """Scans an hour of the plain loop and of three shapes of a batch."""
    scans = sorted((folder / "in").iterdir())
    for threads in (1, 2):
        run_plain(folder, scans[:2], threads)  # what is read from the disk is in memory now
        seconds = run_plain(folder, scans, threads)
        print(
            f"plain loop, {threads} threads: {len(scans) / seconds * 3600:7.0f} scans an hour, {seconds:.1f} s",
            flush=True,
        )
    for workers, threads in ((1, 1), (2, 1), (1, 2)):
        output = folder / f"out_{workers}x{threads}"
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "thinslice", "batch", "-i", folder / "in", "-o", output, *TYPED, "-q", "--workers",
             str(workers), "--threads", str(threads)], check=True,
        )  # fmt: skip
        wall = time.perf_counter() - began
        rows = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
        busy = sum(row["seconds"] for row in rows)
        print(
            f"batch {workers} x {threads}: {len(rows) / wall * 3600:7.0f} scans an hour, {wall:.1f} s, "
            f"{busy / workers:.1f} s of it at scans", flush=True,
        )  # fmt: skip


def run_plain(folder: Path, scans: list[Path], threads: int) -> float:
    """Seconds of a loop over `enhance` and `save` in a fresh process, without its start."""
    code = (
        "import sys, time, thinslice\n"
        f"options = {OPTIONS!r} | {{'threads': {threads}}}\n"
        "paths = sys.argv[1:]\n"
        "thinslice.enhance(paths[0], **options)\n"
        "began = time.perf_counter()\n"
        f"result = {str(folder / 'plain.nii.gz')!r}\n"
        "for path in paths: thinslice.enhance(path, **options).save(result, overwrite=True)\n"
        "print(time.perf_counter() - began)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, scans)], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


def memory(folder: Path) -> None:
    """Resident memory of a worker over 400 tiny scans."""
    from thinslice.archive import cluster

    cut_scans(folder / "tiny", count=400, shape=(6, 24, 24))
    with cluster.local([], workers=1) as client:
        for number, _ in enumerate(
            thinslice.batch(folder / "tiny" / "in", folder / "tiny" / "out", client=client, **OPTIONS), 1
        ):
            if number % 50 == 0:
                (used,) = client.run(lambda: psutil.Process().memory_info().rss).values()
                print(f"{number} scans: {used / 1e6:.0f} MB", flush=True)


WAITING = {
    "as it is": {}, "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"}, "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}  # fmt: skip
BUSY = [sys.executable, "-c", "while True: pass"]


def spin(folder: Path) -> None:
    """Seconds of one scan by two threads: alone, beside a busy program, beside another run like it."""
    (scan, *_) = sorted((folder / "in").iterdir())
    code = (
        "import time, thinslice\n"
        f"enhance = lambda: thinslice.enhance({str(scan)!r}, **{OPTIONS!r})\n"
        "enhance(); began = time.perf_counter(); enhance(); enhance(); print((time.perf_counter() - began) / 2)"
    )
    run = [sys.executable, "-c", code]
    endless = [sys.executable, "-c", f"{code.splitlines()[0]}\n{code.splitlines()[1]}\nwhile True: enhance()"]
    for where, other in (("alone", None), ("beside a busy program", BUSY), ("beside another run", endless)):
        for name, setting in WAITING.items():
            environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
            environment |= {"OMP_NUM_THREADS": "2"} | setting
            beside = None if other is None else subprocess.Popen(other, env=environment)
            done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
            print(f"{where}, threads wait {name}: {float(done.stdout):.2f} s", flush=True)
            if beside is not None:
                beside.kill()
                beside.wait()


if __name__ == "__main__":
    what, into = sys.argv[1], Path(sys.argv[2])
    {"scans": cut_scans, "compare": compare, "memory": memory, "spin": spin}[what](into)
