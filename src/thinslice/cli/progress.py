"""Progress: a bar with stage, rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OnProgress = Callable[[str, float, float], None]

_PLAIN_SHARE = 0.25  # a plain line whenever another quarter is done ...
_PLAIN_SECONDS = 30.0  # ... or this long nothing was said


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
    from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
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
        tasks: dict[str, object] = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield show


class _PlainLines:
    """Lines such as ``fit 50 %, 90 s left``: at the start, at each quarter, and after long silence."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._said = 0.0
        self._next = 0.0

    def __call__(self, stage: str, done: float, total: float) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._next = stage, now, 0.0
        share = min(done / total, 1.0) if total else 1.0
        if share < self._next and now - self._said < _PLAIN_SECONDS:
            return
        self._said = now
        while self._next <= share:
            self._next += _PLAIN_SHARE
        spent = now - self._began
        if share >= 1:
            tail = f"done in {spent:.1f} s"
        elif share > 0:
            tail = f"{100 * share:.0f} %, {spent / share - spent:.0f} s left"
        else:
            tail = "begins"
        print(f"{stage}: {tail}", file=sys.stderr, flush=True)  # noqa: T201
