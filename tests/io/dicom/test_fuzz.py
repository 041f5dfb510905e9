"""Whatever is damaged: an input is read rightly or refused with a code, within ten seconds, and no process dies.

10,000 damaged inputs in the slow suite, some hundred of them in the fast one. They are read in processes
of their own, watched from here: a crash and a hang are findings as well as a wrong volume.
"""

import json
import select
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

COMPUTES_AT_MOST_S = 10  # of the process's own time: a busy machine is no hang
WAITS_AT_MOST_S = 180


class Reader:
    """A process that reads damaged inputs by number."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fuzz_worker.py"), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.usage = psutil.Process(self.process.pid)
        assert self.line() == "ready\n"

    def line(self) -> str | None:
        """The next line; "" where the process is gone, None where it hangs."""
        before, begun = self.computed(), time.monotonic()
        while not select.select([self.process.stdout], [], [], 1)[0]:
            if self.computed() - before > COMPUTES_AT_MOST_S or time.monotonic() - begun > WAITS_AT_MOST_S:
                return None
        return self.process.stdout.readline()

    def computed(self) -> float:
        """Seconds of processor time so far."""
        try:
            times = self.usage.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return times.user + times.system

    def outcome(self, number: int) -> dict:
        """What came of an input; the process is gone after a crash or a hang."""
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        line = self.line()
        if line:
            return json.loads(line)
        self.process.kill()
        died = "hang" if line is None else f"crash, status {self.process.wait()}"
        return {"kind": "?", "done": "?", "code": None, "wrong": died}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def campaign(numbers: range, folder: Path) -> tuple[list[str], Counter]:
    """Findings, and how many inputs of each kind were read and refused."""
    findings, counts = [], Counter()
    reader = Reader(folder)
    for number in numbers:
        if reader.process.poll() is not None:
            reader.close()
            reader = Reader(folder)
        found = reader.outcome(number)
        counts[found["kind"], "refused" if found["code"] else "read"] += 1
        if found["wrong"]:
            findings.append(f"input {number}, {found['kind']}, {found['done']}: {found['wrong']}")
    reader.close()
    return findings, counts


def test_some_hundred_damaged_inputs(tmp_path):
    findings, counts = campaign(range(0, 10_000, 31), tmp_path / "in")
    assert not findings, "\n".join(findings)
    outcomes = Counter(outcome for _, outcome in counts.elements())
    assert min(outcomes["read"], outcomes["refused"]) > 0.25 * outcomes.total()


@pytest.mark.slow
def test_ten_thousand_damaged_inputs(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(campaign, (range(0, 10_000, 2), range(1, 10_000, 2)), (tmp_path / "a", tmp_path / "b")))
    findings = [finding for found, _ in halves for finding in found]
    counts = sum((counts for _, counts in halves), Counter())
    assert not findings, "\n".join(findings)
    assert counts.total() == 10_000
    for kind in {kind for kind, _ in counts}:
        assert counts[kind, "read"], kind
        assert counts[kind, "refused"], kind
