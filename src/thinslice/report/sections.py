"""A record as a person reads it on a page: what it means in five lines, then tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinslice.errors import counted
from thinslice.report.words import THICKNESS_FROM, consistency_line, profile_line, weights_line
from thinslice.uncertainty.meaning import MEANING

Rows = Sequence[tuple[str, ...]]

_TOWARDS = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
_REGIME = {
    "gap": "are thinner than they are apart: there are gaps between them",
    "contiguous": "are as thick as they are apart",
    "overlap": "are thicker than they are apart: they overlap",
}
_VERDICT = {
    "better": "thinslice came closer to them than cubic interpolation did",
    "equal": "thinslice came as close to them as cubic interpolation did",
    "worse": "cubic interpolation came closer to them: prefer cubic here",
}
_UNCERTAINTY = MEANING[0].lower() + MEANING[1:-1]


@dataclass(frozen=True)
class Section:
    """A table of a report.

    Attributes:
        title: above it.
        words: what it says, in a sentence or two.
        rows: the name of each row, and its cells.
        heads: of the columns behind the first; none where there is one.
    """

    title: str
    words: str
    rows: Rows
    heads: tuple[str, ...] = ()


def how_to_read(record: Mapping[str, Any], *, uncertain: bool) -> list[str]:
    """Five lines: what is acquired, what to compare, the self-check, the uncertainty, and what is not there."""
    copied, (slices, _, _) = record["output"]["copied_slices"], record["output"]["grid"]["shape"]
    made = (
        f"{copied} of {counted(slices, 'slice')} were acquired and are copied; the others are synthesised"
        if copied
        else f"All {counted(slices, 'slice')} are synthesised"
    )
    check, ratio = record["self_check"], record["noise"]["ratio"]
    smooth = "" if ratio is None else f", and noise between the acquired slices is {ratio:.2f} times theirs"
    return [
        f"{made}: an estimate of what the scanner would have measured there, no measurement.",
        "Swipe between thick, cubic and thinslice. What is in the acquired slices is evidence; what only thinslice "
        "shows was added by its networks, and needs a look at the acquired slices on both sides.",
        "There is no self-check of this run, so that nothing says how thinslice compares with cubic interpolation here."
        if check is None
        else f"Self-check: {counted(check['held_out'], 'acquired slice was', 'acquired slices were')} set aside and "
        f"predicted; {_VERDICT[check['verdict']]}. This is harder than the real task: a comparison, no estimate of the "
        "error.",
        f"Uncertainty is {_UNCERTAINTY}; 0 at copied slices. Believe details less where its colours are bright."
        if uncertain
        else f"There is no map of uncertainty ({_UNCERTAINTY}): --uncertainty gives it.",
        f"What lies wholly between two acquired slices with a gap is not there{smooth}: texture measures shift.",
    ]


def sections(record: Mapping[str, Any]) -> list[Section]:
    """The tables: geometry, model, consistency and noise, self-check, times."""
    found = [_geometry(record), _model(record), _agreement(record)]
    if record["self_check"]:
        found.append(_self_check(record["self_check"]))
    if record.get("uncertainty"):
        found.append(_uncertainty(record["uncertainty"]))
    return [*found, _cost(record)]


def _geometry(record: Mapping[str, Any]) -> Section:
    scan, result = record["input"], record["output"]
    grids = scan["grid"], result["grid"]

    def row(name: str, words: Any) -> tuple[str, ...]:
        return (name, *(words(grid) for grid in grids))

    rows = [
        row("slices", lambda grid: str(grid["shape"][0])),
        row("slice spacing", lambda grid: f"{grid['slice_spacing_mm']:.4g} mm"),
        ("slice thickness", f"{scan['thickness_mm']:.4g} mm, {THICKNESS_FROM[scan['thickness_from']]}",
         f"{result['thickness_mm']:.4g} mm"),
        row("pixels", lambda grid: f"{grid['shape'][2]} x {grid['shape'][1]}"),
        row("pixel size", lambda grid: f"{grid['voxel_mm'][0]:.4g} x {grid['voxel_mm'][1]:.4g} mm"),
        row("axes x, y, z run to", lambda grid: ", ".join(_TOWARDS[code] for code in grid["axis_codes"])),
        ("voxels never measured", str(scan["padding_voxels"]), str(result["padding_voxels"])),
    ]  # fmt: skip
    words = (
        f"{result['factor']:.4g} times finer; slices {_REGIME[scan['regime']]}. "
        f"Slice profile: {profile_line(scan['profile'])}."
    )
    return Section("Geometry", words, rows, ("scan", "result"))


def _model(record: Mapping[str, Any]) -> Section:
    """What synthesised, and how it came about."""
    method, model = record["method"], record["model"]
    asked = [f"fit {method['fit']}"]
    if method["budget_s"] is not None:
        asked.append(f"{method['budget_s']:g} s")
    if method["iterations"] is not None:
        asked.append(counted(method["iterations"], "step"))
    rows = [
        ("weights", weights_line(record)),
        ("asked for", ", ".join(asked)),
        ("views", ", ".join(method["views"]) or "none: slices are so thick that only interpolation is left"),
        ("texture", "matched: a viewing copy, noise was added" if method["texture"] == "match" else "kept"),
        ("seed", str(record["seed"])),
    ]
    if model:
        rows += [("parameters", f"{model['parameters']:,}"), ("SHA-256 of the weights", model["sha256"])]
    return Section("Model", "", rows)


def _agreement(record: Mapping[str, Any]) -> Section:
    noise, consistency = record["noise"], record["consistency"]
    rows = [("acquired slices", consistency_line(record, whole=True))]
    if consistency:
        for words, name in (("before", "residual_hu_before"), ("after", "residual_hu_after")):
            residual = consistency[name]
            rows.append(
                (f"residual {words} rounding", f"rms {residual['rms']:.3g} HU, at most {residual['max']:.3g} HU")
            )
    if noise["ratio"] is None:
        rows.append(("noise", "not measured: there is too little flat soft tissue"))
    else:
        rows += [
            ("noise, acquired", f"{noise['acquired_hu']:.1f} HU"),
            ("noise, synthesised", f"{noise['synthesised_hu']:.1f} HU"),
            ("noise ratio", f"{noise['ratio']:.2f} (1: as noisy as acquired slices; below 1: smoother)"),
        ]
    words = "How well the result, averaged over the slice profile again, gives the acquired slices back; and its noise."
    return Section("Consistency and noise", words, rows)


def _self_check(check: Mapping[str, Any]) -> Section:
    ours, cubic, plane = check["psnr_db"], check["psnr_cubic_db"], check["psnr_plane_db"]
    rows = [
        ("slices set aside", str(check["held_out"])),
        ("thinslice", f"{ours:.2f} dB"),
        ("cubic interpolation", f"{cubic:.2f} dB"),
        ("difference", f"{ours - cubic:+.2f} dB".replace("-", "\u2212")),
    ]
    if plane is not None:
        rows.append(("thickened in their plane", f"{plane:.2f} dB (what chose between the weights)"))
    words = f"Acquired slices were set aside and predicted; {_VERDICT[check['verdict']]}. PSNR, peak 4095 HU."
    return Section("Self-check", words, rows)


def _uncertainty(unsure: Mapping[str, Any]) -> Section:
    aside, together = unsure["calibration"], unsure["correlation"]
    rows = [("error to be expected", f"{unsure['rms_hu']:.3g} HU (root mean square over synthesised slices)")]
    if aside["held_out"]:
        rows += [
            ("slices set aside", str(aside["held_out"])),
            ("errors there, over those expected", f"{aside['found_over_expected']:.2f}"),
            ("so the map was multiplied by", f"{aside['factor']:.2f}"),
        ]
    rows.append(
        (
            "errors go together over",
            f"{together['in_plane_mm']:.2g} mm in the plane, {together['along_z_mm']:.2g} mm along z",
        )
    )
    return Section("Uncertainty", f"{MEANING} It is 0 at copied slices.", rows)


def _cost(record: Mapping[str, Any]) -> Section:
    times, device = record["times_s"], record["device"]
    rows = [(stage, f"{seconds:.1f} s") for stage, seconds in times.items() if stage != "total" and seconds >= 0.05]
    rows += [
        ("in all", f"{times['total']:.1f} s"),
        ("memory at the peak", f"{record['peak_memory_bytes'] / 2**30:.2f} GiB"),
        ("device", f"{device['kind']}, {counted(device['threads'], 'thread')}, {device['precision']}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["libraries"].items())),
    ]
    return Section("Times", "Wall time by stage, before this page was made.", rows)
