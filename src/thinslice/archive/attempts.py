"""How often a scan was begun in this run of a batch, written down where it outlives the worker that began it.

A scan that ends its worker (a crash, the kernel out of memory) leaves its note behind; one that was only waiting on
that worker has none. So nobody is blamed for another's crash, whatever the scheduler counts.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from thinslice.system.output import write_json

MOST = 2
"""So often a scan may be begun in one run."""


@dataclass(frozen=True)
class Attempts:
    """Notes of one run.

    Attributes:
        folder: that holds them, for all workers.
        run: what this run is called; notes of others do not count.
    """

    folder: Path
    run: str

    def begun(self, key: str) -> int:
        """How often a scan was begun and did not end."""
        try:
            noted = json.loads((self.folder / key).read_text())
            return int(noted["begun"]) if noted["run"] == self.run else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def begin(self, key: str) -> None:
        """Note that a scan is begun, before anything is done to it."""
        write_json({"run": self.run, "begun": self.begun(key) + 1}, self.folder / key, overwrite=True)

    def end(self, key: str) -> None:
        """It ended, well or not, and its worker is alive."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / key).unlink()
