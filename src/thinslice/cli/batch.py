"""`thinslice batch`: a folder of scans, on this machine or a Dask cluster."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinslice.cli import options
from thinslice.cli.choices import Choices, with_choices
from thinslice.cli.options import with_common_options
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError, counted, printable

if TYPE_CHECKING:
    from distributed import Client
    from rich.table import Table

    from thinslice.archive.outcome import Outcome
    from thinslice.archive.plan import Task
    from thinslice.archive.run import Plan

SOME_FAILED = 8
"""Exit code where some scans have no result."""
_ARCHIVE, _WORKERS, _WRITING = "Archive", "Workers", "Writing"


@with_common_options
@with_choices
def batch(
    terminal: Terminal,
    inputs: Annotated[list[Path], typer.Option("-i", "--input", metavar="DIR", help="Folder of scans, of any depth.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the results.")],
    choices: Choices,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Which scans, such as 'thickness >= 2.5 and slices >= 20'.",
            rich_help_panel=_ARCHIVE,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be done, and do nothing.", rich_help_panel=_ARCHIVE)
    ] = False,
    format: Annotated[
        str,
        typer.Option(
            metavar="same|dicom|nii.gz|...", help="Of results: as the scan, or one format.", rich_help_panel=_WRITING
        ),
    ] = "same",
    report: Annotated[
        bool, typer.Option("--report", help="Write a report beside every result.", rich_help_panel=_WRITING)
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write the uncertainty beside every result.", rich_help_panel=_WRITING),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="On this machine, of --threads each (1).",
            show_default="one a core, by memory",
            rich_help_panel=_WORKERS,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Dask scheduler, tcp://HOST:PORT.", rich_help_panel=_WORKERS),
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Jobs of Slurm, by dask-jobqueue.", rich_help_panel=_WORKERS),
    ] = None,
    rescale: options.Rescale = None,
    on_gap: options.OnGap = "error",
    allow_derived: options.AllowDerived = False,
    strict: options.Strict = False,
) -> None:
    """Enhance every CT scan below a folder.

    Results lie as the scans do, with a record each; manifest.jsonl and index.html say how it went. What is whole and
    current is not made again: a run that was cut off goes on when the command is given again. For example:

      thinslice batch -i archive -o thin --spacing 1 --where "thickness >= 2.5"
    """
    given = [name for name, value in (("--workers", workers), ("--scheduler", scheduler), ("--slurm", slurm)) if value]
    if len(given) > 1:
        raise UsageError("USE-WORKERS", f"{' and '.join(given)} say different things about where to work; give one")
    from thinslice.archive import run
    from thinslice.archive.overview import PAGE
    from thinslice.archive.settings import Settings

    reading = {"rescale": rescale, "allow_derived": allow_derived, "strict": strict}
    arguments = {name: value for name, value in (choices.arguments | reading).items() if value is not None}
    if "model" in arguments:
        arguments["model"] = str(arguments["model"].resolve())
    arguments |= {"threads": terminal.threads or 1, "device": terminal.device}
    form = replace(choices.form, overwrite=terminal.overwrite)
    settings = Settings(arguments, form, format, report, uncertainty, on_gap, show_identity=terminal.show_identity)
    with terminal.progress() as on_progress:
        plan = run.plan_batch(inputs, output, settings, where=where, on_progress=on_progress)
    terminal.say(*_remarks(plan))
    if dry_run:
        terminal.write_record(_as_record(plan))
        terminal.say(_plan_table(plan))
        return
    connect = _connect(plan, workers=workers, scheduler=scheduler, slurm=slurm)
    rows = []
    with terminal.progress() as on_progress:
        wait_s = run.QUEUE_S if slurm else run.JOIN_S
        for row in run.run_batch(plan, connect, wait_s=wait_s, on_progress=on_progress):
            rows.append(row)
            _tell(row, plan.top)
    count = Counter(row.outcome for row in rows)
    terminal.write_record({"command": "batch", "outcomes": dict(count)})
    terminal.say(", ".join(f"{number} {kind}" for kind, number in count.items()), f"overview: {output / PAGE}")
    if sum(not row.is_good for row in rows):
        raise typer.Exit(SOME_FAILED)


def _connect(
    plan: Plan, *, workers: int | None, scheduler: str | None, slurm: Path | None
) -> AbstractContextManager[Client]:
    """The cluster that was asked for; it is begun where the block is entered."""
    from thinslice.archive import cluster

    if scheduler is not None:
        return cluster.at(scheduler)
    if slurm is not None:
        return cluster.slurm(slurm)
    options = plan.settings.options
    return cluster.local(
        [task.need_bytes for task in plan.tasks], workers=workers, threads=options["threads"], device=options["device"]
    )


def _remarks(plan: Plan) -> list[str]:
    """What was found, before anything is done."""
    total = len(plan.tasks) + len(plan.current) + len(plan.unreadable)
    parts = [
        f"{counted(len(plan.current), 'result')} current" if plan.current else "",
        f"{len(plan.unreadable)} cannot be read" if plan.unreadable else "",
        f"{plan.unwanted} left out by --where" if plan.unwanted else "",
        f"{plan.synthetic} left out, synthesised themselves" if plan.synthetic else "",
    ]
    return ["; ".join(filter(None, (f"{counted(total, 'scan')} found", *parts)))]


def _tell(row: Outcome, top: Path) -> None:
    """A line for a scan that has no result, named as the user named the folder."""
    if not row.is_good:
        line = f"{printable(top / row.scan)}: {row.outcome}[{row.code}]: {row.message}"
        print(line, file=sys.stderr)  # noqa: T201


def _plan_table(plan: Plan) -> Table:
    """What would be done, a line for each scan."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("scan", "MB", "slices to", "memory GB", "about"):
        table.add_column(heading, justify="left" if heading == "scan" else "right", overflow="fold")
    for task in plan.tasks:
        table.add_row(
            printable(task.scan), f"{task.size / 1e6:.1f}", str(task.output_shape[0]), f"{task.need_bytes / 1e9:.1f}",
            _time(_seconds(plan, task)),
        )  # fmt: skip
    table.add_section()
    total = sum(_seconds(plan, task) for task in plan.tasks)
    size = f"{sum(task.size for task in plan.tasks) / 1e6:.1f}"
    table.add_row(counted(len(plan.tasks), "scan"), size, "", "", f"{_time(total)} on one core")
    return table


def _seconds(plan: Plan, task: Task) -> float:
    """What a task may take on one core, roughly."""
    options = plan.settings.options
    fit = options.get("fit") or ("none" if options.get("model") else "auto")
    return task.seconds + (0.0 if fit == "none" or options.get("iterations") else float(options["budget"]))


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


def _as_record(plan: Plan) -> dict[str, Any]:
    """What would be done, as JSON."""
    return {
        "command": "batch", "dry_run": True, "current": len(plan.current),
        "scans": [
            {
                "scan": task.scan, "bytes": task.size, "output": task.shown, "output_shape": list(task.output_shape),
                "memory_bytes": task.need_bytes, "seconds": _seconds(plan, task),
            }
            for task in plan.tasks
        ],
    }  # fmt: skip
