"""dciodvfy and dcentvfy (dicom3tools) find nothing in a derived series but what docs/dicom.md explains."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import OBLIQUE, layout, padded, setting, tilted
from dicom_phantom import each, enhanced, save, series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from thin import PROVENANCE, linear_thin

import thinslice
from thinslice.io.dicom import read_series, write_series
from thinslice.io.output_format import OutputFormat

pytestmark = [pytest.mark.dicom3tools, pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")]

# The validator's dictionary is of June 2022 and does not know SyntheticData (0008,001C).
KNOWN_ERROR = "Error - </(0008,001c)> - Attribute with an even group number is not a recognized standard attribute"
KNOWN_WARNINGS = (
    "Warning - </(0008,001c)> - Attribute is not present in standard DICOM IOD",
    "Warning - </(0008,001c)> - Unrecognized tag - assuming explicit value representation OK [CS]",
)

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "tilted": lambda: tilted(12),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "padded": lambda: padded(-2000, -2000),
    "lossy": lambda: setting(
        LossyImageCompression="01", LossyImageCompressionRatio="8", LossyImageCompressionMethod="ISO_15444_1"
    ),
    "multi-frame": lambda: [enhanced(series())],
    "no body part": lambda: setting(BodyPartExamined=None),
    "odd body part": lambda: setting(BodyPartExamined="PARTIALBODY"),
    "laterality of a paired part": lambda: setting(BodyPartExamined="KNEE", Laterality="R"),
    "empty laterality of an unpaired part": lambda: setting(BodyPartExamined="PANCREAS", Laterality=""),
    "umlauts": lambda: setting(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen"),
    "whole trial module": lambda: setting(
        ClinicalTrialSponsorName="S",
        ClinicalTrialProtocolID="P",
        ClinicalTrialSubjectID="7",
        ClinicalTrialProtocolName="",
        ClinicalTrialSiteID="",
        ClinicalTrialSiteName="",
        ClinicalTrialTimePointID="T1",
    ),
    "broken trial module": lambda: setting(ClinicalTrialSponsorName="", ClinicalTrialProtocolID="P"),
    "patient study": lambda: setting(
        PregnancyStatus=1, PatientAge="050Y", PatientWeight="70", AdditionalPatientHistory="none"
    ),
    "sagittal": lambda: series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)),
    "legacy multi-frame": lambda: [enhanced(series(), legacy=True)],
    "several character sets": lambda: each(_several_character_sets),
    "japanese": lambda: setting(
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎", SeriesDescription="胸部"
    ),
    "contrast by code": lambda: setting(
        ContrastBolusAgentSequence=Sequence([code("109219008", "Iomeprol", "SCT")]), ContrastBolusRoute="IV"
    ),
    "route alone": lambda: setting(ContrastBolusRoute="IV"),
    "anatomy by code": lambda: setting(
        BodyPartExamined=None, AnatomicRegionSequence=Sequence([code("51185008", "Chest", "SCT")])
    ),
    "de-identified": lambda: setting(
        PatientIdentityRemoved="YES",
        DeidentificationMethodCodeSequence=Sequence(
            [code("113100", "Basic Application Confidentiality Profile", "DCM")]
        ),
        LongitudinalTemporalInformationModified="MODIFIED",
        BurnedInAnnotation="NO",
        RecognizableVisualFeatures="NO",
    ),
    "windows of zero width": lambda: setting(WindowCenter="40", WindowWidth="0"),
    "largest series number": lambda: setting(SeriesNumber=2**31 - 1),
    "time zone": lambda: setting(TimezoneOffsetFromUTC="+0900", AcquisitionDate="20200102", AcquisitionTime="030405"),
}


def code(value: str, meaning: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _several_character_sets(number: int, ds: Dataset) -> None:
    ds.SpecificCharacterSet = (["", "ISO 2022 IR 87"], "ISO_IR 192")[number % 2]
    ds.PatientName, ds.SeriesDescription = "Yamada^Tarou=山田^太郎", "胸部"


@pytest.fixture(scope="module")
def explained(repository) -> list[str]:
    """The warnings that the page for radiology explains."""
    page = (repository / "docs" / "dicom.md").read_text().split("| warning | why |")[1]
    return re.findall(r"^\| `(.+?)` \|", page, flags=re.MULTILINE)


def lines(*command: object) -> list[str]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False, errors="replace"
    )
    return [line.strip() for line in (done.stdout + done.stderr).splitlines()]


def findings(file: Path) -> list[str]:
    """All errors and warnings of dciodvfy but the three on SyntheticData, each of which must be there once."""
    found = [line for line in lines("dciodvfy", "-new", file) if line.startswith(("Error", "Warning"))]
    for known in (KNOWN_ERROR, *KNOWN_WARNINGS):
        assert found.count(known) == 1
        found.remove(known)
    return found


def unexplained(file: Path, explained: list[str], source: Path | None = None) -> list[str]:
    """Errors and unexplained warnings; where a source is given, only such errors as it has not itself."""
    found = findings(file)
    warnings = [line for line in found if line.startswith("Warning") and not any(part in line for part in explained)]
    errors = [line for line in found if line.startswith("Error")]
    return warnings + (errors if source is None else new_errors(file, source))


def inconsistent(files: list[Path], source: Path) -> list[str]:
    """Lines of dcentvfy on source and result together that speak of the result."""
    found = lines("dcentvfy", *files, *(file for file in source.rglob("*") if file.is_file()))
    return [line for line in found if f"{files[0].parent}/" in line]


def new_errors(file: Path, source: Path) -> list[str]:
    """Errors of dciodvfy on a result that it does not find in a file of its source."""
    before = lines("dciodvfy", "-new", next(file for file in sorted(source.rglob("*")) if file.is_file()))
    return [line for line in findings(file) if line.startswith("Error") and line not in before]


def derive(source_folder: Path, folder: Path, *, factor: int = 4, **options) -> list[Path]:
    source = read_series(source_folder)
    write_series(
        linear_thin(source, factor=factor), folder, OutputFormat(**options), source=source, provenance=PROVENANCE
    )
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", SOURCES)
def test_synthetic_sources(name, dicom3tools, explained, tmp_path):
    save(SOURCES[name](), tmp_path / "in")
    files = derive(tmp_path / "in", tmp_path / "out")
    for file in (files[0], files[6], files[-1]):
        assert unexplained(file, explained, tmp_path / "in" if name == "broken trial module" else None) == []
    assert inconsistent(files, tmp_path / "in") == []


def test_the_checks_can_fail(dicom3tools, explained, tmp_path):
    """A result spoilt on purpose is found out by both programs."""
    save(series(), tmp_path / "in")
    files = derive(tmp_path / "in", tmp_path / "out")
    spoilt = pydicom.dcmread(files[0])
    spoilt.PatientSex, spoilt.WindowWidth = "M", "0"
    spoilt.save_as(files[0])
    assert unexplained(files[0], explained)
    assert inconsistent(files, tmp_path / "in")


@pytest.mark.parametrize("compress", ["jpegls", "rle"])
def test_compressed(compress, dicom3tools, explained, tmp_path):
    save(series(), tmp_path / "in")
    files = derive(tmp_path / "in", tmp_path / "out", compress=compress)
    assert unexplained(files[3], explained) == []


@pytest.mark.parametrize("signed", [0, 1])
def test_like_source(signed, dicom3tools, explained, tmp_path):
    save(padded(-2000, -2000) if signed else layout(16, 12, 0), tmp_path / "in")
    files = derive(tmp_path / "in", tmp_path / "out", like_source=True)
    assert unexplained(files[3], explained) == []
    assert inconsistent(files, tmp_path / "in") == []


def test_no_warning_at_all_where_the_source_gives_all(dicom3tools, tmp_path):
    save(series(), tmp_path / "in")
    (file, *_) = derive(tmp_path / "in", tmp_path / "out")
    assert findings(file) == []


REAL = {
    # what dcentvfy says of source and result together
    "petct_acrin042_jpegls": "",
    "petct_acrin042_scout_plus_ct": "",
    "c3l00189_negative_spacing": "",
    "cmbcrc01068_padding_63536": "",
    "lungdx_a0002_unsigned_8mm": "",
    "philips_phantom_tilt_plus16": "",
    "covidctmd_p002_jpeglossless": "",
    "totalseg_example_j2k_no_uids": "versus <Unknown>",  # no SOP class, so nothing is known of its attributes
}


@pytest.mark.parametrize("name", REAL)
def test_real_sources(name, dicom3tools, explained, shared_ct, tmp_path):
    folder = shared_ct / "dicom" / name
    files = derive(folder, tmp_path / "out", factor=2)
    for file in (files[0], files[3]):
        assert unexplained(file, explained, folder) == []
    found = inconsistent(files[:3], folder)
    assert [line for line in found if not REAL[name] or REAL[name] not in line] == []


def crop(folder: Path, target: Path, *, size: int = 40) -> None:
    """The middle of every image of an uncompressed series."""
    target.mkdir()
    for file in folder.iterdir():
        ds = pydicom.dcmread(file)
        first = (ds.Rows - size) // 2
        pixels = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = pixels[first : first + size, first : first + size].tobytes()
        ds.Rows = ds.Columns = size
        ds.save_as(target / file.name)


@pytest.mark.parametrize("name", ["c3l00189_negative_spacing", "philips_phantom_tilt_plus16"])
def test_a_whole_run_on_a_crop_of_a_real_scan(name, dicom3tools, explained, shared_ct, tmp_path):
    crop(shared_ct / "dicom" / name, tmp_path / "in")
    result = thinslice.enhance(tmp_path / "in", factor=2, iterations=2)
    result.save(tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == result.volume.shape[0]
    for file in (files[0], files[-1]):
        assert unexplained(file, explained) == []
    assert inconsistent(files, tmp_path / "in") == []
    back = read_series(tmp_path / "out", allow_derived=True)
    np.testing.assert_array_equal(back.hu, np.rint(result.volume.hu))
    np.testing.assert_allclose(back.affine, result.volume.affine, atol=2e-6)
