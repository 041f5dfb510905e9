"""The command line: one file a command; everything here is a thin skin over the library."""

from thinslice.cli.app import main

__all__ = ["main"]
