"""The mark of a synthetic volume: what it says, and how it is written and found in files and library objects.

It is written in several places, for other programs drop some of them: FSL overwrites `descrip`, ITK knows no header
extensions, and whoever moves a file forgets its side-car. One place is enough to find it. A mark that is found is
untrusted input: only the keys and words of `_KNOWN` are kept, so that no text of somebody's file is ever repeated.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from thinslice.volume import Volume

KEY = "thinslice"
_COMMENT = 6  # code of a header extension that holds text (NIfTI-1 standard, NIFTI_ECODE_COMMENT)
_LONGEST_KEY = 8000  # characters of a MetaImage value: ITK reads none of 46,000
_MOST_RUNS = 10_000
_LONGEST_MM = 1e4
FURTHEST_EXTENSION = 1 << 20  # bytes that are looked through
_OWN_TEXT = re.compile(r"\bthinslice\b.{0,40}\bsynthe", re.IGNORECASE | re.DOTALL)
_OWN_SERIES = re.compile(r"(^|\| )thinslice [0-9.]+ ?mm\s*$")  # SeriesDescription, as `thinslice.io.dicom` writes it
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,31}")
_DICOM_KEYS = {  # as ITK's readers of DICOM call them
    "0008|0008": "ImageType", "0008|001c": "SyntheticData", "0008|0070": "Manufacturer",
    "0008|103e": "SeriesDescription", "0008|1090": "ManufacturersModelName", "0018|1020": "SoftwareVersions",
}  # fmt: skip
_SHORT = {"labels": "labels on synthetic slices", "uncertainty": "uncertainty of synthetic slices"}
_LONG = {
    "labels": "Labels carried to synthesised CT slices",
    "uncertainty": "Root-mean-square error in HU to be expected of CT slices synthesised from thicker ones",
}


Marks = Mapping[str, Mapping[str, Any] | None]
"""What was found, by the name of the place; None for nothing."""


def with_mark(volume: Volume, places: Marks) -> Volume:
    """The volume, marked where one of the places holds a mark; the one that says most is kept.

    Args:
        volume: as it was read; a mark that it has already counts as well.
        places: where it was looked for.
    """
    mark = joined(places, volume.origin.mark)
    return volume if mark is None else replace(volume, origin=replace(volume.origin, mark=mark))


def joined(places: Marks, earlier: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """The mark that says most, and where else there is one; None where there is none."""
    found = {name: mark for name, mark in places.items() if mark is not None}
    if not found:
        return earlier
    earlier = earlier or {}
    fullest = max((earlier, *found.values()), key=len)
    return {**fullest, "found_in": [*earlier.get("found_in", []), *found]}


def described(mark: Mapping[str, Any]) -> str:
    """Who marked it, and where that was found: such as ``marked by thinslice 0.1.0 in its descrip``."""
    by = f" by thinslice {mark['version']}" if "version" in mark else ""
    *first, last = mark.get("found_in") or [""]
    places = f"{', '.join(first)} and {last}" if first else last
    return f"marked as synthetic{by}" + (f" in its {places}" if places else "")


def short_text(mark: Mapping[str, Any]) -> str:
    """The mark as a line of at most 79 characters, such as `descrip` holds."""
    what = _SHORT.get(mark.get("content", ""), "synthetic slices")
    return " ".join(["thinslice", *([mark["version"]] if "version" in mark else [])]) + f": {what}, research use"


def document(mark: Mapping[str, Any]) -> dict[str, Any]:
    """The mark as a JSON document that says by itself what it is."""
    what = _LONG.get(mark.get("content", ""), "CT slices synthesised from thicker ones")
    about = f"{what} by thinslice; not acquired data; research use, not a medical device"
    return {"about": about, "SyntheticData": True, KEY: cleaned(mark)}


def cleaned(mark: Any) -> dict[str, Any]:
    """What is known of a mark, and nothing else of it."""
    known = {key: mark[key] for key, holds in _KNOWN.items() if key in mark and holds(mark[key])}
    for key, inner in _KNOWN_WITHIN.items():
        if isinstance(mark.get(key), Mapping):
            known[key] = {name: value for name, value in mark[key].items() if name in inner and inner[name](value)}
    return {"synthetic": True, **known}


def found_in_document(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The mark in a side-car or header extension: thinslice's, or DICOM's as converters carry it; else None."""
    own = found.get(KEY)
    if isinstance(own, Mapping) and own.get("synthetic") is True:
        return cleaned(own)
    texts = {key: value.strip() for key, value in found.items() if isinstance(value, str)}
    makers = [texts.get(key, "") for key in ("Manufacturer", "ManufacturersModelName", "ManufacturerModelName")]
    makers += [name for item in _items(found.get("GeneratedBy")) if isinstance(name := item.get("Name"), str)]
    by_us = any(maker.lower() == KEY for maker in makers) or any(
        _OWN_SERIES.search(texts.get(key, "")) for key in ("SeriesDescription", "ProtocolName")
    )
    if not by_us and found.get("SyntheticData") is not True and texts.get("SyntheticData", "").upper() != "YES":
        return None
    return cleaned({"version": texts.get("SoftwareVersions")} if by_us else {})


