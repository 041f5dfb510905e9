"""From images to one stack: CT only, localizers out, one series, one phase, no copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from thinslice.errors import UsageError, counted, named
from thinslice.io.dicom.headers.attributes import is_uid, parse_number
from thinslice.io.dicom.headers.codes import Findings, listed, refusal
from thinslice.io.dicom.headers.find import Entry
from thinslice.io.dicom.headers.slices import CT_CLASSES, Slice, files_of
from thinslice.io.dicom.headers.terms import MODALITIES, shown, shown_uid
from thinslice.io.dicom.stack.faults import Fault
from thinslice.io.dicom.stack.geometry import off_main_normal, same_position_mm
from thinslice.io.dicom.stack.passes import DISTINGUISHED_BY, Passes, find_passes

_VOLUME_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_LEAST_OF_UID = 5  # characters: fewer may be a wrong number


def only_ct(slices: Sequence[Slice], faults: Sequence[Fault], entries: Sequence[Entry], *, path: Path) -> list[Slice]:
    """The CT images.

    Raises:
        InputError: DCM-NONE where there is no image, DCM-NOTCT where no image is CT; what is wrong with the first
            file that cannot be read, where there is no CT beside it.
    """
    ct = [image for image in slices if is_ct(image)]
    if not ct and faults:
        raise faults[0].error
    if not slices:
        raise refusal(
            "DCM-NONE",
            f"no DICOM image found in {named(path, 'the input')} ({counted(len(entries), 'file')} looked at)"
            f"{_instead(entries)}",
        )
    if not ct:
        attributes = slices[0].attributes
        raise refusal(
            "DCM-NOTCT",
            f"{files_of(slices)}: not a CT image: modality {shown(attributes.text('Modality'), MODALITIES)}, "
            f"SOP class {shown_uid(attributes.text('SOPClassUID'))}; only CT is read",
        )
    return ct


def _instead(entries: Sequence[Entry]) -> str:
    """What to do where an input holds no DICOM: name one of the files of other formats, if any."""
    others = [entry for entry in entries if entry.name.lower().endswith(_VOLUME_FILES)]
    if not others:
        return "; check the path"
    more = f" and {len(others) - 1} more" if others[1:] else ""
    return (
        f", but {others[0].shown}{more} may be NIfTI, NRRD or MetaImage: a folder is read as DICOM; name one of these "
        "files"
    )


def strangers(images: Sequence[Slice], ct: Sequence[Slice]) -> list[Fault]:
    """Images that lie among the CT slices of a series and are no CT by their header.

    A series has one modality (PS3.3 A.1.2.3): such an image is a slice with a damaged header, and leaving it out
    would lose it without a word where it is the first or the last. Its matrix may be damaged as well. An image
    whose SOP class is no UID may be a slice of any series.
    """
    kept = {id(image) for image in ct}
    series = {image.attributes.text("SeriesInstanceUID") for image in ct}
    found = []
    for image in images:
        if id(image) in kept:
            continue
        sop_class, own = image.attributes.text("SOPClassUID"), image.attributes.text("SeriesInstanceUID")
        within = own in series and image.attributes.has("ImagePositionPatient")
        if within or (sop_class and not is_uid(sop_class)):
            error = refusal(
                "DCM-NOTCT",
                f"{image.file.name} lies beside CT slices as one of them, but its modality or SOP class is not CT; "
                "export the series again, or take the file away",
            )
            found.append(Fault(error, own if own in series else None, image.file.name))
    return found


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
        out = [image for image in slices if "LOCALIZER" in image.image_type[2:3]]
        findings.warn("DCM-LOCALIZER", f"{counted(len(out), 'localizer image')} left out: {files_of(out)}")
    return kept or list(slices)


def without_crossing(slices: Sequence[Slice], findings: Findings) -> list[Slice]:
    """The images along the main normal: a few that cross it are localizers without the name."""
    crossing = off_main_normal(np.array([image.orientation for image in slices]))
    if not crossing.any() or crossing.mean() > 0.2:
        return list(slices)
    out = [image for image, off in zip(slices, crossing, strict=True) if off]
    findings.warn(
        "DCM-LOCALIZER",
        f"{counted(len(out), 'image')} 10 degrees or more off the others left out as localizers: {files_of(out)}",
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


def series_names(series: Mapping[str, Sequence[Slice]]) -> dict[str, str]:
    """What each series is chosen by: its number ("-": it has none), and its place among those of one number."""
    numbers = {uid: _number(images) for uid, images in series.items()}
    names = {}
    for uid, number in numbers.items():
        alike = [other for other in numbers if numbers[other] == number]
        place = f".{alike.index(uid) + 1}" if len(alike) > 1 else ""
        names[uid] = ("-" if number is None else str(number)) + place
    return names


def choose_series(series: dict[str, list[Slice]], wanted: str | int | None) -> list[Slice]:
    """The series asked for: by UID, its number, its number and place (`series_names`), or the end of its UID.

    Raises:
        InputError: DCM-MULTISERIES where none is meant, or several.
    """
    if wanted is not None:
        found = _meant(series, str(wanted).strip())
        if len(found) == 1:
            return series[found[0]]
        if not found:
            raise refusal(
                "DCM-MULTISERIES", f"no series has this UID or number; found {_listing(series)}; choose with --series"
            )
    else:
        found = list(series)
    if len(found) > 2 and all(len(series[uid]) == 1 for uid in found):
        raise refusal(
            "DCM-MULTISERIES",
            f"each of {len(found)} images has a SeriesInstanceUID of its own, as some anonymisers write: nothing says "
            "which of them make one scan; export the series again",
        )
    if len(found) > 1:
        raise refusal(
            "DCM-MULTISERIES",
            f"{len(found)} series found: {_listing(series, found)}; choose one with --series NUMBER or UID "
            "(inspect shows what distinguishes them, with --show-identity also the UIDs)",
        )
    return series[found[0]]


def _meant(series: Mapping[str, Sequence[Slice]], text: str) -> list[str]:
    """UIDs of the series that a text stands for."""
    if text in series:
        return [text]
    asked = None if text == "-" else parse_number(text)
    if found := [uid for uid, images in series.items() if _number(images) == asked]:
        return found
    number, _, place = text.rpartition(".")
    if place.isdigit():
        asked = None if number == "-" else parse_number(number)
        alike = [uid for uid, images in series.items() if _number(images) == asked]
        if 0 < int(place) <= len(alike):
            return [alike[int(place) - 1]]
    return [uid for uid in series if len(text) >= _LEAST_OF_UID and uid.endswith(text)]


def choose_phase(
    slices: list[Slice],
    normal: np.ndarray,
    phase: int | None,
    same_image: Callable[[Slice, Slice], bool],
    findings: Findings,
) -> tuple[list[Slice], Passes | None]:
    """One volume out of a series that holds several, at the same positions or between each other's.

    Args:
        slices: of one series and orientation.
        normal: (3,) unit vector.
        phase: which volume, from 1; None where the series should hold one.
        same_image: whether two slices hold the same pixels and rescale.
        findings: gets DCM-PHASES where there are several and `phase` is None.

    Returns:
        The slices of the phase asked for, or all where the series holds one volume; then also the passes that lie
        one after the other in it, if any.

    Raises:
        InputError: DCM-PHASES.
        UsageError: DCM-PHASE where there is no such phase.
    """
    copies = _by_image(slices)
    once = [same[0] for same in copies]
    passes = find_passes(once, normal)
    if passes and _are_copies(passes, normal, same_image):
        passes = None
    if passes is None:
        if phase not in (None, 1):
            raise UsageError("DCM-PHASE", f"the series holds one volume, there is no phase {phase}; leave --phase out")
        return slices, None
    if phase is None and passes.apart:
        return slices, passes
    if phase is None:
        findings.refuse(
            "DCM-PHASES",
            f"the series holds {len(passes.groups)} volumes {passes.where}, distinguished by {passes.key} "
            f"({passes.sizes(normal)}); choose with --phase",
        )
        findings.settle()
    if not isinstance(phase, int) or not 1 <= phase <= len(passes.groups):
        raise UsageError("DCM-PHASE", f"phase {phase} is not among 1 to {len(passes.groups)}")
    chosen = set(map(id, passes.groups[phase - 1]))
    return [image for same in copies if id(same[0]) in chosen for image in same], None


def _by_image(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices with their copies: files of one image at one place that differ in nothing that distinguishes volumes."""
    found: defaultdict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for image in slices:  # an image without UID is nobody's copy
        uid = image.attributes.text("SOPInstanceUID") or id(image)
        found[uid, image.frame, tuple(image.position)].append(image)
    copies: list[list[Slice]] = []
    for alike in found.values():
        by_values: defaultdict[tuple[str, ...], list[Slice]] = defaultdict(list)
        for image in alike:
            key = tuple(map(image.attributes.text, DISTINGUISHED_BY)) if len(alike) > 1 else ()
            by_values[key].append(image)
        copies += by_values.values()
    return copies


