"""What the status page and the metrics show: counts and times since this run began, no identity."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thinslice.archive.extras import import_extra

_KEPT = 200  # series that the page lists; counts go on
_SECONDS = (1, 3, 10, 30, 100, 300, 1000, 3000)


@dataclass(frozen=True)
class Ended:
    """A series that came to an end.

    Attributes:
        series: its short name.
        state: "done", "refused", "failed" or "lost".
        code: of the error, or "".
        message: of the error, without names, or "".
        seconds: from its being fetched to its end.
        at: when, in seconds since 1970.
    """

    series: str
    state: str
    code: str
    message: str
    seconds: float
    at: float


class Board:
    """Counts of this run. It may be used from several threads.

    Args:
        waiting: tells how many series wait.
        contact: tells when Orthanc last gave a whole answer, in seconds since 1970.
        spool_bytes: tells what the spool takes.
    """

    def __init__(
        self, *, waiting: Callable[[], int], contact: Callable[[], float], spool_bytes: Callable[[], int]
    ) -> None:
        prometheus = import_extra("prometheus_client", "serve")
        self._generate = prometheus.generate_latest
        self._registry: Any = prometheus.CollectorRegistry()
        self._lock = threading.Lock()
        self._stages: dict[str, tuple[str, float]] = {}
        self._ended: deque[Ended] = deque(maxlen=_KEPT)
        self._counts: dict[tuple[str, str], int] = {}
        self.waiting, self.contact, self.spool_bytes = waiting, contact, spool_bytes
        self.trouble = ""
        """Why Orthanc cannot be followed at the moment; "" where it can."""
        own = {"registry": self._registry}
        self._total = prometheus.Counter("thinslice_series", "Series that came to an end.", ["state", "code"], **own)
        self._seconds = prometheus.Histogram(
            "thinslice_series_seconds", "Seconds that a series took.", buckets=_SECONDS, **own
        )
        self._stored = prometheus.Counter("thinslice_instances_stored", "Instances that Orthanc has confirmed.", **own)
        for name, text, value in (
            ("thinslice_series_waiting", "Series that wait.", waiting),
            ("thinslice_series_working", "Series that are worked on.", lambda: len(self._stages)),
            ("thinslice_orthanc_last_contact_seconds", "When Orthanc last answered, in seconds since 1970.", contact),
            ("thinslice_orthanc_up", "Whether Orthanc can be followed.", lambda: not self.trouble),
            ("thinslice_spool_bytes", "Bytes in the spool.", spool_bytes),
        ):
            prometheus.Gauge(name, text, **own).set_function(value)

    def stage(self, series: str, stage: str) -> None:
        """A series is at this stage now; "" where it is put down."""
        with self._lock:
            begun = self._stages.get(series, ("", time.time()))[1]
            self._stages.pop(series, None)
            if stage:
                self._stages[series] = stage, begun

    def ended(self, ended: Ended) -> None:
        """A series came to an end."""
        self.stage(ended.series, "")
        with self._lock:
            self._ended.appendleft(ended)
            key = ended.state, ended.code
            self._counts[key] = self._counts.get(key, 0) + 1
        self._total.labels(ended.state, ended.code).inc()
        self._seconds.observe(ended.seconds)

    def stored(self, instances: int) -> None:
        """So many instances more are in Orthanc, as it has confirmed."""
        self._stored.inc(instances)

    def metrics(self) -> bytes:
        """In the text format of Prometheus."""
        return bytes(self._generate(self._registry))

    def shown(self) -> dict[str, Any]:
        """What the page shows."""
        now = time.time()
        with self._lock:
            contact = self.contact()
            return {
                "waiting": self.waiting(), "trouble": self.trouble, "spool_bytes": self.spool_bytes(),
                "contact_s": now - contact if contact else None,
                "working": [(name, stage, now - begun) for name, (stage, begun) in self._stages.items()],
                "counts": sorted((*key, count) for key, count in self._counts.items()),
                "ended": list(self._ended),
            }  # fmt: skip
