"""A small client of Orthanc's REST API: what it answers is believed only when it came whole.

Questions that change nothing are asked again where the answer fails; what changes something is asked once, and whoever
asked decides whether to do so again. What cannot be helped by waiting has an error of its own.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinslice.archive.extras import import_extra
from thinslice.errors import ThinsliceError, UsageError

if TYPE_CHECKING:
    from thinslice.service.config import OrthancConfig

ENTRY = 4646
"""Number of the metadata that holds our entry on a series; Orthanc leaves those from 1024 on to its users."""
_TRIES, _PAUSE_S = 5, 0.2  # of a question; the pause doubles
_SLOWEST = 50_000  # bytes a second, below which an answer that drips counts as none
_CONNECT_S = 5.0
_PIECE = 1 << 16


class Away(ThinsliceError):
    """No whole answer: Orthanc is not there, or has a fault of its own (5xx). Another time it may be better."""

    def __init__(self, message: str) -> None:
        super().__init__("SRV-AWAY", message)


class Locked(UsageError):
    """Orthanc does not let us in, or is not whom it says to be: SRV-LOGIN, SRV-TLS."""


class Gone(ThinsliceError):
    """What was asked for is not in Orthanc, or not any more."""

    def __init__(self, message: str) -> None:
        super().__init__("SRV-GONE", message)


class Refused(ThinsliceError):
    """Orthanc does not take what it was given."""

    def __init__(self, message: str) -> None:
        super().__init__("SRV-STORE", message)


@dataclass(frozen=True)
class Change:
    """An entry of Orthanc's log of changes. `id` is of the resource that `kind` speaks of."""

    seq: int
    kind: str
    id: str


@dataclass(frozen=True)
class Series:
    """A series in Orthanc.

    Attributes:
        id: in Orthanc.
        uid: SeriesInstanceUID; identity.
        instances: their ids.
        stable: whether nothing arrived for a while (StableAge).
        modality: CT and so on.
        manufacturer: of the scanner; "thinslice" of our results.
        description: SeriesDescription; identity.
    """

    id: str
    uid: str
    instances: tuple[str, ...]
    stable: bool
    modality: str
    manufacturer: str
    description: str


