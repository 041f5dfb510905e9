"""The record of a run: docs/record.schema.json as a dict. No patient data, no path."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from thinslice import __version__
from thinslice.errors import Notice
from thinslice.fitting.scan import FittedScan
from thinslice.networks.device import arithmetic_name
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import regime
from thinslice.physics.noise import noise_of
from thinslice.plan import Job
from thinslice.synthesis.consistency import residual
from thinslice.volume import Volume

_log = logging.getLogger("thinslice.record")

NOTE = "Research use only; not a medical device. The slices between are synthesised, not acquired."
_LIBRARIES = ("torch", "numpy", "scipy", "pydicom", "nibabel", "SimpleITK")


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """A stage ends here."""
        now = time.perf_counter()
        self._laps[stage] = took = now - self._last
        self._last = now
        if took >= 0.001:  # else there was nothing to do
            _log.info("%s: %.2f s", stage, took)

    def times(self) -> dict[str, float]:
        """Seconds of every stage, and in all."""
        return self._laps | {"total": time.perf_counter() - self._start}


@dataclass(frozen=True, eq=False)
class Run:
    """What a run of `enhance` went through.

    Attributes:
        scan: what was read.
        result: the thin slices.
        job: what was asked for.
        acquisition: the scan as networks are given it.
        fitted: the model, and how it came about.
        damping: of the projection; None where slices were copied.
        weights_from: "shipped", "file" or "scan".
        threads: of the CPU.
    """

    scan: Volume
    result: Volume
    job: Job
    acquisition: Acquisition
    fitted: FittedScan
    damping: float | None
    weights_from: str
    threads: int


def record_of(
    run: Run,
    *,
    method: dict[str, Any],
    consistency: float | str | None,
    warnings: list[Notice],
    seed: int,
    clock: Clock,
) -> dict[str, Any]:
    """The record of a run; it reads the result once more, for noise and residuals.

    Args:
        run: what was done.
        method: the choices of the method, JSON-ready.
        consistency: as it was asked for.
        warnings: all of them.
        seed: of the run.
        clock: its times; the check is the last of them.
    """
    scan, result, job, grid, model = run.scan, run.result, run.job, run.job.grid, run.fitted.model
    noise = noise_of(result.hu, run.acquisition.hu, grid=grid)
    residuals = None if consistency == "off" else _residuals(run)
    clock.lap("check")
    return {
        "schema": 1,
        "version": __version__,
        "command": "enhance",
        "note": NOTE,
        "input": {
            "kind": scan.origin.kind,
            "grid": grid_entry(scan),
            "thickness_mm": job.stated_mm,
            "thickness_from": job.thickness_from,
            "regime": regime(job.stated_mm, grid.spacing_mm),
            "profile": job.profile.entry,
            "padding_voxels": count(scan.padding),
            "facts": dict(scan.origin.facts),
        },
        "output": {
            "grid": grid_entry(result),
            "factor": grid.factor,
            "thickness_mm": job.output_thickness_mm,
            "copied_slices": len(grid.held()) if grid.copies and consistency != "off" else 0,
            "padding_voxels": count(result.padding),
        },
        "method": method,
        "seed": seed,
        "fit": run.fitted.entry,
        "self_check": run.fitted.check and run.fitted.check.entry,
        "consistency": residuals,
        "noise": noise,
        "model": {
            "sha256": model.digest,
            "source": run.weights_from,
            "parameters": sum(value.numel() for value in model.state().values()),
        },
        "warnings": [asdict(notice) for notice in warnings],
        "times_s": clock.times(),
        "peak_memory_bytes": peak_memory_bytes(),
        "libraries": libraries(),
        "device": {"kind": model.device.type, "threads": run.threads, "precision": arithmetic_name(model.device)},
    }


def _residuals(run: Run) -> dict[str, Any]:
    """|A x - y| of the result as it is, and rounded to whole numbers."""
    before, after = (
        residual(run.result.hu, run.acquisition, padding=run.result.padding, rounded=rounded)
        for rounded in (False, True)
    )
    return {
        "damping": run.damping or 0.0,
        "residual_hu_before": {"rms": before[0], "max": before[1]},
        "residual_hu_after": {"rms": after[0], "max": after[1]},
    }


def grid_entry(volume: Volume) -> dict[str, Any]:
    """Shape, spacings and place of a volume."""
    return {
        "shape": list(volume.shape),
        "voxel_mm": list(volume.voxel_mm),
        "slice_spacing_mm": volume.slice_spacing_mm,
        "axis_codes": axis_codes(volume.affine),
        "affine": volume.affine.tolist(),
    }


def add_time(record: dict[str, Any], stage: str, seconds: float) -> None:
    """Add wall time of a stage that lay before or behind `enhance`, and what memory has reached by now."""
    times = record["times_s"]
    times[stage] = times.get(stage, 0.0) + seconds
    times["total"] += seconds
    record["peak_memory_bytes"] = peak_memory_bytes()


def axis_codes(affine: np.ndarray) -> str:
    """Where the axes x, y, z point to, nearest: "RAS" for the identity."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    codes, free = [""] * 3, [0, 1, 2]
    for axis in np.argsort(-np.abs(directions).max(axis=0)):
        world = free[int(np.argmax(np.abs(directions[free, axis])))]
        free.remove(world)
        codes[axis] = ("RL", "AP", "SI")[world][int(directions[world, axis] < 0)]
    return "".join(codes)


def libraries() -> dict[str, str]:
    """Versions that the figures may depend on."""
    return {"python": sys.version.split()[0]} | {name: version(name) for name in _LIBRARIES}


def peak_memory_bytes() -> int:
    """Largest resident size of this program so far."""
    # Linux: what getrusage reports began with the process that started this one.
    with contextlib.suppress(OSError, KeyError):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count(mask: np.ndarray | None) -> int:
    """Voxels in a mask; 0 where there is none."""
    return 0 if mask is None else int(mask.sum())
