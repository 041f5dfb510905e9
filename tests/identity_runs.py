"""Runs command lines one after the other in one process: a list as JSON in a file, exit codes as JSON to another.

A word in front of a command line asks for a fault: MEMORY for a machine without any, BUG for an error of a library
that quotes the path and the patient. Run by test_identity.py.
"""

import json
import sys
from pathlib import Path

from thinslice.cli.app import run
from thinslice.io import scan
from thinslice.system import memory


def fail(path, **_options):
    raise ValueError(f"cannot open '{path}' of {'ZQX'}CANARY")


def outcome(arguments: list[str]) -> int:
    fault = arguments.pop(0) if arguments[0].isupper() else ""
    before = memory.free_bytes, scan.read_parts
    if fault == "MEMORY":
        memory.free_bytes = lambda: 1000
    if fault == "BUG":
        scan.read_parts = fail
    try:
        return run(arguments)
    finally:
        memory.free_bytes, scan.read_parts = before


codes = [outcome(arguments) for arguments in json.loads(Path(sys.argv[1]).read_text())]
Path(sys.argv[2]).write_text(json.dumps(codes))
