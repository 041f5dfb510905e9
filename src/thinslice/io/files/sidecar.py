"""The JSON file beside a scan: what BIDS and dcm2niix call its side-car, NAME.json beside NAME.nii.gz.

A NIfTI file says neither how thick its slices are nor where they come from; its side-car does. Only the fields named
here are ever looked at, none of them a patient's. The file is untrusted: whatever is wrong with it is remarked, and
the scan is read without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinslice.errors import InputError, Notice, named
from thinslice.io.files.mark import document, found_in_document, with_mark
from thinslice.volume import Volume

_LONGEST = 1 << 20  # bytes
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices")
_TEXTS = ("Manufacturer", "ManufacturersModelName", "ConvolutionKernel")
_NUMBERS = ("KVP", "SpiralPitchFactor")
_IMAGE_TYPES = ("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "MPR", "AVERAGE", "REFORMATTED", "RESAMPLED")
_OF_DICOM = {
    "Manufacturer": "manufacturer", "ManufacturersModelName": "model", "ConvolutionKernel": "kernel", "KVP": "kvp",
}  # fmt: skip
_OTHER_MODALITIES = frozenset({"CR", "DX", "MG", "MR", "NM", "OPT", "PT", "RF", "RTDOSE", "SEG", "US", "XA"})
_SAME = 0.01  # relative: lengths nearer than this are one, rounded
_THICK = 0.05  # relative: as for DICOM (DCM-THICK)


@dataclass(frozen=True)
class Sidecar:
    """What a side-car says.

    Attributes:
        fields: the fields that are used, with values that make sense.
        mark: the mark of a synthetic volume, or None.
        modality: as DICOM calls it; "" where nothing says.
        notices: what is wrong with it.
    """

    fields: Mapping[str, Any]
    mark: Mapping[str, Any] | None = None
    modality: str = ""
    notices: tuple[Notice, ...] = ()


_NOTHING = Sidecar({})


def sidecar_path(path: Path, ending: str) -> Path:
    """The side-car of a file: NAME.json for NAME.nii.gz, whose ending is ".nii.gz"."""
    return path.with_name(f"{path.name[: len(path.name) - len(ending)]}.json")


def read_sidecar(path: Path) -> Sidecar:
    """What a side-car says; where there is none, nothing."""
    if not path.is_file():
        return _NOTHING
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        found = json.loads(data.decode("utf-8-sig")) if len(data) <= _LONGEST else None
    except (OSError, ValueError, RecursionError):  # ValueError: no UTF-8, no JSON, a number of thousands of digits
        found = None
    if not isinstance(found, dict):
        said = f"{named(path, 'the .json file beside the scan')} is no side-car; not read"
        return Sidecar({}, notices=(Notice("FILE-SIDECAR", said),))
    fields: dict[str, Any] = {
        key: number for key in (*_LENGTHS, *_NUMBERS) if (number := _length(found.get(key))) is not None
    }
    fields |= {key: text for key in _TEXTS if (text := _text(found.get(key)))}
    wrong = [key for key in _LENGTHS if key in found and key not in fields]
    notices = [
        Notice("FILE-SIDECAR", f"{key} of {named(path, 'the side-car')} is no number over 0; not used") for key in wrong
    ]
    mark = found_in_document(found)
    kinds = found.get("ImageType")
    listed = kinds.split("\\") if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    words = [word.strip().upper() for word in listed if isinstance(word, str)]
    if known := [word for word in words if word in _IMAGE_TYPES]:
        fields["ImageType"] = known
    if words[:1] == ["DERIVED"] and mark is None:
        said = f"{named(path, 'the side-car')} says that the scan is already derived"
        notices.append(Notice("FILE-DERIVED", f"{said}: its slice profile is not the scanner's"))
    modality = found.get("Modality")
    return Sidecar(fields, mark, modality.strip().upper() if isinstance(modality, str) else "", tuple(notices))


def refuse_other_modality(sidecar: Sidecar, name: str) -> None:
    """Refuse what a side-car says to be no CT.

    Raises:
        InputError: FILE-NOTCT.
    """
    if sidecar.modality in _OTHER_MODALITIES:
        raise InputError(
            "FILE-NOTCT",
            f"the side-car of {name} says that its modality is {sidecar.modality}, not CT; give a CT scan, or correct "
            "the side-car",
        )


def with_sidecar(volume: Volume, sidecar: Sidecar) -> Volume:
    """The volume, with what its side-car says: slice thickness where nothing else states it, marks, facts, remarks."""
    notices = list(sidecar.notices)
    spacing, thickness = volume.slice_spacing_mm, sidecar.fields.get("SliceThickness")
    stated = sidecar.fields.get("SpacingBetweenSlices")
    if stated is not None and abs(stated - spacing) > _SAME * spacing:
        message = (
            f"the side-car says that slices are {stated:g} mm apart, the header {spacing:.6g} mm; the header is used"
        )
        notices.append(Notice("FILE-SIDECAR", message))
    if volume.thickness is None and thickness is not None:
        volume = replace(volume, thickness=thickness)
        if abs(thickness - spacing) > _THICK * spacing:
            message = (
                f"slice thickness {thickness:g} mm (side-car) and spacing {spacing:.6g} mm differ: slices overlap or "
                "leave gaps; --thickness overrides it where it is wrong"
            )
            notices.append(Notice("FILE-THICK", message))
    origin = volume.origin
    facts = {**origin.facts, "sidecar": dict(sidecar.fields)} if sidecar.fields else origin.facts
    volume = replace(volume, origin=replace(origin, facts=facts, warnings=(*origin.warnings, *notices)))
    return with_mark(volume, {"side-car": sidecar.mark})


def thickness_is_of_sidecar(volume: Volume) -> bool:
    """Whether the slice thickness of a volume is what its side-car says."""
    stated = volume.origin.facts.get("sidecar", {})
    return volume.thickness is not None and stated.get("SliceThickness") == volume.thickness


def sidecar_text(volume: Volume) -> str:
    """The side-car of a synthetic volume, as JSON; of the source's fields those that still hold."""
    mark = volume.origin.mark
    assert mark is not None
    facts = volume.origin.facts
    kept = {key: facts[name] for key, name in _OF_DICOM.items() if facts.get(name)} | facts.get("sidecar", {})
    spacing = round(volume.slice_spacing_mm, 6)
    fields = {
        "Modality": "CT",
        "ImageType": ["DERIVED", "SECONDARY"],
        "SliceThickness": spacing if volume.thickness is None else round(volume.thickness, 6),
        "SpacingBetweenSlices": spacing,
        **{key: kept[key] for key in (*_TEXTS, *_NUMBERS) if key in kept},
        "GeneratedBy": [{"Name": "thinslice", **({"Version": mark["version"]} if "version" in mark else {})}],
    }
    return json.dumps(fields | document(mark), indent=2) + "\n"


def remove_own_sidecar(path: Path) -> None:
    """Remove the side-car of a result that was there before: it would be taken for that of what is there now."""
    if "settings_sha256" in (read_sidecar(path).mark or {}):
        path.unlink()


def _length(value: Any) -> float | None:
    """A finite number over 0, and no other thing that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        return None
    return float(value)


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) and value.isprintable() else ""
