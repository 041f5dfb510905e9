"""Which series are to be worked on: Orthanc's log of changes is followed, from the number that was finished last.

Every series that anything arrived for is looked at until Orthanc calls it stable. That includes those that it will
never announce as stable: one that was restarted in the meantime forgets to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from thinslice.service.config import RulesConfig
from thinslice.service.entry import parsed, short, work_of
from thinslice.service.journal import note
from thinslice.service.orthanc import Gone, Orthanc, Series
from thinslice.service.rules import matches, may_match
from thinslice.service.spool import Spool
from thinslice.service.waiting import Waiting

_OF_INTEREST = ("NewInstance", "NewSeries", "StableSeries")
_PAGE, _SERIES_PAGE = 500, 50
_BEFORE_ALL = 0  # number of what no change tells of: until it is finished, the next run looks at every series again


class Follower:
    """What finds series. It keeps no state that matters: the hint in the spool saves a look at all of Orthanc.

    Args:
        orthanc: that is followed.
        rules: which series are meant.
        settings_digest: of what is done to them.
        waiting: where they are put.
        spool: holds the hint.
        url: of the Orthanc, by which a hint of another one is known.
    """

    def __init__(
        self, orthanc: Orthanc, rules: RulesConfig, settings_digest: str, *, waiting: Waiting, spool: Spool, url: str
    ) -> None:
        self._orthanc, self._rules, self._digest = orthanc, rules, settings_digest
        self._waiting, self._spool = waiting, spool
        told = json.dumps([url, settings_digest, asdict(rules)], sort_keys=True)
        self._told = hashlib.sha256(told.encode()).hexdigest()
        self._unsettled: dict[str, int] = {}  # ids of series that may still grow, and the change that told of them
        hint = spool.hint()
        self._kept = self._read = int(hint["seq"]) if hint.get("told") == self._told else -1
        self._checked = False  # whether this Orthanc's log reaches as far as what was read of it

    def lost_sight(self) -> None:
        """Orthanc was away: when it is back it may be another, or the same from a backup."""
        self._checked = False

    def look(self) -> None:
        """See what is new, and put what is stable in line.

        Raises:
            Away, Locked: nothing is lost by it.
        """
        if not self._checked:
            last = self._orthanc.last_change()
            if not 0 <= self._read <= last:
                self._look_at_all(last)
            self._checked = True
        for series, seq in self._changed():
            self._consider(series, seq)
        self._settle()
        self._keep()

    def _look_at_all(self, last: int) -> None:
        """Consider every series there is: what is done has an entry that says so."""
        note("every series is looked at")
        since = 0
        while page := self._orthanc.all_series(since, limit=_SERIES_PAGE):
            for series in page:
                self._consider(series, _BEFORE_ALL)
            since += len(page)
        self._read = last

    def _changed(self) -> Iterator[tuple[Series, int]]:
        """Series that something arrived for since the last look, each with the first change that told of it."""
        while True:
            changes, last = self._orthanc.changes(self._read, limit=_PAGE)
            told = [change for change in changes if change.kind in _OF_INTEREST]
            if told:
                for series in self._orthanc.series_of({change.id for change in told}):
                    yield series, told[0].seq
            self._read = last
            if len(changes) < _PAGE:
                return

    def _settle(self) -> None:
        """Consider again what was not stable yet."""
        for ids in _pages(list(self._unsettled)):
            there = {series.id: series for series in self._orthanc.series_of(ids)}
            for id in ids:
                if id not in there:
                    del self._unsettled[id]
                elif there[id].stable:
                    self._consider(there[id], self._unsettled[id])
                    del self._unsettled[id]

    def _consider(self, series: Series, seq: int) -> None:
        """Put a series in line if it is meant, stable, and not done already."""
        if not may_match(series, self._rules):
            return
        if not series.stable:
            self._unsettled.setdefault(series.id, seq)
            return
        try:
            entry = parsed(self._orthanc.entry(series.id))
            work = work_of(series, self._digest)
            if entry is not None and entry.work == work and entry.is_final:
                return
            if not matches(series, self._orthanc.tags(series.instances[0]), self._rules):
                return
        except Gone:
            return
        same = entry is not None and entry.work == work
        self._waiting.add(series.id, seq, attempts=entry.attempts if entry and same else 0)
        note("waiting", series=short(series.id), instances=len(series.instances))

    def _keep(self) -> None:
        """Note the last change before which everything is finished."""
        open_ones = [*self._unsettled.values()]
        first = self._waiting.first_seq()
        if first is not None:
            open_ones.append(first)
        finished = min(self._read, *(seq - 1 for seq in open_ones)) if open_ones else self._read
        if finished != self._kept:
            self._spool.keep_hint({"told": self._told, "seq": finished})
            self._kept = finished


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _SERIES_PAGE):
        yield ids[start : start + _SERIES_PAGE]
