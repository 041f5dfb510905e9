"""A record in words: lines for a terminal and a page, and rows of the tables of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinslice.errors import counted

THICKNESS_FROM = {
    "option": "as given",
    "file": "from the file",
    "side-car": "from the side-car",
    "spacing": "taken as the spacing",
}
_PROFILE_FROM = {
    "user": "as given",
    "stated": "as stated: slices are thin",
    "scan": "from the scan's noise",
    "prior": "the usual one: the noise does not show it",
}


def profile_line(profile: Mapping[str, Any]) -> str:
    """Such as ``gauss, 4.4 mm wide (± 0.2), from the scan's noise``."""
    width = f"{profile['shape']}, {profile['thickness_mm']:.3g} mm wide"
    if profile["error_mm"] is None:
        return f"{width}, {_PROFILE_FROM[profile['determined_by']]}"
    return f"{width} (± {profile['error_mm']:.2g}), {_PROFILE_FROM[profile['determined_by']]}"


def grid_line(grid: Mapping[str, Any]) -> str:
    """Such as ``512 x 512 pixels of 0.7 mm, 40 slices every 5 mm``."""
    slices, rows, columns = grid["shape"]
    x, y, _ = grid["voxel_mm"]
    pixel = f"{x:.3g}" if abs(x - y) < 1e-3 else f"{x:.3g} x {y:.3g}"
    return (
        f"{columns} x {rows} pixels of {pixel} mm, {counted(slices, 'slice')} every {grid['slice_spacing_mm']:.4g} mm"
    )


def weights_line(record: Mapping[str, Any]) -> str:
    """Such as ``adapted to this scan: 2100 steps in 180 s``."""
    effort = record["fit"] and f"{counted(record['fit']['steps'], 'step')} in {record['fit']['seconds']:.0f} s"
    start = {"shipped": "shipped", "file": "given"}.get(record["model"]["source"])
    if start is None:
        return f"{'fitted' if record['method']['fit'] == 'scan' else 'adapted'} to this scan: {effort}"
    return f"{start}, as they are" + (f": {effort} did not improve on them" if effort else "")


def self_check_line(check: Mapping[str, Any]) -> str:
    """Such as ``self-check: 12 held-out slices: 38.9 dB, cubic 36.7 dB: better``."""
    return (
        f"self-check: {counted(check['held_out'], 'held-out slice')}: {check['psnr_db']:.1f} dB, "
        f"cubic {check['psnr_cubic_db']:.1f} dB: {check['verdict']}"
    )


def uncertainty_line(unsure: Mapping[str, Any]) -> str:
    """Such as ``errors of 24.1 HU (rms) expected; on 12 slices set aside 1.12 times as expected``."""
    aside = unsure["calibration"]
    checked = "too few slices to check it"
    if aside["held_out"]:
        ratio = aside["found_over_expected"]
        checked = f"on {counted(aside['held_out'], 'slice')} set aside {ratio:.2f} times as expected"
    return f"errors of {unsure['rms_hu']:.3g} HU (rms) expected; {checked}"


def consistency_line(record: Mapping[str, Any], *, whole: bool) -> str:
    """How closely the result, averaged again, gives the acquired slices back."""
    consistency, copied = record["consistency"], record["output"]["copied_slices"]
    if consistency is None:
        upright = any(warning["code"] == "GEO-UPRIGHT" for warning in record["warnings"])
        return "resampled to stand upright" if upright else "not enforced (--consistency off)"
    residual = consistency["residual_hu_after" if whole else "residual_hu_before"]
    if copied:
        rounds = whole and residual["max"]
        return f"{counted(copied, 'slice')} copied bit for bit" + ("; int16 rounds them to whole HU" if rounds else "")
    return (
        f"slices come back within {residual['max']:.2f} HU "
        f"(rms {residual['rms']:.2f}, damping {consistency['damping']:.3g})"
    )
