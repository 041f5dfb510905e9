"""How many processors are used."""

import os

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
