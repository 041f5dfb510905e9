"""Lines of the log, which ``--verbose`` shows on stderr."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    """A line on what stderr is at the moment: a bar of progress takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


@contextmanager
def log(*, verbose: bool) -> Iterator[None]:
    """Show the log within the block, where `verbose`; keep libraries quiet where not.

    What libraries print may hold file names and patients: only on demand.
    """
    root, own = logging.getLogger(), logging.getLogger("thinslice")
    handler, levels = _Lines() if verbose else logging.NullHandler(), (root.level, own.level)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    root.addHandler(handler)
    with warnings.catch_warnings():
        if verbose:
            root.setLevel(logging.INFO)
            own.setLevel(logging.DEBUG)
        else:
            warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(levels[0])
            own.setLevel(levels[1])
