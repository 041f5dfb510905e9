"""Runs thinslice in forked processes, so that a run costs no start: a command line as JSON on stdin, its pid and
wait status on stdout. Run by test_crash.py."""

import json
import os
import sys

import torch

import thinslice.pipeline  # noqa: F401 - imported once, for all runs
from thinslice.cli.app import run
from thinslice.io.dicom import read_series, write_series  # noqa: F401

torch.set_num_threads(1)  # a fork has no threads but its own
replies = os.fdopen(os.dup(1), "w")
print("ready", file=replies, flush=True)
for line in sys.stdin:
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        try:
            os._exit(run(json.loads(line)))
        finally:
            os._exit(99)
    print(child, file=replies, flush=True)
    print(os.waitpid(child, 0)[1], file=replies, flush=True)
