"""Run in a network namespace of its own: `python drive.py FOLDER SCENARIO...`; what came of it goes to answers.json.

Every scenario has an Orthanc of its own, and sends series of its own; what is asserted stands in test_serve.py.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "io" / "dicom"))
from node import Orthanc, Proxy, Serve, ask, wait_until
from thick import saved, thick, uid_of

FINAL = ("done", "refused", "failed", "lost")
SERIES = "0020000E"


def state(node: Orthanc, number: int) -> str:
    return (node.entry(uid_of(number)) or {}).get("state", "")


def wait_for_all(node: Orthanc, numbers: list[int], *, patience_s: float = 240.0) -> None:
    def all_final() -> bool:
        entries = {one["MainDicomTags"]["SeriesInstanceUID"]: one["entry"] or {} for one in node.series()}
        return all(entries.get(uid_of(number), {}).get("state") in FINAL for number in numbers)

    wait_until(all_final, f"series {numbers} come to an end", patience_s=patience_s)


def held(node: Orthanc) -> dict[str, Any]:
    """What a test is to know of an Orthanc: sources with their entries, derived series with their sizes."""
    found = node.series()
    derived = [one for one in found if one["MainDicomTags"].get("Manufacturer") == "thinslice"]
    sources = [one for one in found if one not in derived]
    return {
        "derived": {one["MainDicomTags"]["SeriesInstanceUID"]: len(one["Instances"]) for one in derived},
        "sources": {one["MainDicomTags"]["SeriesInstanceUID"]: one["entry"] for one in sources},
    }


class Place:
    """The folder of a scenario, its Orthanc and its `serve`."""

    def __init__(self, folder: Path, *, route_to: int = 0, proxy: bool = False, enhance: str = "check = false") -> None:
        folder.mkdir()
        self.folder = folder
        self.node = Orthanc(folder / "node", name="NODE", http_port=18042, dicom_port=14242, route_to=route_to)
        self.node.start()
        self.proxy = Proxy(18044, self.node.url) if proxy else None
        self.serve = Serve(folder / "serve", self.proxy.url if self.proxy else self.node.url, enhance=enhance)

    def send(self, number: int, *, first: int = 0, **options: Any) -> None:
        self.node.send(saved(thick(number, **options)[first:], self.folder / f"in{number}_{first}"))

    def close(self) -> None:
        if self.serve.process.poll() is None:
            self.serve.kill()
        self.node.stop()
        if self.proxy:
            self.proxy.server.shutdown()
            self.proxy.server.server_close()


def end_to_end(folder: Path) -> dict[str, Any]:
    """A thick series is sent to A; its thin one is found in A, and routed, in B, which is the PACS."""
    pacs = Orthanc(folder.parent / "pacs", name="PACS", http_port=18052, dicom_port=14252)
    pacs.start()
    place = Place(folder, route_to=14252)
    try:
        place.serve.start()
        place.send(1)
        place.send(2, thickness=1.0)  # too thin for the rules
        wait_for_all(place.node, [1])
        study = thick(1, slices=4)[0].StudyInstanceUID
        derived = next(iter(held(place.node)["derived"]))
        found = {
            name: wait_until(
                lambda one=one: one.qido("instances", StudyInstanceUID=study, SeriesInstanceUID=derived),
                f"it is in {name}",
            )
            for name, one in (("node", place.node), ("pacs", pacs))
        }
        wait_until(
            lambda: len(pacs.qido("instances", SeriesInstanceUID=derived)) == len(found["node"]), "all of it is in pacs"
        )
        fetched = folder / "fetched"
        fetched.mkdir()
        for one in pacs.get("/series?expand")[0]["Instances"]:
            (fetched / f"{one}.dcm").write_bytes(ask(f"{pacs.url}/instances/{one}/file"))
        answers = held(place.node) | {
            "qido_node": len(found["node"]),
            "in_pacs": [one["MainDicomTags"]["SeriesInstanceUID"] for one in pacs.get("/series?expand")],
            "page": ask(place.serve.page + "/").decode(),
            "metrics": ask(place.serve.page + "/metrics").decode(),
            "listens": subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=False).stdout,
            "modes": sorted({oct(path.stat().st_mode & 0o777) for path in (folder / "serve/spool").rglob("*")}),
            "left": [str(path.name) for path in (folder / "serve/spool/work").rglob("*") if path.is_file()],
        }
        answers["exit"] = place.serve.end()
        return answers | {"log": place.serve.events(), "fetched": str(fetched)}
    finally:
        place.close()
        pacs.stop()


def killed(folder: Path) -> dict[str, Any]:
    """Kill -9 in the middle of fetching, of enhancing and of storing, and each time begun anew."""
    place = Place(folder, proxy=True)
    due, numbers = threading.Event(), [1, 2]
    seen: list[str] = []
    try:
        for number in numbers:
            place.send(number)
        for stage, is_it in (
            ("fetch", lambda method, path: method == "GET" and path.endswith("/file")),
            ("enhance", lambda method, path: method == "PUT" and "/metadata/" in path),
            ("store", lambda method, path: method == "POST" and path == "/instances"),
        ):
            due.clear()
            count = 0

            def fault(method: str, path: str, is_it: Callable[[str, str], bool] = is_it) -> str:
                nonlocal count
                if is_it(method, path):
                    count += 1
                    if count == 5 or (count == 1 and method == "PUT"):
                        due.set()
                return ""

            place.proxy.fault = fault
            place.serve.start()
            if not due.wait(120):
                raise SystemExit(f"stage {stage} did not come")
            time.sleep(0.5 if stage == "enhance" else 0.0)
            place.serve.kill()
            seen.append(stage)
        place.proxy.fault = lambda method, path: ""
        place.serve.start()
        wait_for_all(place.node, numbers)
        return held(place.node) | {"seen": seen, "exit": place.serve.end()}
    finally:
        place.close()


def late(folder: Path) -> dict[str, Any]:
    """Instances arrive after the series was called stable, and done."""
    place = Place(folder)
    try:
        place.serve.start()
        some = saved(thick(1)[:8], folder / "some")
        place.node.send(some)
        wait_for_all(place.node, [1])
        before = held(place.node)
        place.send(1, first=8)
        wait_until(
            lambda: (
                (place.node.entry(uid_of(1)) or {}).get("results") != before["sources"][uid_of(1)]["results"]
                and state(place.node, 1) == "done"
            ),
            "it is done again",
        )
        return {"before": before, "after": held(place.node)}
    finally:
        place.close()


def refused(folder: Path) -> dict[str, Any]:
    """A series with a gap is marked, once; a run that begins anew leaves it alone."""
    place = Place(folder)
    try:
        place.serve.start()
        made = thick(1)
        place.node.send(saved([*made[:5], *made[7:]], folder / "gap"))
        wait_for_all(place.node, [1])
        first = place.node.entry(uid_of(1))
        code = place.serve.end()
        (folder / "serve/spool/followed.json").unlink(missing_ok=True)  # everything is looked at again
        place.serve.start()
        place.send(2)
        wait_for_all(place.node, [2])
        return held(place.node) | {"first": first, "exit": code, "log": place.serve.events()}
    finally:
        place.close()


def worker_killed(folder: Path) -> dict[str, Any]:
    """The worker is killed each time it is at one series; the other is none the worse for it."""
    place = Place(folder)
    notes = folder / "serve/spool/work/attempts"
    try:
        place.serve.start()
        place.send(1)
        for begun in (1, 2):

            def is_begun(begun: int = begun) -> bool:
                return any(json.loads(note.read_text())["begun"] == begun for note in notes.glob("*[0-9a-f]"))

            wait_until(is_begun, f"it is begun for the {begun}. time")
            for pid in workers_of(place.serve.process.pid):
                os.kill(pid, 9)
        wait_for_all(place.node, [1])
        place.send(2)
        wait_for_all(place.node, [2])
        return held(place.node) | {"log": place.serve.events()}
    finally:
        place.close()


def workers_of(pid: int) -> list[int]:
    """The processes that `serve` has begun and that compute."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        parent = status.read_text().rpartition(")")[2].split()[1]
        command = (status.parent / "cmdline").read_bytes()
        if parent == str(pid) and b"spawn_main" in command:
            found.append(int(status.parent.name))
    return found


