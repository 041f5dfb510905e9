"""CT series in DICOM: read regular series, write derived ones.

pydicom stops here: nothing of it leaves this package but inside `Origin.header`, which only
`write_series` opens. Everything is loaded on first use, so that asking whether a file looks like
DICOM does not cost the import of pydicom.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinslice.io.dicom.headers.sniff import looks_like_dicom
    from thinslice.io.dicom.read import read_parts, read_series
    from thinslice.io.dicom.segmentation import Segmentation, only_file, read_segmentation
    from thinslice.io.dicom.summary import SeriesSummary, list_series
    from thinslice.io.dicom.write.derived import Provenance
    from thinslice.io.dicom.write.parametric_map import check_maps, write_parametric_map
    from thinslice.io.dicom.write.series import WrittenSeries, write_series, wrote

__all__ = [
    "Provenance",
    "Segmentation",
    "SeriesSummary",
    "WrittenSeries",
    "check_maps",
    "list_series",
    "looks_like_dicom",
    "only_file",
    "read_parts",
    "read_segmentation",
    "read_series",
    "write_parametric_map",
    "write_series",
    "wrote",
]

_HOMES = {
    "Provenance": "write.derived",
    "Segmentation": "segmentation",
    "SeriesSummary": "summary",
    "WrittenSeries": "write.series",
    "check_maps": "write.parametric_map",
    "list_series": "summary",
    "looks_like_dicom": "headers.sniff",
    "only_file": "segmentation",
    "read_parts": "read",
    "read_segmentation": "segmentation",
    "read_series": "read",
    "write_parametric_map": "write.parametric_map",
    "write_series": "write.series",
    "wrote": "write.series",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
