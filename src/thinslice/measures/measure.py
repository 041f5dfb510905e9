"""The figures of a label map on a volume, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thinslice.errors import InputError, Notice
from thinslice.measures.figures import LabelFigures, Threshold, measure_labels
from thinslice.measures.table import Measures
from thinslice.uncertainty.correlation import Correlation
from thinslice.volume import Volume

_NAMED = 5  # labels in a warning


def measure_volume(
    volume: Volume,
    labels: np.ndarray,
    *,
    threshold: Threshold,
    sigma: np.ndarray | None = None,
    correlation: Correlation | None = None,
    names: Mapping[int, str] | None = None,
) -> Measures:
    """The figures of every label.

    Args:
        volume: what is measured.
        labels: (z, y, x) whole numbers on its grid; 0 is no label.
        threshold: what the share counts.
        sigma: (z, y, x) HU, the root-mean-square error to be expected; without it there are no intervals.
        correlation: of the errors; what is usual where None.
        names: of labels.

    Raises:
        InputError: LABEL-NONE where there is no label.
    """
    if not labels.any():
        raise InputError("LABEL-NONE", "the label map holds nothing but 0; give one with a label")
    x, y, _ = volume.voxel_mm
    rows = measure_labels(
        volume.hu, labels, (volume.slice_spacing_mm, y, x),
        threshold=threshold, sigma=sigma, correlation=correlation, names=names,
    )  # fmt: skip
    return Measures(rows, threshold=threshold, warnings=_remarks(rows, sigma, correlation))


def _remarks(rows: list[LabelFigures], sigma: np.ndarray | None, correlation: Correlation | None) -> list[Notice]:
    if sigma is None:
        message = "figures have no intervals: give the result's uncertainty (--uncertainty FILE, as enhance writes it)"
        return [Notice("UNC-NONE", message)]
    remarks = []
    if correlation is None:
        message = (
            "the uncertainty does not say how errors of neighbours go together: what is usual in chests is assumed"
        )
        remarks.append(Notice("UNC-CORRELATION", message))
    if drawn := [row.label for row in rows if row.volume_ml.low is None]:
        few = ", ".join(map(str, drawn[:_NAMED])) + (f" and {len(drawn) - _NAMED} more" if len(drawn) > _NAMED else "")
        message = f"volume and extents of {few} have no interval: the outline follows no edge in HU"
        remarks.append(Notice("UNC-OUTLINE", f"label {message}" if len(drawn) == 1 else f"labels: {message}"))
    return remarks
