"""A small archive, and workers to enhance it."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "io" / "dicom"))

import archive_makers as makers

from thinslice.archive import cluster


@pytest.fixture(scope="session")
def kept_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files and a DICOM series in folders of their own, and a file that is none. Not to be changed."""
    return makers.archive(tmp_path_factory.mktemp("kept") / "in")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The same, to be changed."""
    return makers.archive(tmp_path / "in")


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """One worker on this machine."""
    with cluster.local([], workers=1) as found:
        yield found


@pytest.fixture
def one_worker(client: Any) -> Any:
    """It, for `run_batch`, and still there afterwards."""
    return nullcontext(client)
