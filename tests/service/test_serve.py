"""`thinslice serve` beside real Orthancs: what arrives thick is there thin, exactly once, whatever happens."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from node import ORTHANC, PASSWORD
from thick import saved, thick, uid_of

from thinslice.io.dicom import read_series

ISOLATED = [  # own network (loopback alone) and own process tree, which ends with its first process
    *("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
]
NEEDED = (ORTHANC, "unshare", "ip", "ss", "storescu")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Runs a scenario of drive.py; gives what it wrote down."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        absent = f"not here: {', '.join(missing)} (apt-get install orthanc orthanc-dicomweb iproute2 dcmtk)"
        if os.environ.get("CI"):
            pytest.fail(f"in CI they must be there: {absent}", pytrace=False)
        pytest.skip(absent)

    def run(name: str, *, timeout_s: float = 900) -> dict:
        folder = tmp_path_factory.mktemp("serve")
        command = [*ISOLATED, sys.executable, str(Path(__file__).with_name("drive.py")), str(folder), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        logs = "\n".join(f"{path}:\n{path.read_text(errors='replace')[-3000:]}" for path in folder.rglob("log"))
        assert done.returncode == 0, f"{done.stderr[-2000:]}\n{logs}"
        return json.loads((folder / f"{name}.json").read_text())

    return run


def assert_once_each(answers: dict, numbers: list[int], *, slices: int = 60) -> None:
    """Every source is done, and has one result, which is whole; there is nothing else."""
    results = [uid for number in numbers for uid in answers["sources"][uid_of(number)]["results"]]
    assert {answers["sources"][uid_of(number)]["state"] for number in numbers} == {"done"}
    assert len(results) == len(set(results)) == len(numbers)
    assert answers["derived"] == dict.fromkeys(results, slices)


@pytest.fixture(scope="module")
def end_to_end(drive) -> dict:
    return drive("end_to_end")


def test_the_thin_series_is_found_in_orthanc_and_in_the_pacs(end_to_end):
    assert_once_each(end_to_end, [1])
    assert end_to_end["qido_node"] == 60
    assert end_to_end["in_pacs"] == list(end_to_end["derived"])
    assert end_to_end["sources"][uid_of(2)] is None  # thin already: left alone, unmarked


def test_its_geometry_and_pixels_are_right(end_to_end, tmp_path):
    source = read_series(saved(thick(1), tmp_path / "thick"))
    thin = read_series(Path(end_to_end["fetched"]), allow_derived=True)
    assert thin.shape == (60, *source.shape[1:])
    assert thin.slice_spacing_mm == pytest.approx(1.0)
    again = thin.hu.reshape(12, 5, *source.shape[1:]).mean(axis=1)  # averaged over 5 mm, as the scanner did
    assert abs(again - source.hu).max() < 0.7  # whole HU are stored
    first = pydicom.dcmread(next(Path(end_to_end["fetched"]).iterdir()))
    assert first.PatientID == "PID-1"
    assert first.SyntheticData == "YES"


def test_what_the_pacs_holds_is_valid(end_to_end):
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.fail("dciodvfy is missing (dicom3tools)") if os.environ.get("CI") else pytest.skip("no dciodvfy here")
    for file in sorted(Path(end_to_end["fetched"]).iterdir())[:3]:
        found = subprocess.run([dciodvfy, str(file)], capture_output=True, text=True, check=False)
        lines = [line for line in found.stderr.splitlines() if line.startswith("Error")]
        assert [line for line in lines if "(0x0008,0x001c)" not in line] == []  # younger than this dciodvfy


def test_nothing_says_who_the_patient_is(end_to_end):
    log = json.dumps(end_to_end["log"])
    for text in (log, end_to_end["page"], end_to_end["metrics"]):
        for secret in ("Secret", "PID-1", uid_of(1), "2.25.", PASSWORD, "serve/spool"):
            assert secret not in text
    assert json.dumps(end_to_end["sources"]).count("PID") == 0


def test_page_and_metrics_count(end_to_end):
    assert 'thinslice_series_total{code="",state="done"} 1.0' in end_to_end["metrics"]
    assert "thinslice_instances_stored_total 60.0" in end_to_end["metrics"]
    assert "thinslice_orthanc_up 1.0" in end_to_end["metrics"]
    assert "Orthanc is followed" in end_to_end["page"]
    assert "<td>done</td>" in end_to_end["page"].replace("\n", "")


def test_the_page_listens_on_loopback_and_the_spool_is_private_and_empty(end_to_end):
    of_orthanc = ("18042", "18052", "14242", "14252")
    places = [line.split()[3] for line in end_to_end["listens"].splitlines()]
    own = [place for place in places if not place.endswith(of_orthanc)]
    assert any(place.endswith(":18043") for place in own)
    assert all(place.startswith("127.0.0.1:") for place in own)
    assert set(end_to_end["modes"]) <= {"0o600", "0o700"}
    assert end_to_end["left"] == []


def test_sigterm_ends_it_in_order(end_to_end):
    assert end_to_end["exit"] == 0
    assert [one["event"] for one in end_to_end["log"]][-2:] == ["ending", "ended"]


@pytest.mark.slow
def test_sigterm_puts_down_what_takes_long(drive):
    answers = drive("terminated")
    assert answers["exit"] == 0
    entry = answers["sources"][uid_of(1)]
    assert (entry["state"], entry["attempts"]) == ("waiting", 0)  # the next run begins it again
    assert answers["derived"] == {}
    assert "put down" in [one["event"] for one in answers["log"]]
    assert answers["left"] == []


def test_kill_9_loses_nothing_and_doubles_nothing(drive):
    answers = drive("killed")
    assert answers["seen"] == ["fetch", "enhance", "store"]
    assert_once_each(answers, [1, 2])
    assert answers["exit"] == 0


def test_late_instances_supersede_the_result(drive):
    answers = drive("late")
    assert_once_each(answers["before"], [1], slices=40)
    assert_once_each(answers["after"], [1])


def test_a_refused_series_is_marked_once(drive):
    answers = drive("refused")
    marked = answers["sources"][uid_of(1)]
    assert (marked["state"], marked["code"]) == ("refused", "DCM-GAP")
    assert marked == answers["first"]  # the second run left it alone
    assert [one["event"] for one in answers["log"]].count("refused") == 1
    assert answers["sources"][uid_of(2)]["state"] == "done"


@pytest.mark.slow
def test_a_series_that_ends_its_worker_twice_is_set_aside(drive):
    answers = drive("worker_killed")
    marked = answers["sources"][uid_of(1)]
    assert (marked["state"], marked["code"]) == ("lost", "BATCH-LOST")
    assert answers["sources"][uid_of(2)]["state"] == "done"
    assert len(answers["derived"]) == 1


@pytest.mark.slow
def test_a_restart_of_orthanc_loses_nothing(drive):
    answers = drive("restarted")
    assert_once_each(answers, [1, 2])
    assert {"orthanc is away", "orthanc is back"} <= {one["event"] for one in answers["log"]}


def test_faults_of_answers_lose_nothing(drive):
    answers = drive("faulty")
    assert_once_each(answers, [1, 2])
    assert set(answers["faults"]) == {"500", "cut", "short", "lost", "slow", "drip"}


@pytest.mark.slow
def test_thirty_kills_at_random(drive):
    answers = drive("killed_at_random", timeout_s=3600)
    assert_once_each(answers, [1, 2, 3, 4, 5, 6])


@pytest.mark.slow
def test_two_hundred_series_at_once(drive):
    assert_once_each(drive("many", timeout_s=3600), list(range(1, 201)), slices=30)
