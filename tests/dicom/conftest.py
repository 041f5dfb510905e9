"""Make the generator and the table of awkward series importable by the tests beside them."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Series are many small files: flushing each to a busy disk takes minutes and shows nothing here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
