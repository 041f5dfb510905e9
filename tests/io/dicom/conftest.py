"""Make the generator and the table of awkward series importable by the tests beside them."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Series are many small files: flushing each to a busy disk takes minutes and shows nothing here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def fixed_time(monkeypatch):
    """When a series says that it was made."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # 2023-11-14 22:13:20 UTC


@pytest.fixture(scope="session")
def dicom3tools() -> None:
    """dciodvfy and dcentvfy are there; in CI they must be."""
    if shutil.which("dciodvfy") and shutil.which("dcentvfy"):
        return
    absent = "no dciodvfy and dcentvfy here: apt-get install dicom3tools"
    if os.environ.get("CI"):
        pytest.fail(f"in CI they must be there: {absent}", pytrace=False)
    pytest.skip(absent)
