"""The door for results: a volume out, to a file or to a folder as a DICOM series.

Which of them follows from the path, as in `thinslice.io.scan`, the door for scans.
"""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thinslice.errors import Notice, OutputError, UsageError, named
from thinslice.io import dicom, files
from thinslice.io.output_format import OutputFormat
from thinslice.system.keywords import checks_keywords
from thinslice.system.output import refuse_full
from thinslice.system.paths import as_path
from thinslice.volume import Volume

if TYPE_CHECKING:
    from thinslice.io.dicom import Provenance

_LEAST_STEPS = 16  # HU from the lowest value to the highest: less, rounded, is a sketch
_NO_FOLDER_NAMES = (".dcm", ".zip", ".gz", ".img", ".hdr")  # a slip of the pen, no folder for a series


@checks_keywords()
def write(
    volume: Volume,
    path: str | PathLike[str],
    *,
    source: Volume | None = None,
    provenance: Provenance | None = None,
    dtype: str = "int16",
    sidecar: bool = True,
    compress: str = "none",
    series_number: int | None = None,
    like_source: bool = False,
    overwrite: bool = False,
) -> tuple[Notice, ...]:
    """Write a volume: to a file where the name ends as one, else to a folder as a DICOM series.

        >>> import thinslice
        >>> volume = thinslice.read("thick.nii.gz")
        >>> thinslice.write(volume, "copy.nrrd")
        ()
        >>> bool((thinslice.read("copy.nrrd").hu == volume.hu).all())
        True

    Args:
        volume: what to write.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, or a folder.
        source: the DICOM scan that the volume was made from (DICOM output only).
        provenance: how it was made (DICOM output only).
        dtype: "int16" or "float32" (files only).
        sidecar: whether a synthetic volume gets a side-car, NAME.json (NIfTI only).
        compress: "none", "jpegls", "j2k" or "rle" (DICOM output only).
        series_number: of the new series (DICOM output only).
        like_source: store pixels in the source's own bits, sign and intercept (DICOM output only).
        overwrite: replace what is there.

    Returns:
        What the user should know about the output.

    Raises:
        OutputError: OUT-FORMAT, OUT-EXISTS, OUT-WRITE, OUT-FULL.
        GeometryError: GEO-SHEAR.
        UsageError: USE-INPUT where it is no Volume; and as for `OutputFormat` and `check_target`.
    """
    form = OutputFormat(
        dtype=dtype, compress=compress, series_number=series_number, like_source=like_source, sidecar=sidecar,
        overwrite=overwrite,
    )  # fmt: skip
    return write_as(volume, path, form, source=source, provenance=provenance)


def write_as(
    volume: Volume,
    path: str | PathLike[str],
    form: OutputFormat,
    *,
    source: Volume | None = None,
    provenance: Provenance | None = None,
) -> tuple[Notice, ...]:
    """Write a volume in a form; arguments, what is returned and errors as for `write`."""
    if not isinstance(volume, Volume):
        raise UsageError("USE-INPUT", f"only a Volume is written, not a {type(volume).__name__}; read it first")
    path = as_path(path)
    _refuse_unfit(path, source or volume, form)
    rounded = () if form.dtype == "float32" else _rounding(volume)
    if files.has_known_ending(path):
        return (*files.write(volume, path, form), *rounded)
    if source is None or provenance is None:
        raise OutputError(
            "OUT-FORMAT", "a DICOM series needs the series it was made from; name a file, such as out.nii.gz"
        )
    written = dicom.write_series(volume, path, form, source=source, provenance=provenance)
    notices = []
    if written.remarks:
        notices.append(Notice("DCM-CARRIED", f"not all attributes of the source are in the result: {written.remarks}"))
    if written.clipped:
        message = f"{written.clipped} voxels beyond {written.bits} bits were clipped to the nearest value"
        notices.append(Notice("OUT-CLIP", message))
    return (*notices, *rounded)


def is_map(path: Path) -> bool:
    """Whether a path names a DICOM Parametric Map."""
    return path.suffix.lower() == ".dcm"


def write_map(values: Volume, path: Path, *, series: Path, meaning: str, overwrite: bool = False) -> None:
    """Write HU as a DICOM Parametric Map of the study of a derived series; arguments as for `write_parametric_map`."""
    dicom.write_parametric_map(values, path, series=series, meaning=meaning, overwrite=overwrite)


