"""The log: a line of JSON for each thing that happens, on stderr, without identity."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

_log = logging.getLogger("thinslice.service")
_FIELDS = "thinslice_fields"


def note(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log what happened; of a series its short name alone, of an error its code and its words without names."""
    _log.log(level, event, extra={_FIELDS: fields})


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, _FIELDS, {}), default=str)


@contextmanager
def journal(*, quiet: bool = False) -> Iterator[None]:
    """Write the log within the block; where `quiet`, errors alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    level, propagate = _log.level, _log.propagate
    _log.addHandler(handler)
    _log.setLevel(logging.ERROR if quiet else logging.INFO)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)
        _log.propagate = propagate
