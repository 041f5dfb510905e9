"""The command line: one file a command; everything here is a thin skin over the library."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code; Ctrl-C has one also while the program is loaded."""
    try:
        from thinslice.cli.app import main as program

        program()
    except KeyboardInterrupt:
        sys.exit(130)
