"""One scan of an archive, on a worker: read, enhanced, written, and its record last."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.archive.attempts import MOST, Attempts
from thinslice.archive.current import contents, entry, is_current
from thinslice.archive.outcome import Outcome, done, failed
from thinslice.archive.plan import REPORT, THUMBNAIL, Task, beside
from thinslice.archive.settings import Settings
from thinslice.errors import ThinsliceError, as_thinslice_error
from thinslice.io import files, scan
from thinslice.io.files.mark import joined
from thinslice.io.writing import check_target, of_a_series
from thinslice.system.output import none_left, numbered, write_json

if TYPE_CHECKING:
    from thinslice.result import Result
    from thinslice.volume import Volume

_log = logging.getLogger("thinslice.archive")


def enhance_scan(task: Task, settings: Settings, settings_digest: str, attempts: Attempts) -> Outcome:
    """Do what a task asks for; whatever refuses the scan is told, not raised.

    Args:
        task: the scan, and where its result goes.
        settings: what is done to it.
        settings_digest: their digest, made where the batch was begun.
        attempts: notes of the run.

    Returns:
        How it went; "lost" where it has ended as many workers as it may.
    """
    if attempts.begun(task.key) >= MOST:
        return lost(task)
    attempts.begin(task.key)
    began = time.perf_counter()
    try:
        outcome = _enhanced(task, settings, settings_digest)
    except Exception as error:
        known = as_thinslice_error(error)
        _log.info("a scan failed: %s", known.code)
        outcome = failed(task, known)
    attempts.end(task.key)
    return replace(outcome, seconds=time.perf_counter() - began)


def lost(task: Task) -> Outcome:
    """The outcome of a scan that was set aside: each time it was begun its worker ended."""
    message = f"its worker ended {MOST} times while it was at this scan: a crash, or memory; run it alone to see why"
    return replace(failed(task, ThinsliceError("BATCH-LOST", message)), outcome="lost")


def _enhanced(task: Task, settings: Settings, settings_digest: str) -> Outcome:
    """The results of a scan, written."""
    from thinslice.pipeline import enhance

    if is_current(task, settings_digest):  # made a moment ago, by a worker that was lost before it could tell
        return done(task)
    input_digest = contents(task)
    volumes, options = _read(task, settings)
    budget = options.pop("budget", 180.0) / len(volumes)
    targets = _targets(task, len(volumes))
    forms = [replace(settings.form, overwrite=settings.form.overwrite or _is_own(path)) for path in targets]
    for path, form, volume in zip(targets, forms, volumes, strict=True):
        check_target(path, form, source=volume, upright=bool(options.get("detilt")))
    written = [path for target in targets for path in outputs_of(target, settings)]
    records = []
    with none_left([*written, task.record]):
        for path, form, volume in zip(targets, forms, volumes, strict=True):
            result = enhance(volume, budget=budget, uncertainty=settings.uncertainty, **options)
            result.save(path, **asdict(form))
            _save_beside(result, path, settings)
            records.append(result.record | (_identity(task, path) if settings.show_identity else {}))
        noted = entry(task, settings_digest, input_digest=input_digest, outputs=[p for p in written if p.exists()])
        records = [record | {"batch": noted} for record in records]
        write_json(records if len(records) > 1 else records[0], task.record, overwrite=True)
    return done(task)


def _identity(task: Task, target: Path) -> dict[str, Any]:
    """What a record says of paths where that is asked for."""
    told = (os.fsencode(path).decode("utf-8", "replace") for path in (task.source, target))
    return {"identity": dict(zip(("input", "output"), told, strict=True))}


def _read(task: Task, settings: Settings) -> tuple[list[Volume], dict[str, Any]]:
    """The volumes of a scan, and the options that remain for `enhance`."""
    options = dict(settings.options)
    reading = {name: options.pop(name) for name in scan.READING if name in options}
    if task.names:
        reading |= {"series": task.series, "names": task.names, "on_gap": settings.on_gap}
    return scan.read_parts(task.source, **reading), options


def outputs_of(target: Path, settings: Settings) -> list[Path]:
    """All files and folders that a result consists of, but for its record."""
    own = [*files.parts(target, sidecar=settings.form.sidecar), beside(target, THUMBNAIL)]
    if settings.report:
        own.append(beside(target, REPORT))
    if settings.uncertainty:
        own += files.parts(uncertainty_path(target))
    return own


def uncertainty_path(target: Path) -> Path:
    """Where the uncertainty of a result goes: a file like the result, or a Parametric Map beside a series."""
    return beside(target, f"_uncertainty{files.ending_of(target) or '.dcm'}")


def _save_beside(result: Result, target: Path, settings: Settings) -> None:
    """The uncertainty and the report of a result where they are asked for, and its thumbnail."""
    from thinslice.report.thumbnail import save_thumbnail

    if settings.uncertainty:
        series = None if files.has_known_ending(target) else target
        result.save_uncertainty(uncertainty_path(target), overwrite=True, series=series)
    if settings.report:
        result.report(beside(target, REPORT), overwrite=True)
    save_thumbnail(result.scan, result.sheared or result.volume, beside(target, THUMBNAIL), overwrite=True)


def _targets(task: Task, count: int) -> list[Path]:
    """Where the results of a scan go: one, or one for each part of a series."""
    ending = files.ending_of(task.target)
    return [task.target] if count == 1 else [numbered(task.target, n, ending=ending) for n in range(1, count + 1)]


def _is_own(target: Path) -> bool:
    """Whether what lies where a result goes is a result of this program, which may be replaced."""
    if target.is_dir():
        return all(map(of_a_series, target.iterdir()))
    return target.is_file() and joined(files.marks_of(target)) is not None
