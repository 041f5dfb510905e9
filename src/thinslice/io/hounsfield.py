"""Whether values can be Hounsfield units, judged by where the mass of their histogram lies.

Air has -1000 HU, lung -900 to -500, fat about -100, water 0, soft tissue 20 to 80, bone 200 to 2000. Whoever loses a
slope or an intercept on the way moves or shrinks all of them together, and that shows, whatever part of the body it is
whatever a few voxels hold: padding, noise and metal decide nothing here. docs/decisions/values-that-are-no-hu.md has
the kinds that were tried.

What no CT can be is refused; what few CTs are, such as a crop without any air or fat, is only remarked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_VOXELS = 1 << 22  # looked at; of larger scans every so many rows and columns
_CONSTANT, _ISOLATED = 0.01, 100.0  # share, and HU to the next value, of a fill value below all others
_LEAST_SPREAD, _LEAST_SPAN = 1.5, 12.0  # HU; noise alone has more
_FEW_LEVELS = 30  # distinct values; label maps have fewer
_RAW_TISSUE = (800.0, 1250.0)  # where soft tissue and fat lie when 1000 or 1024 has not been taken away
_OFFSETS = ((1.0, -1024.0), (1.0, -1000.0))
_WIDTH = 150.0  # HU of a peak of soft tissue with fat, or of air


@dataclass(frozen=True)
class Doubt:
    """Why values may be no HU.

    Attributes:
        certain: no CT looks like that: refuse it. Else remark it.
        finding: what was found, a clause that goes on after "the file" or the like.
        rescales: slopes and intercepts that would make HU of them, where that is evident.
    """

    certain: bool
    finding: str
    rescales: tuple[tuple[float, float], ...] = ()

    def cure(self, option: str = "--rescale {slope:g},{intercept:g}") -> str:
        """What to do about it; `option` states how slope and intercept are given."""
        if not self.rescales:
            given = option.replace("{slope:g}", "S").replace("{intercept:g}", "I")
            return f"give {given} where S x value + I is HU"
        fitting = " or ".join(option.format(slope=slope, intercept=intercept) for slope, intercept in self.rescales)
        return f"if it is CT, give {fitting}"


def doubt(hu: np.ndarray, padding: np.ndarray | None = None) -> Doubt | None:
    """What speaks against values being HU, or None.

    Args:
        hu: float (z, y, x).
        padding: bool of the same shape, True where nothing was measured.
    """
    return doubt_of_parts([(hu, padding)])


def doubt_of_parts(parts: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> Doubt | None:
    """What speaks against the values of a scan in several parts being HU: one of them alone may be all air.

    Args:
        parts: HU and padding of each, as for `doubt`.
    """
    step = int(np.ceil(np.sqrt(max(1.0, sum(hu.size for hu, _ in parts) / _MOST_VOXELS))))
    looked_at = [(hu[:, ::step, ::step], padding) for hu, padding in parts]
    values = np.concatenate(
        [hu.ravel() if padding is None else hu[~padding[:, ::step, ::step]] for hu, padding in looked_at]
    )
    if not values.size:
        return None
    rest = _without_fill(values)
    if rest.min() == rest.max():
        padded = rest.size < sum(hu.size for hu, _ in looked_at)
        return Doubt(False, f"holds nothing but the value {rest[0]:g}" + " and padding" * padded)
    found = Levels(rest)
    return _no_ct(found) or _hardly_ct(found)


class Levels:
    """Shares of voxels between levels in HU.

    Attributes:
        lowest, highest: of all.
        low, high: what 0.2 % lie below, and 0.2 % above.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._sorted = np.sort(values)
        self.lowest, self.highest = float(self._sorted[0]), float(self._sorted[-1])
        last = len(values) - 1
        self.low, self.high = (float(self._sorted[round(part * last)]) for part in (0.002, 0.998))

    def share(self, start: float, stop: float = np.inf) -> float:
        """Of values from `start` to below `stop`."""
        first, last = np.searchsorted(self._sorted, (start, stop))
        return float(last - first) / len(self._sorted)

    def peak(self, start: float, stop: float) -> float:
        """Largest share of a window _WIDTH wide that lies between two levels."""
        return max(self.share(left, left + _WIDTH) for left in np.arange(start, stop - _WIDTH + 1, 25))

    def mode(self, stop: float) -> float:
        """The commonest value below `stop`, to 4 HU."""
        below = self._sorted[: np.searchsorted(self._sorted, stop)]
        counts, edges = np.histogram(below, bins=np.arange(self.lowest, stop + 8, 4))
        return float(edges[counts.argmax()]) + 2

    def spread(self) -> float:
        """Standard deviation."""
        return float(self._sorted.std(dtype=np.float64))

    def few_levels(self) -> bool:
        """Whether there are few distinct values."""
        return int(np.count_nonzero(np.diff(self._sorted))) + 1 < _FEW_LEVELS

    def span(self) -> str:
        """Where nearly all values lie, in words."""
        return f"{self.low:.4g} to {self.high:.4g}"


