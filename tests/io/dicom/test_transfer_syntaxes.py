"""Every transfer syntax of CT gives the same values; other ones are refused by name."""

import base64
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from dicom_folders import JPEG, pydicom_compressed, transcoded
from dicom_makers import eight_bit
from dicom_phantom import each, file_bytes, save, true_hu
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from thinslice.errors import InputError
from thinslice.io.dicom import read_series

# A reversible high-throughput JPEG 2000 image of formula_image(), made with OpenJPH 0.26: no encoder is at hand here.
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAUAAAAGAAAAAAAAAAAAAAAFAAAABgAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQ"
    "kJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAkMAAf+TwAAlgQKHdADAABLAABLAABIA/QCHdADnAId0"
    "AP0ncwDAABNAABNAABGACv4Ag3QA6/wAAjQAJ3MAwAAVUAAFbAABUgpc1Mj9C/hAtQBKU80eI4IAReZJvZcABpQYyAv4AzUAwAAW/AAB"
    "bcAAFth+aWJMXnJreX9xGMxbHKP0q0X8As9FPf7zEAXqKZwA1grEJmjGoqTjwi2MqWbEAWZIpGToV/F9cNwAJVRBd6ClAcNATDdF0Qfo"
    "6AQskVDTGs3pWZsAwAAve4AAXtsAAL34evAhQijhY6ZGmAKMQE3DxEmE/jAOJ8cbZSD8QXm8m7lBE6FPiEXJ7ccoDMB7wxNmBiXEvwAL"
    "0tMRUiCKwiR5iVRDEyBogA+y0w2Se8QBqv0ZGp07buiGzsWc+QDLuL/M+Xow7xfrzteinh/WjnF6vRO9YcQjkQ3JtrACvMl+tDo0QIi7"
    "lkcAxZCyyby0WzQwhruWx2EupO1I1+fdYoMoNHtbOeYEM9J1eXlpiYCkjGW5pM7M5uXlggFJJKtdRwaWacDyZSPfi9UN24rPQ3vWj2y+"
    "Xzzus3Dva8jDe5avOLgCUk2akhmQAvSS+TLLpmES5gwnSoMwCrOkN8ysNMDSIBPlhROkQZgAs5EXJlYSIVmUhXnhQ0mYDKAscqK8TiI0"
    "i/KonCgbZ5NhmEv5QV4mAZbFaZy5cqlpYpRKBh5AZpSVQGb5AKvQQ9KR6+Xrw5e5w6/Xn6/XL9Zfr9cPrLhBuQ0PklmyAv/Z"
)


def formula_image() -> np.ndarray:
    y, x = np.mgrid[:24, :20]
    return (40 * np.sin(x / 3) + 30 * np.cos(y / 4) + 7 * ((x * 5 + y * 3) % 11)).astype(np.int16) - 1000


def exact_series() -> list[Dataset]:
    """Stored values with noise, so that a codec has something to code."""
    noise = np.random.default_rng(0)

    def change(_, ds):
        values = np.rint(true_hu(ds) + 1024).astype("<i2") + noise.integers(-30, 30, (ds.Rows, ds.Columns), "<i2")
        ds.PixelData = values.astype("<i2").tobytes()

    return each(change)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("plain")
    save(exact_series(), folder)
    return read_series(folder).hu


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_and_deflated(syntax, plain, tmp_path):
    save(exact_series(), tmp_path, syntax=syntax)
    np.testing.assert_array_equal(read_series(tmp_path).hu, plain)


def test_big_endian(plain, tmp_path):
    def swap(ds: Dataset) -> Dataset:
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
        return ds

    save([swap(ds) for ds in exact_series()], tmp_path, syntax=ExplicitVRBigEndian)
    np.testing.assert_array_equal(read_series(tmp_path).hu, plain)


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_big_endian_bytes_are_swapped_in_words_only(vr, tmp_path):
    def swap(ds: Dataset) -> Dataset:
        if vr == "OW":
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").byteswap().tobytes()
        ds["PixelData"].VR = vr
        return ds

    save([eight_bit(ds) for ds in exact_series()], tmp_path / "little")
    save([swap(eight_bit(ds)) for ds in exact_series()], tmp_path / "big", syntax=ExplicitVRBigEndian)
    np.testing.assert_array_equal(read_series(tmp_path / "big").hu, read_series(tmp_path / "little").hu)


