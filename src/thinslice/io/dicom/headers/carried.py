"""What all slices of a source have alike, value by value: what a derived series may carry on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.charset import convert_encodings, encode_string, python_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from thinslice.io.dicom.headers.attributes import is_uid, parse_number
from thinslice.io.dicom.headers.charset import charset_of, decoded, stored_bytes
from thinslice.io.dicom.headers.checks import SAID_ONCE
from thinslice.io.dicom.headers.kept import (
    CLINICAL_TRIAL_STUDY,
    CLINICAL_TRIAL_SUBJECT,
    COPIED,
    EQUIPMENT,
    IN_SEQUENCES,
    IN_SEQUENCES_OF_THE_STUDY,
    OF_THE_STUDY,
    SERIES_AND_ACQUISITION,
)
from thinslice.io.dicom.headers.slices import Slice
from thinslice.io.dicom.headers.validity import is_valid

NUMERIC = ("US", "FD")
"""VRs whose values are kept as decimal text, since their bytes depend on the transfer syntax."""
_DEEPEST = 3
_JOINING = ("StudyInstanceUID", "FrameOfReferenceUID")
"""Kept where they break rules of form, as long as they can be written: another would be of another study."""
_WHOLE = (
    CLINICAL_TRIAL_SUBJECT,
    CLINICAL_TRIAL_STUDY,
    ("ResponsiblePerson", "ResponsiblePersonRole"),
    ("PatientAlternativeCalendar", "PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"),
)
"""Attributes that need one another: where one is left out, all are."""


@dataclass(eq=False)
class Carried:
    """Values and sequences of a source by keyword, and the keywords of what is not carried as all slices have it.

    Attributes:
        charset: SpecificCharacterSet of `texts`; () for the default repertoire.
        texts: as bytes in that character set.
        sequences: with nothing in their items but `kept.IN_SEQUENCES`, or `kept.IN_SEQUENCES_OF_THE_STUDY`.
        invalid: left out, since the source has no valid value.
        differing: of patient and study; left out, since slices contradict one another.
        partial: of patient and study; only some slices have it, and what they say is carried.
        malformed: UIDs that are carried although they break rules of form.
    """

    charset: tuple[str, ...]
    texts: dict[str, bytes] = field(default_factory=dict)
    sequences: dict[str, ItemSequence] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)

    def remarks(self) -> str:
        """What is not carried as it stands, by keyword, in one line; "" where there is nothing to say."""
        remarks = (
            (self.invalid, "invalid in the source, left out or empty"),
            (self.malformed, "invalid in the source, kept since it joins images"),
            ([word for word in self.differing if word not in SAID_ONCE], "differing between slices, left out or empty"),
            (self.partial, "in some slices only, taken from these"),
        )
        return "; ".join(f"{', '.join(words)} ({what})" for words, what in remarks if words)

    def text(self, keyword: str) -> str:
        """A value without blanks; "" where none is carried."""
        return self.texts.get(keyword, b"").decode("latin-1").strip(" ")


def carried_from(slices: Sequence[Slice]) -> Carried:
    """Gather what slices in order have alike."""
    stated = {charset_of(image) for image in slices}
    known = {_known(charset) for charset in stated}
    mixed = len(known) > 1
    carried = Carried(("ISO_IR 192",) if mixed else next(iter(known)))
    if known != stated or not all(_states_known(image) for image in slices):
        carried.invalid.append("SpecificCharacterSet")
    for keyword in (*COPIED, *EQUIPMENT, "ContributingEquipmentSequence"):
        if dictionary_VR(keyword) == "SQ":
            _add_sequence(carried, slices, keyword)
        else:
            _add_text(carried, slices, keyword, mixed=mixed)
    _choose_frame_of_reference(carried, slices)
    for group in _WHOLE:
        if any(keyword in carried.invalid for keyword in group):
            _leave_out(carried, group)
    return carried


def _known(charset: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of the standard for a character set, their marks mended; () where one is unknown."""
    terms = tuple(re.sub(r"^ISO[ _-]IR[ _-]", "ISO_IR ", term) for term in charset)
    terms = tuple(re.sub(r"^ISO[ _-]2022[ _-]IR[ _-]", "ISO 2022 IR ", term) for term in terms)
    return terms if all(term in python_encoding for term in terms) else ()


def _states_known(image: Slice) -> bool:
    return image.attributes.values("SpecificCharacterSet") == charset_of(image)


def _leave_out(carried: Carried, group: tuple[str, ...]) -> None:
    for keyword in group:
        if carried.texts.pop(keyword, None) is not None or carried.sequences.pop(keyword, None) is not None:
            carried.invalid.append(keyword)


def _add_text(carried: Carried, slices: Sequence[Slice], keyword: str, *, mixed: bool) -> None:
    """Take a value that is the same, but for blanks around it, wherever it stands; in UTF-8 where sets are mixed."""
    having = [image for image in slices if image.attributes.has(keyword)]
    if keyword in OF_THE_STUDY:
        saying = [image for image in having if image.attributes.text(keyword)]
        if saying and len(saying) < len(slices):
            carried.partial.append(keyword)
        having = saying or having
    elif len(having) < len(slices):
        return
    if not having:
        return
    values = {_value_of(image, keyword, mixed=mixed): image for image in reversed(having)}
    if len({value and value.strip(b" \0") for value in values}) > 1:
        if keyword in OF_THE_STUDY:
            carried.differing.append(keyword)
        return
    value, image = next(reversed(values.items()))
    written = _written_as(keyword, value, image, carried.charset, mixed=mixed)
    if written is not None and (written or keyword not in _JOINING):
        carried.texts[keyword] = written
    elif keyword in _JOINING and is_uid(uid := image.attributes.text(keyword)):
        carried.texts[keyword] = uid.encode()
        carried.malformed.append(keyword)
    elif written is None:
        carried.invalid.append(keyword)


