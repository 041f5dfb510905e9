"""Voxels that were never measured: the constant that scanners and resampling write around the field of view.

Padding is what is *constant* over a region that reaches in from the border of the slice (-1500, -2000, -2048, -3024,
...), or what a file declares; it is not what is merely low. Air that a scanner reconstructs at -1045 HU is measured,
and so are streaks beside metal, however far below -1024 HU: their values differ from voxel to voxel.

* Far below air (below -1200 HU), a value counts as constant that makes up a good part of what is there, give or take
  what lossy compression does to it.
* Just below air, it must stand out from the values beside it, with next to no other voxel in the midst of it: air that
  is cut off at -1050 HU, say, is a mixture of that value and of noise above it.
* Resampling smears the rim of padding towards air: within three voxels of it, what is lower than air measured elsewhere
  belongs to it as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_FLOOR = -1024  # HU: 12 bits hold nothing below, and what is cut off there is air
_FAR = -1200  # HU: no air is so low, whatever its noise and the scanner's calibration
_DEEPEST = -32768  # HU: all that is lower counts as that
_FEWEST = 8  # voxels
_LARGE = 0.2  # share of what is far below air
_MOST_VALUES = 8
_LOSSY = 0.1  # what lossy compression may do to a constant, as a part of its distance from _FAR
_STANDS_OUT = 10  # times the voxels of the values beside it
_SPECKLES = 0.005  # share of other voxels among those whose four neighbours all have the constant
_RIM = 3  # voxels


def find_padding(hu: np.ndarray, declared: np.ndarray | None = None) -> tuple[np.ndarray | None, float | None]:
    """The padding, and the commonest value that was found and not declared; each None where there is none.

    Args:
        hu: float32 (z, y, x).
        declared: bool of the same shape, what is known to be padding; may be changed in place.

    Returns:
        Mask, bool (z, y, x), and a value in HU.
    """
    mask = np.zeros(hu.shape, bool) if declared is None else declared
    ranges = _constants(hu, mask)
    if ranges:
        for image, out in zip(hu, mask, strict=True):
            candidates = np.logical_or.reduce([(image >= lowest) & (image <= highest) for lowest, highest in ranges])
            if candidates.any():
                out |= touching_border(candidates | out) & candidates
        _mark_rim(hu, mask)
    if not mask.any():
        return None, None
    return mask, sum(ranges[0]) / 2 if ranges else None


def touching_border(mask: np.ndarray) -> np.ndarray:
    """(y, x) True in the regions of a slice's mask that touch its border."""
    edges = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if not edges.any():
        return np.zeros_like(mask)
    from scipy import ndimage  # only where a scan has such regions

    labels, _ = ndimage.label(mask)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.isin(labels, touching[touching > 0])


def _constants(hu: np.ndarray, known: np.ndarray) -> list[tuple[float, float]]:
    """Ranges (lowest, highest) of values that are padding where they are joined to the border, the commonest first."""
    counts = np.zeros(_FLOOR - _DEEPEST + 1, np.int64)  # by whole HU below the floor
    for image, skipped in zip(hu, known, strict=True):
        low = image[(image < _FLOOR) & ~skipped]
        if len(low):
            below = _FLOOR - np.rint(np.maximum(low, _DEEPEST)).astype(np.int64)
            counts += np.bincount(below, minlength=len(counts))
    counts[0] = 0  # rounds to the floor itself
    found = [(value, *_range(counts, value)) for value in _far_constants(counts)]
    found += [(value, value - 0.5, value + 0.5) for value in _near_constants(counts) if _is_solid(hu, value)]
    found.sort(key=lambda constant: -counts[_FLOOR - constant[0]])
    return [(lowest, highest) for _, lowest, highest in found]


def _far_constants(counts: np.ndarray) -> Iterator[int]:
    """Values far below air that make up a good part of what is there, or of what others leave of it."""
    left = counts.copy()
    left[: _FLOOR - _FAR + 1] = 0
    for _ in range(_MOST_VALUES):
        place = int(left.argmax())
        if left[place] < max(_FEWEST, _LARGE * left.sum()):
            return
        yield _FLOOR - place
        lowest, highest = _range(counts, _FLOOR - place)
        left[int(np.ceil(_FLOOR - highest)) : int(_FLOOR - lowest) + 1] = 0


def _range(counts: np.ndarray, value: int) -> tuple[float, float]:
    """What counts as a constant far below air: wider than one value where many voxels lie just beside it."""
    place = _FLOOR - value
    beside = counts[max(0, place - 2) : place + 3].sum() - counts[place]
    off = max(0.5, _LOSSY * (_FAR - value)) if beside > 0.1 * counts[place] else 0.5
    return value - off, value + off


def _near_constants(counts: np.ndarray) -> Iterator[int]:
    """Values just below air that are far commoner than those beside them."""
    near = counts[: _FLOOR - _FAR + 1]
    for place in np.flatnonzero(near >= _FEWEST):
        around = near[max(1, place - 5) : place + 6]
        if near[place] * (len(around) - 1) >= _STANDS_OUT * (around.sum() - near[place]):
            yield _FLOOR - int(place)


def _is_solid(hu: np.ndarray, value: float) -> bool:
    """Whether next to no other voxel lies amid those of a value: where all four neighbours have it."""
    amid = speckles = 0
    for image in hu:
        same = np.pad(np.abs(image - value) <= 0.5, 1, constant_values=True)
        surrounded = same[:-2, 1:-1] & same[2:, 1:-1] & same[1:-1, :-2] & same[1:-1, 2:]
        amid += int(np.count_nonzero(surrounded))
        speckles += int(np.count_nonzero(surrounded & ~same[1:-1, 1:-1]))
    return speckles <= _SPECKLES * amid and amid > 0


def _mark_rim(hu: np.ndarray, mask: np.ndarray) -> None:
    """Add, in place, what resampling left between padding and air."""
    if not any((image < _FLOOR).any(where=~known) for image, known in zip(hu, mask, strict=True)):
        return
    from scipy import ndimage

    square = np.ones((3, 3), bool)
    near = [
        ndimage.binary_dilation(mask[max(0, z - 1) : z + 2].any(axis=0), square, iterations=_RIM) & ~mask[z]
        for z in range(len(hu))
    ]
    lower_than = _lowest_air(hu, mask, near)
    rims = [around & (image < lower_than) for image, around in zip(hu, near, strict=True)]
    for out, rim in zip(mask, rims, strict=True):
        out |= rim


def _lowest_air(hu: np.ndarray, mask: np.ndarray, near: list[np.ndarray]) -> float:
    """The HU that no air falls below which was measured away from padding, with some room for noise."""
    measured = [image[~(known | around)][::7] for image, known, around in zip(hu, mask, near, strict=True)]
    values = np.concatenate(measured)
    least = float(np.quantile(values, 0.001)) if len(values) else _FLOOR
    return least - (-1000 - least) / 2 if least < _FLOOR else _FLOOR
