"""Words of the standard that messages and records may quote from a header. Any other text may be a name."""

from __future__ import annotations

from collections.abc import Collection

from pydicom import config
from pydicom.uid import UID

MODALITIES = frozenset({"CR", "CT", "DX", "KO", "MG", "MR", "NM", "PR", "PT", "REG", "RF", "RTDOSE", "RTIMAGE"})
MODALITIES |= {"RTPLAN", "RTSTRUCT", "SC", "SEG", "SR", "US", "XA"}
IMAGE_TYPES = frozenset({"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "MPR", "MIP", "MINIP"})
IMAGE_TYPES |= {"AVERAGE", "REFORMATTED", "RESAMPLED", "OTHER", "VOLUME"}
ACQUISITION_TYPES = frozenset({"SEQUENCED", "SPIRAL", "CONSTANT_ANGLE", "STATIONARY", "FREE"})
PHOTOMETRIC = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT"})
RESCALE_TYPES = frozenset({"US", "OD", "HGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT", "MGML"})  # PS3.3 C.11.1.1.2


def shown(text: str, known: Collection[str]) -> str:
    """A header's value where it is one of the known words."""
    return text if text in known else "unknown" if text else "missing"


def shown_uid(text: str) -> str:
    """A UID where it is one of the standard's; any other leads to the patient."""
    known = text and UID(text, validation_mode=config.IGNORE).name != text
    return text if known else shown(text, ())
