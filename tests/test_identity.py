"""Nothing of a header's patient is shown: a canary in every text of it is never seen.

Names of files and folders, which hold another canary, are said on the terminal, as they were typed, and are in no
record, page, side-car, DICOM output or log record. Manufacturer, model and convolution kernel are
the scanner's, and belong to the record (PS3.15 table E.1-1 leaves them in place when a patient is taken out); the
derived DICOM series carries identity, and is not searched.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "io" / "dicom"))

from dicom_phantom import Series, enhanced, file_bytes, paint, series
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from thinslice.io.dicom.headers.kept import WANTED

CANARY, DIGITS = "ZQXCANARY", "7770777"  # of attributes
NAME = "ZQXFOLDER"  # of paths
TEXT = ("AE", "CS", "LO", "SH", "ST", "LT", "UT", "UC", "PN", "DA", "TM", "DT", "AS", "UR")
NEEDED = {"SOPClassUID", "Modality", "PhotometricInterpretation", "RescaleType", "ImageType", "FrameType"}
OF_THE_SCANNER = {"Manufacturer", "ManufacturerModelName", "ConvolutionKernel"}
NOT_CARRIED = {"SpecificCharacterSet", "SyntheticData", "TransferSyntaxUID", "ConcatenationUID"}


def put(ds: Dataset, keyword_or_tag: object, vr: str, text: str) -> None:
    tag = Tag(keyword_or_tag)
    value = text.encode() + b" " * (len(text) % 2)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def texts(keywords: set[str]) -> dict[int, tuple[str, str]]:
    """VR and canary of every text attribute among these that may hold one."""
    found = {}
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if (
            keyword in keywords - NEEDED - OF_THE_SCANNER - NOT_CARRIED
            and not retired
            and 0x0008 <= tag >> 16 <= 0x4000
        ):
            if vr in TEXT:
                found[tag] = vr, CANARY
            elif vr == "UI":
                found[tag] = vr, f"1.2.{DIGITS}.{tag}"
    return found


EVERY_TEXT = texts({entry[4] for entry in DicomDictionary.values()})
EVERY_TEXT_READ = texts(set(WANTED))


def with_canaries(canaries: dict[int, tuple[str, str]] = EVERY_TEXT_READ) -> Series:
    """A series in which texts hold the canary, and UIDs the digits."""
    datasets = series()
    for number, ds in enumerate(datasets):
        for tag, (vr, text) in canaries.items():
            put(ds, tag, vr, text)
        put(ds, "SOPInstanceUID", "UI", f"1.2.{DIGITS}.{number + 1}")
        put(ds, 0x00091010, "LO", CANARY)  # private
        paint(ds)
    return datasets


def spoilt(keyword: str, vr: str, text: str = CANARY) -> Series:
    """A series with the canary where a word of the standard or a number is needed."""
    datasets = with_canaries()
    for ds in datasets:
        put(ds, keyword, vr, text)
    return datasets


def write(datasets: Series, folder: Path, *, syntax: bytes = b"1.2.840.10008.1.2.1") -> Path:
    """Files whose names hold the canary, in a folder below one that does; the transfer syntax is as long as usual."""
    inner = folder / NAME
    inner.mkdir(parents=True)
    for number, ds in enumerate(datasets):
        (inner / f"{NAME} {number:03d}.dcm").write_bytes(file_bytes(ds).replace(b"1.2.840.10008.1.2.1", syntax))
    return folder


def several_series() -> Series:
    datasets = with_canaries()
    for ds in datasets[6:]:
        put(ds, "SeriesInstanceUID", "UI", f"1.2.{DIGITS}.77")
        put(ds, "SeriesNumber", "IS", CANARY)
    return datasets


REFUSED = {  # name: (series, exit code, code)
    "modality": (lambda: spoilt("Modality", "CS"), 3, "DCM-NOTCT"),
    "class": (lambda: spoilt("SOPClassUID", "UI"), 3, "DCM-NOTCT"),
    "class by digits": (lambda: spoilt("SOPClassUID", "UI", f"1.2.{DIGITS}"), 3, "DCM-NOTCT"),
    "photometric": (lambda: spoilt("PhotometricInterpretation", "CS"), 3, "DCM-PHOTOMETRIC"),
    "rescale type": (lambda: spoilt("RescaleType", "LO"), 3, "DCM-NOTHU"),
    "rescale slope": (lambda: spoilt("RescaleSlope", "DS"), 3, "DCM-RESCALE"),
    "bits": (lambda: spoilt("BitsStored", "LO"), 3, "DCM-BITS"),
    "syntax": (with_canaries, 3, "DCM-CODEC"),
    "several series": (several_series, 3, "DCM-MULTISERIES"),
    "frames": (lambda: [enhanced([*with_canaries()[:4], *with_canaries()[6:]])], 4, "DCM-GAP"),
    "position": (lambda: spoilt("ImagePositionPatient", "DS"), 4, "DCM-IPP"),
    "orientation": (lambda: spoilt("ImageOrientationPatient", "DS"), 4, "DCM-IOP"),
    "spacing": (lambda: spoilt("PixelSpacing", "DS"), 4, "DCM-SPACING"),
    "frame of reference": (
        lambda: [*with_canaries()[:6], *spoilt("FrameOfReferenceUID", "UI")[6:]], 4, "DCM-FOR",
    ),
    "gap": (lambda: [*with_canaries()[:4], *with_canaries()[6:]], 4, "DCM-GAP"),
    "few": (lambda: with_canaries()[:2], 4, "DCM-FEW"),
    "synthetic": (lambda: spoilt("SyntheticData", "CS", "YES"), 7, "DCM-SYNTH"),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All command lines, their exit codes, what they printed, and the folder of records and reports."""
    top = tmp_path_factory.mktemp("identity") / NAME
    top.mkdir()
    good, out = write(with_canaries(EVERY_TEXT), top / "good"), top / "out"
    out.mkdir()
    nifti = top / f"{NAME}.nii.gz"
    image = nib.Nifti1Image(
        np.random.default_rng(0).integers(-1000, 500, (32, 32, 24), np.int16), np.diag([1, 1, 2, 1])
    )
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = CANARY.encode()
    nib.save(image, nifti)
    damaged = write(with_canaries(), top / "damaged")
    (damaged / NAME / f"{NAME} 003.dcm").write_bytes(b"\0" * 128 + b"DICM" + CANARY.encode() * 9)
    broken = top / f"{NAME} broken.nii"
    broken.write_bytes(nifti.read_bytes()[:900])
    (top / f"{NAME}.safetensors").write_text(CANARY)
    (top / f"{NAME}.mha").write_text(f"NDims = 3\nComment = {CANARY}\nElementDataFile = {CANARY}.raw\n")
    effort = ["--iterations", "2", "--factor", "2", "--threads", "1"]
    lines: list[tuple[int, str, list[object]]] = [
        (0, "", ["inspect", "-v", good, "--json", out / "inspect.json"]),
        (0, "", ["inspect", "-v", top / "several series"]),
        (0, "", ["enhance", "-v", "-i", good, "-o", out / f"{NAME}.nii.gz", *effort, "--json", out / "a.json",
                 "--preview", out / "a.png", "--report", out / "a.html", "--save-weights", out / "a.safetensors"]),
        (0, "", ["enhance", "-v", "-i", good, "-o", top / "thin", *effort, "--json", "-"]),
        (0, "", ["inspect", "-v", nifti, "--axis", "z", "--json", "-"]),
        (0, "", ["evaluate", "-v", "-i", nifti, "--axis", "z", "--methods", "linear", "--factors", "2", "--protocols",
                 "gap", "-o", out / "page", "--json", out / "e.json"]),
        (2, "USE-INPUT", ["inspect", "-v", good, f"{NAME} too"]),
        (2, "USE-OPTION", ["inspect", "-v", good, "--axis", "q"]),
        (2, "USE-PREVIEW", ["enhance", "-v", "-i", good, "-o", out / "b.nii", "--preview", f"{NAME}.gif"]),
        (2, "USE-REPORT", ["enhance", "-v", "-i", good, "-o", out / "b.nii", "--report", f"{NAME}.pdf"]),
        (3, "FILE-MISSING", ["inspect", "-v", top / f"no {NAME}"]),
        (3, "FILE-BROKEN", ["inspect", "-v", broken]),
        (3, "FILE-FORMAT", ["inspect", "-v", top / f"{NAME}.mha"]),
        (3, "DCM-UNREADABLE", ["inspect", "-v", damaged, "--json", "-"]),
        (7, "MODEL-READ", ["enhance", "-v", "-i", nifti, "--axis", "z", "-o", out / "b.nii", "--fit", "none",
                           "--weights", top / f"{NAME}.safetensors"]),
        (5, "RES-MEMORY", ["MEMORY", "enhance", "-v", "-i", nifti, "--axis", "z", "-o", out / "b.nii", *effort]),
        (6, "OUT-EXISTS", ["enhance", "-v", "-i", good, "-o", nifti]),
        (6, "OUT-FORMAT", ["enhance", "-v", "-i", nifti, "--axis", "z", "-o", out / NAME]),
        (1, "BUG", ["BUG", "enhance", "-v", "-i", nifti, "-o", out / "b.nii"]),
        (2, "USE-OPTION", ["demo", "-v", f"{NAME} too"]),
        (2, "USE-OPTION", ["-v", NAME, "too"]),
    ]  # fmt: skip
    for name, (make, exit_code, code) in REFUSED.items():
        write(make(), top / name, **({"syntax": b"1.2.7770777.1000.21"} if name == "syntax" else {}))
        lines.append((exit_code, code, ["enhance", "-v", "-i", top / name, "-o", out / "b.nii", *effort]))
    shown = [["inspect", damaged, "--json", "-"], ["inspect", good, "--json", "-"]]
    shown = [[*map(str, line), "--show-identity"] for line in shown]
    return [*lines], *everything(top, lines), everything(top, [(0, "", line) for line in shown])[1], out


