"""Decode one compressed image. Called in a worker process only (`decoders.py`): native decoders may crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder  # type: ignore[attr-defined]
from pydicom.uid import UID

from thinslice.dicom import jpeg

_JPEG = "1.2.840.10008.1.2.4."
PLUGINS = {  # by transfer syntax: the decoder that was tested for it; without pyjpegls, GDCM decodes JPEG-LS
    "1.2.840.10008.1.2.5": "pylibjpeg",
    **{_JPEG + last: "pyjpegls" for last in ("80", "81")},
    **{_JPEG + last: "pylibjpeg" for last in ("90", "91", "201", "202", "203")},
}


@dataclass(frozen=True)
class Layout:
    """What the header says of an image: transfer syntax, matrix, bits allocated and stored, sign."""

    syntax: str
    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool


def decode_image(codestream: bytes, layout: Layout) -> np.ndarray:
    """(rows, columns) unsigned container values.

    Raises:
        ModuleNotFoundError: naming the decoder that is not installed.
        Exception: of any type, on damaged data.
    """
    plugin = PLUGINS.get(layout.syntax)
    decoder = cast(Any, get_decoder)(UID(layout.syntax)) if plugin else None
    missing = decoder is not None and plugin not in decoder.available_plugins
    if layout.syntax in jpeg.SYNTAXES or (missing and layout.syntax in jpeg.LS_SYNTAXES):
        return jpeg.decode_jpeg(
            codestream,
            layout.syntax,
            rows=layout.rows,
            columns=layout.columns,
            allocated=layout.allocated,
            stored=layout.stored,
            signed=layout.signed,
        )
    if decoder is None or missing:
        raise ModuleNotFoundError(name=plugin)
    options: Any = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    array, _ = decoder.as_array(encapsulate([codestream]), raw=True, decoding_plugin=plugin, **options)
    return np.asarray(array).reshape(layout.rows, layout.columns)
