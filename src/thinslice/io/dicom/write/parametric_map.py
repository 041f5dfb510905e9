"""The uncertainty of a derived series as a DICOM Parametric Map of the same study."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from thinslice.errors import UsageError
from thinslice.io.dicom.headers.quiet import quiet
from thinslice.io.dicom.write.uid import uid_from
from thinslice.system.output import whole_file
from thinslice.volume import LPS_TO_RAS, Volume

_STEP_HU = 1 / 16  # of a stored value; 16 bits hold 4,095 HU
_MOST = (1 << 16) - 1
_NUMBER_OFFSET = 1  # of the series, from that of the derived one


def check_maps() -> None:
    """Refuse a Parametric Map where highdicom is not installed.

    Raises:
        UsageError: USE-MAPS.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        message = "a Parametric Map needs the package highdicom: install thinslice[dicom-maps]"
        raise UsageError("USE-MAPS", f"{message}, or name a file such as unc.nii.gz") from None


@quiet()
def write_parametric_map(values: Volume, path: Path, *, series: Path, meaning: str, overwrite: bool = False) -> None:
    """Write HU as a Parametric Map, one multi-frame file that joins the study of a derived series.

    Values are stored as whole sixteenths of a HU, with a real world value mapping that says so.

    Args:
        values: (n, y, x) HU from 0 up, on the grid of the series.
        path: of the file.
        series: folder of the derived series, as `write_series` made it.
        meaning: of the values, in one sentence.
        overwrite: replace an existing file.

    Raises:
        OutputError: OUT-EXISTS, OUT-WRITE, OUT-FULL.
        UsageError: USE-MAPS.
    """
    check_maps()
    import highdicom
    from pydicom.sr.codedict import codes

    slices = [dcmread(file, stop_before_pixels=True) for file in sorted(series.glob("IM*.dcm"))]
    stored = np.rint(values.hu[_order(values, slices)] / _STEP_HU).clip(0, _MOST).astype(np.uint16)
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="UNCERTAINTY", lut_explanation="Error to be expected, RMS", unit=codes.UCUM.HounsfieldUnit,
        value_range=(0, _MOST), slope=_STEP_HU, intercept=0,
        quantity_definition=highdicom.sr.CodedConcept("UNCERTAINTY", "99THINSLICE", "Root-mean-square error expected"),
    )  # fmt: skip
    first = slices[0]
    series_uid = uid_from("map", first.SeriesInstanceUID, hashlib.sha256(stored.tobytes()).hexdigest())
    wide = float(np.percentile(stored, 99)) or 1.0
    dataset = highdicom.pm.ParametricMap(
        source_images=slices, pixel_array=stored, series_instance_uid=series_uid,
        series_number=int(first.SeriesNumber) + _NUMBER_OFFSET, sop_instance_uid=uid_from("map instance", series_uid),
        instance_number=1, manufacturer="thinslice", manufacturer_model_name="thinslice",
        software_versions=first.SoftwareVersions, device_serial_number="0",
        contains_recognizable_visual_features=False, real_world_value_mappings=[mapping], window_center=wide / 2,
        window_width=wide, content_label="UNCERTAINTY", content_description=meaning[:64],
    )  # fmt: skip
    dataset.SeriesDescription = f"{first.get('SeriesDescription', '')} uncertainty".strip()[:64]
    dataset.SyntheticData = "YES"
    for keyword in ("BodyPartExamined", "Laterality"):  # highdicom leaves them to images
        if keyword in first:
            setattr(dataset, keyword, first[keyword].value)
    with whole_file(path, overwrite=overwrite) as temporary:
        dataset.save_as(temporary)


def _order(values: Volume, slices: Sequence[Dataset]) -> list[int]:
    """Which slice of the volume each one of the series is, by its position."""
    lps = LPS_TO_RAS @ values.affine
    step = lps[:3, 2]
    offsets = [np.array(one.ImagePositionPatient, float) - lps[:3, 3] for one in slices]
    return [round(float(offset @ step / (step @ step))) for offset in offsets]
