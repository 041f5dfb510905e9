"""`thinslice serve`: beside an Orthanc, thick series in, thin series out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinslice.cli.options import with_common_options
from thinslice.cli.terminal import Terminal
from thinslice.errors import UsageError


@with_common_options
def serve(
    terminal: Terminal,
    config: Annotated[Path, typer.Option("--config", metavar="FILE.toml", help="What to do, as docs/service.md says.")],
    check: Annotated[
        bool, typer.Option("--check", help="Check the configuration and end; nothing is contacted.")
    ] = False,
) -> None:
    """Enhance thick CT series as they arrive in an Orthanc.

    Thin ones are stored beside them. It runs until SIGTERM or Ctrl-C. What it has done is noted in Orthanc: it may be
    ended at any moment, and goes on where it was. The log goes to stderr, a line of JSON for each event. For example:

      thinslice serve --config node.toml
    """
    if terminal.threads is not None or terminal.device != "auto":
        raise UsageError("USE-OPTION", "threads and device of serve stand in its configuration: [workers], [enhance]")
    from thinslice.service.config import read_config
    from thinslice.service.journal import journal
    from thinslice.service.run import serve as run

    settings = read_config(config)
    if check:
        terminal.say("the configuration is in order")
        return
    with journal(quiet=terminal.quiet):
        run(settings)
