"""Broken and hostile files end in one line with a code, before memory is taken; identity is never in that line."""

import json
import os
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
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless
from test_transfer_syntaxes import pydicom_compressed, transcoded
from thin import PROVENANCE

from thinslice.errors import ResourceError, ThinsliceError
from thinslice.io.dicom import list_series, read_series, write_series
from thinslice.io.dicom.headers.find import Entry
from thinslice.io.dicom.headers.limits import Limits
from thinslice.io.dicom.headers.slices import read_slices
from thinslice.io.dicom.pixels import decoders
from thinslice.io.dicom.pixels.codec import FrameHeader

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


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_a_matrix_smaller_than_its_pixels(keyword, tmp_path):
    """Bytes after the pixels must be accepted (PS3.5 8.1.1): that the matrix may be wrong is said."""
    save(each(lambda _, ds: setattr(ds, keyword, 16)), tmp_path)
    assert refused(tmp_path, strict=True) == "DCM-EXCESS"


def test_frames_that_lie(tmp_path):
    ds = enhanced(series())
    ds.NumberOfFrames = 3_000
    save([ds], tmp_path)
    assert refused(tmp_path) == "DCM-UNREADABLE"
    assert refused(tmp_path, limits={"slices": 100}) == "DCM-LIMIT"


def write_bomb(file: Path) -> None:
    """A deflated file of 290 kB that inflates to 300 MB."""
    data = file_bytes(series(slices=1)[0], syntax=DeflatedExplicitVRLittleEndian)
    start = data.index(b"1.2.840.10008.1.2.1.99")
    head = data[: data.index(b"\x02\x00\x12\x00", start)]
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    file.write_bytes(head + engine.compress(bytes(300_000_000)) + engine.flush())


def test_deflated_bomb(tmp_path):
    write_bomb(tmp_path / "bomb.dcm")
    assert refused(tmp_path) == "DCM-LIMIT"


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


def nested(levels: int) -> bytes:
    """OtherPatientIDsSequence within itself, of undefined length, explicit little endian."""
    begin = b"\x10\x00\x02\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return begin * levels + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * levels


@pytest.mark.parametrize(
    ("levels", "code"), [(10, None), (17, "DCM-LIMIT"), (3000, "DCM-UNREADABLE"), (100_000, "DCM-UNREADABLE")]
)
def test_deeply_nested_sequences(levels, code, tmp_path):
    save(series(), tmp_path)
    file = next(tmp_path.iterdir())
    data = file.read_bytes()
    place = data.index(b"\x18\x00\x15\x00", 132)
    file.write_bytes(data[:place] + nested(levels) + data[place:])
    if code:
        assert refused(tmp_path) == code
    if levels < 20:
        assert read_series(tmp_path, limits={"sequence_depth": 20}).shape == (12, 24, 20)


def test_an_attribute_of_very_many_values(tmp_path):
    def change(_, ds):
        ds.add_new("PatientComments", "UT", "\\" * 20_000)

    save(each(change), tmp_path)
    assert refused(tmp_path) == "DCM-LIMIT"
    assert read_series(tmp_path, limits={"values": 30_000}).shape == (12, 24, 20)


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


MEASURED = """
import re, resource, sys
from pathlib import Path
from thinslice.io import scan
from thinslice.errors import ThinsliceError
limits = dict(pair.split("=") for pair in sys.argv[2:])
scan.is_dicom(Path(sys.argv[1]))
from thinslice.io.dicom import read_series
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    read_series(sys.argv[1], limits={name: int(value) for name, value in limits.items()})
except ThinsliceError as error:
    print(error.code, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def refused_within_memory(folder: Path, **limits: int) -> str:
    """The code of a refusal, in a process that may address 1 GiB; its memory stays below 250 MB, libraries included."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, folder, *(f"{name}={value}" for name, value in limits.items())],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    code, megabytes = done.stdout.split() or (done.stderr[-800:], "0")
    assert int(megabytes) < 250, megabytes
    return code


NO_LIMITS = {"rows": 1 << 20, "slices": 1 << 20, "voxels": 1 << 60}


def test_a_header_that_announces_everything_allocates_nothing(tmp_path):
    """65,535 x 65,535 x 10,000 voxels: by the limits, and without them by what is in the file."""
    ds = enhanced(series())
    ds.Rows = ds.Columns = 65535
    ds.NumberOfFrames = 10_000
    del ds.PerFrameFunctionalGroupsSequence  # or its twelve items would contradict
    save([ds], tmp_path)
    assert refused_within_memory(tmp_path) == "DCM-LIMIT"
    assert refused_within_memory(tmp_path, **NO_LIMITS) == "DCM-UNREADABLE"


def test_single_slices_that_announce_much_allocate_nothing(tmp_path):
    def lie(_, ds):
        ds.Rows = ds.Columns = 4000
        ds.NumberOfFrames = 5

    save(each(lie), tmp_path)
    assert refused_within_memory(tmp_path) == "DCM-UNREADABLE"


