"""What a series goes through, against an Orthanc in memory: every step's failure leaves what the entry says."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from thinslice.archive.settings import Settings
from thinslice.errors import ThinsliceError
from thinslice.service import carry
from thinslice.service.board import Board
from thinslice.service.carry import MOST_BEGUN, Carrier
from thinslice.service.config import NotifyConfig
from thinslice.service.entry import Entry, parsed, work_of
from thinslice.service.notify import Notifier
from thinslice.service.orthanc import Away, Gone, Refused, Series
from thinslice.service.spool import Spool
from thinslice.service.waiting import Waiting

SOURCE = Series("source", "1.2.3", ("a", "b"), True, "CT", "Works", "thick")
RESULT = "2.25.7"


class InMemory:
    """An Orthanc: series by their ids, our entries, and what fails."""

    last_contact = 0.0

    def __init__(self):
        self.there = {"source": SOURCE}
        self.entries: dict[str, str] = {}
        self.log: list[str] = []
        self.fails: dict[str, Exception] = {}

    def _do(self, what: str) -> None:
        self.log.append(what)
        if what in self.fails:
            raise self.fails[what]

    def system(self):
        return {}

    def series(self, id):
        self._do("series")
        if id not in self.there:
            raise Gone("gone")
        return self.there[id]

    def series_of(self, ids):
        return [one for one in self.there.values() if set(ids) & set(one.instances)]

    def find_series(self, uid):
        return [one.id for one in self.there.values() if one.uid == uid]

    def sizes(self, id):
        return dict.fromkeys(self.there[id].instances, 4)

    def entry(self, id):
        return self.entries.get(id, "")

    def put_entry(self, id, text):
        self._do(f"entry {parsed(text).state}")
        self.entries[id] = text

    def fetch(self, instance, path: Path, *, size):
        self._do("fetch")
        path.write_bytes(b"DICM")

    def store(self, path: Path):
        self._do(f"store {path.name}")
        old = self.there.get("result", Series("result", RESULT, (), True, "CT", "thinslice", ""))
        self.there["result"] = replace(old, instances=(*old.instances, path.name))
        return path.name

    def delete_series(self, id):
        self._do(f"delete {id}")
        del self.there[id]

    @property
    def noted(self) -> Entry:
        return parsed(self.entries["source"])


@pytest.fixture
def orthanc():
    return InMemory()


@pytest.fixture
def carried(orthanc, tmp_path, monkeypatch):
    """Carries the source once; gives the line in which it may wait again."""
    monkeypatch.setattr(carry, "_PAUSE_S", 0.0)
    made = {RESULT: [tmp_path / "one", tmp_path / "two"]}
    monkeypatch.setattr(Carrier, "_enhanced", lambda self, folder, name: orthanc._do("enhance") or made)
    spool, stop, waiting = Spool(tmp_path / "spool", 10_000), threading.Event(), Waiting()
    board = Board(waiting=lambda: 0, contact=time.time, spool_bytes=spool.used)
    carrier = Carrier(
        orthanc, waiting, lambda task: None, settings=Settings(), spool=spool, board=board,
        notifier=Notifier(NotifyConfig()), stop=stop, delete_superseded=True,
    )  # fmt: skip

    def once() -> Waiting:
        carrier._carry_or_put_back("source", 5)
        return waiting

    once.carrier, once.work = carrier, work_of(SOURCE, Settings().digest())
    return once


def test_the_order_of_steps_is_what_makes_a_kill_harmless(orthanc, carried):
    orthanc.entries["source"] = Entry("done", "of fewer instances", results=("2.25.1",)).text()
    orthanc.there["old"] = Series("old", "2.25.1", ("x",), True, "CT", "thinslice", "")
    carried()
    steps = [step for step in orthanc.log if step not in ("series", "fetch")]
    assert steps == [
        "entry working", "enhance", "entry storing", "store one", "store two", "delete old", "entry done",
    ]  # fmt: skip
    assert (orthanc.noted.results, orthanc.noted.old, orthanc.noted.attempts) == ((RESULT,), (), 0)


def test_what_is_done_is_left_alone(orthanc, carried):
    orthanc.entries["source"] = Entry("refused", carried.work, code="GEO-FEW").text()
    assert len(carried()) == 0
    assert orthanc.log == ["series"]


def test_only_what_this_program_made_is_deleted(orthanc, carried):
    orthanc.entries["source"] = Entry("done", "before", results=("1.2.9",)).text()
    orthanc.there["other"] = Series("other", "1.2.9", ("x",), True, "CT", "Works", "")
    carried()
    assert "other" in orthanc.there
    assert orthanc.noted.state == "done"


def test_a_result_that_was_cut_off_and_comes_out_otherwise_is_deleted(orthanc, carried):
    orthanc.entries["source"] = Entry("storing", carried.work, 1, results=("2.25.1",)).text()
    orthanc.there["half"] = Series("half", "2.25.1", ("x",), True, "CT", "thinslice", "")
    carried()
    assert "half" not in orthanc.there
    assert orthanc.noted.results == (RESULT,)


def test_half_a_result_does_not_stay_where_the_rest_is_refused(orthanc, carried):
    orthanc.fails["store two"] = Refused("status 'FilteredOut'")
    assert len(carried()) == 0
    assert (orthanc.noted.state, orthanc.noted.code) == ("failed", "SRV-STORE")
    assert "result" not in orthanc.there


@pytest.mark.parametrize("step", ["fetch", "entry working", "entry storing", "store two", "entry done"])
def test_an_orthanc_that_is_away_is_no_failure_of_the_series(step, orthanc, carried):
    orthanc.fails[step] = Away("away")
    assert len(carried()) == 1
    orthanc.fails.clear()
    carried()
    assert orthanc.noted.state == "done"
    assert orthanc.there["result"].uid == RESULT


def test_but_one_that_fails_with_it_alone_is_in_the_end(orthanc, carried):
    orthanc.fails["fetch"] = Away("HTTP 500")
    for _ in range(8):
        carried()
    assert (orthanc.noted.state, orthanc.noted.code) == ("failed", "SRV-FETCH")


def test_trouble_within_one_run_is_no_new_attempt(orthanc, carried):
    orthanc.fails["store one"] = Away("away")
    for _ in range(3):
        carried()
    assert orthanc.noted.attempts == 1


def test_after_many_ends_of_serve_it_is_set_aside(orthanc, carried):
    orthanc.entries["source"] = Entry("working", carried.work, MOST_BEGUN - 1).text()
    carried()
    assert orthanc.noted.state == "done"
    carried.carrier._begun.clear()
    orthanc.entries["source"] = Entry("working", carried.work, MOST_BEGUN).text()
    carried()
    assert (orthanc.noted.state, orthanc.noted.code) == ("lost", "SRV-LOST")


def test_a_series_that_grew_meanwhile_is_not_stored(orthanc, carried, monkeypatch):
    def grow(self, folder, name):
        orthanc.there["source"] = replace(SOURCE, instances=("a", "b", "c"))
        return {RESULT: []}

    monkeypatch.setattr(Carrier, "_enhanced", grow)
    assert len(carried()) == 1
    assert "entry storing" not in orthanc.log


def test_a_source_that_was_deleted_is_forgotten(orthanc, carried):
    del orthanc.there["source"]
    assert len(carried()) == 0


def test_without_a_scheduler_all_work_ends(orthanc, carried):
    orthanc.fails["enhance"] = ThinsliceError("BATCH-SCHEDULER", "gone")
    carried()
    assert carried.carrier.broken is not None
    assert orthanc.noted.state == "working"


def test_a_fault_of_ours_is_of_the_series_alone(orthanc, carried):
    orthanc.fails["enhance"] = KeyError("Secret^Person")
    carried()
    assert (orthanc.noted.state, orthanc.noted.code) == ("failed", "BUG")
    assert carried.carrier.broken is None
    orthanc.entries.clear()
    orthanc.fails["entry failed"] = Refused("HTTP 403")
    assert len(carried()) == 1
    assert carried.carrier.broken is None
