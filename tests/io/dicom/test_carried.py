"""What a derived series carries of its source, row by row of docs/dicom.md, and that it carries nothing else."""

import warnings
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pydicom
import pytest
from dicom_cases import setting, tilted
from dicom_phantom import each, enhanced, save, series
from entities import TERMS, give
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from thin import PROVENANCE, linear_thin, written

from thinslice.io.dicom import read_series, write_series
from thinslice.io.dicom.headers.kept import OF_THE_STUDY
from thinslice.io.output_format import OutputFormat

# the generator writes odd values on purpose
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*"),
    pytest.mark.usefixtures("fixed_time"),
]


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def as_it_stands(**texts: str) -> list[Dataset]:
    """A regular series with texts written as they are, valid or not."""

    def change(_: int, ds: Dataset) -> None:
        for keyword, text in texts.items():
            ds.pop(tag_for_keyword(keyword), None)
            ds.add_new(tag_for_keyword(keyword), "LO", text)  # the reader looks at the bytes

    return each(change)


def first_written(datasets: list[Dataset], folder, **options) -> Dataset:
    return written(datasets, folder, **options)[2][0]


SAME = {
    "identity": {
        "PatientName": "Last^First",
        "PatientID": "P-1",
        "IssuerOfPatientID": "Here",
        "PatientBirthDate": "19501231",
        "PatientSex": "F",
        "EthnicGroup": "group",
        "PatientAge": "073Y",
        "PatientSize": "1.65",
        "PatientWeight": "58.5",
        "StudyID": "S-1",
        "StudyDescription": "Thorax",
        "AccessionNumber": "A-1",
        "ReferringPhysicianName": "Ref^Er",
    },
    "de-identified": {
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "by hand",
        "DeidentificationMethodCodeSequence": [code("113100", "Basic Application Confidentiality Profile", "DCM")],
        "LongitudinalTemporalInformationModified": "MODIFIED",
    },
    "true of every voxel": {
        "ProtocolName": "Thorax routine",
        "PatientPosition": "FFP",
        "PositionReferenceIndicator": "SN",
        "AcquisitionDate": "20200102",
        "AcquisitionTime": "030411.5",
        "AcquisitionNumber": 4,
        "KVP": "100",
        "ConvolutionKernel": "Br40d",
        "DataCollectionDiameter": "500",
        "ReconstructionDiameter": "350.5",
        "FilterType": "BODY",
        "RotationDirection": "CW",
        "ScanOptions": "HELICAL MODE",
    },
    "contrast": {"ContrastBolusAgent": "Iomeprol", "ContrastBolusRoute": "IV"},
    "anatomy by code": {"AnatomicRegionSequence": [code("51185008", "Chest")], "BodyPartExamined": "CHEST"},
    "paired part": {"BodyPartExamined": "KNEE", "Laterality": "R"},
    "other identifiers": {
        "OtherPatientIDsSequence": [item(PatientID="Q", IssuerOfPatientID="There", TypeOfPatientID="TEXT")]
    },
}


@pytest.mark.parametrize("name", SAME)
def test_what_all_slices_say_is_said_again(name, tmp_path):
    values = {key: Sequence(value) if isinstance(value, list) else value for key, value in SAME[name].items()}
    result = first_written(setting(**values), tmp_path)
    assert {keyword: result.get(keyword) for keyword in values} == values


def test_nothing_is_claimed_that_the_source_does_not(tmp_path):
    result = first_written(series(), tmp_path)
    for keyword in ("PatientIdentityRemoved", "TimezoneOffsetFromUTC", "ContrastBolusAgent", "AcquisitionTime"):
        assert keyword not in result