@pytest.mark.parametrize(
    ("written", "stated"),
    [(ImplicitVRLittleEndian, ExplicitVRLittleEndian), (ExplicitVRLittleEndian, ImplicitVRLittleEndian)],
)
def test_a_syntax_that_the_data_contradict_is_read_by_the_data(written, stated, plain, tmp_path):
    for number, ds in enumerate(exact_series()):
        whole = file_bytes(ds, syntax=written)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        meta.TransferSyntaxUID = stated
        head = DicomBytesIO()
        write_file_meta_info(head, meta)
        body = whole[whole.index(b"\x08\x00", whole.index(written.encode() + b"\0" * (len(written) % 2))) :]
        (tmp_path / f"{number}.dcm").write_bytes(b"\0" * 128 + b"DICM" + head.getvalue() + body)
    np.testing.assert_array_equal(read_series(tmp_path).hu, plain)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_lossless_by_pydicom(syntax, plain, tmp_path):
    datasets = exact_series()
    for ds in datasets:
        pydicom_compressed(ds, syntax)
    save(datasets, tmp_path, syntax=syntax)
    np.testing.assert_array_equal(read_series(tmp_path).hu, plain)


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEG2000Lossless"])
def test_lossless_by_gdcm(name, plain, tmp_path):
    transcoded(exact_series(), tmp_path, getattr(gdcm.TransferSyntax, name))
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, plain)
    assert volume.origin.facts["transfer_syntaxes"][0].startswith(JPEG)


@pytest.mark.parametrize("last", ["201", "202", "203"])
def test_high_throughput_jpeg_2000(last, tmp_path):
    def change(_, ds):
        ds.add_new("PixelData", "OB", encapsulate([HTJ2K]))
        ds["PixelData"].is_undefined_length = True

    save(each(change), tmp_path, syntax=JPEG + last)
    volume = read_series(tmp_path, rescale=(1, 0))  # its values are those of no body
    np.testing.assert_array_equal(volume.hu, np.broadcast_to(formula_image(), (12, 24, 20)))


def test_near_lossless_jpeg_ls_is_read_and_said(plain, tmp_path):
    datasets = exact_series()
    for ds in datasets:
        pydicom_compressed(ds, JPEGLSNearLossless, jls_error=2)
    save(datasets, tmp_path, syntax=JPEGLSNearLossless)
    volume = read_series(tmp_path)
    assert "DCM-LOSSY" in {notice.code for notice in volume.origin.warnings}
    assert 0 < np.abs(volume.hu - plain).max() <= 2


@pytest.mark.parametrize(("flag", "warned"), [(None, {"DCM-LOSSY"}), ("01", {"DCM-LOSSY"}), ("00", set())])
def test_jpeg_2000_that_may_be_lossy_is_so_unless_denied(flag, warned, plain, tmp_path):
    transcoded(exact_series(), tmp_path, gdcm.TransferSyntax.JPEG2000Lossless)
    for file in tmp_path.iterdir():
        ds = pydicom.dcmread(file)
        ds.file_meta.TransferSyntaxUID = f"{JPEG}91"
        if flag:
            ds.LossyImageCompression = flag
        ds.save_as(file)
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, plain)
    assert {notice.code for notice in volume.origin.warnings} == warned


def test_extended_12_bit_jpeg_is_read_and_said(shared_ct, tmp_path):
    """Against the lossless files of the same image: within the loss of the codec, in every pixel on average."""
    folder = shared_ct / "dicom" / "ctimage_transfer_syntaxes"
    stacks = {}
    for ending in ("4.51", "2.1"):
        (source,) = folder.glob(f"*1.2.840.10008.1.{'2.' if ending == '4.51' else ''}{ending}.dcm")
        stacks[ending] = read_series(repeated(source, tmp_path / ending))
    lossy, lossless = stacks["4.51"], stacks["2.1"]
    assert "DCM-LOSSY" in {notice.code for notice in lossy.origin.warnings}
    assert np.abs(lossy.hu - lossless.hu).mean() < 5


def test_unknown_syntax_is_refused_by_name(tmp_path):
    def change(_, ds):
        ds.add_new("PixelData", "OB", encapsulate([b"\0" * 100]))
        ds["PixelData"].is_undefined_length = True

    save(each(change), tmp_path, syntax=f"{JPEG}55")
    with pytest.raises(InputError, match=r"1\.2\.840\.10008\.1\.2\.4\.55") as caught:
        read_series(tmp_path)
    assert caught.value.code == "DCM-CODEC"


def test_mixed_syntaxes_in_one_series(plain, tmp_path):
    for number, ds in enumerate(exact_series()):
        if number % 2:
            pydicom_compressed(ds, RLELossless)
        (tmp_path / f"{number}.dcm").write_bytes(
            file_bytes(ds, syntax=RLELossless if number % 2 else ExplicitVRLittleEndian)
        )
    np.testing.assert_array_equal(read_series(tmp_path).hu, plain)


def repeated(source: Path, folder: Path) -> Path:
    """Three slices of the same image: a stack, for files of which there is only one."""
    folder.mkdir()
    for number in range(3):
        ds = pydicom.dcmread(source)
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, float(z) + 5 * number]
        ds.SOPInstanceUID = f"1.2.3.{number + 1}"
        ds.save_as(folder / f"{number}.dcm")
    return folder
