"""Pages opened from files, and a result to show."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thinslice
from thinslice.phantom import make_phantom, thicken


@pytest.fixture(scope="session")
def opened(browser: Any) -> Any:
    """Opens a file in a page of its own: a context manager (path, **options of the context) of the page.

    The page has `problems`, what its console said, and `requests`, whatever it asked for but the file itself.
    """

    @contextmanager
    def open_page(path: Path, *, wait: bool = True, **options: Any) -> Iterator[Any]:
        context = browser.new_context(**options)
        page = context.new_page()
        page.problems, page.requests = [], []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        if wait:
            page.wait_for_selector('#viewer[data-state="ready"]', timeout=60_000)
        assert page.requests.pop(0) == path.as_uri()
        yield page
        context.close()

    return open_page


@pytest.fixture(scope="session")
def result() -> Any:
    """A phantom of 12 slices of 5 mm made 4 times finer, with an uncertainty that tells places."""
    phantom = make_phantom(shape=(60, 40, 48), spacing_mm=(1.0, 2.5, 2.5))
    made = thinslice.enhance(thicken(phantom.volume, 5.0)[0], spacing=1.25, fit="none", check=False, threads=1)
    z, y, x = np.indices(made.volume.shape, np.float32)
    record = made.record | {  # as of a run that took minutes
        "fit": {"steps": 80, "seconds": 20.0, "curve": [{"step": 10 * k, "loss": 1 / (k + 1)} for k in range(9)]},
        "self_check": {
            "held_out": 2, "positions": [3, 8], "psnr_db": 38.94, "psnr_cubic_db": 36.71, "psnr_plane_db": 40.1,
            "verdict": "better",
        },
    }  # fmt: skip
    return replace(made, record=record, uncertainty=np.abs(z - 24) + y / 4 + x / 8)


@pytest.fixture(scope="session")
def report(result: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of it; not to be changed."""
    path = tmp_path_factory.mktemp("report") / "thin.html"
    result.report(path)
    return path