class TestSequences:
    def test_private_and_unlisted_elements_stay_behind(self, tmp_path):
        other = item(PatientID="Q", PatientAddress="Side Street 2")
        other.private_block(0x0009, "SECRET", create=True).add_new(1, "LO", "vendor value")
        region = code("51185008", "Chest")
        region.AnatomicRegionModifierSequence = Sequence([code("7771000", "Left")])
        region.AnatomicRegionModifierSequence[0].add_new(0x00091001, "UN", b"vendor value")
        result = first_written(
            setting(OtherPatientIDsSequence=Sequence([other]), AnatomicRegionSequence=Sequence([region])), tmp_path
        )
        assert result.OtherPatientIDsSequence == Sequence([item(PatientID="Q")])
        assert result.AnatomicRegionSequence[0].AnatomicRegionModifierSequence == Sequence([code("7771000", "Left")])
        data = (tmp_path / "out" / "IM0001.dcm").read_bytes()
        assert b"vendor value" not in data
        assert b"Side Street" not in data

    def test_depth_is_bounded(self, tmp_path):
        deep = code("1", "deepest")
        for _ in range(12):
            deep = item(CodeMeaning="deeper", AnatomicRegionModifierSequence=Sequence([deep]))
        result = first_written(setting(AnatomicRegionSequence=Sequence([deep])), tmp_path)
        levels, items = 0, result.AnatomicRegionSequence
        while items:
            levels, items = levels + 1, items[0].get("AnatomicRegionModifierSequence")
        assert levels == 3

    def test_what_differs_between_slices_is_left_out(self, tmp_path):
        def vary(number, ds):
            ds.AnatomicRegionSequence = Sequence([code("51185008", f"Chest {number % 2}")])

        assert "AnatomicRegionSequence" not in first_written(each(vary), tmp_path)


class TestTimes:
    @pytest.mark.parametrize(("offset", "hours"), [("+0100", 1), ("-0330", -3.5), ("+1400", 14)])
    def test_are_in_the_zone_of_the_source(self, offset, hours, tmp_path):
        result = first_written(setting(TimezoneOffsetFromUTC=offset), tmp_path)
        here = datetime.fromtimestamp(1_700_000_000, timezone(timedelta(hours=hours)))
        assert result.TimezoneOffsetFromUTC == offset
        for name in ("Series", "Content", "InstanceCreation"):
            assert (result[f"{name}Date"].value, result[f"{name}Time"].value) == (
                here.strftime("%Y%m%d"),
                here.strftime("%H%M%S"),
            )

    def test_an_offset_that_is_none_stops_nothing(self, tmp_path):
        result = first_written(as_it_stands(TimezoneOffsetFromUTC="+9900"), tmp_path)
        assert result.ContentTime == "221320"


class TestContrast:
    def test_agent_by_code_gets_its_name(self, tmp_path):
        result = first_written(
            setting(ContrastBolusAgentSequence=Sequence([code("109219008", "Iomeprol")]), ContrastBolusRoute="IV"),
            tmp_path,
        )
        assert (result.ContrastBolusAgent, result.ContrastBolusRoute) == ("Iomeprol", "IV")

    def test_route_without_agent_is_of_no_module(self, tmp_path):
        assert "ContrastBolusRoute" not in first_written(setting(ContrastBolusRoute="IV"), tmp_path)

    def test_agent_of_a_multi_frame_source(self, tmp_path):
        source = enhanced(setting(ContrastBolusAgentSequence=Sequence([code("109219008", "Iomeprol")])))
        assert first_written([source], tmp_path).ContrastBolusAgent == "Iomeprol"


class TestMultiFrame:
    def test_frame_groups_are_carried(self, tmp_path):
        source = enhanced(setting(BodyPartExamined=None, KVP=None, ConvolutionKernel=None))
        shared = source.SharedFunctionalGroupsSequence[0]
        shared.FrameAnatomySequence = Sequence([item(AnatomicRegionSequence=Sequence([code("51185008", "Chest")]))])
        shared.CTAcquisitionDetailsSequence = Sequence([item(RotationDirection="CW", DataCollectionDiameter=500.0)])
        shared.CTReconstructionSequence = Sequence([item(ConvolutionKernel="SOFT", ReconstructionDiameter=350.0)])
        shared.CTXRayDetailsSequence = Sequence([item(KVP=120.0, FilterType="BODY")])
        result = first_written([source], tmp_path)
        assert result.AnatomicRegionSequence[0].CodeMeaning == "Chest"
        assert (result.RotationDirection, result.FilterType, result.ConvolutionKernel) == ("CW", "BODY", "SOFT")
        assert (result.KVP, result.DataCollectionDiameter, result.ReconstructionDiameter) == (120, 500, 350)

    @pytest.mark.parametrize("differ", [False, True])
    def test_what_only_some_frames_say_is_not_said_of_all(self, differ, tmp_path):
        source = enhanced(setting(BodyPartExamined=None))
        for number, group in enumerate(source.PerFrameFunctionalGroupsSequence):
            region = code("45048000", "Neck") if differ and number > 5 else code("51185008", "Chest")
            group.FrameAnatomySequence = Sequence([item(AnatomicRegionSequence=Sequence([region]))])
        result = first_written([source], tmp_path)
        assert ("AnatomicRegionSequence" in result) == (not differ)


