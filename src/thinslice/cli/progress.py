"""Progress: a bar with stage, rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from thinslice.conventions import OnProgress

_PLAIN_SHARE = 0.25  # a plain line whenever another quarter is done ...
_PLAIN_SECONDS = 30.0  # ... or this long nothing was shown


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[OnProgress]:
    """Give a callback ``(stage, done, total)`` that shows how far each stage is."""
    if quiet:
        yield lambda _stage, _done, _total: None
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _PlainLines()


def _bars() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:7.3g}/s" if speed else "", style="dim")

    with Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        Rate(""),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=Console(stderr=True),
        refresh_per_second=4,
    ) as bar:
        tasks: dict[str, TaskID] = {}
        shown: dict[str, float] = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            elif done < shown[stage]:  # again, for another scan
                bar.reset(tasks[stage], total=total)
            shown[stage] = done
            bar.update(tasks[stage], completed=done, total=total)

        yield show


@dataclass
class _Stage:
    """When a stage began, how far it was, and the share at which it is worth a line again."""

    began: float
    share: float = 0.0
    next_line: float = 0.0


class _PlainLines:
    """Lines such as ``fit: 50 %, 90 s left``: at the start, at each quarter, and after long silence."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self._said = 0.0

    def __call__(self, name: str, done: float, total: float) -> None:
        now = time.monotonic()
        share = min(done / total, 1.0) if total else 1.0
        stage = self._stages.get(name)
        if stage is None or share < stage.share:  # it begins, or begins again for another scan
            stage = self._stages[name] = _Stage(now)
        stage.share = share
        if share < stage.next_line and now - self._said < _PLAIN_SECONDS:
            return
        self._said = now
        while stage.next_line <= share:
            stage.next_line += _PLAIN_SHARE
        spent = now - stage.began
        if share >= 1:
            tail = f"done in {spent:.1f} s"
        elif share > 0 and spent > 0:
            tail = f"{100 * share:.0f} %, {spent / share - spent:.0f} s left"
        else:
            tail = "begins"
        print(f"{name}: {tail}", file=sys.stderr, flush=True)  # noqa: T201
