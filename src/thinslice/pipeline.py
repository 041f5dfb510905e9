"""The main job on one page: read, plan, fit, synthesise, check, hand over."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch

from thinslice import __version__
from thinslice import record as records
from thinslice.conventions import VIEWS, OnProgress
from thinslice.errors import Notice, UsageError, counted
from thinslice.fitting.config import FitConfig
from thinslice.fitting.loop import Budget
from thinslice.fitting.scan import FittedScan, fit_scan, take_as_it_is
from thinslice.io import scan
from thinslice.io.label_map import labels_with, read_label_map
from thinslice.networks.device import arithmetic_name, choose_device
from thinslice.networks.model import Model
from thinslice.networks.threads import cpu_threads
from thinslice.physics.grid import Placement, Profile, regime
from thinslice.physics.noise import noise_of
from thinslice.plan import Job, check_effort, plan_job
from thinslice.provenance import marked
from thinslice.result import Result
from thinslice.synthesis.consistency import residual
from thinslice.synthesis.fusion import synthesise
from thinslice.synthesis.labels import carry_labels
from thinslice.synthesis.padding import carry_padding, fill_padding
from thinslice.synthesis.texture import add_texture
from thinslice.synthesis.upright import tilt_told, upright_shapes
from thinslice.system.keywords import checks_keywords
from thinslice.system.memory import output_array
from thinslice.volume import Volume
from thinslice.weights import shipped

_log = logging.getLogger("thinslice.pipeline")

Fit = Literal["auto", "scan", "none"]
Texture = Literal["keep", "match"]
_NO_TEXTURE = {
    "enough": "synthesised slices are as noisy as acquired ones",
    "unknown": "too little flat soft tissue to take noise from",
    "padded": "every column of voxels holds padding",
}


@checks_keywords(*scan.READING)
def enhance(
    source: Any,
    *,
    affine: Any = None,
    spacing: float | None = None,
    factor: float | None = None,
    thickness: float | None = None,
    profile: Profile = "box",
    grid: Placement | None = None,
    fit: Fit | None = None,
    budget: float = 180.0,
    iterations: int | None = None,
    views: Sequence[str] = VIEWS,
    consistency: float | str | None = None,
    texture: Texture = "keep",
    detilt: bool = False,
    model: Model | str | PathLike[str] | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    config: FitConfig | None = None,
    check: bool = True,
    labels: Any = None,
    on_progress: OnProgress = lambda stage, done, total: None,
    **reading: Any,
) -> Result:
    """Synthesise thin slices from a thick-slice CT scan.

        >>> import thinslice
        >>> result = thinslice.enhance("thick.nii.gz", spacing=1.0, fit="none", check=False)
        >>> result.volume.hu.shape, result.volume.slice_spacing_mm
        ((80, 48, 48), 1.0)
        >>> again = result.volume.hu.reshape(16, 5, 48, 48).mean(axis=1)  # averaged over 5 mm, as the scanner did
        >>> bool(abs(again - thinslice.read("thick.nii.gz").hu).max() < 0.01)
        True

    Args:
        source: path, `Volume`, nibabel, SimpleITK, torchio or MONAI object, or an array (z, y, x) in HU.
        affine: (4, 4) voxel (x, y, z) to RAS mm, for an array.
        spacing: target slice spacing in mm; by default a whole number of times finer, near the pixels', not below 1 mm.
        factor: how many times finer, instead of `spacing`; 1.2 to 8.
        thickness: slice thickness T in mm; by default the source's, else the slice spacing.
        profile: "box" or "gauss".
        grid: "slabs" splits thick slices over the field of view; "centres" begins at the first acquired centre, so
            that a whole factor has every acquired centre among the output slices. By default "slabs", and "centres"
            for a NIfTI file without orientation. Thin slices lie at their centres either way.
        fit: "none" uses the weights as they are; "auto" adapts them to this scan and keeps the better of both by
            the self-check; "scan" fits to this scan from nothing. By default "none" where a model is given, else
            "auto".
        budget: seconds of fitting.
        iterations: steps of fitting, in place of `budget`; repeatable.
        views: which of "axial", "coronal", "sagittal" run.
        consistency: damping of the projection onto the acquired slices, "off", or None to choose it.
        texture: "match" for a viewing copy whose synthesised slices carry the scan's own noise.
        detilt: make the result of a scan with gantry tilt upright, resampled once after all else; without labels.
        model: weights to use or to start from, or the file that holds them, in place of the shipped ones.
        seed: same seed, iterations, machine and threads: same voxels, on a CPU.
        threads: of the CPU; by default all.
        device: "auto", "cpu", "cuda" or "mps".
        config: every choice of the fit; by default `FitConfig()` from nothing and `FitConfig.adapting()` from weights.
        check: compare with cubic interpolation on slices set aside (the self-check). Without it "auto" keeps what it
            adapted, and the result comes sooner.
        labels: a label map in the scan's voxels, of all or a part of them, to be carried to the result's grid: path
            (also of a .seg.nrrd or a DICOM segmentation), image, or an array in the order of `source` where that is an
            array, else (z, y, x) of its `Volume`. By default the one that a torchio Subject holds beside its scan.
        on_progress: called with (stage, done, total).
        **reading: axis, rescale, series, phase, on_gap, allow_derived, strict, limits: see `thinslice.read`.

    Returns:
        The thin slices, the record and the weights.

    Raises:
        ThinsliceError: with a stable code and an exit code (`thinslice.errors`).
    """
    clock = _Clock()
    volume = _volume(source, affine, reading)
    clock.lap("read")
    job = plan_job(
        volume, spacing=spacing, factor=factor, thickness=thickness, profile=profile, views=views, placement=grid
    )
    fit = fit or ("auto" if model is None else "none")
    seed, iterations, model = _plain(seed), _plain(iterations), _loaded(model)
    check_effort(fit, budget=budget, iterations=iterations, consistency=consistency, model=model, seed=seed)
    origin = "shipped" if model is None else "file"
    start = None if fit == "scan" else model or shipped()
    if texture not in ("keep", "match"):
        raise UsageError("USE-TEXTURE", f"unknown texture {texture!r}; choose keep or match")
    labels = labels_with(source, labels)
    if detilt and labels is not None:
        raise UsageError("USE-LABELS", "labels do not go with detilt: make the label map upright elsewhere")
    axes = None if isinstance(source, Volume) or volume.source.kind != "array" else volume.source.header
    read = None if labels is None else read_label_map(labels, scan=volume, axes=axes)
    label_map, remarks = (None, ()) if read is None else (read.values, read.warnings)
    chosen = choose_device(device)
    adapts = bool({"coronal", "sagittal"} & set(views)) or (config is not None and config.increments_run)
    with cpu_threads(threads) as count:
        _log_plan(volume, job, model=start, fit=fit, effort=(budget, iterations), seed=seed)
        _log.info("%s, %s, CPU threads: %d", chosen.type, arithmetic_name(chosen), count)
        acquired = fill_padding(volume)
        shape = (len(job.grid.output_mm), *volume.shape[1:])
        step = job.grid.output_spacing_mm / volume.slice_spacing_mm
        copies = upright_shapes(volume, slices=shape[0], step=step) if detilt else []
        noise = 4 * math.prod(shape) if texture == "match" and job.grid.ill_posed else 0  # its rows are dense then
        out = output_array(
            volume.shape, shape, padding=volume.padding is not None, labels=label_map is not None, copies=copies,
            more=noise, held=_held_bytes(volume.hu, volume.padding, label_map, acquired),
        )  # fmt: skip
        clock.lap("prepare")
        if start is not None and (fit == "none" or not adapts):
            fitted = take_as_it_is(
                start, acquired, job.grid, pixel_mm=job.pixel_mm, device=chosen, views=views, check=check,
                on_progress=on_progress,
            )  # fmt: skip
        else:
            fitted = fit_scan(
                acquired, job.grid, pixel_mm=job.pixel_mm, budget=Budget(budget, iterations), config=config, seed=seed,
                device=chosen, start=start, views=views, check=check, on_progress=on_progress,
            )  # fmt: skip
        model, origin = fitted.model, "scan" if fitted.kept == "scan" else origin
        clock.lap("fit")
        _log.info("%s; views: %s", _fit_words(fitted), _view_words(fitted.weights))
        out, damping = synthesise(
            acquired, job.grid, model=model, weights=fitted.weights, pixel_mm=job.pixel_mm, device=chosen,
            damping=consistency, out=out, on_progress=on_progress,
        )  # fmt: skip
        clock.lap("synthesis")
    told = tilt_told(volume.source.warnings) if detilt else volume.source.warnings
    warnings = [*told, *remarks, *job.warnings, *_fit_warnings(fitted, wanted=check)]
    if threads is not None and count < threads:
        warnings.append(Notice("RES-THREADS", f"{threads} threads were asked for; a forked process has one: spawn it"))
    if fit == "auto" and not adapts:
        warnings.append(Notice("FIT-AXIAL", "the axial network is not adapted to a scan: its weights are used as is"))
    if texture == "match":
        found = add_texture(out, acquired, grid=job.grid, padding=volume.padding, seed=seed)
        if found != "added":
            warnings.append(Notice("TEXTURE-NONE", f"{_NO_TEXTURE[found]}: none was added"))
            texture = "keep"
        clock.lap("texture")
    padding = carry_padding(out, volume, grid=job.grid)
    result = volume.with_slices(
        out, first=job.grid.output_mm[0] / volume.slice_spacing_mm, step=step, padding=padding,
        thickness=job.output_thickness_mm,
    )  # fmt: skip
    carried = None
    if label_map is not None:
        carried = carry_labels(label_map, grid=job.grid, pixel_mm=job.pixel_mm)
        clock.lap("labels")
    record = _record(
        volume, result, job, fitted=fitted, model=model, origin=origin, acquired=acquired, damping=damping,
        consistency=consistency, warnings=warnings, seed=seed, device=chosen, threads=count, clock=clock,
        method={
            "fit": fit,
            "profile": profile,
            "grid": job.placement,
            "views": [view for view in views if fitted.weights[view]],
            "texture": texture,
            "budget_s": float(budget) if fit != "none" and iterations is None else None,
            "iterations": iterations if fit != "none" else None,
            "settings": {"fit": fitted.config} if fitted.config else {},
        },
    )  # fmt: skip
    record["output"]["labels"] = None if label_map is None else len(np.setdiff1d(label_map, 0))
    result = marked(result, record=record, source=volume)
    done = Result(result, record, model, volume, labels=carried)
    return done.upright() if detilt else done


@checks_keywords(*scan.READING)
def fit(
    source: Any,
    *,
    affine: Any = None,
    spacing: float | None = None,
    factor: float | None = None,
    thickness: float | None = None,
    profile: Profile = "box",
    fit: Literal["auto", "scan"] = "auto",
    budget: float = 180.0,
    iterations: int | None = None,
    model: Model | str | PathLike[str] | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    config: FitConfig | None = None,
    check: bool = True,
    on_progress: OnProgress = lambda stage, done, total: None,
    **reading: Any,
) -> Model:
    """Fit a model to a scan, without synthesising.

        >>> import thinslice
        >>> model = thinslice.fit("thick.nii.gz", spacing=1.0, fit="scan", iterations=2, check=False)
        >>> model.facts["steps"]
        2
        >>> model.save("weights.safetensors")

    Args:
        source: as for `enhance`, as is all that is not explained here.
        affine: for an array.
        spacing: target slice spacing in mm.
        factor: how many times finer, instead of `spacing`.
        thickness: slice thickness T in mm.
        profile: "box" or "gauss".
        fit: "auto" starts from weights, "scan" from nothing.
        budget: seconds of fitting.
        iterations: steps, in place of `budget`; repeatable.
        model: weights to start from, in place of the shipped ones.
        seed: of weights and draws.
        threads: of the CPU; by default all.
        device: "auto", "cpu", "cuda" or "mps".
        config: every choice of the fit, as for `enhance`: change fields of `FitConfig.adapting()` for "auto".
        check: as for `enhance`; without, every slice is learned from.
        on_progress: called with (stage, done, total).
        **reading: options of `thinslice.read`.

    Returns:
        The model; `save` it, or give it to `enhance`.

    Raises:
        ThinsliceError: as `enhance`; USE-FIT for "none", which fits nothing, and for "scan" with a model.
    """
    volume = _volume(source, affine, reading)
    job = plan_job(volume, spacing=spacing, factor=factor, thickness=thickness, profile=profile, views=VIEWS)
    if fit not in ("auto", "scan"):
        raise UsageError("USE-FIT", f"fit {fit!r} fits nothing; choose auto or scan")
    seed, iterations, model = _plain(seed), _plain(iterations), _loaded(model)
    check_effort(fit, budget=budget, iterations=iterations, consistency=None, model=model, seed=seed)
    with cpu_threads(threads):
        return fit_scan(
            fill_padding(volume), job.grid, pixel_mm=job.pixel_mm, budget=Budget(budget, iterations), config=config,
            seed=seed, device=choose_device(device), start=None if fit == "scan" else model or shipped(),
            check=check, on_progress=on_progress,
        ).model  # fmt: skip


def _log_plan(
    volume: Volume, job: Job, *, model: Model | None, fit: str, effort: tuple[float, int | None], seed: int
) -> None:
    """Say what was found and chosen, before it takes long."""
    grid, (slices, rows, columns) = job.grid, volume.shape
    kind = regime(grid.thickness_mm, grid.spacing_mm)
    _log.info("scan (%s): %d slices of %d x %d pixels", volume.source.kind, slices, columns, rows)
    _log.info(
        "slices %.4g mm apart, %.4g mm thick (from the %s, profile %s): %s",
        grid.spacing_mm, grid.thickness_mm, job.thickness_from, grid.profile, kind,
    )  # fmt: skip
    _log.info("to %d slices %.4g mm apart (factor %.4g)", len(grid.output_mm), grid.output_spacing_mm, grid.factor)
    budget, iterations = effort
    limit = "" if fit == "none" else f", {budget:g} s" if iterations is None else f", {iterations} steps"
    _log.info("weights %s, fit %s%s, seed %d", model.digest[:12] if model else "from nothing", fit, limit, seed)


def _fit_words(fitted: FittedScan) -> str:
    if not fitted.steps:
        return "weights as they are"
    came_of_it = "kept" if fitted.kept == "scan" else "not kept: the weights at the start are better"
    return f"{counted(fitted.steps, 'step')}, {came_of_it}"


def _view_words(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{view} {weight:.3g}" for view, weight in weights.items() if weight) or "none"


def _plain(number: Any) -> Any:
    """A whole number as Python's own, for numpy's would not go into a record; None stays None."""
    return number if number is None else int(number)


def _loaded(model: Model | str | PathLike[str] | None) -> Model | None:
    """The weights, read where they are in a file."""
    return Model.load(model) if isinstance(model, str | PathLike) else model


def _volume(source: Any, affine: Any, reading: dict[str, Any]) -> Volume:
    """The scan; a volume is taken as it is."""
    if not isinstance(source, Volume):
        return scan.read(source, affine=affine, **reading)
    told = [*(reading.keys() - {"allow_derived"}), *(["affine"] if affine is not None else [])]
    if told:
        raise TypeError(f"a Volume is taken as it is: {', '.join(told)} would say nothing")
    source.refuse_nan()
    allowed = reading.get("allow_derived", False)
    return scan.accepted(scan.remark_values(source), allow_derived=allowed, name="the volume")


def _held_bytes(*arrays: np.ndarray | None) -> int:
    """What arrays take together, each once, also where it is seen in two ways."""
    return sum({array.ctypes.data: array.nbytes for array in arrays if array is not None}.values())


def _fit_warnings(fitted: FittedScan, *, wanted: bool) -> list[Notice]:
    if fitted.check is None:
        why = "too few slices to set some aside" if wanted else "the self-check was left out"
        return [Notice("FIT-UNCHECKED", f"{why}: nobody has checked this result on the scan itself")]
    if fitted.check.verdict == "worse":
        ours, cubic = f"{fitted.check.psnr_db:.1f}", f"{fitted.check.psnr_cubic_db:.1f}"
        return [
            Notice("FIT-WORSE", f"on held-out slices cubic is better ({cubic} against {ours} dB): it may serve better")
        ]
    return []


def _record(
    volume: Volume, result: Volume, job: Job, *, fitted: FittedScan, model: Model, origin: str,
    acquired: np.ndarray, damping: float | None, consistency: float | str | None, warnings: list[Notice], seed: int,
    device: torch.device, threads: int, clock: _Clock, method: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The record; it reads the result once more, for noise and residuals."""
    grid = job.grid
    copied = len(grid.held()) if grid.copies and consistency != "off" else 0
    noise = noise_of(result.hu, acquired, grid=grid)
    residuals = None
    if consistency != "off":
        before = residual(result.hu, acquired, grid=grid, padding=result.padding)
        after = residual(result.hu, acquired, grid=grid, padding=result.padding, rounded=True)
        residuals = {
            "damping": damping or 0.0,
            "residual_hu_before": {"rms": before[0], "max": before[1]},
            "residual_hu_after": {"rms": after[0], "max": after[1]},
        }
    clock.lap("check")
    return {
        "schema": 1,
        "version": __version__,
        "command": "enhance",
        "note": records.NOTE,
        "input": {
            "kind": volume.source.kind,
            "grid": records.grid_entry(volume),
            "thickness_mm": grid.thickness_mm,
            "thickness_from": job.thickness_from,
            "regime": regime(grid.thickness_mm, grid.spacing_mm),
            "padding_voxels": records.count(volume.padding),
            "facts": dict(volume.source.facts),
        },
        "output": {
            "grid": records.grid_entry(result),
            "factor": grid.factor,
            "thickness_mm": job.output_thickness_mm,
            "copied_slices": copied,
            "padding_voxels": records.count(result.padding),
        },
        "method": method,
        "seed": seed,
        "fit": fitted.entry,
        "self_check": fitted.check and fitted.check.entry,
        "consistency": residuals,
        "noise": noise,
        "model": {
            "sha256": model.digest,
            "source": origin,
            "parameters": sum(value.numel() for value in model.state().values()),
        },
        "warnings": [asdict(notice) for notice in warnings],
        "times_s": clock.times(),
        "peak_memory_bytes": records.peak_memory_bytes(),
        "libraries": records.libraries(),
        "device": {"kind": device.type, "threads": threads, "precision": arithmetic_name(device)},
    }


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = took = now - self._last
        self._last = now
        if took >= 0.001:  # else there was nothing to do
            _log.info("%s: %.2f s", stage, took)

    def times(self) -> dict[str, float]:
        return self._laps | {"total": time.perf_counter() - self._start}
