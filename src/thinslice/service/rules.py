"""Which series are enhanced, by what Orthanc knows of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from thinslice.service.config import RulesConfig
from thinslice.service.orthanc import Series

OWN = "thinslice"
"""Manufacturer of what this program makes."""
_SYNTHETIC, _THICKNESS, _FRAMES = "0008,001c", "0018,0050", "0028,0008"


def may_match(series: Series, rules: RulesConfig) -> bool:
    """Whether a series may be meant, by what comes without another question: most are not."""
    return (
        series.modality == "CT"
        and series.manufacturer.strip().lower() != OWN
        and re.search(rules.description, series.description) is not None
        and bool(series.instances)
    )


def matches(series: Series, tags: Mapping[str, str], rules: RulesConfig) -> bool:
    """Whether a series is meant.

    Args:
        series: that `may_match`.
        tags: of one of its instances.
        rules: of the configuration.
    """
    if tags.get(_SYNTHETIC, "").strip().upper() == "YES":
        return False
    thickness, frames = _number(tags.get(_THICKNESS, "")), _number(tags.get(_FRAMES, ""))
    slices = int(frames) if frames and len(series.instances) == 1 else len(series.instances)
    if slices < rules.min_slices:
        return False
    if thickness is None:  # of multi-frame objects it stands in a sequence: the reader will say
        return bool(frames)
    return rules.min_thickness_mm <= thickness <= rules.max_thickness_mm


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text.strip())
    return None
