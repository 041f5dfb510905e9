"""What a command says, and where: results on stdout, warnings and progress on stderr.

With ``--json -`` stdout holds one JSON document, so results move to stderr.
"""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.cli.progress import progress
from thinslice.conventions import OnProgress
from thinslice.errors import Notice, OutputError, named
from thinslice.system.output import IsOwn, refuse_clashes, refuse_existing, refuse_inside, write_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass(frozen=True)
class Terminal:
    """The common options of one run.

    Attributes:
        quiet: errors only.
        threads: threads to compute with, or None for all.
        device: "auto", "cpu", "cuda" or "mps".
        json: where the record goes: a file, "-" for stdout, or None.
        overwrite: existing outputs are replaced.
        show_identity: records may hold names of files, paths and UIDs, and `inspect` may show UIDs.
        shown: warnings that are on the screen already, with names of files and without.
    """

    quiet: bool
    threads: int | None
    device: str
    json: str | None
    overwrite: bool
    show_identity: bool = False
    shown: set[str] = field(default_factory=set)

    def checked(self) -> Terminal:
        """Itself, after the record's file name was found free: before any work starts."""
        self.refuse_existing(self.record_path)
        return self

    @property
    def record_path(self) -> Path | None:
        """The file that the record goes to; None where none is asked for, or standard output."""
        return None if self.json in (None, "-") else Path(str(self.json))

    def refuse_existing(self, *outputs: Path | None, is_own: IsOwn | None = None) -> None:
        """Raise OutputError where an output exists or cannot be written: before any work starts.

        Args:
            *outputs: paths, or None for what is not asked for.
            is_own: as for `output.refuse_existing`.
        """
        for output in outputs:
            if output is not None:
                refuse_existing(output, overwrite=self.overwrite, is_own=is_own)

    def refuse_clashes(self, inputs: Iterable[Path | None], *outputs: Path | None) -> None:
        """Raise OutputError where an output, or the record, is an input or another output (`output.refuse_clashes`)."""
        from thinslice.io.files import parts_read

        given = [part for path in inputs if path for part in parts_read(path)]
        written = [path for path in (*outputs, self.record_path) if path]
        refuse_clashes(given, written)
        folders = [path.resolve() for path in given if path.is_dir()]
        for path in written:
            if path.is_file() and any(path.resolve().is_relative_to(folder) for folder in folders):
                from thinslice.io.dicom import looks_like_dicom

                if looks_like_dicom(path):
                    raise OutputError("OUT-INPUT", f"output {named(path, '')} is a slice of an input; name another")

    def refuse_inside(self, folder: Path, *outputs: Path | None) -> None:
        """Raise OutputError where an output, or the record, is to lie in an output folder (`output.refuse_inside`)."""
        refuse_inside(folder, [*outputs, self.record_path])

    @cached_property
    def console(self) -> Console:
        """Where results go."""
        from rich.console import Console

        return Console(stderr=self.json == "-", quiet=self.quiet, highlight=False, emoji=False, soft_wrap=True)

    def say(self, *lines: RenderableType) -> None:
        """Results for the reader: plain lines or tables."""
        for line in lines:
            self.console.print(line, markup=False)

    def warn(self, notices: Iterable[Notice | Mapping[str, str]]) -> None:
        """One line on stderr for each warning that was not shown yet; nothing under --quiet."""
        for notice in notices:
            said = notice if isinstance(notice, Notice) else Notice(notice["code"], notice["message"])
            if said.line not in self.shown and not self.quiet:
                print(said.line, file=sys.stderr)  # noqa: T201
            self.shown.update((said.line, Notice(said.code, said.message).line))  # a record has it without names

    def progress(self) -> AbstractContextManager[OnProgress]:
        """A callback (stage, done, total): a bar on a terminal, plain lines elsewhere."""
        return progress(quiet=self.quiet)

    def write_record(self, record: Any) -> None:
        """Write the JSON document where --json says."""
        if self.json is None:
            return
        if self.json == "-":
            sys.stdout.write(json_text.dumps(record, indent=2, allow_nan=False) + "\n")
            return
        write_json(record, Path(self.json), overwrite=self.overwrite)
