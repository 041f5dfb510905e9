"""An archive enhanced: found, planned, handed out, accounted for. It goes on where it was cut off."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.archive import cluster
from thinslice.archive.attempts import Attempts
from thinslice.archive.current import is_current
from thinslice.archive.dispatch import check_workers, outcomes
from thinslice.archive.manifest import Manifest, locked
from thinslice.archive.outcome import Outcome, done
from thinslice.archive.overview import write_overview
from thinslice.archive.plan import Task, called, tasks_of
from thinslice.archive.settings import SAME, Settings
from thinslice.archive.where import condition
from thinslice.conventions import OnProgress
from thinslice.errors import InputError, OutputError, named
from thinslice.io.output_format import OutputFormat
from thinslice.io.scan import READING
from thinslice.io.survey import survey
from thinslice.system.keywords import names_of, refuse_unknown
from thinslice.system.paths import as_path

if TYPE_CHECKING:
    from distributed import Client

JOIN_S, QUEUE_S = 600.0, 7 * 86_400.0
"""How long to wait for a first worker, and for the first job of a queue."""


@dataclass(frozen=True)
class Plan:
    """What a batch is to do.

    Attributes:
        top: the folder that the scans were found in, as it was typed.
        output: the folder of the results.
        settings: what is done to every scan.
        tasks: the scans that are to be enhanced.
        current: those whose results are whole already, as rows of the manifest.
        unreadable: those whose headers are refused, as rows.
        synthetic: how many were left out, being synthesised themselves.
        unwanted: how many were left out by `where`.
    """

    top: Path
    output: Path
    settings: Settings
    tasks: Sequence[Task]
    current: Sequence[Outcome]
    unreadable: Sequence[Outcome]
    synthetic: int = 0
    unwanted: int = 0


def plan_batch(
    inputs: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    settings: Settings,
    *,
    where: str | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Plan:
    """Find the scans, leave out what is not wanted, and look which results are there already.

    Raises:
        InputError: FILE-MISSING, FILE-UNREADABLE; BATCH-NONE where there is no scan.
        OutputError: OUT-INPUT where the output folder is the input, or holds it.
        UsageError: USE-WHERE, USE-FORMAT.
    """
    paths = [as_path(path) for path in ([inputs] if isinstance(inputs, str | PathLike) else inputs)]
    target = as_path(output)
    holds = condition(where) if where else None
    for path in paths:
        if path.resolve().is_relative_to(target.resolve()):
            raise OutputError("OUT-INPUT", f"output {named(target, '')} is the input, or holds it; name another folder")
    alone = len(paths) == 1 and paths[0].is_dir()
    top = paths[0] if alone else Path(os.path.commonpath([path.parent for path in paths]))
    scans = [
        scan
        for path in paths
        for scan in survey(path, leave_out=[target], on_file=lambda count: on_progress("find", count, 0))
    ]
    if not scans:
        raise InputError("BATCH-NONE", f"no CT series and no volume file found in {named(paths[0], 'the input')}")
    wanted = [scan for scan in scans if holds is None or holds(scan, called(scan, top))]
    real = [scan for scan in wanted if settings.options.get("allow_derived") or not scan.synthetic]
    refused = [Outcome(called(scan, top), "refused", e.code, e.message) for scan in real if (e := scan.error)]
    tasks = tasks_of([s for s in real if s.error is None], top=top, output=target, settings=settings)
    digest = settings.digest()
    known = {task.key: is_current(task, digest) for task in tasks}
    return Plan(
        top,
        target,
        settings,
        [task for task in tasks if not known[task.key]],
        [done(task, outcome="current") for task in tasks if known[task.key]],
        refused,
        synthetic=len(wanted) - len(real),
        unwanted=len(scans) - len(wanted),
    )


def run_batch(
    plan: Plan,
    connect: AbstractContextManager[Client],
    *,
    wait_s: float = JOIN_S,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Iterator[Outcome]:
    """Do what is planned: outcomes as they come, each in the manifest before it is given.

    The overview is written in the end, also where the run is interrupted.

    Args:
        plan: what is to be done.
        connect: gives the client of a cluster within its block.
        wait_s: how long to wait for its first worker.
        on_progress: called with (stage, done, total).

    Raises:
        OutputError: OUT-BUSY, OUT-WRITE, OUT-FULL.
        ThinsliceError: BATCH-SCHEDULER, BATCH-WORKERS.
    """
    manifest = Manifest(plan.output)
    with locked(plan.output) as state:
        attempts = Attempts(state / "attempts", uuid.uuid4().hex[:12])
        shutil.rmtree(attempts.folder, ignore_errors=True)
        rows = [*plan.current, *plan.unreadable]
        meant = {row.scan for row in rows} | {task.scan for task in plan.tasks}
        manifest.begin([*(row for row in manifest.rows() if row.scan not in meant), *rows])
        total, count = len(plan.tasks) + len(rows), len(rows)
        try:
            yield from rows
            if plan.tasks:
                with connect as client:
                    check_workers(client, wait_s=wait_s)
                    for row in outcomes(client, plan.tasks, plan.settings, attempts):
                        manifest.add(row)
                        count += 1
                        on_progress("scans", count, total)
                        yield row
        finally:
            shutil.rmtree(attempts.folder, ignore_errors=True)
            write_overview(plan.output, manifest.rows())


def batch(
    inputs: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    client: Client | None = None,
    workers: int | None = None,
    where: str | None = None,
    format: str = SAME,
    report: bool = False,
    uncertainty: bool = False,
    on_gap: str = "error",
    on_progress: OnProgress = lambda stage, done, total: None,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Enhance every scan below a folder; records come as scans are done.

    What is whole and current is not made again, so that a call that was cut off is simply made again.

    Args:
        inputs: a folder, or paths of scans.
        output: the folder of the results; they lie in it as the scans do in theirs.
        client: of a Dask cluster (`distributed.Client`); by default workers on this machine.
        workers: how many of these; by default one a core, as far as memory goes.
        where: which scans, such as "thickness >= 2.5 and slices >= 20".
        format: of the results: "same" as the scan, "dicom", or an ending such as "nii.gz".
        report: write a report beside every result.
        uncertainty: write the uncertainty beside every result.
        on_gap: as for `thinslice.read_parts`.
        on_progress: called with (stage, done, total).
        **options: as for `thinslice.enhance` (a model by its path) and `Result.save`.

    Returns:
        An iterator that does the work: rows of the manifest as dictionaries (`thinslice.archive.outcome.Outcome`),
        those of current results first.

    Raises:
        ThinsliceError: with a stable code; what refuses one scan is in its row and stops nothing.
    """
    from thinslice.pipeline import enhance

    refuse_unknown("batch", options, [*names_of(batch), *names_of(enhance), *names_of(OutputFormat), *READING])
    form = OutputFormat(**{name: options.pop(name) for name in names_of(OutputFormat) if name in options})
    options["threads"] = options.get("threads") or 1
    settings = Settings(options, form, format, report, uncertainty, on_gap)
    plan = plan_batch(inputs, output, settings, where=where, on_progress=on_progress)
    connect = (
        nullcontext(client)
        if client is not None
        else cluster.local(
            [task.need_bytes for task in plan.tasks],
            workers=workers,
            threads=options["threads"],
            device=options.get("device", "auto"),
        )
    )
    return (asdict(row) for row in run_batch(plan, connect, on_progress=on_progress))
