"""A side-car beside a scan: what is read of it, and that nothing in it can do harm."""

import json

import nibabel as nib
import numpy as np
import pytest

import thinslice
from thinslice.errors import InputError
from thinslice.io import files, scan
from thinslice.volume import Volume

AFFINE = np.diag([0.8, 0.9, 5.0, 1.0])
HU = np.random.default_rng(0).integers(-1000, 400, (8, 20, 18)).astype(np.float32)
CANARY = "ZQXCANARY"


@pytest.fixture
def beside(tmp_path):
    """Writes a side-car, gives the scan that it lies beside."""

    def write(content, ending=".nii.gz"):
        files.write(Volume(HU, AFFINE), tmp_path / f"a{ending}")
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / f"a{ending}"

    return write


def codes(volume):
    return [notice.code for notice in volume.origin.warnings]


@pytest.mark.parametrize("ending", files.ENDINGS)
def test_thickness_is_the_side_cars_beside_every_format(ending, beside):
    volume = scan.read(beside({"SliceThickness": 5.0, "SpacingBetweenSlices": 5.0}, ending))
    assert volume.thickness == 5.0
    assert codes(volume) == []


def test_the_record_says_where_thickness_came_from(beside):
    path = beside({"SliceThickness": 1.0})
    scans = {"side-car": {}, "option": {"thickness": 3.0}}
    for said, options in scans.items():
        told = thinslice.enhance(path, factor=2, fit="none", **options).record["input"]
        assert told["thickness_from"] == said
        assert told["thickness_mm"] == options.get("thickness", 1.0)
        assert told["regime"] == "gap"
    assert scan.read(path, thickness=4.0).thickness == 4.0
    assert scan.read(nib.load(path)).thickness == 1.0


def test_thin_slices_with_gaps_are_remarked(beside):
    assert codes(scan.read(beside({"SliceThickness": 1.0}))) == ["FILE-THICK"]


def test_a_spacing_that_contradicts_the_header_is_remarked_and_the_header_rules(beside):
    volume = scan.read(beside({"SliceThickness": 5, "SpacingBetweenSlices": 2.5}))
    assert volume.slice_spacing_mm == pytest.approx(5)
    assert codes(volume) == ["FILE-SIDECAR"]


BROKEN = {
    "empty": "",
    "no JSON": "{",
    "list": [1, 2],
    "text": '"SliceThickness"',
    "number": "5",
    "null": "null",
    "deep": "[" * 100_000,
    "huge": "{" + " " * (2 << 20) + "}",
    "endless number": '{"SliceThickness": ' + "9" * 10_000 + "}",
    "bytes": b"\xff\xfe\x00{}",
    "NaN": '{"SliceThickness": NaN}',
    "infinity": '{"SliceThickness": 1e999}',
    "large integer": {"SliceThickness": 10**400},
    "negative": {"SliceThickness": -1.0},
    "zero": {"SliceThickness": 0},
    "string": {"SliceThickness": "5 mm"},
    "true": {"SliceThickness": True},
    "array": {"SliceThickness": [5.0]},
    "object": {"SpacingBetweenSlices": {"mm": 5}},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_side_car_is_remarked_and_not_used(what, beside):
    volume = scan.read(path := beside(BROKEN[what]))
    assert volume.thickness is None
    assert codes(volume) == ["FILE-SIDECAR"]
    with pytest.raises(InputError):
        scan.read(path, strict=True)


ODD = [
    {},
    {"volumes": [], "command": "inspect"},
    {"Modality": 3, "ImageType": 5, "Manufacturer": ["a"], "GeneratedBy": "me", "thinslice": "yes"},
    {"ImageType": [], "GeneratedBy": [3, {"Name": 4}], "thinslice": {}, "SyntheticData": "NO"},
    {"Modality": "Computed Tomography", "ImageType": [["DERIVED"]], "SyntheticData": None},
]


@pytest.mark.parametrize("content", ODD)
def test_foreign_json_changes_nothing(content, beside):
    volume = scan.read(beside(content))
    assert (volume.thickness, codes(volume), volume.origin.mark) == (None, [], None)


@pytest.mark.parametrize("modality", ["MR", "PT", "NM"])
def test_another_modality_is_refused(modality, beside):
    path = beside({"Modality": modality})
    for source in (path, nib.load(path)):
        with pytest.raises(InputError) as caught:
            scan.read(source)
        assert caught.value.code == "FILE-NOTCT"
        assert modality in caught.value.message
    files.read_values(path)  # labels drawn on a scan may lie beside anything


def test_a_folder_or_pipe_of_that_name_is_none(tmp_path):
    import os

    for number, make in enumerate((os.mkdir, os.mkfifo)):
        files.write(Volume(HU, AFFINE), tmp_path / f"{number}.nii")
        make(tmp_path / f"{number}.json")
        assert codes(scan.read(tmp_path / f"{number}.nii")) == []


def test_nothing_of_a_patient_is_read_and_what_still_holds_is_carried(beside, tmp_path):
    names = ("PatientName", "PatientID", "SeriesDescription", "ProtocolName", "InstitutionName", "StationName")
    content = dict.fromkeys(names, CANARY) | {"ImageType": ["ORIGINAL", CANARY], "Modality": CANARY}
    content |= {"Manufacturer": "Phantom Works", "ConvolutionKernel": "SOFT", "KVP": 120, "SpiralPitchFactor": 0.9}
    path = beside(content | {"SliceThickness": 5.0, "thinslice": {"synthetic": False, "version": CANARY}})
    result = thinslice.enhance(path, factor=2, fit="none")
    result.save(tmp_path / "thin.nii.gz")
    written = (tmp_path / "thin.json").read_text()
    assert CANARY not in written + json.dumps(result.record)
    assert CANARY.encode() not in (tmp_path / "thin.nii.gz").read_bytes()
    found = json.loads(written)
    assert (found["Manufacturer"], found["ConvolutionKernel"], found["KVP"]) == ("Phantom Works", "SOFT", 120)
    assert (found["SliceThickness"], found["SpacingBetweenSlices"]) == (2.5, 2.5)
    assert found["ImageType"][0] == "DERIVED"
    assert found["SyntheticData"] is True


def test_a_foreign_mark_is_kept_only_as_far_as_it_is_known(beside):
    mark = {"synthetic": True, "version": CANARY, "settings_sha256": CANARY, "method": {"fit": CANARY, "x": CANARY}}
    mark |= {"acquired_slices": [[0, -1, 0]], "input": {"slices": CANARY}, "note": CANARY, CANARY: 1}
    volume = scan.read(beside({"thinslice": mark}), allow_derived=True)
    assert CANARY not in json.dumps(volume.origin.mark)
    assert volume.origin.mark["synthetic"] is True
