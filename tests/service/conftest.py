"""Where modules of this folder, and the phantom of DICOM, are found; threads of workers."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "io" / "dicom"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
