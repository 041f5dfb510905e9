"""From images to one stack: CT only, localizers out, one series, one phase, no copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from thinslice.dicom.attributes import is_uid, parse_number
from thinslice.dicom.codes import Findings, refusal
from thinslice.dicom.geometry import off_main_normal, same_position_mm
from thinslice.dicom.slices import CT_CLASSES, Slice
from thinslice.dicom.terms import MODALITIES, shown, shown_uid
from thinslice.errors import UsageError

INTERLEAVED_KEYS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "ConvolutionKernel",
    "KVP",
    "ImageType",
)
PHASE_KEYS = (*INTERLEAVED_KEYS, "AcquisitionNumber", "AcquisitionTime")


def only_ct(slices: Sequence[Slice], files: int) -> list[Slice]:
    """The CT images.

    Raises:
        InputError: DCM-NONE where there is no image, DCM-NOTCT where no image is CT.
    """
    if not slices:
        raise refusal("DCM-NONE", f"no DICOM image found in the input ({files} files looked at); check the path")
    ct = [image for image in slices if is_ct(image)]
    if not ct:
        attributes = slices[0].attributes
        raise refusal(
            "DCM-NOTCT",
            f"not a CT image: modality {shown(attributes.text('Modality'), MODALITIES)}, "
            f"SOP class {shown_uid(attributes.text('SOPClassUID'))}; only CT is read",
        )
    return ct


def refuse_strangers(images: Sequence[Slice], ct: Sequence[Slice]) -> None:
    """Refuse images that lie among the CT slices of a series and are no CT by their header.

    A series has one modality (PS3.3 A.1.2.3): such an image is a slice with a damaged header, and leaving it out
    would lose it without a word where it is the first or the last. Its matrix may be damaged as well. An image
    whose SOP class is no UID may be a slice of any series.

    Raises:
        InputError: DCM-NOTCT.
    """
    ours = {id(image) for image in ct}
    series = {image.attributes.text("SeriesInstanceUID") for image in ct}
    for image in images:
        if id(image) in ours:
            continue
        sop_class = image.attributes.text("SOPClassUID")
        within = image.attributes.text("SeriesInstanceUID") in series and image.attributes.has("ImagePositionPatient")
        if within or (sop_class and not is_uid(sop_class)):
            raise refusal(
                "DCM-NOTCT",
                f"{image.file.name} lies beside CT slices as one of them, but its modality or SOP class is not CT; "
                "export the series again, or take the file away",
            )


def is_ct(image: Slice) -> bool:
    """Whether an image is of a CT class and not of another modality."""
    sop_class = image.attributes.text("SOPClassUID")
    modality = image.attributes.text("Modality")
    if not sop_class and not image.file.headerless:
        return modality == "CT"
    return sop_class in CT_CLASSES and modality in ("", "CT")


def without_localizers(slices: Sequence[Slice], findings: Findings) -> list[Slice]:
    """The images that are not localizers by their type; warns DCM-LOCALIZER."""
    kept = [image for image in slices if "LOCALIZER" not in image.image_type[2:3]]
    if kept and len(kept) < len(slices):
        findings.warn("DCM-LOCALIZER", f"{len(slices) - len(kept)} localizer images left out")
    return kept or list(slices)


def without_crossing(slices: Sequence[Slice], findings: Findings) -> list[Slice]:
    """The images along the main normal: a few that cross it are localizers without the name."""
    crossing = off_main_normal(np.array([image.orientation for image in slices]))
    if not crossing.any() or crossing.mean() > 0.2:
        return list(slices)
    findings.warn(
        "DCM-LOCALIZER", f"{int(crossing.sum())} images 10 degrees or more off the others left out as localizers"
    )
    return [image for image, off in zip(slices, crossing, strict=True) if not off]


def by_series(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """Images by SeriesInstanceUID, in the order of SeriesNumber, then UID."""
    series: defaultdict[str, list[Slice]] = defaultdict(list)
    for image in slices:
        series[image.attributes.text("SeriesInstanceUID")].append(image)

    def number(uid: str) -> tuple[float, str]:
        return series[uid][0].attributes.number("SeriesNumber") or 0.0, uid

    return {uid: series[uid] for uid in sorted(series, key=number)}


def choose_series(series: dict[str, list[Slice]], wanted: str | int | None) -> list[Slice]:
    """The series asked for, by UID or by series number ("-": it has none); the only one where nothing is asked for.

    Raises:
        InputError: DCM-MULTISERIES.
    """
    if wanted is not None:
        text = str(wanted).strip()
        asked = None if text == "-" else parse_number(text)
        found = [uid for uid in series if uid == text] or [uid for uid in series if _number(series[uid]) == asked]
        if len(found) == 1:
            return series[found[0]]
        if not found:
            raise refusal(
                "DCM-MULTISERIES", f"no series has this UID or number; found {_listing(series)}; choose with --series"
            )
        series = {uid: series[uid] for uid in found}
    if len(series) > 1:
        raise refusal(
            "DCM-MULTISERIES",
            f"{len(series)} series found: {_listing(series)}; "
            "choose one with --series NUMBER or UID (inspect --show-identity shows the UIDs)",
        )
    return next(iter(series.values()))


def choose_phase(slices: list[Slice], normal: np.ndarray, phase: int | None, findings: Findings) -> list[Slice]:
    """One volume out of a series that holds several, at the same positions or between each other's.

    Returns:
        The slices of the phase asked for, or all where the series holds one volume.

    Raises:
        InputError: DCM-PHASES where there are several and `phase` names none.
        UsageError: DCM-PHASE where there is no such phase.
    """
    once = list({_copy_key(image): image for image in slices}.values())
    repeats = positions_of(once, normal)
    several = [group for group in repeats if len(group) > 1]
    if not several:
        found, where = _interleaved([image for (image,) in repeats]), "with their slices by turns"
    else:
        found = _phases(once, repeats) if 3 * len(several) > len(repeats) else None
        where = "at the same positions"
    if found is None:
        if phase not in (None, 1):
            raise UsageError("DCM-PHASE", f"the series holds one volume, there is no phase {phase}; leave --phase out")
        return slices
    key, phases = found
    if phase is None:
        sizes = ", ".join(f"{number}: {len(group)} slices" for number, group in enumerate(phases, 1))
        findings.refuse(
            "DCM-PHASES",
            f"the series holds {len(phases)} volumes {where}, told apart by {key} ({sizes}); choose with --phase",
        )
        findings.settle()
    if not isinstance(phase, int) or not 1 <= phase <= len(phases):
        raise UsageError("DCM-PHASE", f"phase {phase} is not among 1 to {len(phases)}")
    chosen = {_copy_key(image) for image in phases[phase - 1]}
    return [image for image in slices if _copy_key(image) in chosen]


def without_copies(
    slices: list[Slice], normal: np.ndarray, same_image: Callable[[Slice, Slice], bool], findings: Findings
) -> list[Slice]:
    """The slices sorted along the normal, one per position.

    Args:
        slices: of one volume.
        normal: (3,) unit vector.
        same_image: whether two slices hold the same pixels and rescale.
        findings: gets DCM-DUP (copies dropped) or DCM-DUP-DIFF.
    """
    groups = positions_of(slices, normal)
    copies = different = 0
    for first, *others in groups:
        for other in others:
            if np.abs(other.position - first.position).max() <= 0.01 and same_image(first, other):
                copies += 1
            else:
                different += 1
    if different:
        findings.refuse(
            "DCM-DUP-DIFF", f"different images at the same position ({different} too many); give one volume"
        )
    if copies:
        findings.warn("DCM-DUP", f"{copies} identical copies dropped")
    return [group[0] for group in groups]


def positions_of(slices: Sequence[Slice], normal: np.ndarray) -> list[list[Slice]]:
    """Slices in the order of their position along the normal, those at one place together."""
    along = np.array([image.position @ normal for image in slices])
    near = same_position_mm(along)
    groups: list[list[Slice]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last <= near:
            groups[-1].append(slices[index])
        else:
            groups.append([slices[index]])
            last = along[index]
    return groups


def _phases(slices: Sequence[Slice], repeats: list[list[Slice]]) -> tuple[str, list[list[Slice]]] | None:
    """The first key that parts the slices into volumes without repeated positions, and the volumes."""
    place = {id(image): number for number, group in enumerate(repeats) for image in group}
    most = max(len(group) for group in repeats)
    for key in PHASE_KEYS:
        parts: defaultdict[str, list[Slice]] = defaultdict(list)
        for image in slices:
            parts[image.attributes.text(key)].append(image)
        once = all(max(Counter(place[id(image)] for image in part).values()) == 1 for part in parts.values())
        if len(parts) == most and once and min(map(len, parts.values())) >= 3:
            return key, [parts[value] for value in sorted(parts, key=_sorting)]
    return None


def _interleaved(ordered: Sequence[Slice]) -> tuple[str, list[list[Slice]]] | None:
    """The first key whose values come by turns along the stack, and the volumes; taken as one, they would be mixed."""
    for key in INTERLEAVED_KEYS:
        values = [image.attributes.text(key) for image in ordered]
        turns = sorted(set(values), key=_sorting)
        by_turns = all(value == other for value, other in zip(values, values[len(turns) :], strict=False))
        if 1 < len(turns) <= len(ordered) // 3 and len(set(values[: len(turns)])) == len(turns) and by_turns:
            return key, [[image for image, own in zip(ordered, values, strict=True) if own == value] for value in turns]
    return None


def _copy_key(image: Slice) -> tuple[object, ...]:
    """Equal for copies of one image; an image without UID is nobody's copy."""
    uid = image.attributes.text("SOPInstanceUID") or id(image)
    return uid, image.frame, tuple(image.position), *(image.attributes.text(key) for key in PHASE_KEYS)


def _sorting(value: str) -> tuple[float, str]:
    number = parse_number(value)
    return (number if number == number else np.inf), value


def _number(slices: Sequence[Slice]) -> int | None:
    return slices[0].attributes.integer("SeriesNumber")


def _shown_number(slices: Sequence[Slice]) -> str:
    number = _number(slices)
    return "missing" if number is None else str(number)


def _listing(series: dict[str, list[Slice]]) -> str:
    return ", ".join(f"number {_shown_number(group)} ({len(group)} images)" for group in list(series.values())[:8])
