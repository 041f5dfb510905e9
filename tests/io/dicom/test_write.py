"""A derived series is what dicom.md says, byte for byte the same each time, and gives its volume back."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_cases import OBLIQUE, padded, raw_text, setting, tilted
from dicom_phantom import ROOT, each, enhanced, save, series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from thin import PROVENANCE, linear_thin, written

from thinslice.errors import OutputError, UsageError
from thinslice.io.dicom import read_series, write_series
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Origin, Volume

# the generator writes odd values on purpose
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*"),
    pytest.mark.usefixtures("fixed_time"),
]

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "tilted": lambda: tilted(12),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "padded": lambda: padded(-2000, -2000),
    "multi-frame": lambda: [enhanced(series())],
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("compress", ["none", "jpegls", "rle"])
def test_gives_its_volume_back(name, compress, tmp_path):
    _, thin, _ = written(SOURCES[name](), tmp_path, compress=compress)
    back = read_series(tmp_path / "out", allow_derived=True)
    np.testing.assert_array_equal(back.hu, np.rint(thin.hu))
    np.testing.assert_allclose(back.affine, thin.affine, atol=2e-6)
    assert back.thickness == thin.thickness
    assert (back.padding is None) == (thin.padding is None)
    if thin.padding is not None:
        np.testing.assert_array_equal(back.padding, thin.padding)


def test_j2k_gives_its_volume_back(tmp_path):
    def enlarge(_, ds):
        ds.Rows, ds.Columns = 64, 48

    save(each(enlarge, repaint=True), tmp_path / "in")
    source = read_series(tmp_path / "in")
    write_series(source, tmp_path / "out", OutputFormat(compress="j2k"), source=source, provenance=PROVENANCE)
    np.testing.assert_array_equal(read_series(tmp_path / "out", allow_derived=True).hu, np.rint(source.hu))


def test_small_images_that_j2k_declines_are_refused_and_leave_nothing(tmp_path):
    save(series(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    with pytest.raises(UsageError, match="24x20"):
        write_series(source, tmp_path / "out", OutputFormat(compress="j2k"), source=source, provenance=PROVENANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_two_runs_are_byte_equal(tmp_path):
    for run in ("a", "b"):
        written(padded(-2000, -2000), tmp_path / run)
    for one in sorted((tmp_path / "a" / "out").iterdir()):
        assert one.read_bytes() == (tmp_path / "b" / "out" / one.name).read_bytes()


def test_another_result_has_other_uids(tmp_path):
    save(series(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    thin = linear_thin(source, factor=2)
    brighter = np.array(thin.hu)
    brighter[3, 5, 5] += 1
    variants = {
        "same": (thin, PROVENANCE),
        "other voxels": (replace(thin, hu=brighter), PROVENANCE),
        "other model": (thin, replace(PROVENANCE, model="m2")),
        "other settings": (thin, replace(PROVENANCE, settings="s2")),
        "other grid": (linear_thin(source, factor=3), PROVENANCE),
    }
    uids = {
        name: write_series(volume, tmp_path / name, source=source, provenance=provenance).series_uid
        for name, (volume, provenance) in variants.items()
    }
    assert len(set(uids.values())) == len(variants)
    assert all(uid.startswith("2.25.") and len(uid) <= 44 for uid in uids.values())
    again = write_series(
        thin, tmp_path / "again", OutputFormat(compress="rle"), source=source, provenance=PROVENANCE
    ).series_uid
    assert again == uids["same"]
    instances = [pydicom.dcmread(file).SOPInstanceUID for name in variants for file in (tmp_path / name).iterdir()]
    assert len(set(instances)) == len(instances)


def test_equal_voxels_of_another_series_have_other_uids(tmp_path):
    """An archive keeps one of two instances of one UID: the original, or its de-identified copy."""
    uids = set()
    for name in "ab":

        def rename(number, ds, name=name):
            ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{ROOT}.8{ord(name)}", f"{ROOT}.8{ord(name)}.{number}"

        save(each(rename), tmp_path / name)
        source = read_series(tmp_path / name)
        uids.add(write_series(source, tmp_path / f"of {name}", source=source, provenance=PROVENANCE).series_uid)
    assert len(uids) == 2


def test_fields_of_the_derived_series(tmp_path):
    _, thin, files = written(series(), tmp_path)
    first, other = files[0], files[6]
    assert first.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert first.SyntheticData == "YES"
    assert "thinslice 0.1.0" in first.DerivationDescription
    assert first.DerivationCodeSequence[0].CodeValue == "113085"
    assert (first.Manufacturer, first.SoftwareVersions) == ("thinslice", "0.1.0")
    purposes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in first.ContributingEquipmentSequence]
    assert purposes == ["109101", "109102", "109100"]
    assert first.ContributingEquipmentSequence[0].Manufacturer == "Phantom Works"
    assert (first.SeriesNumber, first.SeriesDescription) == (9003, "Thick axial | thinslice 1.25mm")
    assert (first.SliceThickness, first.SpacingBetweenSlices) == (1.25, 1.25)
    assert (first.StudyInstanceUID, first.FrameOfReferenceUID) == (f"{ROOT}.1", f"{ROOT}.4")
    assert first.SeriesInstanceUID != f"{ROOT}.2"
    assert (first.RescaleSlope, first.RescaleIntercept, first.PixelRepresentation, first.BitsStored) == (1, 0, 1, 16)
    assert (first.ContentDate, first.ContentTime) == ("20231114", "221320")
    assert [ds.InstanceNumber for ds in files] == list(range(1, len(thin.hu) + 1))
    named = [item.ReferencedSOPInstanceUID for item in other.SourceImageSequence]
    assert named == [f"{ROOT}.3.2", f"{ROOT}.3.3"]  # slice 6 of 4 a gap lies between the second and the third
    assert [item.ReferencedSOPInstanceUID for item in first.SourceImageSequence] == [f"{ROOT}.3.1"]
    assert first.ReferencedSeriesSequence[0].SeriesInstanceUID == f"{ROOT}.2"


def test_places_spacing_and_purpose_of_a_tilted_series(tmp_path):
    _, _, files = written(tilted(12), tmp_path)
    tilt = np.radians(12)
    normal = np.array([0, -np.sin(tilt), np.cos(tilt)])
    for ds in files:
        assert float(ds.SliceLocation) == pytest.approx(normal @ np.array(ds.ImagePositionPatient, float), abs=1e-4)
        assert float(ds.SpacingBetweenSlices) == pytest.approx(1.25 * np.cos(tilt), abs=1e-5)
        for item in ds.SourceImageSequence:
            assert item.SpatialLocationsPreserved == "NO"
            assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_long_decimals_of_the_source_are_shortened(tmp_path):
    cosine = "0.70710678118654757"
    source = raw_text("ImageOrientationPatient", f"{cosine}\\{cosine}\\0\\-{cosine}\\{cosine}\\0")
    written(source, tmp_path)
    for file in (tmp_path / "out").iterdir():
        ds = pydicom.dcmread(file)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation"):
            raw = ds.get_item(keyword).value
            assert all(len(value) <= 16 for value in raw.decode().split("\\"))


def test_frames_of_a_multi_frame_source_are_referenced(tmp_path):
    _, _, files = written([enhanced(series())], tmp_path)
    assert [item.ReferencedFrameNumber for item in files[6].SourceImageSequence] == [2, 3]
    assert {item.ReferencedSOPClassUID for item in files[6].SourceImageSequence} == {"1.2.840.10008.5.1.4.1.1.2.1"}
    (instance,) = files[6].ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert (instance.ReferencedSOPInstanceUID, "ReferencedFrameNumber" in instance) == (f"{ROOT}.9.1", False)


def test_decimal_strings_fit_their_vr(tmp_path):
    _, _, files = written(series(orientation=OBLIQUE), tmp_path)
    for ds in files:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            assert all(len(str(value)) <= 16 for value in ds[keyword].value)


def test_only_the_allow_list_is_carried(tmp_path):
    def add(_, ds):
        ds.Exposure, ds.XRayTubeCurrent, ds.CTDIvol, ds.SpiralPitchFactor = "100", "200", 5.0, 1.0
        ds.IrradiationEventUID, ds.PresentationIntentType = f"{ROOT}.77", "FOR PRESENTATION"
        ds.GantryDetectorTilt, ds.TableHeight, ds.InstitutionAddress = "0", "150", "Main Street 1"
        ds.PatientAddress, ds.PatientTelephoneNumbers = "Side Street 2", "555"
        ds.private_block(0x0009, "SECRET", create=True).add_new(1, "LO", "vendor value")
        ds.add_new(0x60000010, "US", 24)
        item = Dataset()
        item.ScheduledProcedureStepID = "S1"
        ds.RequestAttributesSequence = Sequence([item])

    _, _, files = written(each(add), tmp_path)
    carried = {element.keyword or str(element.tag) for element in files[0]}
    assert not carried & {
        *("Exposure", "XRayTubeCurrent", "CTDIvol", "SpiralPitchFactor", "IrradiationEventUID", "PatientAddress"),
        *("PresentationIntentType", "GantryDetectorTilt", "TableHeight", "InstitutionAddress", "InstitutionName"),
        *("RequestAttributesSequence", "PatientTelephoneNumbers", "OverlayRows"),
    }
    assert not any(element.tag.is_private for element in files[0])
    data = (tmp_path / "out" / "IM0001.dcm").read_bytes()
    for text in (b"vendor value", b"Side Street", b"Main Street"):
        assert text not in data


def test_what_differs_between_slices_is_not_carried(tmp_path):
    def vary(number, ds):
        ds.AcquisitionTime, ds.ProtocolName, ds.KVP = f"0304{number:02d}", f"protocol {number % 2}", f"{100 + number}"

    _, _, files = written(each(vary), tmp_path)
    assert "AcquisitionTime" not in files[0]
    assert "ProtocolName" not in files[0]
    assert files[0].KVP is None  # type 2: present, empty


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "山田^太郎"),
        ("ISO_IR 144", "Люксембург"),
        ("GB18030", "王^小东"),
    ],
)
def test_names_keep_their_character_set(charset, name, tmp_path):
    _, _, files = written(setting(SpecificCharacterSet=charset, PatientName=name, SeriesDescription=name), tmp_path)
    assert files[0].SpecificCharacterSet == charset
    assert files[0].PatientName == name
    assert files[0].SeriesDescription == f"{name} | thinslice 1.25mm"


def test_mixed_character_sets_become_utf8(tmp_path):
    def mix(number, ds):
        ds.SpecificCharacterSet = "ISO_IR 100" if number % 2 else "ISO_IR 192"
        ds.PatientName = "Müller^Jürgen"

    _, _, files = written(each(mix), tmp_path)
    assert files[0].SpecificCharacterSet == "ISO_IR 192"
    assert files[0].PatientName == "Müller^Jürgen"


def test_padding_is_put_back_and_declared(tmp_path):
    _, thin, files = written(padded(-2000, -2000), tmp_path)
    assert all(ds.PixelPaddingValue == -3024 for ds in files)  # -2000 stored, in HU
    stored = np.stack([ds.pixel_array for ds in files])
    assert (stored[thin.padding] == -3024).all()


def test_lossy_source_stays_marked(tmp_path):
    _, _, files = written(setting(LossyImageCompression="01", LossyImageCompressionRatio="8.5"), tmp_path)
    assert files[0].LossyImageCompression == "01"
    assert files[0].LossyImageCompressionRatio == 8.5


def test_source_without_valid_uids(tmp_path):
    def spoil(_, ds):
        ds.SOPInstanceUID = ds.SeriesInstanceUID = ds.StudyInstanceUID = "09bc8aea-ff9c-4106-8514-294cbcf9a082"

    _, _, files = written(each(spoil), tmp_path)
    assert "SourceImageSequence" not in files[0]
    assert files[0].StudyInstanceUID.startswith("2.25.")


def test_sources_without_any_uid_share_none(tmp_path):
    """An archive would put two patients into one study."""
    uids = {}
    for name in ("one", "other"):

        def strip(number, ds, name=name):
            del ds.StudyInstanceUID, ds.FrameOfReferenceUID
            ds.SOPInstanceUID = ds.SeriesInstanceUID = "none"
            if name == "other" and number == 3:
                ds.PixelData = ds.PixelData[:-2] + b"\x07\x00"

        save(each(strip), tmp_path / name)
        source = read_series(tmp_path / name)
        for factor in (2, 3):
            place = tmp_path / f"{name}_{factor}"
            write_series(linear_thin(source, factor=factor), place, source=source, provenance=PROVENANCE)
            result = pydicom.dcmread(place / "IM0001.dcm")
            uids[name, factor] = (result.StudyInstanceUID, result.FrameOfReferenceUID)
    for name in ("one", "other"):
        assert uids[name, 2] == uids[name, 3]
    assert not set(uids["one", 2]) & set(uids["other", 2])


def test_values_beyond_16_bits_are_clipped_and_counted(tmp_path):
    save(series(), tmp_path / "in")
    source = read_series(tmp_path / "in")
    hu = np.array(source.hu)
    hu[0, 0, :3] = 40_000, -40_000, 32_767.4
    result = write_series(replace(source, hu=hu), tmp_path / "out", source=source, provenance=PROVENANCE)
    assert result.clipped == 2
    assert read_series(tmp_path / "out", allow_derived=True).hu[0, 0, :3].tolist() == [32767, -32768, 32767]


def test_own_result_is_refused_as_source_unless_allowed(tmp_path):
    from thinslice.errors import ModelError

    written(series(), tmp_path)
    with pytest.raises(ModelError) as caught:
        read_series(tmp_path / "out")
    assert caught.value.code == "DCM-SYNTH"


class TestRefused:
    @pytest.fixture
    def source(self, tmp_path) -> Volume:
        save(series(), tmp_path / "in")
        return read_series(tmp_path / "in")

    def test_source_that_is_no_dicom(self, source, tmp_path):
        other = replace(source, origin=Origin("nifti"))
        with pytest.raises(UsageError, match="nifti") as caught:
            write_series(source, tmp_path / "out", source=other, provenance=PROVENANCE)
        assert caught.value.code == "DCM-OUT-SOURCE"

    @pytest.mark.parametrize("options", [{"compress": "zip"}, {"series_number": -1}, {"series_number": 1 << 31}])
    def test_options(self, source, tmp_path, options):
        with pytest.raises(UsageError):
            write_series(source, tmp_path / "out", OutputFormat(**options), source=source, provenance=PROVENANCE)

    def test_existing_output(self, source, tmp_path):
        write_series(source, tmp_path / "out", source=source, provenance=PROVENANCE)
        with pytest.raises(OutputError) as caught:
            write_series(source, tmp_path / "out", source=source, provenance=PROVENANCE)
        assert caught.value.code == "OUT-EXISTS"
        replacing = OutputFormat(overwrite=True)
        write_series(linear_thin(source, factor=2), tmp_path / "out", replacing, source=source, provenance=PROVENANCE)
        assert len(list((tmp_path / "out").iterdir())) == 23
        (tmp_path / "out" / "diary.txt").write_text("mine")
        with pytest.raises(OutputError):
            write_series(source, tmp_path / "out", replacing, source=source, provenance=PROVENANCE)
        assert (tmp_path / "out" / "diary.txt").read_text() == "mine"
