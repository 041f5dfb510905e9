"""NIfTI, NRRD and MetaImage in and out. DICOM has its own package."""

from thinslice.io.files.assemble import check_values
from thinslice.io.files.header import FileHeader, read_header
from thinslice.io.files.names import ENDINGS, check_there, ending_of, has_known_ending, parts, parts_read
from thinslice.io.files.reading import marks_of, read, read_labels, read_values
from thinslice.io.files.writing import check_target, write, write_labels

__all__ = [
    "ENDINGS",
    "FileHeader",
    "check_target",
    "check_there",
    "check_values",
    "ending_of",
    "has_known_ending",
    "marks_of",
    "parts",
    "parts_read",
    "read",
    "read_header",
    "read_labels",
    "read_values",
    "write",
    "write_labels",
]