@pytest.mark.parametrize("text", ["abc", "70000", "1\\2", "1.5", "-1", "9"])
def test_words_that_fit_no_word_are_not_copied(text, tmp_path):
    assert "PregnancyStatus" not in first_written(as_it_stands(PregnancyStatus=text), tmp_path)


@pytest.mark.parametrize("keyword", ["KVP", "DataCollectionDiameter", "ReconstructionDiameter", "AcquisitionNumber"])
def test_numbers_that_are_none_are_not_copied(keyword, tmp_path):
    result = first_written(as_it_stands(**{keyword: "about 120"}), tmp_path)
    assert not result.get(keyword)


@pytest.mark.parametrize(
    ("source", "written_as"),
    [
        ({"WindowCenter": ["50", "-600"], "WindowWidth": ["350", "1500"]}, (50, 350)),
        ({}, (40, 400)),
        ({"WindowCenter": "abc", "WindowWidth": "400"}, (40, 400)),
        ({"WindowCenter": "40", "WindowWidth": "0"}, (40, 400)),
        ({"WindowCenter": "-600"}, (40, 400)),
    ],
)
def test_window(source, written_as, tmp_path):
    datasets = setting(**source) if isinstance(source.get("WindowCenter"), list) else as_it_stands(**source)
    result = first_written(datasets, tmp_path)
    assert (result.WindowCenter, result.WindowWidth) == written_as


@pytest.mark.parametrize(
    ("number", "asked", "expected"),
    [(3, None, 9003), (2**31 - 1, None, 2**31 - 1), (-5, None, 9000), (3, 0, 0), (3, 77, 77)],
)
def test_series_number(number, asked, expected, tmp_path):
    assert first_written(setting(SeriesNumber=number), tmp_path, series_number=asked).SeriesNumber == expected


@pytest.mark.parametrize(
    ("stated", "written_as"),
    [
        ("Thorax  \t axial", "Thorax axial | thinslice 1.25mm"),
        ("A\\B", "A B | thinslice 1.25mm"),
        ("x" * 64, "x" * 40 + " | thinslice 1.25mm"),
        (" ", "thinslice 1.25mm"),
    ],
)
def test_series_description_is_one_line_of_at_most_64(stated, written_as, tmp_path):
    assert first_written(as_it_stands(SeriesDescription=stated), tmp_path).SeriesDescription == written_as


class TestEquipment:
    def test_items_of_the_source_come_first(self, tmp_path):
        workstation = item(
            Manufacturer="Reformatter",
            ManufacturerModelName="W1",
            InstitutionAddress="Main Street 1",
            PurposeOfReferenceCodeSequence=Sequence([code("109102", "Processing Equipment", "DCM")]),
        )
        scanner = {"InstitutionName": "Hospital", "StationName": "CT3", "SoftwareVersions": ["a", "b"]}
        datasets = setting(ContributingEquipmentSequence=Sequence([workstation]), **scanner)
        result = first_written(datasets, tmp_path)
        assert "InstitutionName" not in result
        assert [entry.Manufacturer for entry in result.ContributingEquipmentSequence] == [
            *("Reformatter", "Phantom Works", "thinslice", "thinslice")
        ]
        first, second = result.ContributingEquipmentSequence[:2]
        assert "InstitutionAddress" not in first
        assert {keyword: second[keyword].value for keyword in scanner} == scanner
        for entry in result.ContributingEquipmentSequence[2:]:
            assert (entry.SoftwareVersions, entry.ContributionDateTime) == ("0.1.0", "20231114221320")
            assert entry.ContributionDescription == PROVENANCE.method

    def test_a_second_pass_names_the_scanner_once(self, tmp_path):
        written(series(), tmp_path)
        source = read_series(tmp_path / "out", allow_derived=True)
        write_series(linear_thin(source, factor=2), tmp_path / "again", source=source, provenance=PROVENANCE)
        result = pydicom.dcmread(tmp_path / "again" / "IM0001.dcm")
        purposes = [entry.PurposeOfReferenceCodeSequence[0].CodeValue for entry in result.ContributingEquipmentSequence]
        assert purposes == ["109101", "109102", "109100", "109102", "109100"]
        assert result.ContributingEquipmentSequence[0].Manufacturer == "Phantom Works"
        assert result.SyntheticData == "YES"


