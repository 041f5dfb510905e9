"""The main job on one page: read, plan, fit, synthesise, check, hand over."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np

from thinslice.conventions import VIEWS, OnProgress
from thinslice.errors import Notice, UsageError, counted
from thinslice.fitting.config import FitConfig
from thinslice.fitting.scan import FittedScan, fit_scan
from thinslice.io import scan as door
from thinslice.io.label_map import LabelMap, labels_with, read_label_map
from thinslice.method import Fit, Method, Texture, effort_of, loaded
from thinslice.networks.device import arithmetic_name
from thinslice.networks.model import Model
from thinslice.networks.threads import cpu_threads
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import Placement, regime
from thinslice.plan import Job, ProfileChoice, plan_job
from thinslice.provenance import marked
from thinslice.record import Clock, Run, record_of
from thinslice.result import Result
from thinslice.synthesis.fusion import synthesise
from thinslice.synthesis.labels import carry_labels
from thinslice.synthesis.padding import carry_padding, fill_padding
from thinslice.synthesis.texture import add_texture
from thinslice.synthesis.upright import tilt_as_upright, upright_shapes
from thinslice.system.keywords import checks_keywords
from thinslice.system.memory import output_array, zeros_like_output
from thinslice.uncertainty.estimate import estimate_uncertainty
from thinslice.volume import Volume

_log = logging.getLogger("thinslice.pipeline")

_NO_TEXTURE = {
    "enough": "synthesised slices are as noisy as acquired ones",
    "unknown": "too little flat soft tissue to take noise from",
    "padded": "every column of voxels holds padding",
}


@checks_keywords(*door.READING)
def enhance(
    scan: Any,
    *,
    affine: Any = None,
    spacing: float | None = None,
    factor: float | None = None,
    thickness: float | None = None,
    profile: ProfileChoice = "auto",
    grid: Placement | None = None,
    fit: Fit | None = None,
    budget: float = 180.0,
    iterations: int | None = None,
    views: Sequence[str] = VIEWS,
    consistency: float | str | None = None,
    texture: Texture = "keep",
    detilt: bool = False,
    uncertainty: bool = False,
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
        scan: path, `Volume`, nibabel, SimpleITK, torchio or MONAI object, or an array (z, y, x) in HU.
        affine: (4, 4) voxel (x, y, z) to RAS mm, for an array.
        spacing: target slice spacing in mm; by default a whole number of times finer, near the pixels', not below 1 mm.
        factor: how many times finer, instead of `spacing`; 1.2 to 8.
        thickness: slice thickness T in mm; by default the source's, else the slice spacing.
        profile: "box" or "gauss" rules, and the thickness with it; "auto" finds width and shape of the slice profile
            from the scan's noise.
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
        uncertainty: estimate how far every voxel may be wrong (`Result.uncertainty`); the result stays the same.
        model: weights to use or to start from, or the file that holds them, in place of the shipped ones.
        seed: same seed, iterations, machine and threads: same voxels, on a CPU.
        threads: of the CPU; by default all.
        device: "auto", "cpu", "cuda" or "mps".
        config: every choice of the fit; by default `FitConfig()` from nothing and `FitConfig.adapting()` from weights.
        check: compare with cubic interpolation on slices set aside (the self-check). Without it "auto" keeps what it
            adapted, and the result comes sooner.
        labels: a label map in the scan's voxels, of all or a part of them, to be carried to the result's grid: path
            (also of a .seg.nrrd or a DICOM segmentation), image, or an array in the order of `scan` where that is an
            array, else (z, y, x) of its `Volume`. By default the one that a torchio Subject holds beside its scan.
        on_progress: called with (stage, done, total).
        **reading: axis, rescale, series, phase, on_gap, allow_derived, strict, limits: see `thinslice.read`.

    Returns:
        The thin slices, the record and the weights.

    Raises:
        ThinsliceError: with a stable code and an exit code (`thinslice.errors`).
    """
    clock = Clock()
    volume = _volume(scan, affine, reading)
    clock.lap("read")
    with door.errors_naming(scan):
        job = plan_job(
            volume, spacing=spacing, factor=factor, thickness=thickness, profile=profile, views=views, placement=grid
        )
    method = Method(
        fit, effort_of(budget=budget, iterations=iterations, seed=seed, check=check), loaded(model), tuple(views),
        consistency=consistency, texture=texture, detilt=detilt, uncertainty=uncertainty, config=config,
        device_name=device, threads=threads,
    )  # fmt: skip
    labels = labels_with(scan, labels)
    if labels is not None and detilt:
        raise UsageError("USE-LABELS", "labels do not go with detilt: make the label map upright elsewhere")
    axes = None if isinstance(scan, Volume) or volume.origin.kind != "array" else volume.origin.header
    label_map = None if labels is None else read_label_map(labels, scan=volume, axes=axes)
    return run(volume, job, method, label_map=label_map, clock=clock, on_progress=on_progress)


