"""Our entry on a source series in Orthanc: what was done to which instances, by which settings, and what came of it.

It is all that `serve` knows of what it did: nothing else has to survive it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Literal

from thinslice.service.orthanc import Series

State = Literal["waiting", "working", "storing", "done", "refused", "failed", "lost"]
FINAL = ("done", "refused", "failed", "lost")


@dataclass(frozen=True)
class Entry:
    """It holds nothing that a header says of the patient.

    Attributes:
        state: how far it is.
        work: digest of the instances and the settings.
        attempts: how often it was begun without coming to an end.
        results: SeriesInstanceUIDs of the derived series.
        old: those of earlier results that may still be in Orthanc.
        code: of the error; "" where there is none.
        seconds: that it took.
        at: when this was noted, in UTC.
    """

    state: State
    work: str
    attempts: int = 0
    results: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    code: str = ""
    seconds: float = 0.0
    at: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to be done as long as instances and settings stay."""
        return self.state in FINAL

    @property
    def ever_stored(self) -> set[str]:
        """SeriesInstanceUIDs of all that may be in Orthanc of this source."""
        return {*self.results, *self.old}

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self) | {"at": datetime.now(timezone.utc).isoformat(timespec="seconds")})


def parsed(text: str) -> Entry | None:
    """The entry that a text holds; None where it holds none."""
    try:
        found = json.loads(text)
        return Entry(**found | {"results": tuple(found["results"]), "old": tuple(found["old"])})
    except (ValueError, TypeError, KeyError):
        return None


def work_of(series: Series, settings_digest: str) -> str:
    """Digest of what is to be done: the instances there are, and the settings."""
    return _digest([settings_digest, *sorted(series.instances)])


def short(id: str) -> str:
    """What a series is called in logs and pages: it leads back to Orthanc's id by comparison alone."""
    return _digest([id])[:12]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