class TestDerivation:
    def test_says_what_it_is(self, tmp_path):
        provenance = replace(PROVENANCE, model="0123456789abcdef0123")
        text = first_written(series(), tmp_path, provenance=provenance).DerivationDescription
        for part in (
            *("synthesised", "thinslice 0.1.0", "linear interpolation", "model 0123456789abcdef"),
            *("not acquired data", "research use, not a medical device"),
        ):
            assert part in text

    def test_ends_whole_however_long_the_rest(self, tmp_path):
        provenance = replace(PROVENANCE, method="m" * 2000, version="v" * 99, model="d" * 64)
        text = first_written(series(), tmp_path, provenance=provenance).DerivationDescription
        assert len(text) <= 1024
        assert text.endswith("not acquired data; research use, not a medical device")


class TestRecognizable:
    """Thin slices of a head show a face better than thick ones: NO is not carried where one may be."""

    @pytest.mark.parametrize("part", ["HEAD", "HEADNECK", "SKULL", "BRAIN", "NECK", "WHOLEBODY", "", "PARTIALBODY"])
    def test_no_is_not_carried_where_a_face_may_be(self, part, tmp_path):
        datasets = setting(RecognizableVisualFeatures="NO", BodyPartExamined=part)
        assert "RecognizableVisualFeatures" not in first_written(datasets, tmp_path)

    @pytest.mark.parametrize("part", ["CHEST", "ABDOMEN", "LSPINE"])
    def test_no_is_carried_where_none_can_be(self, part, tmp_path):
        datasets = setting(RecognizableVisualFeatures="NO", BodyPartExamined=part)
        assert first_written(datasets, tmp_path).RecognizableVisualFeatures == "NO"

    @pytest.mark.parametrize("keyword", ["RecognizableVisualFeatures", "BurnedInAnnotation"])
    def test_yes_of_one_slice_is_yes(self, keyword, tmp_path):
        datasets = each(lambda number, ds: setattr(ds, keyword, "YES" if number == 5 else "NO"))
        assert first_written(datasets, tmp_path)[keyword].value == "YES"


class TestLossyHistory:
    def test_the_slice_that_was_compressed_most_counts(self, tmp_path):
        def compress(number, ds):
            if number:
                ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_15444_1"
                ds.LossyImageCompressionRatio = f"{5 + number % 4}"

        result = first_written(each(compress), tmp_path)
        assert result.LossyImageCompression == "01"
        assert (result.LossyImageCompressionRatio, result.LossyImageCompressionMethod) == (8, "ISO_15444_1")

    def test_a_lossy_file_that_says_nothing(self, tmp_path):
        def compress(_, ds):
            ds.compress("1.2.840.10008.1.2.4.81", jls_error=2, encoding_plugin="pyjpegls")
            for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                ds.pop(tag_for_keyword(keyword), None)

        datasets = setting()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for ds in datasets:
                ds.file_meta = pydicom.dataset.FileMetaDataset()
                ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
                compress(0, ds)
                ds.made_syntax = "1.2.840.10008.1.2.4.81"
        result = first_written(datasets, tmp_path)
        assert (result.LossyImageCompression, result.LossyImageCompressionMethod) == ("01", "ISO_14495_1")
        (file, *_) = sorted((tmp_path / "in").iterdir())
        raw = 2 * datasets[0].Rows * datasets[0].Columns
        assert raw / file.stat().st_size < result.LossyImageCompressionRatio < raw / 100

    @pytest.mark.parametrize("ratio", ["much", "0", "-3"])
    def test_a_ratio_that_is_none_is_not_copied(self, ratio, tmp_path):
        result = first_written(as_it_stands(LossyImageCompression="01", LossyImageCompressionRatio=ratio), tmp_path)
        assert result.LossyImageCompression == "01"
        assert "LossyImageCompressionRatio" not in result

    def test_a_lossless_source(self, tmp_path):
        result = first_written(series(), tmp_path)
        assert result.LossyImageCompression == "00"
        assert "LossyImageCompressionMethod" not in result


JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