def _without_fill(values: np.ndarray) -> np.ndarray:
    """Values without those that are all one number far below the others: a background that somebody filled in."""
    lowest = values.min()
    others = values[values > lowest]
    fills = others.size and values.size - others.size >= _CONSTANT * values.size and others.min() > lowest + _ISOLATED
    return others if fills else values


def _no_ct(found: Levels) -> Doubt | None:
    """What no CT can be."""
    if found.spread() < _LEAST_SPREAD and found.high - found.low < _LEAST_SPAN:
        return Doubt(True, f"spans {found.span()}, less than noise in CT does: it was scaled, or is no CT")
    if found.low > 300:
        finding = (
            f"holds values from {found.span()}: air, fat and water are missing, as in stored values without intercept"
        )
        return Doubt(True, finding, _OFFSETS if found.low < 1300 else ())
    raw = found.peak(*_RAW_TISSUE)
    stands_out = raw > 3 * found.share(400, 800) * _WIDTH / 400
    air = found.peak(-1150, -850)
    if stands_out and air < raw / 5 and (raw >= 0.15 or (raw >= 0.02 and found.low > -30)):
        if found.share(-1500, -200) < 0.01:
            finding = "has its air near 0 and soft tissue near 1000, as in stored values without their intercept"
            # Of a small crop of the skull, brain may stand for the air and bone for so little soft tissue.
            return Doubt(raw >= 0.15, f"{finding} (found {found.span()})", _lost_intercept(found))
        return Doubt(
            True,
            f"has a peak near 1000 and none near -1000 HU, as with the sign turned (found {found.span()})",
            ((-1, 0),),
        )
    if found.lowest >= 0 and (found.share(500) > 0.25 or found.few_levels() or found.highest == 255):
        finding = f"has no value below 0 HU (found {found.lowest:g} to {found.highest:g})"
        return Doubt(True, f"{finding}, so it is MR, a label map or CT in other units")
    if found.share(-np.inf, -1500) > 0.25 or (found.share(-np.inf, -1200) > 0.1 and found.share(-200) < 0.05):
        finding = (
            f"lies far below air, which is at -1000 HU (found {found.span()}), as with the intercept applied twice"
        )
        return Doubt(True, finding, ((1, 1024),) if found.share(200) < 0.05 else ())
    return None


def _lost_intercept(found: Levels) -> tuple[tuple[float, float], ...]:
    """What makes HU of stored values, by where their air is; where it is cut off at 0, either intercept may do."""
    wanted = -1000 - found.mode(300)
    if -1036 < wanted < -988:
        near = tuple(known for known in _OFFSETS if abs(known[1] - wanted) < 8 and found.share(-0.5, 0.5) < 0.01)
        return near or _OFFSETS
    return ((1.0, round(wanted)),)


def _hardly_ct(found: Levels) -> Doubt | None:
    """What few CTs are."""
    if found.share(-np.inf, -30) < 0.01:
        return Doubt(False, f"holds neither air nor fat (found {found.span()} HU): a part of the body, or no HU")
    if found.high - found.low < 100 and found.high > -850:
        return Doubt(False, f"spans no more than {found.span()} HU: a uniform body, or no HU")
    if found.low > -940 and _begins_abruptly(found):
        return Doubt(False, f"begins abruptly at {found.low:.4g} HU, where air has -1000: cut off there, or no HU")
    between = found.peak(-750, -200)
    beside = max(0.6 * found.share(-750, -200), 2 * found.share(-200, -75), 10 * found.share(-1150, -850))
    if between > max(0.1, beside):
        return Doubt(
            False, f"has {between:.0%} of its voxels between lung and fat and next to none at -1000 HU, as air has"
        )
    if found.share(found.high - 15) > 0.1 and found.high > -850:
        return Doubt(False, f"ends abruptly at {found.high:.4g} HU: cut off there, or no HU")
    if found.share(200) > 6 * found.share(-200, 200):
        return Doubt(False, f"has {found.share(200):.0%} above 200 HU and little soft tissue: bare bone, or no HU")
    if (below := found.share(-np.inf, -1200)) > 0.001:
        finding = f"has {below:.1%} of its voxels below -1200 HU and down to {found.lowest:g}, where air has -1000"
        return Doubt(
            False,
            f"{finding}: streaks beside metal, strong noise, or no HU; they are kept, and networks take them for air",
        )
    return None


def _begins_abruptly(found: Levels) -> bool:
    """Whether more voxels lie in the first 15 HU than, on average, in the next two 15: no tail of noise."""
    first = found.share(found.low, found.low + 15)
    return first > 0.02 and first > found.share(found.low + 15, found.low + 45) / 2
