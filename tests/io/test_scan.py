"""One door: what a path is decides who reads and writes it."""

import nibabel as nib
import numpy as np
import pytest

from thinslice.errors import GeometryError, OutputError, UsageError
from thinslice.io import scan
from thinslice.io.output_format import OutputFormat
from thinslice.io.writing import check_target, write
from thinslice.volume import Origin, Volume

AFFINE = np.diag([0.7, 0.7, 5.0, 1.0])


@pytest.fixture
def volume():
    return Volume(np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)), AFFINE)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ", ".nrrd", ".mha", ".mhd"])
def test_files_by_their_names(tmp_path, volume, ending):
    assert write(volume, tmp_path / f"scan{ending}") == ()
    again = scan.read(tmp_path / f"scan{ending}", thickness=2.5)
    np.testing.assert_array_equal(again.hu, volume.hu)
    np.testing.assert_allclose(again.affine, AFFINE)
    assert again.thickness == 2.5


def test_objects_pass_the_same_door(volume):
    assert scan.read(volume) is volume
    assert scan.read(volume.hu, affine=AFFINE, thickness=5.0).thickness == 5.0
    with pytest.raises(UsageError, match="rescale does not go with a Volume"):
        scan.read(volume, rescale=(1, 0))


@pytest.mark.parametrize("name", ["out", "out.v2", "out.dcm", "out.zip", "out.nii.bz2", "out.hdr"])
def test_dicom_needs_a_dicom_source(tmp_path, volume, name):
    with pytest.raises(OutputError) as refused:
        write(volume, tmp_path / name)
    assert refused.value.code == "OUT-FORMAT"
    assert ".nii.gz" in refused.value.message
    assert not list(tmp_path.iterdir())


def test_series_and_phase_go_with_dicom(tmp_path, volume):
    write(volume, tmp_path / "scan.nii")
    for option in ({"series": "1.2"}, {"phase": 1}):
        with pytest.raises(UsageError, match="go with DICOM"):
            scan.read(tmp_path / "scan.nii", **option)


def test_an_existing_output_is_replaced_only_when_told(tmp_path, volume):
    for name in ("a.nii", "b.mhd"):
        write(volume, tmp_path / name)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(OutputError) as refused:
            write(volume, tmp_path / name)
        assert refused.value.code == "OUT-EXISTS"
        assert (tmp_path / name).read_bytes() == before
        write(volume, tmp_path / name, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii", "b.mhd", "b.raw"]


def test_a_target_is_refused_before_work(tmp_path, volume):
    sheared = AFFINE.copy()
    sheared[0, 2] = 1
    cases = {
        "new.txt": (OutputError, "OUT-FORMAT"),
        "tilt.nrrd": (GeometryError, "GEO-SHEAR"),
    }
    for name, (error, code) in cases.items():
        with pytest.raises(error) as refused:
            check_target(tmp_path / name, OutputFormat(), source=Volume(volume.hu, sheared))
        assert refused.value.code == code, name
    check_target(tmp_path / "tilt.nrrd", OutputFormat(), source=Volume(volume.hu, sheared), upright=True)
    check_target(tmp_path / "new" / "out.nii", OutputFormat(), source=volume)
    assert not list(tmp_path.iterdir())
    dicom = Volume(volume.hu, AFFINE, origin=Origin("dicom"))
    for name, options, code in (
        ("out.nii", {"compress": "rle"}, "USE-COMPRESS"),
        ("out.nii", {"series_number": 7}, "USE-SERIES"),
        ("series", {"dtype": "float32"}, "USE-DTYPE"),
    ):
        with pytest.raises(UsageError) as refused:
            check_target(tmp_path / name, OutputFormat(**options), source=dicom)
        assert refused.value.code == code
    check_target(tmp_path / "series", OutputFormat(), source=Volume(volume.hu, AFFINE, origin=Origin("dicom")))


def test_what_is_in_the_way_is_found_on_writing(tmp_path, volume):
    cases = {"taken.nii": "OUT-EXISTS", "taken.mhd": "OUT-EXISTS", "file/out.nii": "OUT-WRITE"}
    there = ("file", "taken.nii", "taken.raw")
    for name in there:
        (tmp_path / name).touch()
    for name, code in cases.items():
        with pytest.raises(OutputError) as refused:
            write(volume, tmp_path / name)
        assert refused.value.code == code, name
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(there, b"")


def test_strict_counts_for_files(tmp_path, volume):
    image = nib.Nifti1Image(volume.hu.T.astype(np.int16), None)
    image.header.set_zooms((0.7, 0.7, 5.0))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "scan.nii")
    assert len(scan.read(tmp_path / "scan.nii").origin.warnings) == 1
    with pytest.raises(GeometryError, match="orientation"):
        scan.read(tmp_path / "scan.nii", strict=True)
