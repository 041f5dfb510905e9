"""Broken and hostile files end in one line with a code, before memory is taken; identity is never in that line."""

import json
import resource
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import CASES, Case
from dicom_phantom import ROOT, each, enhanced, file_bytes, save, series
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless
from test_transfer_syntaxes import pydicom_compressed, transcoded
from thin import PROVENANCE

from thinslice.dicom import list_series, read_series, write_series
from thinslice.dicom.find import Entry
from thinslice.dicom.limits import Limits
from thinslice.dicom.slices import read_slices
from thinslice.errors import InputError, ThinsliceError

# the generator writes odd values on purpose
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")


def refused(folder: Path, **options) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ThinsliceError) as caught:
            read_series(folder, **options)
    return caught.value.code


def encapsulated(ds: Dataset, codestream: bytes) -> None:
    ds.add_new("PixelData", "OB", encapsulate([codestream]))
    ds["PixelData"].is_undefined_length = True


@pytest.mark.parametrize(("size", "code"), [(65535, "DCM-LIMIT"), (4096, "DCM-UNREADABLE")])
def test_matrix_that_lies(size, code, tmp_path):
    def lie(_, ds):
        ds.Rows = ds.Columns = size

    save(each(lie), tmp_path)
    assert refused(tmp_path) == code


def test_frames_that_lie(tmp_path):
    ds = enhanced(series())
    ds.NumberOfFrames = 3_000
    save([ds], tmp_path)
    assert refused(tmp_path) == "DCM-UNREADABLE"
    assert refused(tmp_path, limits={"slices": 100}) == "DCM-LIMIT"


def test_deflated_bomb(tmp_path):
    data = file_bytes(series(slices=1)[0], syntax=DeflatedExplicitVRLittleEndian)
    start = data.index(b"1.2.840.10008.1.2.1.99")
    head = data[: data.index(b"\x02\x00\x12\x00", start)]
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = engine.compress(bytes(300_000_000)) + engine.flush()
    (tmp_path / "bomb.dcm").write_bytes(head + bomb)
    assert refused(tmp_path) in {"DCM-LIMIT", "DCM-UNREADABLE"}


def test_deflated_data_that_end_early(tmp_path):
    save(series(), tmp_path, syntax=DeflatedExplicitVRLittleEndian)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-40])
    assert refused(tmp_path) == "DCM-UNREADABLE"