class TestCharacterSets:
    @pytest.mark.parametrize(
        ("charset", "name", "words"),
        [
            (["", "ISO 2022 IR 87"], JAPANESE, "胸部"),
            (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", "胸部CT"),
            (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "흉부"),
            ("ISO_IR 100", "Müller^Jürgen", "Schädel"),
            ("ISO_IR 192", JAPANESE, "胸部"),
            ("GB18030", "Wang^XiaoDong=王^小东", "胸部"),
        ],
    )
    def test_names_descriptions_and_codes_are_kept(self, charset, name, words, tmp_path):
        datasets = setting(
            SpecificCharacterSet=charset,
            PatientName=name,
            SeriesDescription=words,
            StudyDescription=words,
            AnatomicRegionSequence=Sequence([code("1", words)]),
        )
        result = first_written(datasets, tmp_path)
        source = pydicom.dcmread(next((tmp_path / "in").iterdir()))
        assert result.get_item("PatientName").value == source.get_item("PatientName").value
        assert result.SpecificCharacterSet == charset
        assert result.PatientName == name
        assert result.SeriesDescription == f"{words} | thinslice 1.25mm"
        assert result.StudyDescription == words
        assert result.AnatomicRegionSequence[0].CodeMeaning == words

    def test_several_in_one_series_become_utf8(self, tmp_path):
        def mix(number, ds):
            ds.SpecificCharacterSet = (["", "ISO 2022 IR 87"], "ISO_IR 192")[number % 2]
            ds.PatientName, ds.SeriesDescription = JAPANESE, "胸部"
            ds.AnatomicRegionSequence = Sequence([code("1", "胸部")])

        result = first_written(each(mix), tmp_path)
        assert result.get_item("PatientName").value.rstrip() == JAPANESE.encode()
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert result.PatientName == JAPANESE
        assert result.SeriesDescription == "胸部 | thinslice 1.25mm"
        assert result.AnatomicRegionSequence[0].CodeMeaning == "胸部"

    @pytest.mark.parametrize("charset", ["ISO_IR 999", "ISO_IR 192"])
    def test_bytes_that_do_not_fit_are_left_out(self, charset, tmp_path):
        def spoil(_, ds):
            ds.SpecificCharacterSet = charset
            for keyword in ("PatientName", "SeriesDescription"):
                ds.pop(tag_for_keyword(keyword), None)
                ds.add_new(tag_for_keyword(keyword), "UN", b"M\xfcller")

        result = first_written(each(spoil), tmp_path)
        assert result.PatientName == ""
        assert result.SeriesDescription == "thinslice 1.25mm"


def test_upright_slices_of_a_tilted_scan_name_all_slices_they_cross(tmp_path):
    save(tilted(20), tmp_path / "in")
    source = read_series(tmp_path / "in")
    upright = source.affine.copy()  # same rows, columns upright, so that a plane runs through several source planes
    upright[:3, 1] = np.linalg.norm(upright[:3, 1]) * np.array([0, -1, 0])
    upright[:3, 2] = [0, 0, 1.25]
    volume = replace(source, affine=upright)
    write_series(volume, tmp_path / "out", source=source, provenance=PROVENANCE)
    depth = source.shape[1] * 0.9 * np.sin(np.radians(20))  # of an upright plane across the tilted ones
    assert depth > 5
    crossed = []
    for file in sorted((tmp_path / "out").iterdir()):
        result = pydicom.dcmread(file)
        named = {entry.ReferencedSOPInstanceUID for entry in result.SourceImageSequence}
        first = np.array([float(value) for value in result.ImagePositionPatient])
        rows = first + np.arange(result.Rows)[:, None] * 0.9 * np.array([0, 1, 0])
        crossed.append(0)
        for image in (pydicom.dcmread(path) for path in (tmp_path / "in").iterdir()):
            cosines = np.array([float(value) for value in image.ImageOrientationPatient])
            normal = np.cross(cosines[:3], cosines[3:])
            side = (rows - [float(value) for value in image.ImagePositionPatient]) @ normal
            if side.min() < 0 < side.max():  # it crosses this source slice
                assert image.SOPInstanceUID in named
                crossed[-1] += 1
    assert len(crossed) == len(volume.hu)
    assert max(crossed) == 2  # and one alone would not do


def test_uids_know_thickness_and_series_number_but_not_compression_or_time(tmp_path, monkeypatch):
    save(series(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    thin = linear_thin(source, factor=2)

    def uid(name: str, provenance=PROVENANCE, **options) -> str:
        form = OutputFormat(**options)
        return write_series(thin, tmp_path / name, form, source=source, provenance=provenance).series_uid

    plain = uid("plain")
    assert uid("thicker", provenance=replace(PROVENANCE, thickness_mm=2.0)) != plain
    assert uid("numbered", series_number=5) != plain
    assert uid("compressed", compress="jpegls") == plain
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert uid("later") == plain
    for name in ("compressed", "later"):
        for one in (tmp_path / name).iterdir():
            assert pydicom.dcmread(one).SOPInstanceUID == pydicom.dcmread(tmp_path / "plain" / one.name).SOPInstanceUID


CANARY = "CANARY"
_VALUES = {
    **dict.fromkeys(["LO", "SH", "LT", "ST", "UT", "UC", "CS", "PN", "AE", "UR"], CANARY),
    **dict.fromkeys(["DS", "IS"], "7"),
    "DA": "19990909",
    "TM": "090909",
    "DT": "19990909090909",
    "AS": "009Y",
    "UI": "1.2.3.4.999",
}


def with_every_attribute() -> list[Dataset]:
    """A regular series in which every text attribute of the standard that says nothing of geometry holds a canary."""
    from pydicom.datadict import DicomDictionary

    needed = {element.tag for element in series()[0]}
    groups = {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040, 0x0088, 0x4008, 0x0400}
    read_from = {"Concatenation", "TriggerTime", "TemporalPosition", "NominalPercentage", "SpecificCharacterSet"}
    datasets = series(slices=4)
    for ds in datasets:
        for tag, (vr, *_, keyword) in DicomDictionary.items():
            if tag >> 16 not in groups or tag in needed or vr not in _VALUES or not keyword:
                continue
            if not any(keyword.startswith(part) for part in read_from):
                ds.add_new(tag, vr, _VALUES[vr])
        for keyword in OF_THE_STUDY:
            if dictionary_VR(keyword) == "SQ" or keyword in TERMS:
                give(ds, keyword)
        ds.SyntheticData, ds.TimezoneOffsetFromUTC, ds.SpecificCharacterSet = "NO", "+0000", "ISO_IR 100"
        ds.RotationDirection = "CW"
        ds.LongitudinalTemporalInformationModified = "MODIFIED"
        del ds.FrameType
        ds.private_block(0x0009, CANARY, create=True).add_new(1, "LO", CANARY)
        for keyword in ("AnatomicRegionSequence", "OtherPatientIDsSequence", "ContributingEquipmentSequence"):
            setattr(ds, keyword, Sequence([code("1", "x")]))
        for keyword in ("DeidentificationMethodCodeSequence", "ContrastBolusAgentSequence"):
            setattr(ds, keyword, Sequence([code("1", "x")]))
        ds.PregnancyStatus, ds.LongitudinalTemporalOffsetFromEvent = 4, 1.5
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", "9"
        ds.LossyImageCompressionMethod = "ISO_15444_1"
        ds.BurnedInAnnotation = ds.RecognizableVisualFeatures = "YES"
        ds.BodyPartExamined, ds.Laterality = "KNEE", "R"
        ds.PixelPaddingValue = -2000
        stored = np.frombuffer(ds.PixelData, "<i2").copy()
        stored[:40] = -2000
        ds.PixelData = stored.tobytes()
    return datasets


def test_the_page_for_radiology_names_what_is_written_and_nothing_else(repository, tmp_path):
    """docs/dicom.md lists, attribute by attribute, what goes out; the list is compared with a file."""
    page = (repository / "docs" / "dicom.md").read_text()
    section = page.split("### What goes out, attribute by attribute")[1].split("\n## ")[0].split("\n### ")[0]
    table = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))
    named = {word for word in table.replace(",", " ").split() if tag_for_keyword(word)}
    written_out = {element.keyword for element in first_written(with_every_attribute(), tmp_path)}
    assert written_out - named == set()
    assert named - written_out == set()


def test_no_value_of_an_unlisted_attribute_is_anywhere_in_the_file(tmp_path):
    """Apart from the copied attributes, no canary: looked for in the bytes, whatever element they may be in."""
    from thinslice.io.dicom.headers.kept import COPIED, EQUIPMENT

    datasets = with_every_attribute()
    listed = {*COPIED, *EQUIPMENT, "SeriesDescription"}
    for ds in datasets:
        for element in list(ds):
            if element.value == CANARY and element.keyword in listed:
                setattr(ds, element.keyword, "" if dictionary_VR(element.tag) != "CS" else "X")
    first_written(datasets, tmp_path)
    for file in (tmp_path / "out").iterdir():
        assert CANARY.encode() not in file.read_bytes()