def _value_of(image: Slice, keyword: str, *, mixed: bool) -> bytes | None:
    """The bytes of an attribute without NUL padding; None where it holds no such value."""
    if dictionary_VR(keyword) in NUMERIC:
        return image.attributes.text(keyword).encode()
    value = stored_bytes(image, keyword)
    if value is None:
        return None
    value = value.rstrip(b"\0")
    return decoded(value, image, keyword).encode() if mixed else value


def _written_as(
    keyword: str, value: bytes | None, image: Slice, charset: tuple[str, ...], *, mixed: bool
) -> bytes | None:
    """The value as it may be written, without its blanks where they make it too long; None where it may not be."""
    if value is None:
        return None
    for candidate in (value, value.strip(b" ")):
        text = candidate.decode() if mixed else _text_of(candidate, image, keyword, charset)
        if text is not None and is_valid(keyword, text):
            return candidate
    text = value.strip(b" ").decode("latin-1")
    if (
        dictionary_VR(keyword) == "DS"
        and keyword in SERIES_AND_ACQUISITION
        and is_valid(keyword, short := _short(text))
    ):
        return short.encode()
    return None


def _text_of(value: bytes, image: Slice, keyword: str, charset: tuple[str, ...]) -> str | None:
    """The text of bytes; None where they are none in that character set."""
    if dictionary_VR(keyword) in NUMERIC or value.isascii():
        return decoded(value, image, keyword) if charset else value.decode("latin-1")
    return decoded(value, image, keyword) if any(charset) and charset != ("ISO_IR 6",) else None


def _short(text: str) -> str:
    """A decimal string cut to the 16 characters that one may have."""
    return f"{parse_number(text):.10g}"


def _choose_frame_of_reference(carried: Carried, slices: Sequence[Slice]) -> None:
    """Where each slice has a frame of reference of its own, that of the first image: viewers take it for the series."""
    uids = [
        (number if (number := image.attributes.integer("InstanceNumber")) is not None else 1 << 31, index, uid)
        for index, image in enumerate(slices)
        if is_uid(uid := image.attributes.text("FrameOfReferenceUID"))
    ]
    if "FrameOfReferenceUID" not in carried.texts and uids:
        carried.texts["FrameOfReferenceUID"] = min(uids)[2].encode()


def _add_sequence(carried: Carried, slices: Sequence[Slice], keyword: str) -> None:
    """Take a sequence that is the same in all slices that have it."""
    allowed = IN_SEQUENCES_OF_THE_STUDY if keyword in OF_THE_STUDY else IN_SEQUENCES
    found: list[ItemSequence] = []
    last: Dataset | None = None
    having = 0
    for image in slices:
        holder = next((dataset for dataset in image.attributes.datasets if keyword in dataset), None)
        if holder is None:
            continue
        having += 1
        if holder is last:  # what frames share is looked at once
            continue
        last = holder
        try:
            items = _allowed_items(holder[keyword].value, allowed, _DEEPEST, carried.charset)
        except Exception:  # damaged, or with a value that is none: a code without it would be none either
            carried.invalid.append(keyword)
            return
        if not found or items != found[0]:
            found.append(items)
    of_the_study = keyword in OF_THE_STUDY
    if len(found) > 1:
        if of_the_study:
            carried.differing.append(keyword)
        return
    if not found or (having < len(slices) and not of_the_study):
        return
    if having < len(slices):
        carried.partial.append(keyword)
    if found[0] or of_the_study:  # an empty sequence is kept
        carried.sequences[keyword] = found[0]


def _allowed_items(items: ItemSequence, allowed: frozenset[str], depth: int, charset: tuple[str, ...]) -> ItemSequence:
    """The items with what they may hold, and sequences in them down to `depth`.

    Raises:
        ValueError: a value in them is not valid.
    """
    kept = []
    for item in items:
        copy = Dataset()
        for tag in sorted(item.keys()):
            keyword = keyword_for_tag(tag)
            if keyword not in allowed:
                continue
            vr, value = dictionary_VR(tag), item[tag].value
            if vr != "SQ":
                _check_text(keyword, value, charset)
                copy.add(DataElement(tag, vr, value))
            elif depth > 1 and value:
                copy.add(DataElement(tag, vr, _allowed_items(value, allowed, depth - 1, charset)))
        if copy or allowed is not IN_SEQUENCES:  # of patient and study, as many items as there are
            kept.append(copy)
    return ItemSequence(kept)


def _check_text(keyword: str, value: object, charset: tuple[str, ...]) -> None:
    several = isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
    text = "\\".join(map(str, value)) if several else "" if value is None else str(value)  # type: ignore[call-overload]
    if not is_valid(keyword, text):
        raise ValueError(keyword)
    if not text.isascii():
        if not any(charset):
            raise ValueError(keyword)
        encodings = convert_encodings(list(charset))
        if encode_string(text, encodings).count(b"?") > text.count("?"):
            raise ValueError(keyword)
