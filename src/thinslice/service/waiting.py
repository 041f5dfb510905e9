"""Series that wait to be worked on, and those that are."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class _Wanted:
    """A series that waits.

    Attributes:
        attempts: how often it was begun without an end: what may have ended the program comes last.
        seq: number of the change that it came with.
        not_before: of `time.monotonic`.
    """

    attempts: int
    seq: int
    not_before: float = 0.0


class Waiting:
    """A queue in which a series is once at most, and is given to one at a time."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Wanted] = {}
        self._carried: dict[str, _Wanted] = {}
        self._changed = threading.Condition()

    def add(self, id: str, seq: int, *, attempts: int = 0, delay_s: float = 0.0) -> None:
        """A series is to be worked on, perhaps again, while it is being worked on."""
        with self._changed:
            there = self._waiting.get(id)
            first = min(seq, there.seq) if there else seq
            self._waiting[id] = _Wanted(attempts, first, time.monotonic() + delay_s)
            self._changed.notify()

    def take(self, stop: threading.Event) -> tuple[str, int] | None:
        """The next series and its number, once there is one; None once `stop` is set."""
        with self._changed:
            while not stop.is_set():
                now = time.monotonic()
                ready = [
                    (wanted.attempts, wanted.seq, id)
                    for id, wanted in self._waiting.items()
                    if wanted.not_before <= now and id not in self._carried
                ]
                if ready:
                    _, seq, id = min(ready)
                    self._carried[id] = self._waiting.pop(id)
                    return id, seq
                self._changed.wait(0.25)
        return None

    def put_down(self, id: str) -> None:
        """A series is not worked on any more."""
        with self._changed:
            self._carried.pop(id, None)
            self._changed.notify()

    def __len__(self) -> int:
        return len(self._waiting)

    def first_seq(self) -> int | None:
        """The smallest number of those that wait or are worked on."""
        with self._changed:
            return min((wanted.seq for wanted in (*self._waiting.values(), *self._carried.values())), default=None)