@checks_keywords(*door.READING)
def fit(
    scan: Any,
    *,
    affine: Any = None,
    spacing: float | None = None,
    factor: float | None = None,
    thickness: float | None = None,
    profile: ProfileChoice = "auto",
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
        scan: as for `enhance`, as is all that is not explained here.
        affine: for an array.
        spacing: target slice spacing in mm.
        factor: how many times finer, instead of `spacing`.
        thickness: slice thickness T in mm.
        profile: "box" or "gauss" rules, and the thickness with it; "auto" finds width and shape of the slice profile
            from the scan's noise.
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
    volume = _volume(scan, affine, reading)
    with door.errors_naming(scan):
        job = plan_job(volume, spacing=spacing, factor=factor, thickness=thickness, profile=profile, views=VIEWS)
    if fit not in ("auto", "scan"):
        raise UsageError("USE-FIT", f"fit {fit!r} fits nothing; choose auto or scan")
    method = Method(
        fit, effort_of(budget=budget, iterations=iterations, seed=seed, check=check), loaded(model), config=config,
        device_name=device, threads=threads,
    )  # fmt: skip
    with cpu_threads(method.threads):
        return fit_scan(
            job.acquisition(fill_padding(volume)), method.effort, config=method.config, device=method.device,
            start=method.start, on_progress=on_progress,
        ).model  # fmt: skip


def run(
    volume: Volume,
    job: Job,
    method: Method,
    *,
    label_map: LabelMap | None = None,
    clock: Clock | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Result:
    """Do what was planned: fit, synthesise, check, hand over.

    Args:
        volume: the scan.
        job: what is to be done to it (`plan_job`).
        method: how.
        label_map: in the voxels of the scan; it does not go with `Method.detilt`.
        clock: that runs already, since reading.
        on_progress: called with (stage, done, total).
    """
    clock = clock or Clock()
    labels = None if label_map is None else label_map.values
    with cpu_threads(method.threads) as threads:
        _log_plan(volume, job, method, threads=threads)
        acquisition = job.acquisition(fill_padding(volume))
        out = _output_array(volume, job, method, labels, acquisition)
        disagreement = zeros_like_output(out) if method.uncertainty else None
        clock.lap("prepare")
        fitted = method.fitted(acquisition, on_progress)
        clock.lap("fit")
        _log.info("%s; views: %s", _fit_words(fitted), _view_words(fitted.view_weights))
        out, damping = synthesise(
            acquisition, model=fitted.model, view_weights=fitted.view_weights, damping=method.consistency, out=out,
            disagreement=disagreement, on_progress=on_progress,
        )  # fmt: skip
        clock.lap("synthesis")
        unsure = None
        if disagreement is not None:
            unsure = estimate_uncertainty(
                disagreement, out, acquisition, model=fitted.model, view_weights=fitted.view_weights
            )
            clock.lap("uncertainty")
    source_warnings = volume.origin.warnings
    warnings = [
        *(tilt_as_upright(source_warnings) if method.detilt else source_warnings),
        *(label_map.warnings if label_map else ()), *job.warnings,
        *method.warnings(fitted, threads=threads),
    ]  # fmt: skip
    texture = method.texture
    if texture == "match":
        texture, why_not = _textured(out, acquisition, volume, seed=method.effort.seed)
        warnings.extend(why_not)
        clock.lap("texture")
    result = volume.with_slices(
        out, first=job.grid.output_mm[0] / volume.slice_spacing_mm, step=_step(volume, job),
        padding=carry_padding(out, volume, grid=job.grid), thickness=job.output_thickness_mm,
    )  # fmt: skip
    carried = None
    if labels is not None:
        carried = carry_labels(labels, grid=job.grid, pixel_mm=job.pixel_mm)
        clock.lap("labels")
    record = record_of(
        Run(volume, result, job, acquisition, fitted, damping, method.weights_from(fitted), threads),
        method=method.entry(job, fitted, texture=texture), consistency=method.consistency, warnings=warnings,
        seed=method.effort.seed, clock=clock,
    )  # fmt: skip
    record["output"]["labels"] = None if labels is None else len(np.setdiff1d(labels, 0))
    if unsure is not None and result.padding is not None:
        unsure.hu[result.padding] = 0
    record["uncertainty"] = None if unsure is None else unsure.entry
    done = Result(
        marked(result, record=record, source=volume), record, fitted.model, volume, labels=carried,
        uncertainty=None if unsure is None else unsure.hu,
    )  # fmt: skip
    return done.upright() if method.detilt else done


def _textured(out: np.ndarray, acquisition: Acquisition, volume: Volume, *, seed: int) -> tuple[Texture, list[Notice]]:
    """Add the scan's own noise to the synthesised slices in place: the texture that came of it, and why where none."""
    found = add_texture(out, acquisition, padding=volume.padding, seed=seed)
    if found == "added":
        return "match", []
    return "keep", [Notice("TEXTURE-NONE", f"{_NO_TEXTURE[found]}: none was added")]


def _output_array(
    volume: Volume, job: Job, method: Method, labels: np.ndarray | None, acquisition: Acquisition
) -> np.ndarray:
    """Where the result goes, (n, y, x) float32; refused with figures where memory does not suffice."""
    shape = acquisition.output_shape
    copies = upright_shapes(volume, slices=shape[0], step=_step(volume, job)) if method.detilt else []
    dense = method.texture == "match" and job.grid.ill_posed  # the noise of every slice is held then
    return output_array(
        volume.shape, shape, padding=volume.padding is not None, labels=labels is not None, copies=copies,
        more=4 * math.prod(shape) * (dense + method.uncertainty),
        held=_held_bytes(volume.hu, volume.padding, labels, acquisition.hu),
    )  # fmt: skip


def _step(volume: Volume, job: Job) -> float:
    """Output spacing over acquired spacing."""
    return job.grid.output_spacing_mm / volume.slice_spacing_mm


def _log_plan(volume: Volume, job: Job, method: Method, *, threads: int) -> None:
    """Say what was found and chosen, before it takes long."""
    grid, (slices, rows, columns) = job.grid, volume.shape
    kind = regime(job.stated_mm, grid.spacing_mm)
    _log.info("scan (%s): %d slices of %d x %d pixels", volume.origin.kind, slices, columns, rows)
    _log.info(
        "slices %.4g mm apart, %.4g mm thick (from the %s): %s; profile: %s, %.4g mm wide (by the %s)",
        grid.spacing_mm, job.stated_mm, job.thickness_from, kind, grid.shape, grid.thickness_mm,
        job.profile.determined_by,
    )  # fmt: skip
    _log.info("to %d slices %.4g mm apart (factor %.4g)", len(grid.output_mm), grid.output_spacing_mm, grid.factor)
    effort, start = method.effort, method.start
    limit = f", {effort.seconds:g} s" if effort.steps is None else f", {effort.steps} steps"
    _log.info(
        "weights %s, fit %s%s, seed %d", start.digest[:12] if start else "from nothing", method.fit,
        "" if method.fit == "none" else limit, effort.seed,
    )  # fmt: skip
    _log.info("%s, %s, CPU threads: %d", method.device.type, arithmetic_name(method.device), threads)


def _volume(scan: Any, affine: Any, reading: dict[str, Any]) -> Volume:
    """The scan; a volume is taken as it is."""
    if not isinstance(scan, Volume):
        return door.read(scan, affine=affine, **reading)
    unused = [*(reading.keys() - {"allow_derived"}), *(["affine"] if affine is not None else [])]
    if unused:
        raise TypeError(f"a Volume is taken as it is: {', '.join(unused)} has no effect on it")
    scan.refuse_nan()
    allowed = reading.get("allow_derived", False)
    return door.accepted(door.remark_values(scan), allow_derived=allowed, name="the volume")


def _held_bytes(*arrays: np.ndarray | None) -> int:
    """What arrays take together, each once, also where two views share it."""
    return sum({array.ctypes.data: array.nbytes for array in arrays if array is not None}.values())


def _fit_words(fitted: FittedScan) -> str:
    if not fitted.steps:
        return "weights as they are"
    came_of_it = "kept" if fitted.kept == "scan" else "not kept: the weights at the start are better"
    return f"{counted(fitted.steps, 'step')}, {came_of_it}"


def _view_words(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{view} {weight:.3g}" for view, weight in weights.items() if weight) or "none"
