"""CT series in DICOM: read regular series, write derived ones.

pydicom stops here: nothing of it leaves this package but inside `Source.header`, which only
`write_series` opens.
"""

from thinslice.dicom.derived import Provenance
from thinslice.dicom.find import is_zip
from thinslice.dicom.read import read_series
from thinslice.dicom.sniff import looks_like_dicom
from thinslice.dicom.summary import SeriesSummary, list_series
from thinslice.dicom.write import WrittenSeries, write_series

__all__ = [
    "Provenance",
    "SeriesSummary",
    "WrittenSeries",
    "is_zip",
    "list_series",
    "looks_like_dicom",
    "read_series",
    "write_series",
]