def found_in_text(text: str | bytes) -> dict[str, Any] | None:
    """The mark in a line such as `descrip`, or None."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not _OWN_TEXT.search(text):
        return None
    version = re.search(r"thinslice ([^\s:]+)", text)
    return cleaned({"version": version[1]} if version else {})


def found_in_extensions(contents: Iterable[Any]) -> dict[str, Any] | None:
    """The mark among the contents of NIfTI header extensions, or None."""
    for content in contents:
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        if isinstance(text, str) and KEY in text and isinstance(found := _parsed(text), dict):
            mark = found_in_document(found)
            if mark is not None:
                return mark
    return None


def nifti_extensions(block: bytes, *, big_endian: bool) -> Iterator[bytes]:
    """Contents of header extensions, from the bytes between a NIfTI header and its voxels, as far as they make sense.

    Args:
        block: those bytes, or the first of them.
        big_endian: as the header is.
    """
    order, place = ">" if big_endian else "<", 4
    while block[:1] not in (b"", b"\0") and place + 8 <= len(block):
        size, _ = struct.unpack_from(f"{order}ii", block, place)
        if not 8 < size <= len(block) - place:
            return
        yield block[place + 8 : place + size].rstrip(b"\0")
        place += size


def nifti_block(mark: Mapping[str, Any] | None) -> bytes:
    """The bytes between a little-endian NIfTI header and its voxels: the mark as an extension, or that there is none.

    With a header of 348 bytes it ends at a multiple of 16, as the standard asks.
    """
    if mark is None:
        return bytes(4)
    text = json.dumps(document(mark)).encode("ascii")
    size = -(-(len(text) + 8) // 16) * 16
    return bytes([1, 0, 0, 0]) + struct.pack("<ii", size, _COMMENT) + text.ljust(size - 8, b"\0")


def keys(mark: Mapping[str, Any]) -> dict[str, str]:
    """The mark as keys of an NRRD or MetaImage header; ITK writes its notes into `descrip` where it writes NIfTI."""
    text = json.dumps(cleaned(mark))
    if len(text) > _LONGEST_KEY:
        text = json.dumps(cleaned({key: value for key, value in mark.items() if key != "acquired_slices"}))
    return {KEY: text, "SyntheticData": "YES", "ITK_FileNotes": short_text(mark)}


def found_in_keys(value_of: Callable[[str], str | None]) -> dict[str, Any] | None:
    """The mark among the keys of an NRRD or MetaImage header, or of a SimpleITK image; or None.

    Args:
        value_of: the value of a key, or None where there is none.
    """
    names = [*_DICOM_KEYS.items(), *((name, name) for name in _DICOM_KEYS.values())]
    found: dict[str, Any] = {name: text for key, name in names if (text := value_of(key))}
    own = value_of(KEY)
    if own and isinstance(parsed := _parsed(own), dict):
        found[KEY] = parsed
    notes = (found_in_text(text) for key in ("descrip", "ITK_FileNotes", "Comment") if (text := value_of(key)))
    return max(filter(None, (found_in_document(found), *notes)), key=len, default=None)


def runs(indices: Iterable[int]) -> list[list[int]]:
    """Rising numbers as [first, last, step], each run as long as it goes: 0, 4, 8, 9 is [0, 8, 4], [9, 9, 1]."""
    found: list[list[int]] = []
    for index in map(int, indices):
        if found and found[-1][0] == found[-1][1]:
            found[-1][1:] = [index, index - found[-1][0]]
        elif found and index - found[-1][1] == found[-1][2]:
            found[-1][1] = index
        else:
            found.append([index, index, 1])
    return found


def in_runs(index: int, found: Iterable[tuple[int, int, int]]) -> bool:
    """Whether a number is among those that `runs` stands for."""
    return any(first <= index <= last and (index - first) % step == 0 for first, last, step in found)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text.rstrip("\0 \n"))
    except (ValueError, RecursionError):
        return None


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 20


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LONGEST_MM


def _is_runs(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > _MOST_RUNS:
        return False
    return all(
        isinstance(run, list) and len(run) == 3 and all(map(_is_count, run)) and run[2] > 0 and run[0] <= run[1]
        for run in value
    )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1


def _are_shares(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(map(_is_share, value))


def _are_views(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 3 and all(map(_one_of("axial", "coronal", "sagittal"), value))


_Check = Callable[[Any], bool]
_KNOWN: dict[str, _Check] = {
    "version": lambda value: isinstance(value, str) and bool(_VERSION.fullmatch(value)),
    "content": _one_of("labels", "uncertainty"),
    "settings_sha256": _is_digest,
    "model_sha256": _is_digest,
    "acquired_slices": _is_runs,
    "source_is_synthetic": _is_flag,
}
_GRID: dict[str, _Check] = {"slices": _is_count, "slice_spacing_mm": _is_length, "thickness_mm": _is_length}
_KNOWN_WITHIN: dict[str, dict[str, _Check]] = {
    "input": _GRID,
    "output": _GRID,
    "correlation": {  # of an uncertainty map: `thinslice.uncertainty.correlation.Correlation.entry`
        "along_z": _are_shares,
        "spacing_mm": _is_length,
        "in_plane": _are_shares,
        "pixel_mm": _is_length,
        "shared": _is_share,
        "within": _is_share,
    },
    "method": {
        "fit": _one_of("auto", "scan", "none"),
        "weights": _one_of("shipped", "file", "scan"),
        "profile": _one_of("auto", "box", "gauss", "rounded"),
        "texture": _one_of("keep", "match"),
        "views": _are_views,
        "upright": _is_flag,
    },
}
