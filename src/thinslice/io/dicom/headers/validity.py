"""Whether a value may stand in a file: its characters, its length, its form and how many there are (PS3.5 6.2).

A derived series is new: what its source says wrongly is left out of it, not passed on.
"""

from __future__ import annotations

import math
import re
import unicodedata

from pydicom.datadict import dictionary_VM, dictionary_VR

from thinslice.io.dicom.headers.attributes import parse_number

_MOST_CHARACTERS = {
    "AE": 16, "CS": 16, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "TM": 14, "UI": 64,
}  # fmt: skip
_FORMS = {
    "AS": r"\d{3}[DWMY]",
    "CS": r"[A-Z0-9_ ]*",
    "DA": r"\d{4}(0\d|1[0-2])([0-2]\d|3[01])",
    "DT": r"\d{4}((0\d|1[0-2])(([0-2]\d|3[01])(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?",
    "IS": r" *[+-]?\d+ *",
    "TM": r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?",
    "UI": r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*",
}
_ENUMERATED = {
    "ConsentForDistributionFlag": {"NO", "YES", "WITHDRAWN"},
    "Laterality": {"R", "L"},
    "LongitudinalTemporalInformationModified": {"UNMODIFIED", "MODIFIED", "REMOVED"},
    "PatientIdentityRemoved": {"YES", "NO"},
    "PatientSex": {"M", "F", "O"},
    "PatientSexNeutered": {"ALTERED", "UNALTERED"},
    "PregnancyStatus": {"1", "2", "3", "4"},
    "QualityControlSubject": {"YES", "NO"},
    "RotationDirection": {"CW", "CC"},
    "SmokingStatus": {"YES", "NO", "UNKNOWN"},
    "UniversalEntityIDType": {"DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"},
}
_TIME_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_ONE_TEXT = ("LT", "ST", "UR", "UT")
"""VRs in which a backslash is a character; elsewhere it stands between values."""
_LINES = "\t\n\f\r"


def is_valid(keyword: str, text: str) -> bool:
    """Whether a decoded value, or several joined by backslashes, is what its attribute may hold; "" is."""
    vr = dictionary_VR(keyword)
    values = [text] if vr in _ONE_TEXT else text.split("\\")
    if len(values) > 1 and not _may_be_so_many(dictionary_VM(keyword), len(values)):
        return False
    return all(_is_one(keyword, vr, value) for value in values)


def is_uid_in_form(text: str) -> bool:
    """Whether a text is a UID, without leading zeros."""
    return bool(text) and is_valid("SOPInstanceUID", text)


def _is_one(keyword: str, vr: str, value: str) -> bool:
    bare = value.strip(" ")
    if len(value) > _MOST_CHARACTERS.get(vr, len(value)) or not _has_sound_characters(vr, value):
        return False
    if not bare:
        return True
    if keyword in _ENUMERATED:
        return bare in _ENUMERATED[keyword]
    if keyword == "TimezoneOffsetFromUTC":
        return bool(_TIME_ZONE.fullmatch(bare))
    if vr == "PN":
        return _is_name(value)
    if vr == "US":
        return parse_number(value) in range(1 << 16)
    if vr in ("DS", "FD"):
        return math.isfinite(parse_number(value))
    if vr == "IS" and re.fullmatch(_FORMS["IS"], value):
        return abs(int(value)) < 1 << 31
    return vr not in _FORMS or bool(re.fullmatch(_FORMS[vr], value.rstrip(" ") if vr in ("DA", "DT", "TM") else value))


def _is_name(value: str) -> bool:
    """At most three groups of 64 characters, each of at most five components."""
    groups = value.split("=")
    return len(groups) <= 3 and all(len(group) <= 64 and group.count("^") < 5 for group in groups)


def _has_sound_characters(vr: str, value: str) -> bool:
    """No control characters but ends of lines in longer texts, and none that could not be decoded."""
    allowed = _LINES if vr in ("LT", "ST", "UT") else ""
    return not any(
        unicodedata.category(c) in ("Cc", "Cs") or c == "\N{REPLACEMENT CHARACTER}" for c in set(value) - set(allowed)
    )


def _may_be_so_many(multiplicity: str, count: int) -> bool:
    """Whether several values go with a value multiplicity of the dictionary, such as "1", "1-3", "1-n"."""
    most = multiplicity.rpartition("-")[2]
    return not most.isdigit() or count <= int(most)
