"""What all tests share: threads, reproducible examples, the folder of real scans, a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before numpy and torch are first imported: small arrays gain nothing from more threads.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile(
    "thinslice",
    deadline=None,  # a shared machine has slow moments
    derandomize=True,  # a failure in CI is the same failure at home
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("thinslice")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_ct() -> Path:
    """The folder of real scans, read-only: $THINSLICE_CT, or shared/ct beside or inside the checkout.

    Skips where there is none (a stranger's clone); fails in CI, where there must be one.
    """
    named = os.environ.get("THINSLICE_CT")
    places = [Path(named)] if named else [REPOSITORY.parent / "shared" / "ct", REPOSITORY / "shared" / "ct"]
    for place in places:
        if (place / "thin").is_dir():
            return place
    absent = "no real scans here (THINSLICE_CT names their folder): tests that need them are left out"
    if os.environ.get("CI"):
        pytest.fail(f"in CI they must run: {absent}", pytrace=False)
    pytest.skip(absent)


@pytest.fixture(scope="session")
def thick_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom as a NIfTI file: 16 slices of 5 mm, 48 x 48 pixels of 2.5 mm. Not to be changed."""
    from thinslice.io import files
    from thinslice.phantom import make_phantom, thicken

    phantom = make_phantom(shape=(80, 48, 48), spacing_mm=(1.0, 2.5, 2.5))
    thick, _ = thicken(phantom.volume, 5.0)
    path = tmp_path_factory.mktemp("phantom") / "thick.nii.gz"
    files.write(thick, path)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium (Debian package `chromium`); where there is none, tests of pages fail."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or pytest.fail("chromium is not here: apt-get install chromium", pytrace=False)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()
