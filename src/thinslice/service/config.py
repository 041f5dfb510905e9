"""What `thinslice serve` is told, from a TOML file: one frozen dataclass a section, checked before anything begins."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from thinslice.archive.cluster import read_toml
from thinslice.archive.settings import DICOM, Settings
from thinslice.errors import UsageError, named
from thinslice.io.output_format import OutputFormat
from thinslice.io.scan import READING
from thinslice.pipeline import enhance
from thinslice.system.keywords import names_of

_NOT_OFFERED = {"affine", "labels", "config", "on_progress", "uncertainty", "axis", "series", "phase", "names"}
_FORM = ("compress", "series_number", "like_source")
ENHANCE = (*(n for n in (*names_of(enhance), *READING) if n not in _NOT_OFFERED), *_FORM, "on_gap")
"""Names that the section [enhance] may hold."""
_KINDS: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,), tuple: (list,)}
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of texts"}

Section = TypeVar("Section")


@dataclass(frozen=True)
class OrthancConfig:
    """Where the Orthanc is, and how one logs in. TLS is verified always.

    Attributes:
        url: of its REST API.
        user: name to log in with; "" where it asks for none.
        password_env: name of the environment variable that holds the password.
        password_file: file whose first line is the password.
        ca_file: certificates to verify by, in place of those of the system.
        timeout_s: longest silence of an answer.
        poll_s: seconds between two looks at what has changed.
    """

    url: str = "http://127.0.0.1:8042"
    user: str = ""
    password_env: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: float = 30.0
    poll_s: float = 2.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _refused("[orthanc] url must be http:// or https:// and a host")
        if parts.username or parts.password:
            raise _refused("[orthanc] url must not hold a password; give user, and password_env or password_file")
        if self.password_env and self.password_file:
            raise _refused("[orthanc] password_env and password_file are two places for one password; give one")
        if self.user and not (self.password_env or self.password_file):
            raise _refused("[orthanc] user has no password; give password_env or password_file")
        if self.timeout_s <= 0 or self.poll_s <= 0:
            raise _refused("[orthanc] timeout_s and poll_s must be over 0")

    def password(self) -> str:
        """The password, from where it is kept.

        Raises:
            UsageError: SRV-SECRET where it is not there.
        """
        if self.password_env:
            if self.password_env not in os.environ:
                raise UsageError("SRV-SECRET", f"environment variable {self.password_env} (password_env) is not set")
            return os.environ[self.password_env]
        if self.password_file:
            try:
                return Path(self.password_file).read_text(encoding="utf-8").splitlines()[0]
            except (OSError, ValueError, IndexError) as error:
                what = named(self.password_file, "the file")
                raise UsageError("SRV-SECRET", f"no password can be read from {what} (password_file)") from error
        return ""


@dataclass(frozen=True)
class RulesConfig:
    """Which series are enhanced: CT that this program did not make, and of these such as follow.

    Attributes:
        min_thickness_mm: slices at least as thick; a series that states no thickness is left out.
        max_thickness_mm: and at most.
        min_slices: and at least so many.
        description: SeriesDescription matches this regular expression somewhere; "" matches all.
    """

    min_thickness_mm: float = 2.0
    max_thickness_mm: float = 20.0
    min_slices: int = 4
    description: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.min_thickness_mm <= self.max_thickness_mm:
            found = f"{self.min_thickness_mm:g} to {self.max_thickness_mm:g}"
            raise _refused(f"[rules] thickness must go from a smaller to a larger number, found {found}")
        try:
            re.compile(self.description)
        except re.error as error:
            raise _refused(f"[rules] description is no regular expression: {error}") from error


@dataclass(frozen=True)
class WorkersConfig:
    """Where series are enhanced: workers on this machine, or a Dask scheduler.

    Attributes:
        count: workers on this machine; 0 for one a core, as far as memory goes.
        threads: of each.
        scheduler: address of a Dask scheduler in place of these; its workers must see the spool.
    """

    count: int = 0
    threads: int = 1
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.count < 0 or self.threads < 1:
            raise _refused("[workers] count must be 0 or more, and threads 1 or more")
        if self.count and self.scheduler:
            raise _refused("[workers] count and scheduler say different things about where to work; give one")


@dataclass(frozen=True)
class StoreConfig:
    """How results are stored.

    Attributes:
        delete_superseded: a derived series is deleted when the result of its grown source has taken its place.
    """

    delete_superseded: bool = True


@dataclass(frozen=True)
class SpoolConfig:
    """Where series lie while they are worked on.

    Attributes:
        folder: that holds them; private.
        quota_bytes: that they may take together.
    """

    folder: str = "/var/lib/thinslice"
    quota_bytes: int = 50_000_000_000

    def __post_init__(self) -> None:
        if not self.folder or self.quota_bytes <= 0:
            raise _refused("[spool] needs a folder, and quota_bytes over 0")


@dataclass(frozen=True)
class StatusConfig:
    """The status page and the metrics.

    Attributes:
        host: address to listen at.
        port: of TCP; 0 for any that is free, which the log names.
    """

    host: str = "127.0.0.1"
    port: int = 8043

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise _refused(f"[status] port must be 0 to 65535, found {self.port}")


@dataclass(frozen=True)
class NotifyConfig:
    """Who is told of a series that failed.

    Attributes:
        webhook: address that gets a JSON document by POST; "" for none.
        smtp: HOST or HOST:PORT of a mail server; "" for none.
        sender: address that e-mail comes from.
        to: addresses that it goes to.
        identity: messages name the series by its UIDs and its id in Orthanc.
    """

    webhook: str = ""
    smtp: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()
    identity: bool = False

    def __post_init__(self) -> None:
        if self.smtp and not (self.sender and self.to):
            raise _refused("[notify] smtp needs sender and to as well")


@dataclass(frozen=True)
class Config:
    """All of it, with the options of `thinslice.enhance` as settings that workers take."""

    orthanc: OrthancConfig
    rules: RulesConfig
    settings: Settings
    workers: WorkersConfig
    store: StoreConfig
    spool: SpoolConfig
    status: StatusConfig
    notify: NotifyConfig


_SECTIONS = {
    "orthanc": OrthancConfig, "rules": RulesConfig, "workers": WorkersConfig, "store": StoreConfig,
    "spool": SpoolConfig, "status": StatusConfig, "notify": NotifyConfig,
}  # fmt: skip


def read_config(file: Path) -> Config:
    """The configuration in a TOML file.

    Raises:
        InputError: FILE-MISSING, FILE-FORMAT.
        UsageError: SRV-CONFIG with the section and the key at fault; what the options of `enhance` raise.
    """
    table = read_toml(file)
    _check_keys(table, [*_SECTIONS, "enhance"], "the configuration")
    for name, section in table.items():
        if not isinstance(section, dict):
            raise _refused(f"{name} must be a section, [{name}], found a value")
    made: dict[str, Any] = {name: _section(cls, table.get(name, {}), name) for name, cls in _SECTIONS.items()}
    settings = _settings(table.get("enhance", {}), threads=made["workers"].threads, beside=file.resolve().parent)
    return Config(settings=settings, **made)


def _settings(options: Mapping[str, Any], *, threads: int, beside: Path) -> Settings:
    """What is done to every series: weights as they are by default, which gives the same voxels every time."""
    _check_keys(options, ENHANCE, "[enhance]")
    if "threads" in options:
        raise _refused("[enhance] threads belongs to [workers]")
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    if "model" in given:
        given["model"] = str(beside / str(given["model"]))
    on_gap = given.pop("on_gap", "error")
    if on_gap not in ("error", "split", "fill"):
        raise _refused(f"[enhance] on_gap must be error, split or fill, found {on_gap!r}")
    form = OutputFormat(**{name: given.pop(name) for name in _FORM if name in given})
    return Settings({"fit": "none", **given, "threads": threads}, form, DICOM, on_gap=str(on_gap))


def _section(cls: type[Section], table: Mapping[str, Any], name: str) -> Section:
    """A section as its dataclass."""
    hints = get_type_hints(cls)
    _check_keys(table, [field.name for field in fields(cls)], f"[{name}]")  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        kind = tuple if hints[key] == tuple[str, ...] else hints[key]
        right = isinstance(value, _KINDS[kind]) and (kind is bool or not isinstance(value, bool))
        if not right or (kind is tuple and not all(isinstance(one, str) for one in value)):
            raise _refused(f"[{name}] {key} must be {_WORDS[kind]}, found {type(value).__name__}")
        values[key] = tuple(value) if kind is tuple else value
    return cls(**values)


def _check_keys(given: Mapping[str, Any], known: Any, where: str) -> None:
    """Raise for the first key that is not known, with the one that it resembles most."""
    known = list(known)
    for key in given:
        if key not in known:
            close = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            instead = "; a password stays out of this file: password_env or password_file" if key == "password" else ""
            raise _refused(f"{where} has an unknown key {key!r}; {hint}{instead}")


def _refused(message: str) -> UsageError:
    return UsageError("SRV-CONFIG", message)
