"""Values, headers and bytes of NIfTI files."""

import gzip
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from thinslice.errors import InputError
from thinslice.io import files
from thinslice.io.files import assemble, gzip_blocks
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume

AFFINE = np.array([[-0.7, 0, 0, 90], [0, 0.7, 0, -80], [0, 0, 5, -300], [0, 0, 0, 1.0]])
RNG = np.random.default_rng(0)


def hu(shape=(6, 5, 4)):
    return RNG.integers(-1000, 2000, shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "int32", "uint16", "float32", ">f4", "float64", "int64"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_values_are_what_nibabel_says(tmp_path, dtype, kind):
    stored = RNG.integers(0, 200, (4, 5, 6)).astype(dtype)
    image = kind(stored, AFFINE, dtype=dtype)
    image.header.set_slope_inter(0.1, -10.3)
    nib.save(image, tmp_path / "scan.nii.gz")
    expected = nib.load(tmp_path / "scan.nii.gz").get_fdata()
    np.testing.assert_array_equal(files.read(tmp_path / "scan.nii.gz").hu.T, expected.astype(np.float32))


def test_int16_is_written_rounded_with_slope_one_and_millimetres(tmp_path):
    values = hu() + 0.4
    assert files.write(Volume(values, AFFINE), tmp_path / "out.nii.gz") == ()
    with gzip.open(tmp_path / "out.nii.gz") as stream:
        raw = nib.Nifti1Header(stream.read(348))
    assert (raw["scl_slope"], raw["scl_inter"]) == (1, 0)
    assert raw.get_data_dtype() == np.int16
    assert raw.get_xyzt_units()[0] == "mm"
    image = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(image.dataobj, np.rint(values).T)
    np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-7)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-5)


def test_float32_is_written_as_it_is(tmp_path):
    values = hu() + 0.123
    files.write(Volume(values, AFFINE), tmp_path / "out.nii", OutputFormat(dtype="float32"))
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").get_fdata(dtype=np.float32).T, values)


@pytest.mark.parametrize("beyond", [32768.0, -32769.0])
@pytest.mark.parametrize("ending", ["nii", "nrrd"])
def test_what_int16_cannot_hold_is_written_as_float32_and_said(tmp_path, beyond, ending):
    values = hu()
    values[0, 0, 0] = beyond
    (notice,) = files.write(Volume(values, AFFINE), tmp_path / f"out.{ending}")
    assert notice.code == "FILE-FLOAT"
    assert f"{beyond:g}" in notice.message
    np.testing.assert_array_equal(files.read(tmp_path / f"out.{ending}").hu, values)


def test_the_widest_int16_values_stay_int16(tmp_path):
    values = hu()
    values[0, 0, :2] = 32767, -32768
    assert files.write(Volume(values, AFFINE), tmp_path / "out.nii") == ()
    np.testing.assert_array_equal(files.read(tmp_path / "out.nii").hu, values)


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha"])
def test_same_volume_same_bytes(tmp_path, ending):
    volume = Volume(hu((9, 64, 64)), AFFINE)
    for name in "ab":
        files.write(volume, tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("size", [0, 1, gzip_blocks._BLOCK_BYTES, 2 * gzip_blocks._BLOCK_BYTES + 7])
def test_gzip_is_one_plain_member_for_any_number_of_threads(tmp_path, size):
    data = RNG.integers(0, 16, size, dtype=np.uint8).tobytes()
    for threads in (1, 3):
        with gzip_blocks.gzip_blocks(tmp_path / f"{threads}.gz", threads=threads) as stream:
            stream.write(data[: size // 3])
            stream.write(data[size // 3 :])
    packed = (tmp_path / "1.gz").read_bytes()
    assert packed == (tmp_path / "3.gz").read_bytes()
    assert gzip.decompress(packed) == data
    member = zlib.decompressobj(wbits=31)
    assert member.decompress(packed) == data
    assert member.eof
    assert member.unused_data == b""


def test_a_volume_is_never_held_a_second_time(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "SLAB_BYTES", 1 << 17)
    volume = Volume(hu((64, 128, 128)), AFFINE)
    tracemalloc.start()
    try:
        files.write(volume, tmp_path / "out.nii")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < volume.hu.nbytes / 4


def test_length_units_of_the_header_count(tmp_path):
    image = nib.Nifti1Image(hu().astype(np.int16).T, np.diag([0.0007, 0.0007, 0.005, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "scan.nii")
    assert files.read(tmp_path / "scan.nii").voxel_mm == pytest.approx((0.7, 0.7, 5.0))


def test_without_any_orientation_nibabel_s_default_is_taken_and_said(tmp_path):
    image = nib.Nifti1Image(hu().astype(np.int16).T, None)
    image.header.set_zooms((0.7, 0.7, 5.0))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "scan.nii")
    volume = files.read(tmp_path / "scan.nii")
    assert [notice.code for notice in volume.origin.warnings] == ["FILE-NOORIENT"]
    np.testing.assert_allclose(volume.affine, nib.load(tmp_path / "scan.nii").affine)


def test_the_sform_goes_before_the_qform(tmp_path):
    image = nib.Nifti1Image(hu().astype(np.int16).T, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(np.diag([-0.7, 0.7, 5, 1.0]), 1)
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(files.read(tmp_path / "scan.nii").affine, AFFINE, rtol=1e-6)


def test_a_header_at_odds_with_itself_is_said(tmp_path):
    image = nib.Nifti1Image(hu().astype(np.int16).T, AFFINE)
    nib.save(image, tmp_path / "scan.nii")
    raw = bytearray((tmp_path / "scan.nii").read_bytes())
    raw[76 + 12 : 76 + 16] = np.float32(2.5).tobytes()  # pixdim[3]
    (tmp_path / "scan.nii").write_bytes(raw)
    volume = files.read(tmp_path / "scan.nii")
    assert [notice.code for notice in volume.origin.warnings] == ["FILE-PIXDIM"]
    assert volume.voxel_mm[2] == pytest.approx(5.0)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_compression_is_seen_from_the_bytes(tmp_path, ending):
    other = {"nii": "nii.gz", "nii.gz": "nii"}[ending]
    files.write(Volume(hu(), AFFINE), tmp_path / f"scan.{ending}")
    (tmp_path / f"scan.{ending}").rename(tmp_path / f"other.{other}")
    assert files.read(tmp_path / f"other.{other}").shape == (6, 5, 4)


def test_a_header_extension_is_stepped_over(tmp_path):
    image = nib.Nifti1Image(hu().astype(np.int16).T, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100))
    nib.save(image, tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(files.read(tmp_path / "scan.nii.gz").hu.T, image.dataobj)


def test_one_damaged_byte_is_noticed_by_the_checksum(tmp_path):
    """Deep in the compressed stream, where slices may still decode: the checksum at the end decides."""
    files.write(Volume(hu((8, 64, 64)), AFFINE), tmp_path / "scan.nii.gz")
    data = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    data[-8] ^= 1  # the checksum itself
    (tmp_path / "scan.nii.gz").write_bytes(data)
    with pytest.raises(InputError) as broken:
        files.read(tmp_path / "scan.nii.gz")
    assert broken.value.code == "FILE-BROKEN"


def test_rescale_replaces_the_header_s(tmp_path):
    stored = RNG.integers(0, 4000, (4, 5, 6)).astype(np.uint16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(2, 7)
    nib.save(image, tmp_path / "scan.nii")
    volume = files.read(tmp_path / "scan.nii", rescale=(0.5, -1024))
    np.testing.assert_array_equal(volume.hu.T, stored * 0.5 - 1024)