def _rounding(volume: Volume) -> tuple[Notice, ...]:
    """What to warn of where whole numbers hold next to nothing of what was measured."""
    measured = True if volume.padding is None else ~volume.padding
    lowest = float(volume.hu.min(where=measured, initial=np.inf))
    highest = float(volume.hu.max(where=measured, initial=-np.inf))
    if not 0 < highest - lowest < _LEAST_STEPS or np.array_equal(volume.hu, np.rint(volume.hu)):
        return ()
    steps = round(highest) - round(lowest) + 1
    message = (
        f"values from {lowest:.3g} to {highest:.3g} were rounded to {steps} whole number{'s' * (steps > 1)}: dtype "
        "float32 keeps them in files, and DICOM holds whole HU only"
    )
    return (Notice("OUT-ROUND", message),)


def check_target(path: str | PathLike[str], form: OutputFormat, *, source: Volume, upright: bool = False) -> None:
    """Refuse, before any work, an output that could not hold the result; whether it exists is not asked here.

    Args:
        path: the output.
        form: what is asked for of it.
        source: the scan it is to be made from: DICOM output needs DICOM input, and a sheared grid
            goes into NIfTI or DICOM only.
        upright: a sheared grid is made upright before it is written.

    Raises:
        OutputError: OUT-FORMAT.
        GeometryError: GEO-SHEAR.
        UsageError: USE-DTYPE, USE-COMPRESS, USE-SERIES, DCM-COMPRESS, DCM-LIKE-SOURCE.
    """
    path = as_path(path)
    _refuse_unfit(path, source, form)
    if files.has_known_ending(path):
        slices, rows, columns = source.shape  # split slabs reach beyond the source's by less than a slice
        files.check_target(path, affine=source.affine, shape=(slices + 1, rows, columns), upright=upright)
        return
    from thinslice.io.dicom.write.series import check_encoder, pixel_layout

    check_encoder(form.compress)
    pixel_layout(source, like_source=form.like_source)


def _refuse_unfit(path: Path, source: Volume, form: OutputFormat) -> None:
    """Refuse what goes with the other kind of output, and a folder for what was no DICOM.

    Raises:
        OutputError: OUT-FORMAT.
        UsageError: USE-DTYPE, USE-COMPRESS, USE-SERIES, DCM-LIKE-SOURCE.
    """
    if files.has_known_ending(path):
        for code, name, given in (
            ("USE-COMPRESS", "compress", form.compress != "none"),
            ("USE-SERIES", "series-number", form.series_number is not None),
            ("DCM-LIKE-SOURCE", "like-source", form.like_source),
        ):
            if given:
                raise UsageError(code, f"{name} goes with DICOM output; leave it out for a file")
        return
    if path.suffix.lower() in _NO_FOLDER_NAMES:
        raise OutputError(
            "OUT-FORMAT", f"output {named(path, '')} must be a folder (DICOM) or end in {', '.join(files.ENDINGS)}"
        )
    if source.origin.kind != "dicom":
        raise OutputError(
            "OUT-FORMAT",
            f"output {named(path, '')} names a folder, for DICOM, but the input is no DICOM; end it in "
            f"{', '.join(files.ENDINGS)}",
        )
    if form.dtype != "int16":
        raise UsageError("USE-DTYPE", f"dtype {form.dtype} goes with files; DICOM holds whole numbers")


def check_room(path: str | PathLike[str], form: OutputFormat, *, shape: tuple[int, int, int]) -> None:
    """Refuse, before any work, an output that its disk cannot hold; the size of compressed ones is not known before.

    Args:
        path: the output.
        form: its dtype and compress.
        shape: (n, y, x) of the result.

    Raises:
        ResourceError: RES-DISK with the figures.
    """
    path = as_path(path)
    if form.compress == "none" and files.ending_of(path) not in (".nii.gz", ".nrrd"):
        refuse_full(path, math.prod(shape) * np.dtype(form.dtype).itemsize)


def of_a_series(entry: Path) -> bool:
    """Whether what is in a folder is of a DICOM series that this program wrote, and may replace."""
    return dicom.wrote(entry)