def _are_copies(passes: Passes, normal: np.ndarray, same_image: Callable[[Slice, Slice], bool]) -> bool:
    """Whether what lies at the same positions are the same images: parts of a series that was stored twice."""
    places = positions_of([image for group in passes.groups for image in group], normal)
    repeated = [place for place in places if len(place) > 1]
    return bool(repeated) and all(same_image(place[0], other) for place in repeated for other in place[1:])


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
    copies: list[Slice] = []
    different: list[Slice] = []
    for first, *others in groups:
        for other in others:
            if np.abs(other.position - first.position).max() <= 0.01 and same_image(first, other):
                copies.append(other)
            else:
                different.append(other)
    if different:
        findings.refuse(
            "DCM-DUP-DIFF",
            f"different images at the same position ({len(different)} too many: {files_of(different)}); give one "
            "volume",
        )
    if copies:
        findings.warn(
            "DCM-DUP", f"{counted(len(copies), 'identical copy', 'identical copies')} dropped: {files_of(copies)}"
        )
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


def _number(slices: Sequence[Slice]) -> int | None:
    return slices[0].attributes.integer("SeriesNumber")


def _listing(series: Mapping[str, Sequence[Slice]], uids: Collection[str] | None = None) -> str:
    """The series, or those of some UIDs, by the names that they are chosen by."""
    names = series_names(series)
    return listed(
        [
            f"number {'missing' if names[uid] == '-' else names[uid]} ({counted(len(series[uid]), 'image')})"
            for uid in (series if uids is None else uids)
        ],
        8,
    )
