"""The record of a run: complete, by its schema, and without anybody's identity."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import thinslice
from thinslice.evaluation.protocols import cut
from thinslice.io import scan
from thinslice.phantom import make_phantom, thicken
from thinslice.record import axis_codes


@pytest.fixture(scope="module")
def schema(repository: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads((repository / "docs/record.schema.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def thin() -> thinslice.Volume:
    return make_phantom(shape=(60, 32, 32), spacing_mm=(1.0, 4.0, 4.0)).volume


@pytest.mark.parametrize(
    ("thickness_mm", "regime", "options"),
    [
        (1.0, "gap", {"spacing": 1.0}),
        (3.0, "gap", {"spacing": 1.3, "consistency": "off"}),
        (4.0, "contiguous", {"factor": 2, "views": ("coronal",)}),
        (8.0, "overlap", {"spacing": 2.0, "profile": "gauss"}),
    ],
)
def test_records_follow_the_schema(
    thickness_mm: float, regime: str, options: dict[str, Any], thin: thinslice.Volume, schema: Draft202012Validator
) -> None:
    thick, _ = thicken(thin, 4.0, thickness_mm=thickness_mm)
    result = thinslice.enhance(thick, iterations=1, **options)
    record = json.loads(json.dumps(result.record, allow_nan=False))
    schema.validate(record)
    assert record["input"]["regime"] == regime
    assert (record["input"]["thickness_mm"], record["input"]["thickness_from"]) == (thickness_mm, "file")
    assert record["output"]["grid"]["shape"] == list(result.volume.shape)
    np.testing.assert_allclose(record["output"]["grid"]["affine"], result.volume.affine)
    assert (record["consistency"] is None) == (options.get("consistency") == "off")
    assert record["method"]["views"] == list(options.get("views", ("coronal", "sagittal")))  # those with a weight
    assert record["times_s"]["total"] >= max(v for k, v in record["times_s"].items() if k != "total")


def test_a_record_says_what_was_told_what_is_padding_and_that_nobody_checked() -> None:
    few = make_phantom(shape=(5, 32, 32), spacing_mm=(5.0, 4.0, 4.0)).volume
    padding = np.zeros(few.shape, bool)
    padding[:, :3] = True
    scan_ = replace(few, hu=np.where(padding, -2000, few.hu), thickness=None, padding=padding)
    for thickness, said in ((None, (5.0, "spacing")), (2.0, (2.0, "option"))):
        record = thinslice.enhance(scan_, factor=2, thickness=thickness, iterations=1).record
        assert (record["input"]["thickness_mm"], record["input"]["thickness_from"]) == said
        assert record["input"]["padding_voxels"] == padding.sum()
        assert record["output"]["padding_voxels"] == len(padding[0, :3].ravel()) * record["output"]["grid"]["shape"][0]
        assert (record["self_check"], [w["code"] for w in record["warnings"]]) == (None, ["FIT-UNCHECKED"])


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_axis_codes_are_nibabels(signs: tuple[int, int, int]) -> None:
    affine = np.diag([*signs, 1.0])[:, [1, 0, 2, 3]]
    assert axis_codes(affine) == "".join(nibabel.aff2axcodes(affine))


def test_a_dicom_record_names_nobody(shared_ct: Path) -> None:
    """No UID, path or patient attribute of the source reaches the record."""
    import pydicom

    folder = shared_ct / "dicom" / "acrinflt001_two_series_one_folder"
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in sorted(folder.rglob("*.dcm"))]
    uid = str(headers[0].SeriesInstanceUID)
    volume = cut(scan.read(folder, series=uid), region=96)
    record = json.dumps(thinslice.enhance(volume, factor=2, iterations=1).record)
    assert str(shared_ct) not in record
    checked = set()
    for header in headers:
        for keyword in (
            "PatientID",
            "PatientName",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "StudyDate",
        ):
            value = str(header.get(keyword, ""))
            if len(value) >= 4:  # what is shorter may be part of a figure
                assert value not in record, keyword
                checked.add(keyword)
    assert checked >= {"PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
