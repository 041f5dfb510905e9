"""NRRD and MetaImage: values, pairs of files, and nothing left where writing fails."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from thinslice.errors import InputError, OutputError
from thinslice.io import files
from thinslice.io.files import gzip_blocks
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume

AFFINE = np.diag([-0.75, 0.75, 5.0, 1.0])
HU = np.random.default_rng(0).integers(-1000, 2000, (6, 5, 4)).astype(np.float32)


@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
@pytest.mark.parametrize(("dtype", "stored"), [("int16", sitk.sitkInt16), ("float32", sitk.sitkFloat32)])
def test_values_are_what_simpleitk_reads(tmp_path, ending, dtype, stored):
    values = HU + np.float32(0.25)
    files.write(Volume(values, AFFINE), tmp_path / f"out.{ending}", OutputFormat(dtype=dtype))
    image = sitk.ReadImage(str(tmp_path / f"out.{ending}"))
    assert image.GetPixelID() == stored
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU if dtype == "int16" else values)


@pytest.mark.parametrize("pixel", ["int16", "uint16", "int8", "int32", "float32", "float64"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
def test_every_real_pixel_type_is_read(tmp_path, pixel, packed, ending):
    stored = (HU / 20).astype(np.int8) if pixel == "int8" else np.abs(HU).astype(pixel)
    image = sitk.GetImageFromArray(stored)
    image.SetSpacing((0.75, 0.75, 5.0))
    sitk.WriteImage(image, str(tmp_path / f"in.{ending}"), useCompression=packed)
    np.testing.assert_array_equal(files.read(tmp_path / f"in.{ending}", rescale=(1, 0)).hu, stored)


def test_one_volume_in_four_dimensions_is_read(tmp_path):
    image = sitk.JoinSeries([sitk.GetImageFromArray(HU.astype(np.int16))])
    image.SetSpacing((0.75, 0.75, 5.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "in.mha"))
    volume = files.read(tmp_path / "in.mha")
    np.testing.assert_array_equal(volume.hu, HU)
    np.testing.assert_allclose(volume.affine, np.diag([-0.75, -0.75, 5, 1]))


def test_a_pair_is_two_files_that_know_each_other_by_name(tmp_path):
    files.write(Volume(HU, AFFINE), tmp_path / "first.mhd")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first.mhd", "first.raw"]
    assert "ElementDataFile = first.raw" in (tmp_path / "first.mhd").read_text()
    (tmp_path / "elsewhere").mkdir()
    for path in sorted(tmp_path.glob("first.*")):
        path.rename(tmp_path / "elsewhere" / path.name)
    np.testing.assert_array_equal(files.read(tmp_path / "elsewhere" / "first.mhd").hu, HU)


@pytest.mark.parametrize("name", ["W.NRRD", "50%.nrrd", "ü x.mhd", "ü.mha", "a.b.mhd"])
def test_names_that_itk_takes_otherwise_are_written_and_read_again(tmp_path, name):
    files.write(Volume(HU, AFFINE), tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files.parts(tmp_path / name)}
    np.testing.assert_array_equal(files.read(tmp_path / name).hu, HU)


STEMS = (
    "~", "~a", "a~", " a", "a ", "a\nb", "\na", "a\tb", "a\rb", "LIST", "LISTa", "list", "LOCAL", "=a", "a=b", ":a",
    "a:b", "ab:c", "C:a", "a\\b", "%", "a%d", "100%", "a%%b", "#a", "a#b", '"a"', "$a", "-a", ".a", "a.", "1 2 3",
    "漢", "\u00a0a", "a.raw",
)  # fmt: skip


def refusal(path):
    try:
        files.check_target(path, affine=AFFINE, shape=HU.shape)
    except OutputError as error:
        return error
    return None


@pytest.mark.parametrize("ending", ["mhd", "nhdr", "mha", "nrrd"])
@pytest.mark.parametrize("stem", STEMS)
def test_any_name_is_refused_before_work_or_itk_finds_its_voxels(tmp_path, monkeypatch, stem, ending):
    """From another working folder: a name that begins with ~ is no name beside the header then."""
    path = tmp_path / f"{stem}.{ending}"
    if refused := refusal(path):
        assert refused.code == "OUT-FORMAT"
        assert ending in ("mhd", "nhdr")
        return
    files.write(Volume(HU, AFFINE), path)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), HU)


@pytest.mark.parametrize("stem", ["a", "a b", "ü", "scan_1.2", "a~", "list", "[a]"])
def test_usual_names_are_not_refused(tmp_path, stem):
    for ending in ("mhd", "nhdr"):
        files.check_target(tmp_path / f"{stem}.{ending}", affine=AFFINE, shape=HU.shape)


@pytest.mark.parametrize("name", ["U.MHA", "V.Mhd", "W.Nhdr"])
def test_endings_that_itk_does_not_know_are_refused_before_work(tmp_path, name):
    with pytest.raises(OutputError, match="ITK reads no"):
        files.check_target(tmp_path / name, affine=AFFINE, shape=HU.shape)


@pytest.mark.parametrize("ending", ["nrrd", "mhd"])
def test_a_path_that_is_no_text_is_refused_and_does_not_end_the_process(tmp_path, ending):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9." + ending.encode()))
    with pytest.raises(OutputError, match="UTF-8"):
        files.write(Volume(HU, AFFINE), path)
    path.write_bytes(b"NRRD0004\n")
    with pytest.raises(InputError, match="UTF-8"):
        files.read(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("ending", "instead"), [("nhdr", "nhdr"), ("nhdr", "nrrd"), ("mhd", "mhd")])
def test_voxels_beside_their_header(tmp_path, monkeypatch, packed, ending, instead):
    """Read from any working folder; said where they are not there, and where they are damaged."""
    image = sitk.GetImageFromArray(HU.astype(np.int16))
    image.SetSpacing((0.75, 0.75, 5.0))
    (tmp_path / "sub").mkdir()
    header = tmp_path / "sub" / f"in.{instead}"
    sitk.WriteImage(image, str(header.with_suffix(f".{ending}")), useCompression=packed)
    header.with_suffix(f".{ending}").rename(header)
    (data,) = {*header.parent.iterdir()} - {header}
    for folder, path in ((tmp_path, Path("sub") / header.name), (tmp_path / "sub", Path(header.name)), ("/", header)):
        monkeypatch.chdir(folder)
        np.testing.assert_array_equal(files.read(path).hu, HU)
        assert {part.resolve() for part in files.parts_read(path)} == {header, data}
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as cut:
        files.read(header)
    assert cut.value.code == "FILE-BROKEN"
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not there") as missing:
        files.read(header)
    assert missing.value.code == "FILE-BROKEN"
    assert data.name in missing.value.message_with_names


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch, ending):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(gzip_blocks, "_deflate", full)
    monkeypatch.setattr(os, "replace", full)  # the last step of every format
    with pytest.raises(OutputError, match="no space left") as refused:
        files.write(Volume(HU, AFFINE), tmp_path / f"out.{ending}")
    assert refused.value.code == "OUT-FULL"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
def test_what_itk_cannot_write_is_an_output_error(tmp_path, monkeypatch, ending):
    def fails(image, name, **_options):
        with open(name, "wb") as file:
            file.write(b"half")
        raise RuntimeError("several lines\nof ITK's own")

    monkeypatch.setattr(sitk, "WriteImage", fails)
    with pytest.raises(OutputError) as refused:
        files.write(Volume(HU, AFFINE), tmp_path / f"out.{ending}")
    assert refused.value.code == "OUT-WRITE"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_file_that_gives_no_orientation_is_remarked(ending, tmp_path):
    image = sitk.GetImageFromArray(np.resize(HU, (6, 16, 16)).astype(np.int16))
    image.SetSpacing((1.0, 1.0, 5.0))
    sitk.WriteImage(image, str(tmp_path / f"told.{ending}"))
    told = (tmp_path / f"told.{ending}").read_bytes()
    dropped = (b"space", b"TransformMatrix", b"kinds")
    lines = [line for line in told.split(b"\n") if not line.startswith(dropped)]
    if ending == "nrrd":
        lines.insert(5, b"spacings: 1 1 5")
    (tmp_path / f"untold.{ending}").write_bytes(b"\n".join(lines))
    assert files.read(tmp_path / f"told.{ending}").origin.warnings == ()
    untold = files.read(tmp_path / f"untold.{ending}")
    assert [notice.code for notice in untold.origin.warnings] == ["FILE-NOORIENT"]
    assert untold.slice_spacing_mm == 5.0