def test_a_compressed_series_larger_than_memory_is_refused_with_the_figure(tmp_path):
    """What a codestream holds shows only when it is decoded: the header's promise must fit into memory first."""
    datasets = series()
    for ds in datasets:
        pydicom_compressed(ds, RLELossless)
        ds.Rows = ds.Columns = 65535
    save(datasets, tmp_path, syntax=RLELossless)
    with pytest.raises(ResourceError, match=r"needs 206\.2 GB"):
        read_series(tmp_path, limits=NO_LIMITS)


def test_a_header_of_a_gigabyte_is_not_read(tmp_path):
    """One attribute of 1 GiB, in a file that takes no room on the disk."""
    save(series(), tmp_path)
    file = next(tmp_path.iterdir())
    data = file.read_bytes()
    place = data.index(b"\x18\x00\x15\x00", 132)
    with file.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\x10\x00\x00\x40UT\0\0" + (1 << 30).to_bytes(4, "little"))  # PatientComments
        stream.seek(1 << 30, 1)
        stream.write(data[place:])
    assert refused_within_memory(tmp_path) == "DCM-LIMIT"


def test_a_bomb_takes_no_memory(tmp_path):
    write_bomb(tmp_path / "bomb.dcm")
    assert refused_within_memory(tmp_path, inflate_bytes=20 << 20) == "DCM-LIMIT"


@pytest.mark.parametrize("stated", ["crash", "hang", "memory"])
def test_a_decoder_that_fails_takes_nobody_with_it(stated, plain_worker):
    """The worker's own limits, with a decoder that does its worst; the next image is decoded as ever."""
    with pytest.raises(decoders.DecoderError):
        plain_worker.decode(stated.encode(), FrameHeader("1.2.3", 24, 20, 16, 16, True))
    assert plain_worker.alive == (stated == "memory")


@pytest.fixture
def plain_worker(monkeypatch):
    """A worker whose decoder is one of ours that crashes, hangs or eats memory as the image asks."""
    worst = (
        "import os, signal\nfrom thinslice.io.dicom.pixels import worker\n"
        "def decode_image(data, layout):\n"
        "    if data == b'crash': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if data == b'memory': bytearray(1 << 33)\n"
        "    while data == b'hang': pass\n"
        "worker.decode_image = decode_image\nworker.SECONDS = 1.0\n"
    )
    monkeypatch.setattr(
        decoders, "_START", decoders._START.replace("from thinslice", f"exec({worst!r}); from thinslice", 1)
    )
    worker = decoders._Worker()
    yield worker
    worker.close()


def test_streams_that_crash_the_decoder_of_lossless_jpeg(tmp_path):
    """Of single changed bytes in lossless JPEG, three in a hundred end the process that decodes with GDCM."""
    import gdcm

    transcoded(series(), tmp_path, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    file = sorted(tmp_path.iterdir())[6]
    ds = pydicom.dcmread(file)
    sound = get_frame(ds.PixelData, 0, number_of_frames=1)
    random, died = np.random.default_rng(3), 0
    for _ in range(60):
        broken = bytearray(sound)
        for place in random.integers(len(broken), size=3):
            broken[place] = random.integers(256)
        try:
            decoders.decode(bytes(broken), FrameHeader(ds.file_meta.TransferSyntaxUID, 24, 20, 16, 16, True))
        except decoders.DecoderError as error:
            if "died" in str(error):
                died += 1
                encapsulated(ds, bytes(broken))
                ds.save_as(file)
                assert refused(tmp_path) in {"DCM-UNREADABLE", "DCM-CODESTREAM"}
    assert died


@pytest.mark.parametrize("kind", ["native", "deflated", "multi-frame"])
def test_flipped_bytes_never_escape_as_other_errors(kind, tmp_path):
    """Any single damaged byte: the header is read, or refused with a code."""
    dataset = enhanced(series(slices=4)) if kind == "multi-frame" else series(slices=1)[0]
    syntax = DeflatedExplicitVRLittleEndian if kind == "deflated" else pydicom.uid.ExplicitVRLittleEndian
    data = file_bytes(dataset, syntax=syntax)
    end = data.find(b"\xe0\x7f\x10\x00") if kind != "deflated" else len(data)
    random = np.random.default_rng(1)
    file = tmp_path / "x.dcm"
    read, refused_with = 0, set()
    for _ in range(250):
        broken = bytearray(data)
        for _ in range(random.integers(1, 4)):
            broken[random.integers(128, min(end + 12, len(data)))] = random.integers(256)
        file.write_bytes(broken)
        try:
            for image in read_slices(Entry("x.dcm", len(broken), file), Limits()) or []:
                _ = image.position, image.orientation, image.pixel_spacing, image.shape, image.image_type
                read += 1
        except ThinsliceError as error:
            refused_with.add(error.code)
    assert read > 25  # or nothing was looked at
    assert len(refused_with) > 1


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
    case.write(tmp_path / "in")
    try:
        volume = read_series(tmp_path / "in", **case.options)
    except ThinsliceError as error:
        shown, recorded = error.line, error.message
    else:
        recorded = json.dumps(dict(volume.origin.facts)) + "".join(n.message for n in volume.origin.warnings)
        recorded += repr(volume.origin)
        shown = "".join(notice.line for notice in volume.origin.warnings)
    for private in ("Phantom^Linear", "PID-77", "19700101", ROOT):
        assert private not in shown + recorded
    assert str(tmp_path) not in recorded  # a path is no attribute: lines may name it
