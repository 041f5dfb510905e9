"""Source and result say the same of patient and study: dcentvfy is silent, and dciodvfy finds nothing new."""

import re
import subprocess
import warnings
from pathlib import Path

import pydicom
import pytest
from dicom_phantom import each, save
from entities import EVERY, FAULTS, TEXTS, code, fault, give, put, takes_several, text_of
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from thin import PROVENANCE, linear_thin

from thinslice.io.dicom import read_series
from thinslice.io.dicom.headers.carried import carried_from
from thinslice.io.dicom.headers.codes import Findings
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.read import find_series
from thinslice.io.writing import write

pytestmark = [pytest.mark.dicom3tools, pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")]
TYPE_2 = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
TYPE_2 += ("AccessionNumber", "ReferringPhysicianName")
OF_AN_ANIMAL = ("ResponsiblePerson", "ResponsibleOrganization", "PatientSexNeutered", "PatientBreedDescription")
"""Required there, if only empty."""
SOUND = {
    "Error - </ReferencedPatientPhotoSequence(0010,1100)[1]/ReferencedSOPSequence(0008,1199)[1]"
    "/HL7InstanceIdentifier(0040,e001)> - Missing attribute for Type 1C Conditional - "
    "Module=<ReferencedInstancesAndAccessMacro>"
}
"""What dciodvfy says of the valid values: it asks for a document's identifier of a picture."""


@pytest.fixture(autouse=True)
def _tools(dicom3tools) -> None:
    pass


def made(change, folder: Path) -> tuple[list[Path], list[Path], str]:
    """Files of a source with the change in each slice, files of its result, and what is said when it is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(each(change, slices=4), folder / "in")
        source = read_series(folder / "in")
        notices = write(linear_thin(source, factor=2), folder / "out", source=source, provenance=PROVENANCE)
    said = "".join(notice.message for notice in notices if notice.code == "DCM-CARRIED")
    return sorted((folder / "in").iterdir()), sorted((folder / "out").iterdir()), said


def lines(*command: object) -> list[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode("latin-1").splitlines()


def errors(file: Path) -> set[str]:
    """Errors of dciodvfy but that on SyntheticData, which is younger than its dictionary."""
    found = {line for line in lines("dciodvfy", "-new", file) if line.startswith("Error")}
    return {line for line in found if "(0008,001c)" not in line}


def assert_same(sources: list[Path], results: list[Path]) -> None:
    assert lines("dcentvfy", *sources, *results) == []
    assert errors(results[0]) - errors(sources[0]) == set()


def give_all(ds: Dataset) -> None:
    for keyword in EVERY:
        give(ds, keyword)


def with_blanks(_: int, ds: Dataset) -> None:
    give_all(ds)
    for keyword in TEXTS:
        if dictionary_VR(tag_for_keyword(keyword)) in ("LO", "SH", "LT", "ST", "PN"):
            put(ds, keyword, f"  {text_of(keyword)}   ".encode())


def with_several(_: int, ds: Dataset) -> None:
    give_all(ds)
    for keyword in TEXTS:
        if takes_several(keyword):
            put(ds, keyword, b" one\\two \\" + b"x " * 5)
    for keyword in EVERY:
        if dictionary_VR(tag_for_keyword(keyword)) == "SQ":
            setattr(ds, keyword, Sequence([*ds[keyword].value, *ds[keyword].value]))


def in_characters(charset, text):
    def change(_: int, ds: Dataset) -> None:
        give_all(ds)
        ds.SpecificCharacterSet = charset
        for keyword in TEXTS:
            if dictionary_VR(tag_for_keyword(keyword)) in ("LO", "LT", "ST", "PN"):
                setattr(ds, keyword, f"{text}^{text}" if "Name" in keyword else text)
        ds.ProcedureCodeSequence = Sequence([code(text)])

    return change


def without_all(_: int, ds: Dataset) -> None:
    for keyword in EVERY:
        ds.pop(tag_for_keyword(keyword), None)


def empty_all(_: int, ds: Dataset) -> None:
    for keyword in EVERY:
        setattr(ds, keyword, Sequence([]) if dictionary_VR(tag_for_keyword(keyword)) == "SQ" else None)


SOURCES = {
    "every attribute": lambda _, ds: give_all(ds),
    "none": without_all,
    "all empty": empty_all,
    "blanks": with_blanks,
    "nothing but blanks": lambda _, ds: [put(ds, k, b"    ") for k in TEXTS if k not in ("PatientID",)],
    "several values": with_several,
    "latin": in_characters("ISO_IR 100", "Müller"),
    "utf-8": in_characters("ISO_IR 192", "山田 Ünal"),
    "japanese": in_characters(["", "ISO 2022 IR 87"], "山田"),
    "chinese": in_characters("GB18030", "王小东"),
    "lines": lambda _, ds: [put(ds, k, b"one\r\ntwo ") for k in ("PatientComments", "AdditionalPatientHistory")],
    "a number in another way": lambda _, ds: put(ds, "PatientWeight", b" +070.50"),
    "a time in another way": lambda _, ds: put(ds, "StudyTime", b"0304"),
    "a trial's subject without a sponsor": lambda _, ds: [
        setattr(ds, f"ClinicalTrial{word}", "") for word in ("SponsorName", "ProtocolName", "SiteID", "SiteName")
    ],
    "no frame of reference": lambda _, ds: ds.pop("FrameOfReferenceUID"),
    "frame of reference empty": lambda _, ds: setattr(ds, "FrameOfReferenceUID", ""),
    "items with nothing that is copied": lambda _, ds: setattr(
        ds, "ProcedureCodeSequence", Sequence([private_only(), code()])
    ),
} | {f"no {keyword}": lambda _, ds, keyword=keyword: ds.pop(tag_for_keyword(keyword)) for keyword in TYPE_2}


def private_only() -> Dataset:
    ds = Dataset()
    ds.private_block(0x0009, "SECRET", create=True).add_new(1, "LO", "vendor value")
    return ds


@pytest.mark.parametrize("name", SOURCES)
def test_source_and_result_say_the_same(name, tmp_path):
    sources, results, said = made(SOURCES[name], tmp_path)
    assert_same(sources, results)
    assert said == ""
    assert not any(b"vendor value" in file.read_bytes() for file in results)


def test_every_byte_is_the_same_but_for_padding(tmp_path):
    (source, *_), (result, *_), _ = made(SOURCES["blanks"], tmp_path)
    one, other = pydicom.dcmread(source), pydicom.dcmread(result)
    for keyword in TEXTS:
        assert bytes(one.get_item(keyword).value).rstrip() == bytes(other.get_item(keyword).value).rstrip(), keyword


def test_sequences_are_the_same_but_for_private_elements(tmp_path):
    (source, *_), (result, *_), _ = made(SOURCES["every attribute"], tmp_path)
    one, other = pydicom.dcmread(source), pydicom.dcmread(result)
    one.remove_private_tags()
    for keyword in EVERY:
        assert one[keyword] == other[keyword], keyword


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_invalid_is_left_out_and_named_once(name, tmp_path):
    """Each of these attributes at once has a fault; PatientName and the like are then empty."""
    spoilt = {keyword: value for keyword in TEXTS if (value := fault(name, keyword)) is not None}

    def change(_: int, ds: Dataset) -> None:
        give_all(ds)
        for keyword, value in spoilt.items():
            put(ds, keyword, value)

    (source, *_), (result, *_), said = made(change, tmp_path)
    assert errors(source)
    assert errors(result) - SOUND == set()
    header = pydicom.dcmread(result)
    named = re.findall(r"\w+", said)
    for keyword in spoilt:
        assert named.count(keyword) == 1, keyword
        assert not header.get(keyword), keyword
        assert (keyword in header) == (keyword in (*TYPE_2, *OF_AN_ANIMAL)), keyword


SINGLE_FAULTS = [
    *[("PatientSex", b"0000"), ("PatientSex", b"m "), ("SmokingStatus", b"PERHAPS "), ("QualityControlSubject", b"X ")],
    *[("PregnancyStatus", b"\x09\0"), ("PatientIdentityRemoved", b"MAYBE "), ("TimezoneOffsetFromUTC", b"+9900 ")],
    *[("BodyPartExamined", b"chest "), ("Laterality", b"x "), ("ScanOptions", b"HELICAL mode"), ("KVP", b"some 120")],
    *[("FilterType", b"x" * 20), ("RotationDirection", b"cw"), ("AcquisitionNumber", b"1.5 ")],
    *[("ConvolutionKernel", b"x" * 18), ("ProtocolName", b"x" * 70), ("InstitutionName", b"x" * 70)],
    *[("Manufacturer", b"M\xfcller"), ("SoftwareVersions", b"1\x002 "), ("AcquisitionDate", b"2020-01-02")],
    *[("ContrastBolusAgent", b"x" * 70), ("SeriesDescription", b"M\xfcller"), ("FrameOfReferenceUID", b"1.2.x ")],
    *[("ResponsiblePersonRole", b"owner "), ("ClinicalTrialSponsorName", b"x" * 70)],
    *[("PositionReferenceIndicator", b"x" * 70), ("SpecificCharacterSet", b"ISO_IR 999")],
    *[("DeidentificationMethod", b"x" * 70), ("PatientPosition", b"head ")],
]


@pytest.mark.parametrize(("keyword", "value"), SINGLE_FAULTS)
def test_a_single_fault(keyword, value, tmp_path):
    def change(_: int, ds: Dataset) -> None:
        for other in EVERY:
            if other.startswith(("Clinical", "Responsible", "PatientIdentity", "Deidentification")):
                give(ds, other)
        put(ds, keyword, value)

    (source, *_), (result, *_), said = made(change, tmp_path)
    assert errors(result) - {line for line in errors(source) if keyword not in line} == set()
    assert re.findall(r"\w+", said).count(keyword) == 1
    assert value not in result.read_bytes() or len(value) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda code: setattr(code, "CodeMeaning", "x" * 70),
        lambda code: put(code, "CodeValue", b"a\nb "),
        lambda code: put(code, "CodeMeaning", b"M\xfcller"),
        lambda code: put(code, "ContextUID", b"1.2.03"),
    ],
)
def test_a_fault_in_an_item_takes_its_sequence_along(spoil, tmp_path):
    def change(_: int, ds: Dataset) -> None:
        ds.ProcedureCodeSequence = Sequence([code(), code()])
        spoil(ds.ProcedureCodeSequence[1])

    (source, *_), (result, *_), said = made(change, tmp_path)
    assert errors(source)
    assert errors(result) == set()
    assert "ProcedureCodeSequence" not in pydicom.dcmread(result)
    assert re.findall(r"\w+", said).count("ProcedureCodeSequence") == 1


def test_uids_of_images_that_are_none_are_not_referred_to(tmp_path):
    def change(number: int, ds: Dataset) -> None:
        ds.SOPInstanceUID = f"1.2.03.{number + 1}"

    _, (result, *_), said = made(change, tmp_path)
    assert errors(result) == set()
    assert "SourceImageSequence" not in pydicom.dcmread(result)
    assert "SOPInstanceUID (invalid" in said


def test_a_study_with_zeros_before_its_numbers_is_still_joined(tmp_path):
    _, (result, *_), said = made(lambda _, ds: setattr(ds, "StudyInstanceUID", "1.2.03.4"), tmp_path)
    assert pydicom.dcmread(result).StudyInstanceUID == "1.2.03.4"
    assert "StudyInstanceUID (invalid in the source, kept" in said


class TestSlicesThatDiffer:
    def test_what_some_slices_say_is_said_of_all(self, tmp_path):
        def change(number: int, ds: Dataset) -> None:
            if number % 2:
                ds.StudyDescription, ds.ProcedureCodeSequence = "Thorax", Sequence([code()])

        _, (result, *_), said = made(change, tmp_path)
        header = pydicom.dcmread(result)
        assert (header.StudyDescription, len(header.ProcedureCodeSequence)) == ("Thorax", 1)
        assert "StudyDescription, ProcedureCodeSequence (in some slices only" in said

    def test_what_slices_contradict_is_left_out(self, tmp_path):
        def change(number: int, ds: Dataset) -> None:
            ds.StudyDescription, ds.ProcedureCodeSequence = f"Thorax {number}", Sequence([code(f"{number}")])
            ds.PatientAge = "050Y"

        _, (result, *_), said = made(change, tmp_path)
        header = pydicom.dcmread(result)
        assert {"StudyDescription", "ProcedureCodeSequence"} & {element.keyword for element in header} == set()
        assert header.PatientAge == "050Y"
        assert "StudyDescription, ProcedureCodeSequence (differing" in said

    def test_blanks_are_no_difference(self, tmp_path):
        _, (result, *_), said = made(
            lambda number, ds: put(ds, "StudyDescription", b"Thorax" + b"  " * number), tmp_path
        )
        assert pydicom.dcmread(result).StudyDescription == "Thorax"
        assert said == ""


class TestFrameOfReference:
    def test_of_slices_with_one_each_is_that_of_the_first_image(self, tmp_path):
        """By its number, as viewers sort; which end of the scan it lies at does not matter."""

        def change(number: int, ds: Dataset) -> None:
            ds.FrameOfReferenceUID, ds.InstanceNumber = f"1.2.3.{number}", 20 - number

        save(each(change), tmp_path / "in")
        (slices,) = find_series(tmp_path / "in", Limits(), Findings()).series.values()
        assert carried_from(slices).text("FrameOfReferenceUID") == "1.2.3.11"

    def test_of_a_source_without_one_is_one_uid_for_all_its_results(self, tmp_path):
        save(each(lambda _, ds: ds.pop("FrameOfReferenceUID"), slices=4), tmp_path / "in")
        source = read_series(tmp_path / "in")
        for factor in (2, 3):
            write(linear_thin(source, factor=factor), tmp_path / f"{factor}", source=source, provenance=PROVENANCE)
        uids = {pydicom.dcmread(file).FrameOfReferenceUID for file in tmp_path.glob("[23]/*")}
        assert len(uids) == 1
        assert uids.pop().startswith("2.25.")


def test_tools_can_fail(tmp_path):
    """A result spoilt on purpose is found out."""
    sources, results, _ = made(SOURCES["every attribute"], tmp_path)
    spoilt = pydicom.dcmread(results[0])
    spoilt.PatientSex, spoilt.StudyDescription = "X", "another"
    spoilt.save_as(results[0])
    with pytest.raises(AssertionError):
        assert_same(sources, results)
