"""The record of a run: docs/record.schema.json as a dict. No patient data, no path."""

from __future__ import annotations

import contextlib
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from thinslice.volume import Volume

NOTE = "Research use only; not a medical device. The slices between are synthesised, not acquired."
_LIBRARIES = ("torch", "numpy", "scipy", "pydicom", "nibabel", "SimpleITK")


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
    # Linux: what getrusage tells began with the process that started this one.
    with contextlib.suppress(OSError, KeyError):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count(mask: np.ndarray | None) -> int:
    """Voxels in a mask; 0 where there is none."""
    return 0 if mask is None else int(mask.sum())
