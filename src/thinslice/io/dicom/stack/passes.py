"""Several volumes in one series: phases, reconstructions, or passes that overlap, and what distinguishes them.

A series is one volume where its slices make one regular stack, whatever numbers and times they carry: one scan may
have several (dcm2niix issues 468 and 590). Where they do not, an attribute is looked for whose values part them into
stacks that are regular by themselves. What that leaves irregular is counted: slices beyond one at a place, slices
missing on a grid, and distances that lie on no grid.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from thinslice.io.dicom.headers.attributes import parse_number
from thinslice.io.dicom.headers.codes import listed
from thinslice.io.dicom.headers.slices import Slice
from thinslice.io.dicom.stack.gaps import SAME_SPACING, lower_median, regular_grids
from thinslice.io.dicom.stack.geometry import same_position_mm

_VOLUMES = (
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "NominalPercentageOfCardiacPhase", "TriggerTime"),
    *("ConvolutionKernel", "KVP", "ImageType"),
)
_ACQUISITIONS = (
    *("AcquisitionNumber", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionDate", "FrameAcquisitionNumber"),
    *("FrameAcquisitionDateTime", "IrradiationEventUID", "ContrastBolusAgent", "TemporalPositionTimeOffset"),
)
_DESCRIPTIONS = (
    *("ContentTime", "ContentDate", "SeriesTime", "SeriesDate", "SeriesNumber", "SeriesDescription", "ProtocolName"),
    *("ImageComments", "StackID", "FilterType", "ReconstructionDiameter", "DataCollectionDiameter", "ScanOptions"),
    *("FrameType", "InstanceCreationTime", "FrameReferenceDateTime", "NominalCardiacTriggerDelayTime"),
)
_ALSO_WITHIN_A_SCAN = (  # may change along one scan: they distinguish only what overlaps
    *("SliceThickness", "ExposureTime", "XRayTubeCurrent", "Exposure", "FocalSpots", "TableHeight", "WindowCenter"),
    *("GantryDetectorTilt", "SpiralPitchFactor", "TableSpeed", "AcquisitionType", "RotationDirection"),
    *("StationName", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "BodyPartExamined"),
)
DISTINGUISHED_BY = (*_VOLUMES, *_ACQUISITIONS, *_DESCRIPTIONS, *_ALSO_WITHIN_A_SCAN)
"""Attributes that may distinguish volumes of one series, the likeliest first."""

_IN_ORDER = (
    *("AcquisitionNumber", "AcquisitionTime", "AcquisitionDateTime", "FrameAcquisitionDateTime", "TriggerTime"),
    *("ContentTime", "InstanceNumber"),
)
"""Attributes by which slices can be put into the order of their acquisition."""

_TIMES = ("AcquisitionTime", "AcquisitionDateTime", "FrameAcquisitionDateTime", "ContentTime")
_LEAST = 3  # slices of a volume
_FEW = 4  # values of an attribute that is looked at together with another
_SKIPPED = 4  # steps that one sweep may skip
_PAUSE = 10  # times as long as from slice to slice


@dataclass(frozen=True, eq=False)
class Passes:
    """The volumes of one series.

    Attributes:
        key: what distinguishes them, as messages name it.
        groups: their slices, in the order of the key's values.
        where: how they lie to one another, as messages put it.
        apart: whether they lie one after the other, with a gap between or another spacing; no slice between another's.
    """

    key: str
    groups: list[list[Slice]]
    where: str
    apart: bool = False

    def sizes(self, normal: np.ndarray) -> str:
        """The number of each volume, with its slices and where they lie along the normal."""
        along = [[image.position @ normal for image in group] for group in self.groups]
        sizes = [f"{n}: {len(a)} slices, {min(a):.2f} to {max(a):.2f} mm" for n, a in enumerate(along, 1)]
        return listed(sizes, 12, separator="; ")


def find_passes(slices: Sequence[Slice], normal: np.ndarray) -> Passes | None:
    """The volumes that a series holds, or None where it is one, or nothing distinguishes them.

    Args:
        slices: of one series and orientation, copies left out.
        normal: (3,) unit vector.
    """
    along = np.array([image.position @ normal for image in slices])
    order = np.argsort(along, kind="stable")
    stack = _Stack([slices[index] for index in order], along[order], same_position_mm(along))
    if stack.fault == 0:
        return _by_turns(stack)
    return _distinguished(stack) or _by_position(stack)


class _Stack:
    """Slices in the order of their positions along the normal."""

    def __init__(self, slices: list[Slice], along: np.ndarray, near: float) -> None:
        self.slices, self.along, self.near = slices, along, near
        self.fault = _fault(along, near)
        distances = np.diff(along)
        self.repeats = bool((distances <= near).any())
        self.spacing = lower_median(distances[distances > near]) if (distances > near).any() else 0.0

    def texts(self, keyword: str) -> list[str]:
        return [image.attributes.text(keyword) for image in self.slices]

    def groups(self, labels: Sequence[object]) -> list[np.ndarray]:
        """Indices of the slices of each label, in the order in which labels are sorted."""
        found: defaultdict[object, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            found[label].append(index)
        return [np.array(found[label]) for label in sorted(found)]  # type: ignore[type-var]

    def passes(self, key: str, groups: Sequence[np.ndarray], where: str, *, apart: bool = False) -> Passes:
        return Passes(key, [[self.slices[index] for index in group] for group in groups], where, apart)

    def follows(self, run: np.ndarray, group: np.ndarray) -> bool:
        """Whether one group goes on where another ends, at the spacing of both."""
        (low, high), both = sorted((run, group), key=lambda indices: self.along[indices[0]]), (run, group)
        step = self.along[high[0]] - self.along[low[-1]]
        spacings = [lower_median(np.diff(self.along[indices])) for indices in both if len(indices) > 1]
        return bool(spacings) and all(abs(step - spacing) <= SAME_SPACING * spacing for spacing in spacings)

    def overlap(self, groups: Sequence[np.ndarray]) -> bool:
        """Whether any two groups share a stretch along the normal."""
        reached = -np.inf
        for start, end in sorted((self.along[group[0]], self.along[group[-1]]) for group in groups):
            if start <= reached + self.near:
                return True
            reached = max(reached, end)
        return False


def _fault(along: np.ndarray, near: float) -> int:
    """What is irregular about sorted positions: 0 for a regular stack."""
    distances = np.diff(along)
    distances = distances[distances > near]
    repeats = len(along) - 1 - len(distances)
    if len(distances) < 2:
        return repeats
    usual = lower_median(distances)
    multiple = np.maximum(np.round(distances / usual), 1)
    off_grid = np.abs(distances / (multiple * usual) - 1) > SAME_SPACING
    return repeats + int((multiple - 1)[~off_grid].sum()) + int(off_grid.sum())


def _by_turns(stack: _Stack) -> Passes | None:
    """Volumes whose slices come by turns in a regular stack: taken as one, they would be mixed.

    What need not speak of a volume counts where slices are as thick as those of one volume are apart.
    """
    thickness = stack.slices[0].attributes.finite("SliceThickness")
    overlapping = thickness is not None and thickness >= 1.5 * stack.spacing
    for key in DISTINGUISHED_BY if overlapping else (*_VOLUMES, *_ACQUISITIONS):
        first = stack.slices[0].attributes.text(key)
        if first == stack.slices[1].attributes.text(key):
            continue
        values = stack.texts(key)
        turns = len(set(values))
        distinct = len(set(values[:turns])) == turns
        repeating = all(value == later for value, later in zip(values, values[turns:], strict=False))
        if turns <= len(values) // _LEAST and distinct and repeating:
            groups = stack.groups([_sorting(value) for value in values])
            return stack.passes(key, groups, "with their slices by turns")
    for key, labels in _sweeps(stack) if overlapping else ():
        groups = stack.groups(labels)
        if len(groups) > 1 and min(map(len, groups)) >= _LEAST and not any(_faults(stack, groups)):
            return stack.passes(f"the order of {key}", groups, "with their slices by turns")
    return None


def _distinguished(stack: _Stack) -> Passes | None:
    """The volumes of the attribute that leaves the least irregular, where it leaves much less than there was."""
    best: tuple[int, Passes] | None = None
    for key, groups, changes_within in _partitions(stack):
        short = min(map(len, groups)) < _LEAST
        if len(groups) < 2 or max(map(len, groups)) < _LEAST or (short and len(groups) > 2):
            continue
        left = sum(_faults(stack, groups))
        if stack.overlap(groups):
            where = "at the same positions" if _at_same_positions(stack, groups) else "that overlap"
            found, accepted = stack.passes(key, groups, where), 2 * left <= stack.fault
        else:
            found = stack.passes(key, groups, "one after the other", apart=True)
            accepted = left < stack.fault and not short and not changes_within
        if accepted and left < stack.fault and (best is None or left + len(groups) < best[0]):
            best = left + len(groups), found
    return best and best[1]


def _partitions(stack: _Stack) -> Iterator[tuple[str, list[np.ndarray], bool]]:
    """Ways to part the slices: what by, the groups, and whether the attribute also changes where a scan goes on."""
    labels_of = {
        key: labels for key in DISTINGUISHED_BY if len(set(labels := [_sorting(text) for text in stack.texts(key)])) > 1
    }
    for key, labels in labels_of.items():
        within = key in _ALSO_WITHIN_A_SCAN or _changes_within(stack, labels)
        yield key, _joined(stack, stack.groups(labels)), within
        runs = np.cumsum([0, *(one != other for one, other in pairwise(labels))])
        if runs[-1] >= len(set(labels)):  # a value comes again further on
            yield key, _joined(stack, stack.groups(runs.tolist())), within
    for key in _TIMES:
        pauses = _pauses(stack, key)
        if pauses[-1]:
            yield f"a pause in {key}", _joined(stack, stack.groups(pauses)), _changes_within(stack, pauses)
    few = {key: labels for key, labels in labels_of.items() if len(set(labels)) <= _FEW}
    for one, other in combinations(few, 2):
        groups = stack.groups(list(zip(few[one], few[other], strict=True)))
        if len(groups) > max(len(set(few[one])), len(set(few[other]))):
            yield f"{one} and {other}", groups, True
    for key, order in _sweeps(stack):
        groups = stack.groups(order)
        if len(groups) > 1 and min(map(len, groups)) >= _LEAST and stack.overlap(groups):
            yield f"the order of {key}", groups, True


def _joined(stack: _Stack, groups: list[np.ndarray]) -> list[np.ndarray]:
    """Groups of which one goes on where the one before it ends, as one: parts of one scan."""
    joined = groups[:1]
    for group in groups[1:]:
        if stack.follows(joined[-1], group):
            joined[-1] = np.sort(np.concatenate([joined[-1], group]))
        else:
            joined.append(group)
    return joined


def _changes_within(stack: _Stack, labels: Sequence[object]) -> bool:
    """Whether a value mostly changes where slices go on at their usual spacing: then it says nothing of passes."""
    changes = np.array([one != other for one, other in pairwise(labels)])
    usual = np.abs(np.diff(stack.along) - stack.spacing) <= SAME_SPACING * stack.spacing
    return bool(2 * (changes & usual).sum() > changes.sum())


def _pauses(stack: _Stack, key: str) -> list[int]:
    """A label for each slice, in the order of positions: a new one begins where time passed without slices."""
    seconds = np.array([_seconds(text) for text in stack.texts(key)])
    apart = np.abs(np.diff(seconds))
    usual = np.quantile(apart[apart > 0], 0.75, method="lower") if (apart > 0).any() else np.inf
    return [0, *np.cumsum(apart > _PAUSE * usual).tolist()]  # what states no time is NaN, and begins nothing


def _seconds(text: str) -> float:
    """Seconds of the day of a time (HHMMSS) or of a date and time (YYYYMMDDHHMMSS), or NaN."""
    found = re.fullmatch(r"(?:\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d{1,6})?)(?:[-+]\d{4})?", text)
    return 3600 * float(found[1]) + 60 * float(found[2]) + float(found[3]) if found else np.nan


def _sweeps(stack: _Stack) -> Iterator[tuple[str, list[int]]]:
    """Labels of the sweeps along the normal that slices make in the order of an attribute."""
    for key in _IN_ORDER:
        texts = stack.texts(key)
        if len(set(texts)) < 2:
            continue
        for sense in (1, -1):
            yield (
                key,
                _runs(stack, [(_sorting(text), sense * place) for text, place in zip(texts, stack.along, strict=True)]),
            )
        if key == "InstanceNumber" and not stack.repeats:  # numbers that begin anew with each pass
            counts: defaultdict[str, int] = defaultdict(int)
            ranks = []
            for text in texts:
                ranks.append(counts[text])
                counts[text] += 1
            yield key, ranks


def _runs(stack: _Stack, order: Sequence[object]) -> list[int]:
    """A label for each slice: a new one begins where the order turns back, or leaves the grid of the steps before."""
    indices = sorted(range(len(order)), key=lambda index: order[index])  # type: ignore[arg-type, return-value]
    steps = np.diff(stack.along[indices])
    moving = np.abs(steps[np.abs(steps) > stack.near])
    usual = lower_median(moving) if len(moving) else 1.0
    labels, label, sense = [0] * len(indices), 0, 0.0
    for index, step in zip(indices[1:], steps, strict=True):
        multiple = max(1.0, round(abs(step) / usual))
        on_grid = abs(abs(step) / (multiple * usual) - 1) <= SAME_SPACING and multiple <= _SKIPPED
        goes_on = on_grid and sense * step >= 0
        label, sense = (label, float(np.sign(step))) if goes_on else (label + 1, 0.0)
        labels[index] = label
    return labels


def _by_position(stack: _Stack) -> Passes | None:
    """Passes that only their positions distinguish: regular grids, each of which reaches beyond the other."""
    if stack.repeats:
        return None
    stated = {image.attributes.finite("SliceThickness") for image in stack.slices}
    if len(stated) > 1:  # a scan of two spacings
        return None
    groups = regular_grids(stack.along, spacing=stated.pop())
    if len(groups) < 2:
        return None
    return stack.passes("their positions alone", groups, "that overlap")


def _faults(stack: _Stack, groups: Sequence[np.ndarray]) -> list[int]:
    return [_fault(stack.along[group], stack.near) for group in groups]


def _at_same_positions(stack: _Stack, groups: Sequence[np.ndarray]) -> bool:
    """Whether all groups have their slices at the places of one of them."""
    places = stack.along[max(groups, key=len)]
    for group in groups:
        after = np.searchsorted(places, stack.along[group]).clip(1, len(places) - 1)
        nearest = np.minimum(*(np.abs(places[index] - stack.along[group]) for index in (after - 1, after)))
        if nearest.max() > stack.near:
            return False
    return True


def _sorting(value: str) -> tuple[float, str]:
    number = parse_number(value)
    return (number if number == number else np.inf), value
