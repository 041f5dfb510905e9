"""One series carried through: fetched, enhanced, stored, and its entry in Orthanc kept at every step.

The order of steps is what makes a kill at any moment harmless. What is to be stored is noted before the first instance
of it is, so that nothing of it is ever in Orthanc unknown; what it takes the place of is deleted after the last one
was confirmed; and only then the entry says "done".
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from thinslice.archive.outcome import Outcome
from thinslice.archive.plan import Task, tasks_of
from thinslice.archive.settings import Settings
from thinslice.errors import InputError, ThinsliceError, as_thinslice_error
from thinslice.io.survey import survey
from thinslice.service.board import Board, Ended
from thinslice.service.entry import Entry, State, parsed, short, work_of
from thinslice.service.journal import note
from thinslice.service.notify import Notifier
from thinslice.service.orthanc import Away, Gone, Locked, Orthanc, Refused, Series
from thinslice.service.rules import OWN
from thinslice.service.spool import Spool
from thinslice.service.waiting import Waiting

MOST_BEGUN = 50
"""So often a series may be begun without coming to an end, `serve` having ended each time. A kill from outside cannot
be told from a crash: with 10, thirty kills within minutes set two of six innocent series aside. What ends its worker,
whose end can be told, may do so twice (`thinslice.archive.attempts`)."""
_MOST_TROUBLE = 8  # times that Orthanc may fail with one series while it answers otherwise
_OF_THE_SERIES = (3, 4, 7)  # exit codes of what refuses a scan, whoever tries it
_GROWTH = 6  # bytes in the spool for a byte fetched: itself, and a result of up to five times as many slices
_FETCHES = 4  # at once
_TRIES, _PAUSE_S = 6, 0.2  # of what changes Orthanc and does no harm when it is done twice; the pause doubles
_AGAIN_S, _LONGEST_S = 2.0, 120.0  # until a series is tried again that Orthanc failed with; it doubles up to

_Answer = TypeVar("_Answer")
Enhance = Callable[[Task], Outcome]


class Changed(Exception):
    """Instances arrived while the series was worked on: the result is of a series that is no more."""


class Carrier:
    """What carries series through, in as many threads as call `run`.

    Args:
        orthanc: they are in.
        waiting: those that are to be carried.
        enhance: hands a task to a worker and waits for how it went; InterruptedError where it was cut off.
        settings: what is done to them.
        spool: where they lie meanwhile.
        board: shows how far they are.
        notifier: tells of failures.
        stop: set once nothing is to be begun any more.
        delete_superseded: delete results that others have taken the place of.
    """

    def __init__(
        self, orthanc: Orthanc, waiting: Waiting, enhance: Enhance, *, settings: Settings, spool: Spool, board: Board,
        notifier: Notifier, stop: threading.Event, delete_superseded: bool,
    ) -> None:  # fmt: skip
        self._orthanc, self._waiting, self._enhance, self._settings = orthanc, waiting, enhance, settings
        self._spool, self._board, self._notifier, self._stop = spool, board, notifier, stop
        self._delete_superseded = delete_superseded
        self._digest = settings.digest()
        self._begun: dict[str, str] = {}  # by this process: what it begins again after trouble is no new attempt
        self._trouble: Counter[str] = Counter()
        self.broken: ThinsliceError | None = None
        """What ended all work: there is no scheduler any more."""

    def run(self) -> None:
        """Carry series until `stop` is set."""
        while (taken := self._waiting.take(self._stop)) is not None:
            id, seq = taken
            try:
                self._carry_or_put_back(id, seq)
            finally:
                self._board.stage(short(id), "")
                self._waiting.put_down(id)

    def _carry_or_put_back(self, id: str, seq: int) -> None:
        try:
            self._carry(id)
            self._trouble.pop(id, None)
            self._begun.pop(id, None)
        except (Away, Locked, Gone, Changed) as error:
            if not isinstance(error, Gone) or self._is_there(id):
                delay = min(_AGAIN_S * 2 ** self._trouble[id], _LONGEST_S)
                code = "" if isinstance(error, Changed) else error.code
                note("put back", series=short(id), code=code, message=str(error), again_s=delay)
                self._waiting.add(id, seq, attempts=self._trouble[id], delay_s=delay)
        except InterruptedError:
            note("put down", series=short(id))
        except Exception as error:
            known = as_thinslice_error(error)
            if known.code == "BATCH-SCHEDULER":
                self.broken = known
                self._stop.set()
                return
            self._trouble[id] += 1  # its end could not be noted: another time, and less and less often
            note("put back", level=logging.ERROR, series=short(id), code=known.code, message=known.message)
            self._waiting.add(id, seq, attempts=self._trouble[id], delay_s=_LONGEST_S)

    def _is_there(self, id: str) -> bool:
        try:
            self._orthanc.series(id)
        except Gone:
            return False
        except (Away, Locked):
            pass
        return True

    def _carry(self, id: str) -> None:
        """All steps of one series.

        Raises:
            Away, Locked, Gone, Changed: another time.
            InterruptedError: the program is about to end.
            ThinsliceError: BATCH-SCHEDULER.
        """
        began = time.monotonic()
        series = self._orthanc.series(id)
        work = work_of(series, self._digest)
        before = parsed(self._orthanc.entry(id))
        if before and before.work == work and before.is_final:
            return
        same = before is not None and before.work == work
        attempts = before.attempts if before and same else 0
        if self._begun.get(id) != work:
            attempts += 1
        old = tuple(sorted(before.ever_stored)) if before else ()
        entry = Entry("working", work, attempts, old=old)
        try:
            if attempts > MOST_BEGUN:
                raise ThinsliceError("SRV-LOST", f"serve ended {MOST_BEGUN} times while it was at this series")
            results = self._made_and_stored(series, entry)
        except (Locked, Gone, Changed):
            raise
        except InterruptedError:
            self._put_down(series, entry)
            raise
        except Away as error:
            if not self._blames(id):
                raise
            self._end(series, entry, "failed", ThinsliceError("SRV-FETCH", error.message), began)
        except _Ended as error:
            self._end(series, entry, error.state, error.error, began)
        except Exception as error:
            known = as_thinslice_error(error)
            if known.code == "BATCH-SCHEDULER":
                if self._stop.is_set():
                    self._put_down(series, entry)
                    raise InterruptedError from error
                raise
            self._end(series, entry, _state_of(known), known, began)
        else:
            self._end(series, replace(entry, results=results, old=()), "done", None, began)

    def _blames(self, id: str) -> bool:
        """Whether Orthanc fails with this series alone, and has done so for long enough."""
        try:
            self._orthanc.system()
        except (Away, Locked):
            return False
        self._trouble[id] += 1
        return self._trouble[id] >= _MOST_TROUBLE

    def _made_and_stored(self, series: Series, entry: Entry) -> tuple[str, ...]:
        """SeriesInstanceUIDs of the results, which are in Orthanc now, while those before them are not any more."""
        name = short(series.id)
        sizes = self._orthanc.sizes(series.id)
        with self._spool.room(_GROWTH * sum(sizes.values()), self._stop) as folder:
            self._board.stage(name, "fetching")
            self._fetch(sizes, folder / "in")
            self._keep(series, entry)
            self._begun[series.id] = entry.work
            self._board.stage(name, "enhancing")
            made = self._enhanced(folder, name)
            if work_of(self._orthanc.series(series.id), self._digest) != entry.work:
                raise Changed("instances arrived meanwhile")
            self._board.stage(name, "storing")
            results = tuple(sorted(made))
            old = tuple(uid for uid in entry.old if uid not in made)
            self._keep(series, replace(entry, state="storing", results=results, old=old))
            try:
                for files in made.values():
                    self._store(files)
            except Refused:  # half a result is worse than none
                for uid in results:
                    self._delete(uid)
                raise
        if self._delete_superseded:
            for uid in old:
                self._delete(uid)
        return results

    def _fetch(self, sizes: dict[str, int], folder: Path) -> None:
        """All instances, as files."""
        folder.mkdir(mode=0o700)

        def one(numbered: tuple[int, str]) -> None:
            if self._stop.is_set():
                raise InterruptedError
            number, instance = numbered
            self._orthanc.fetch(instance, folder / f"{number:06d}.dcm", size=sizes[instance])

        with ThreadPoolExecutor(_FETCHES) as pool:
            for _ in pool.map(one, enumerate(sorted(sizes), 1)):
                pass

    def _enhanced(self, folder: Path, name: str) -> dict[str, list[Path]]:
        """The files of each result, by its SeriesInstanceUID."""
        scans = [scan for scan in survey(folder / "in") if scan.is_dicom]
        if not scans:
            raise InputError("BATCH-NONE", "no CT series found among the instances")
        for scan in scans:
            if scan.error is not None:
                raise scan.error
        for task in tasks_of(scans, top=folder, output=folder / "out", settings=self._settings):
            outcome = self._enhance(replace(task, scan=name))
            if not outcome.is_good:
                raise _Ended(outcome)
        found: dict[str, list[Path]] = {}
        for scan in survey(folder / "out"):
            if scan.is_dicom:
                found.setdefault(scan.uid, []).extend(scan.path / file for file in scan.names)
        if not found:
            raise ThinsliceError("BUG", "a result was made and is not there: this is a fault of thinslice; report it")
        return found

    def _store(self, files: list[Path]) -> None:
        """Store a result; every instance of it is confirmed, and then found in its series."""
        ids = [_patiently(partial(self._orthanc.store, file)) for file in sorted(files)]
        there = {instance for series in self._orthanc.series_of(ids[:1]) for instance in series.instances}
        if missing := set(ids) - there:
            raise Refused(f"Orthanc confirmed {len(ids)} instances and {len(missing)} of them are not in their series")
        self._board.stored(len(ids))

    def _delete(self, uid: str) -> None:
        """Delete a result that another has taken the place of, and never anything else."""
        for id in self._orthanc.find_series(uid):
            if self._orthanc.series(id).manufacturer.strip().lower() == OWN:
                _patiently(partial(self._orthanc.delete_series, id))
                note("superseded", series=short(id))

    def _keep(self, series: Series, entry: Entry) -> None:
        """Keep the entry in Orthanc."""
        _patiently(partial(self._orthanc.put_entry, series.id, entry.text()))

    def _put_down(self, series: Series, entry: Entry) -> None:
        """An end in order is no attempt that failed."""
        if self._begun.get(series.id) == entry.work:
            with contextlib.suppress(ThinsliceError):
                self._orthanc.put_entry(series.id, replace(entry, state="waiting", attempts=entry.attempts - 1).text())

    def _end(self, series: Series, entry: Entry, state: State, error: ThinsliceError | None, began: float) -> None:
        """Note in Orthanc how it went, then tell."""
        seconds = time.monotonic() - began
        code, message = (error.code, error.message) if error else ("", "")
        self._keep(series, replace(entry, state=state, code=code, attempts=0, seconds=round(seconds, 3)))
        ended = Ended(short(series.id), state, code, message, seconds, time.time())
        self._board.ended(ended)
        note(state, series=ended.series, code=code, message=message, seconds=round(seconds, 2))
        if state in ("failed", "lost"):
            self._notifier.tell(ended, series)


class _Ended(Exception):
    """A task had no result."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.state: State = "failed" if outcome.outcome == "current" else outcome.outcome
        self.error = ThinsliceError(outcome.code, outcome.message)


def _patiently(do: Callable[[], _Answer]) -> _Answer:
    """Do what may as well be done twice, again where no whole answer comes.

    Raises:
        Away: none came.
    """
    for tried in range(_TRIES - 1):
        try:
            return do()
        except Away:
            time.sleep(_PAUSE_S * 2**tried)
    return do()


def _state_of(error: ThinsliceError) -> State:
    if error.code == "SRV-LOST":
        return "lost"
    return "refused" if error.exit_code in _OF_THE_SERIES else "failed"
