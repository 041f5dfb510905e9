"""How many processors are used."""

import os
import subprocess
import sys

import pytest

from thinslice.system.processors import processors


@pytest.mark.parametrize(
    ("bound", "told", "used"), [(8, None, 8), (8, "2", 2), (2, "8", 2), (8, "0", 8), (8, "4,2", 8), (8, "", 8)]
)
def test_no_more_than_may_be_used(bound, told, used, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(bound)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert processors() == used


@pytest.mark.parametrize("name", ["enhance", "evaluate", "Model", "fit"])
@pytest.mark.parametrize("told", [None, "ACTIVE"])
def test_idle_threads_rest_before_pytorch_is_loaded_unless_told_otherwise(name, told):
    """PyTorch reads it once, when it is first imported: whichever way leads there."""
    code = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            print(os.environ.get('OMP_WAIT_POLICY'))\n"
        "            os._exit(0)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import thinslice\nthinslice.{name}\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {} if told is None else {"OMP_WAIT_POLICY": told}
    done = subprocess.run(
        [sys.executable, "-u", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [told or "PASSIVE"]