class Orthanc:
    """One Orthanc. It may be used from several threads.

    Args:
        config: where it is.
    """

    def __init__(self, config: OrthancConfig) -> None:
        self._requests = import_extra("requests", "serve")
        self._url = config.url.rstrip("/")
        self._login = (config.user, config.password()) if config.user else None
        self._verify: bool | str = config.ca_file or True
        self._timeout = config.timeout_s
        self._of_thread = threading.local()
        self.last_contact = 0.0
        """When it last gave a whole answer, in seconds since 1970."""

    def system(self) -> dict[str, Any]:
        """What it says about itself."""
        return dict(self._get("/system"))

    def changes(self, since: int, *, limit: int) -> tuple[list[Change], int]:
        """The next changes after a sequence number, and the number up to which these go."""
        found = self._get(f"/changes?since={since}&limit={limit}")
        listed = [Change(int(c["Seq"]), str(c["ChangeType"]), str(c["ID"])) for c in found["Changes"]]
        return listed, max([since, *(change.seq for change in listed)])

    def last_change(self) -> int:
        """The number of the latest change."""
        return int(self._get("/changes?last")["Last"])

    def series(self, id: str) -> Series:
        """A series.

        Raises:
            Gone: it is not there.
        """
        return _series(self._get(f"/series/{id}"))

    def series_of(self, ids: Iterable[str]) -> list[Series]:
        """The series that these resources are or belong to, each once; what is gone is left out."""
        wanted = {"Resources": list(ids), "Level": "Series", "Metadata": False}
        return [_series(one) for one in self._asked("POST", "/tools/bulk-content", data=json.dumps(wanted))]

    def all_series(self, since: int, *, limit: int) -> list[Series]:
        """A page of all series."""
        return [_series(one) for one in self._get(f"/series?expand&since={since}&limit={limit}")]

    def tags(self, instance: str) -> Mapping[str, str]:
        """Header of an instance: "0018,0050" to its text, sequences left out."""
        found = self._get(f"/instances/{instance}/tags?short")
        return {tag: value for tag, value in found.items() if isinstance(value, str)}

    def sizes(self, id: str) -> dict[str, int]:
        """Bytes of each instance of a series, as stored."""
        return {str(one["ID"]): int(one["FileSize"]) for one in self._get(f"/series/{id}/instances")}

    def find_series(self, uid: str) -> list[str]:
        """Ids of the series with a SeriesInstanceUID."""
        return [str(one["ID"]) for one in self._asked("POST", "/tools/lookup", data=uid) if one["Type"] == "Series"]

    def entry(self, id: str) -> str:
        """Our entry on a series; "" where it has none."""
        try:
            return self._body("GET", f"/series/{id}/metadata/{ENTRY}").decode("utf-8", "replace")
        except Gone:
            return ""

    def put_entry(self, id: str, text: str) -> None:
        """Set our entry on a series."""
        self._once("PUT", f"/series/{id}/metadata/{ENTRY}", data=text)

    def delete_series(self, id: str) -> None:
        """Delete a series; one that is gone already is no error."""
        try:
            self._once("DELETE", f"/series/{id}")
        except Gone:
            return

    def fetch(self, instance: str, path: Path, *, size: int) -> None:
        """An instance as a file that its owner alone may read, whole or not at all.

        Args:
            instance: its id.
            path: of the file.
            size: bytes that it must have.
        """
        body = self._body("GET", f"/instances/{instance}/file", size=size)
        temporary = path.with_suffix(".part")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        os.replace(temporary, path)

    def store(self, path: Path) -> str:
        """Store a DICOM file; its id in Orthanc, whose answer says that it is there now.

        Raises:
            Refused: SRV-STORE.
            Away: no such answer came; it may be there, and storing it again does no harm.
        """
        answer = _parsed(self._once("POST", "/instances", data=path.read_bytes()))
        status = answer.get("Status") if isinstance(answer, dict) else None
        if status not in ("Success", "AlreadyStored") or not answer.get("ID"):
            raise Refused(f"Orthanc did not store an instance: status {str(status)[:40]!r}")
        return str(answer["ID"])

    def _get(self, path: str) -> Any:
        return self._asked("GET", path)

    def _asked(self, method: str, path: str, *, data: str | None = None) -> Any:
        return _parsed(self._body(method, path, data=data, parsed=True))

    def _body(
        self, method: str, path: str, *, data: str | None = None, size: int | None = None, parsed: bool = False
    ) -> bytes:
        """The answer to a question that changes nothing, asked again where none comes whole."""
        pause = _PAUSE_S
        for left in reversed(range(_TRIES)):
            try:
                body = self._once(method, path, data=data)
                if size is not None and len(body) != size:
                    raise Away(f"an instance of {size} bytes came as {len(body)}")
                if parsed:
                    _parsed(body)
                return body
            except Away:
                if not left:
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError

    def _once(self, method: str, path: str, *, data: str | bytes | None = None) -> bytes:
        """One request, and its whole answer.

        Raises:
            Away, Gone, Refused; Locked: SRV-LOGIN, SRV-TLS.
        """
        errors = self._requests.exceptions
        try:
            with self._session().request(
                method, self._url + path, data=data, stream=True, timeout=(_CONNECT_S, self._timeout),
                allow_redirects=False,
            ) as answer:  # fmt: skip
                body = self._whole(answer)
        except errors.SSLError as error:
            raise Locked("SRV-TLS", "Orthanc's certificate cannot be verified; name its authority: ca_file") from error
        except errors.RequestException as error:
            raise Away(f"Orthanc gives no whole answer ({type(error).__name__})") from error
        status = answer.status_code
        if status in (401, 403):
            raise Locked("SRV-LOGIN", f"Orthanc does not let this user in (HTTP {status}); see user and password")
        if status == 404:
            raise Gone("Orthanc does not have it (HTTP 404)")
        if status >= 500 or status == 429:
            raise Away(f"Orthanc has a fault (HTTP {status})")
        if status >= 300:
            raise Refused(f"Orthanc does not take what it is given (HTTP {status})")
        self.last_contact = time.time()
        return body

    def _whole(self, answer: Any) -> bytes:
        """The body, as long as it says to be, and not slower than is bearable."""
        stated = answer.headers.get("Content-Length", "")
        begun, pieces, length = time.monotonic(), [], 0
        for piece in answer.iter_content(_PIECE):
            pieces.append(piece)
            length += len(piece)
            if time.monotonic() - begun > self._timeout + length / _SLOWEST:
                raise Away("Orthanc's answer comes too slowly")
        if stated.isdigit() and int(stated) != length:
            raise Away(f"Orthanc's answer was cut off: {length} of {stated} bytes")
        return b"".join(pieces)

    def _session(self) -> Any:
        session = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = self._requests.Session()
            session.trust_env = False  # no proxy and no .netrc: the address that was given, and nothing else
            session.auth, session.verify = self._login, self._verify
            session.headers["Accept-Encoding"] = "identity"  # lengths are compared
        return session


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Away("Orthanc's answer was cut off: it is no whole JSON") from error


def _series(found: Mapping[str, Any]) -> Series:
    try:
        tags: Mapping[str, str] = found["MainDicomTags"]
        instances: Sequence[str] = found["Instances"]
        return Series(
            str(found["ID"]), tags.get("SeriesInstanceUID", ""), tuple(sorted(instances)), bool(found["IsStable"]),
            modality=tags.get("Modality", ""), manufacturer=tags.get("Manufacturer", ""),
            description=tags.get("SeriesDescription", ""),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise Away("Orthanc's answer is no series") from error
