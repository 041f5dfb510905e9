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

    What libraries say to a terminal may hold file names and patients: only on demand.
    """
    root, ours = logging.getLogger(), logging.getLogger("thinslice")
    handler, levels = _Lines() if verbose else logging.NullHandler(), (root.level, ours.level)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    root.addHandler(handler)
    with warnings.catch_warnings():
        if verbose:
            root.setLevel(logging.INFO)
            ours.setLevel(logging.DEBUG)
        else:
            warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(levels[0])
            ours.setLevel(levels[1])
