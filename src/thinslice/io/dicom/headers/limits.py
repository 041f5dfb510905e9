"""Limits that keep a hostile or broken input from taking the machine with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from thinslice.errors import InputError, UsageError

FREELY_INFLATED = 16 << 20  # bytes: a slice of one value shrinks to almost nothing, and does no harm


@dataclass(frozen=True)
class Limits:
    """What an input may ask for. Sizes in bytes.

    Attributes:
        files: files looked at, in a folder or an archive.
        depth: folders below folders.
        file_bytes: size of one file.
        header_bytes: bytes in front of the pixels, single-frame; multi-frame files may have as many per 64 frames.
        sequence_depth: sequences within sequences of a header.
        values: values of one text attribute.
        rows: rows or columns of an image.
        slices: slices or frames of a series.
        voxels: voxels of a series.
        inflate_bytes: size of a deflated data set, inflated.
        inflate_ratio: inflated size over deflated size, in archives and deflated files, beyond `FREELY_INFLATED`.
        archive_bytes: total size of an archive's members.
    """

    files: int = 50_000
    depth: int = 16
    file_bytes: int = 4 << 30
    header_bytes: int = 16 << 20
    sequence_depth: int = 16
    values: int = 10_000
    rows: int = 4096
    slices: int = 20_000
    voxels: int = 1 << 31
    inflate_bytes: int = 256 << 20
    inflate_ratio: int = 200
    archive_bytes: int = 16 << 30

    @classmethod
    def from_options(cls, options: Mapping[str, float] | Limits | None) -> Limits:
        """The defaults with some changed.

        Raises:
            UsageError: DCM-LIMIT-NAME where a name is unknown or a value is not positive.
        """
        if isinstance(options, Limits):
            return options
        names = [field.name for field in fields(cls)]
        for name, value in (options or {}).items():
            if name not in names:
                raise UsageError("DCM-LIMIT-NAME", f"no limit is called {name}; choose from {', '.join(names)}")
            if not 0 < value < 1 << 62:
                raise UsageError("DCM-LIMIT-NAME", f"limit {name} must be over 0, found {value}")
        return replace(cls(), **{name: int(value) for name, value in (options or {}).items()})

    def check(self, name: str, found: int, what: str) -> None:
        """Raise InputError DCM-LIMIT where `found` exceeds the limit called `name`."""
        limit = getattr(self, name)
        if found > limit:
            raise InputError(
                "DCM-LIMIT", f"{what}: {found} exceeds the limit {name}={limit}; --limit {name}={found} lets it pass"
            )
