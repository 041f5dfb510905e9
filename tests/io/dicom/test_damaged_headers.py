"""Damage of a header by its class: a value under a wrong VR, a sequence that is none, a slice that seems another kind.

The volume is the undamaged one, or the series is refused with a code.
"""

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_makers import one_slice
from dicom_phantom import enhanced, file_bytes, save, series
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from thin import PROVENANCE

from thinslice.errors import InputError, ThinsliceError
from thinslice.io.dicom import read_series, write_series

# the generator writes odd values on purpose
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
NUMBERS = """
    Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness
"""
MIDDLE = 5
MACROS = ["PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"]
MACROS += ["PixelValueTransformationSequence", "FrameContentSequence"]


@pytest.fixture(scope="module")
def hu(tmp_path_factory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("plain")
    save(series(), folder)
    return read_series(folder).hu


def put(ds: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """An element as it stands, valid or not."""
    tag = Tag(tag_for_keyword(keyword))
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def save_under(folder: Path, vr: str, keyword: str, value: bytes | None = None) -> None:
    """A regular series whose middle slice has an attribute under another VR, its value kept or another."""
    folder.mkdir()
    for number, ds in enumerate(series()):
        data = file_bytes(ds)
        if number == MIDDLE:
            tag = Tag(tag_for_keyword(keyword))
            place = data.index(struct.pack("<HH", tag.group, tag.element), 132)
            end = place + 8 + int.from_bytes(data[place + 6 : place + 8], "little")
            new = data[place + 8 : end] if value is None else value
            length = struct.pack("<HI", 0, len(new)) if vr in ("OB", "SQ", "UN") else struct.pack("<H", len(new))
            data = data[: place + 4] + vr.encode() + length + new + data[end:]
        (folder / f"{number}.dcm").write_bytes(data)


@pytest.mark.parametrize("vr", ["AT", "OB", "SQ", "ZZ"])
@pytest.mark.parametrize("keyword", NUMBERS.split())
def test_a_number_under_a_vr_of_no_numbers_is_none(keyword, vr, hu, tmp_path):
    save_under(tmp_path / "in", vr, keyword, b"" if vr == "SQ" else b"0 ")
    if keyword != "SliceThickness":
        with pytest.raises(ThinsliceError):
            read_series(tmp_path / "in")
        return
    volume = read_series(tmp_path / "in")
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.thickness is None


@pytest.mark.parametrize("keyword", [*NUMBERS.split(), "Modality", "SOPClassUID", "PatientName"])
def test_a_value_of_unknown_vr_is_read_by_the_dictionary(keyword, hu, tmp_path):
    save_under(tmp_path / "in", "UN", keyword)
    volume = read_series(tmp_path / "in")
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.thickness == 5.0


def test_what_holds_no_text_is_not_carried_on(tmp_path):
    datasets = series()
    for ds in datasets:
        put(ds, "PatientName", "OB", b"\1\2\3\4")
    save(datasets, tmp_path / "in")
    volume = read_series(tmp_path / "in")
    write_series(volume, tmp_path / "out", source=volume, provenance=PROVENANCE)
    assert pydicom.dcmread(next((tmp_path / "out").iterdir())).PatientName == ""


@pytest.mark.parametrize("vr", ["OB", "LO", "AT"])
@pytest.mark.parametrize("keyword", ["PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", *MACROS])
def test_a_sequence_that_is_none(keyword, vr, tmp_path):
    ds = enhanced(series())
    for holder in (ds, *ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence[3:4]):
        if keyword in holder or keyword == "FrameContentSequence":
            put(holder, keyword, vr, bytes(20))
    save([ds], tmp_path)
    assert refused(tmp_path) == "DCM-UNREADABLE"


@pytest.mark.parametrize("described", [11, 13])
def test_more_or_fewer_frames_than_are_described(described, tmp_path):
    ds = enhanced(series(slices=13))
    ds.NumberOfFrames = 12
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:described]
    save([ds], tmp_path)
    assert refused(tmp_path) == "DCM-UNREADABLE"


def test_an_end_slice_that_seems_another_kind_is_not_left_out(tmp_path):
    def spoil(ds: Dataset) -> None:
        ds.SOPClassUID, ds.Rows = "1.2.840.10008.5.1.4.1.1.7", 23

    save(one_slice(spoil, 0), tmp_path / "class and matrix")
    assert refused(tmp_path / "class and matrix") == "DCM-NOTCT"
    save(one_slice(lambda ds: put(ds, "SOPClassUID", "UI", b"1.\xda.840"), 0), tmp_path / "class")
    assert refused(tmp_path / "class") == "DCM-NOTCT"


@pytest.mark.parametrize("charset", ["hex", "idna", "abc", "zlib\\hex"])
def test_character_sets_that_are_none(charset, hu, tmp_path):
    """Some are codecs of Python's, which fail on texts."""
    save(series(), tmp_path / "in")
    for file in (tmp_path / "in").iterdir():
        data = file.read_bytes()
        place = data.index(b"\x08\x00\x08\x00CS")
        value = charset.encode() + b" " * (len(charset) % 2)
        element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
        file.write_bytes(data[:place] + element + data[place:])
    volume = read_series(tmp_path / "in")
    np.testing.assert_array_equal(volume.hu, hu)
    write_series(volume, tmp_path / "out", source=volume, provenance=PROVENANCE)


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_series(folder)
    return caught.value.code