def everything(top: Path, lines) -> tuple[list[int], str]:
    """Exit codes, and all that was printed."""
    asked, codes = top / "asked.json", top / "codes.json"
    asked.write_text(json.dumps([[str(word) for word in line] for _, _, line in lines]))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("identity_runs.py"), asked, codes],
        capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
    )  # fmt: skip
    return json.loads(codes.read_text()), done.stdout + done.stderr


def test_every_run_ends_as_it_should(runs):
    lines, codes, printed, _, _ = runs
    assert codes == [exit_code for exit_code, _, _ in lines], printed[-3000:]
    errors = [line.partition("]")[0] for line in printed.splitlines() if line.startswith("error[")]
    assert errors == [f"error[{code}" for _, code, _ in lines if code]


NAMELESS = {"DCM-MULTISERIES", "RES-MEMORY", "BUG", "USE-INPUT", "USE-OPTION"}  # of no one file, or before one is known


def test_nothing_of_the_patient_is_printed(runs):
    _, _, printed, _, _ = runs
    found = [line for line in printed.splitlines() if CANARY in line or DIGITS in line]
    assert not found, "\n".join(found)
    assert "Traceback" in printed
    assert "Phantom Works" in printed  # the scanner is said


def test_what_is_at_fault_is_named_as_it_was_typed(runs):
    _, _, printed, _, _ = runs
    lines = [line for line in printed.splitlines() if line.startswith("error[")]
    nameless = {line.partition("[")[2].partition("]")[0] for line in lines if NAME not in line}
    assert nameless <= NAMELESS, lines
    assert f"{NAME}/damaged/{NAME}/{NAME} 003.dcm cannot be read" in printed
    assert f"{NAME}/rescale slope/{NAME}/{NAME} 000.dcm and 11 more: rescale slope" in printed
    assert f"{NAME}/{NAME}.mha has a MetaImage header" in printed
    assert f"{NAME}/no {NAME} does not exist" in printed


def test_no_path_is_in_log_records_or_records_on_stdout(runs):
    _, _, printed, _, _ = runs
    said = [line for line in printed.splitlines() if re.match(r'thinslice[\w.]*: |\s+"', line)]
    assert len(said) > 100
    assert not [line for line in said if NAME in line]


def test_nothing_of_the_patient_is_in_records_and_reports(runs):
    *_, out = runs
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".html", ".csv", ".png", ".safetensors", ".gz"}
    for path in files:
        data = path.read_bytes()
        assert CANARY.encode() not in data, path.name
        assert NAME.encode() not in data, path.name
        assert DIGITS.encode() not in data, path.name


def test_no_path_is_in_a_derived_series(runs):
    *_, out = runs
    files = [path for path in (out.parent / "thin").rglob("*") if path.is_file()]
    assert len(files) > 12
    assert not [path for path in files if NAME.encode() in path.read_bytes()]


def test_identity_is_in_records_where_it_is_asked_for(runs):
    _, _, _, shown, _ = runs
    assert re.search(rf'"message": "[^"]*{NAME} 003.dcm cannot be read', shown)
    assert f'"uid": "1.2.{DIGITS}' in shown