@pytest.mark.parametrize("kind", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
@pytest.mark.parametrize("other", [(12, 10), (48, 40), (20, 24)])
def test_header_of_another_size_than_the_codestream(kind, other, tmp_path):
    import gdcm

    transcoded(series(), tmp_path, getattr(gdcm.TransferSyntax, kind))
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        ds.Rows, ds.Columns = other
        ds.save_as(file)
    assert refused(tmp_path) == "DCM-CODESTREAM"


def test_codestreams_cut_short(tmp_path):
    datasets = series()
    for ds in datasets:
        pydicom_compressed(ds, JPEGLSLossless)
    codestream = get_frame(datasets[5].PixelData, 0, number_of_frames=1)
    for kept in (3, 20, 60, len(codestream) // 2):
        encapsulated(datasets[5], codestream[:kept])
        save(datasets, tmp_path, syntax=JPEGLSLossless)
        assert refused(tmp_path) in {"DCM-CODESTREAM", "DCM-UNREADABLE"}


def test_run_lengths_for_another_matrix(tmp_path):
    datasets = series()
    for ds in datasets:
        pydicom_compressed(ds, RLELossless)
        ds.Rows = ds.Columns = 2000
    save(datasets, tmp_path, syntax=RLELossless)
    assert refused(tmp_path) == "DCM-UNREADABLE"


def test_deeply_nested_sequences(tmp_path):
    inner = Dataset()
    for _ in range(600):
        outer = Dataset()
        outer.ReferencedStudySequence = Sequence([inner])
        outer["ReferencedStudySequence"].is_undefined_length = True
        inner = outer
    datasets = series()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        datasets[0].OtherPatientIDsSequence = inner.ReferencedStudySequence
        save(datasets, tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    try:
        read_series(tmp_path)
    except InputError as error:
        code = error.code
    else:
        code = None
    assert code in (None, "DCM-UNREADABLE")


def test_limits(tmp_path):
    save(series(), tmp_path / "a" / "b")
    for name, value in {
        "files": 5,
        "depth": 1,
        "file_bytes": 100,
        "header_bytes": 200,
        "rows": 20,
        "slices": 10,
        "voxels": 99,
    }.items():
        assert refused(tmp_path, limits={name: value}) == "DCM-LIMIT", name
    assert read_series(tmp_path, limits={"rows": 24, "slices": 12, "voxels": 24 * 20 * 12}).shape == (12, 24, 20)


def test_memory_stays_bounded(tmp_path):
    """A small file that promises a gigabyte is refused by a process that may not even address it."""

    def lie(_, ds):
        ds.Rows = ds.Columns = 4000
        ds.NumberOfFrames = 5

    save(each(lie), tmp_path / "in")
    code = (
        "import sys; from thinslice.dicom import read_series; from thinslice.errors import ThinsliceError\n"
        "try:\n    read_series(sys.argv[1])\nexcept ThinsliceError as error:\n    print(error.code)"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "in"],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "DCM-UNREADABLE", done.stderr[-500:]


@pytest.mark.parametrize("kind", ["native", "deflated", "multi-frame"])
def test_flipped_bytes_never_escape_as_other_errors(kind, tmp_path):
    """Any single damaged byte: the header is read, or refused with a code."""
    dataset = enhanced(series(slices=4)) if kind == "multi-frame" else series(slices=1)[0]
    syntax = DeflatedExplicitVRLittleEndian if kind == "deflated" else pydicom.uid.ExplicitVRLittleEndian
    data = file_bytes(dataset, syntax=syntax)
    end = data.find(b"\xe0\x7f\x10\x00") if kind != "deflated" else len(data)
    random = np.random.default_rng(1)
    file = tmp_path / "x.dcm"
    for _ in range(250):
        broken = bytearray(data)
        for _ in range(random.integers(1, 4)):
            broken[random.integers(128, min(end + 12, len(data)))] = random.integers(256)
        file.write_bytes(broken)
        try:
            for image in read_slices(Entry("x.dcm", len(broken), file), Limits()) or []:
                _ = image.position, image.orientation, image.pixel_spacing, image.shape, image.image_type
        except ThinsliceError:
            pass


def test_odd_values_are_not_quoted_in_logs_or_warnings(tmp_path, caplog, recwarn):
    """pydicom quotes what it finds odd; a name must not reach a log that way."""

    def spoil(_, ds):
        ds.add_new("PatientBirthDate", "LO", "not-a-date-SECRET")
        ds.StudyInstanceUID = "1.2.SECRET"
        ds.SeriesDescription = "SECRET" * 20

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(each(spoil), tmp_path / "in")
    caplog.clear()
    caplog.set_level(0)
    volume = read_series(tmp_path / "in")
    list_series(tmp_path / "in")
    write_series(volume, tmp_path / "out", source=volume, provenance=PROVENANCE)
    assert "SECRET" not in caplog.text
    assert not recwarn.list


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_identity_in_errors_warnings_or_facts(case: Case, tmp_path):
    case.write(tmp_path)
    try:
        volume = read_series(tmp_path, **case.options)
    except ThinsliceError as error:
        shown = error.line
    else:
        shown = json.dumps(dict(volume.source.facts)) + "".join(notice.line for notice in volume.source.warnings)
        shown += repr(volume.source)
    for private in ("Phantom^Linear", "PID-77", "19700101", ROOT, str(tmp_path)):
        assert private not in shown
