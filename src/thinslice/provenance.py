"""How a result came about, in words and as the mark that every written file of it carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from thinslice.io.files.mark import in_runs, runs
from thinslice.io.scan import SYNTHETIC
from thinslice.plan import grid_of
from thinslice.volume import Origin, Volume


def marked(result: Volume, *, record: Mapping[str, Any], source: Volume) -> Volume:
    """The result, as a volume that says of itself that it is synthetic, and how it was made.

    Args:
        result: the thin slices.
        record: of the run (docs/record.schema.json).
        source: the scan that they were made from.
    """
    scan, output, method = record["input"], record["output"], record["method"]
    mark = {
        "synthetic": True,
        "version": record["version"],
        "settings_sha256": settings_digest(record),
        "model_sha256": record["model"]["sha256"],
        "acquired_slices": runs(_acquired(result, record, source)),
        "source_is_synthetic": source.origin.mark is not None,
        "input": _grid(scan),
        "output": _grid(output),
        "method": {
            **{key: method[key] for key in ("fit", "profile", "texture", "views")},
            "weights": record["model"]["source"],
            "upright": is_upright(record),
        },
    }
    # A volume that was allowed to be read although it is synthetic does not make its result one that is.
    warnings = tuple(notice for notice in result.origin.warnings if notice.code not in SYNTHETIC)
    return replace(result, origin=replace(result.origin, mark=mark, warnings=warnings))


def settings_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of what was asked for."""
    settings = json.dumps({"method": record["method"], "seed": record["seed"]}, sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()


_PROFILE_FROM = {"user": "as given", "stated": "as stated", "scan": "found in its noise", "prior": "assumed"}


def method_text(record: Mapping[str, Any], *, origin: Origin, gaps_filled: bool, fitted_before: bool) -> str:
    """The method in one line, and what was mended in the source before.

    Args:
        record: of the run.
        origin: of the scan.
        gaps_filled: whether slices of the scan were missing or unevenly spaced.
        fitted_before: whether the weights are of another fit to one scan.
    """
    views = ", ".join(record["method"]["views"]) or "none, interpolation alone"
    if record["model"]["source"] == "scan":
        training = "fitted to this scan alone" if record["method"]["fit"] == "scan" else "adapted to this scan"
    else:
        training = "fitted to one scan before" if fitted_before else "trained on other scans"
    profile = record["input"]["profile"]
    text = (
        f"views fused: {views}; networks {training}; slice profile {profile['shape']}, "
        f"{profile['thickness_mm']:.3g} mm wide, {_PROFILE_FROM[profile['determined_by']]}"
    )
    part, parts = (int(origin.facts.get(word, 1)) for word in ("part", "parts"))
    if parts > 1:
        text += f", part {part} of {parts} of a series with gaps"
    if gaps_filled:
        text += ", gaps filled"
    if is_upright(record):
        text += ", made upright"
    if record["method"]["texture"] == "match":
        text += "; viewing copy: noise of the scan's own spectrum was added to synthesised slices"
    return text


def is_upright(record: Mapping[str, Any]) -> bool:
    """Whether a sheared result was resampled to stand upright."""
    return any(warning["code"] == "GEO-UPRIGHT" for warning in record["warnings"])


def copied(result: Volume, record: Mapping[str, Any], source: Volume) -> np.ndarray:
    """Indices of the output slices that are copies of input slices."""
    if not record["output"]["copied_slices"]:
        return np.arange(0)
    return np.asarray(grid_of(source, result).on_grid()[1])


def _acquired(result: Volume, record: Mapping[str, Any], source: Volume) -> list[int]:
    """Output slices that were acquired: copies, and of a source that is synthetic copies of what was acquired there."""
    outputs = copied(result, record, source)
    mark = source.origin.mark
    if mark is None or not len(outputs):
        return [int(index) for index in outputs]
    inputs = grid_of(source, result).on_grid()[0]
    known = mark.get("acquired_slices", [])
    return [int(index) for index, of in zip(outputs, inputs, strict=True) if in_runs(int(of), known)]


def _grid(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "slices": entry["grid"]["shape"][0],
        "slice_spacing_mm": entry["grid"]["slice_spacing_mm"],
        "thickness_mm": entry["thickness_mm"],
    }