def terminated(folder: Path) -> dict[str, Any]:
    """SIGTERM in the middle of a fit of minutes."""
    place = Place(folder, enhance='fit = "scan"\nbudget = 200.0')
    try:
        place.serve.start()
        place.send(1)
        wait_until(lambda: state(place.node, 1) == "working", "it is begun")
        time.sleep(2)
        began = time.monotonic()
        code = place.serve.end()
        left = [path.name for path in (folder / "serve/spool/work").iterdir() if path.name != "attempts"]
        return held(place.node) | {
            "exit": code, "seconds": time.monotonic() - began, "log": place.serve.events(), "left": left
        }  # fmt: skip
    finally:
        place.close()


def restarted(folder: Path) -> dict[str, Any]:
    """Orthanc is restarted while series arrive and while they are worked on, without having called them stable."""
    place = Place(folder)
    try:
        place.serve.start()
        wait_until(lambda: "looked at" in place.serve.log_since_start(), "serve follows")
        place.send(1)
        place.node.stop(9)  # before StableAge is over
        wait_until(lambda: "orthanc is away" in place.serve.log_since_start(), "serve finds that out")
        place.node.start()
        wait_until(lambda: "orthanc is back" in place.serve.log_since_start(), "and that it is back")
        place.send(2)
        wait_until(lambda: state(place.node, 1) or state(place.node, 2), "one is begun")
        place.node.stop()
        time.sleep(1)
        place.node.start()
        wait_for_all(place.node, [1, 2])
        return held(place.node) | {"log": place.serve.events()}
    finally:
        place.close()


def faulty(folder: Path) -> dict[str, Any]:
    """Between serve and Orthanc every third answer goes wrong, each time in another way."""
    place = Place(folder, proxy=True)
    faults, lock, count = ("500", "cut", "short", "lost", "500", "slow", "cut", "drip"), threading.Lock(), 0

    def fault(method: str, path: str) -> str:
        nonlocal count
        with lock:
            count += 1
            if count % 3:
                return ""
            chosen = faults[count // 3 % len(faults)]
            slow = chosen in ("slow", "drip") and place.proxy.counts.get(chosen, 0) >= 2
            return "500" if slow else chosen

    try:
        place.proxy.fault = fault
        place.serve.start()
        for number in (1, 2):
            place.send(number)
        wait_for_all(place.node, [1, 2])
        return held(place.node) | {"faults": place.proxy.counts, "log": place.serve.events()}
    finally:
        place.close()


def killed_at_random(folder: Path) -> dict[str, Any]:
    """Thirty kills at random while six series arrive."""
    draw, place, numbers = random.Random(7), Place(folder), list(range(1, 7))
    try:
        for time_of in range(30):
            place.serve.start()
            if time_of % 5 == 0:
                place.send(numbers[time_of // 5])
            wait_until(lambda: "begun" in place.serve.log_since_start(), "it begins")
            time.sleep(draw.uniform(0.0, 10.0))
            place.serve.kill()
        place.serve.start()
        wait_for_all(place.node, numbers, patience_s=600)
        return held(place.node) | {"log": place.serve.events()}
    finally:
        place.close()


def many(folder: Path) -> dict[str, Any]:
    """Two hundred series at once."""
    place, numbers = Place(folder), list(range(1, 201))
    try:
        place.serve.start()
        for number in numbers:
            saved(thick(number, slices=6), folder / "all" / str(number))
        began = time.monotonic()
        place.node.send(folder / "all")
        sent = time.monotonic()
        wait_for_all(place.node, numbers, patience_s=2400)
        return held(place.node) | {"sent_s": sent - began, "seconds": time.monotonic() - sent}
    finally:
        place.close()


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ["OMP_NUM_THREADS"] = "1"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in sys.argv[2:]:
        began = time.monotonic()
        answers = globals()[name](folder / name)
        answers["took_s"] = time.monotonic() - began
        (folder / f"{name}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
