"""SimpleITK, dcm2niix, dicom2nifti and highdicom read a derived series with our spacing, origin, direction and HU."""

import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom2nifti import convert_dicom
from dicom_cases import OBLIQUE, padded
from dicom_phantom import enhanced, save, series
from thin import PROVENANCE, linear_thin

from thinslice.dicom import read_series, write_series
from thinslice.volume import Volume

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "sagittal": lambda: series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)),
    "padded": lambda: padded(-2000, -2000),
    "multi-frame": lambda: [enhanced(series())],
}


@pytest.fixture(scope="module", params=[*SOURCES, "JPEG-LS out", "real JPEG-LS"])
def derived(request, tmp_path_factory) -> tuple[Volume, Path]:
    folder = tmp_path_factory.mktemp("series")
    compress = "jpegls" if request.param == "JPEG-LS out" else "none"
    if request.param != "real JPEG-LS":
        save(SOURCES.get(request.param, series)(), folder / "in")
        place = folder / "in"
    else:
        place = request.getfixturevalue("shared_ct") / "dicom" / "petct_acrin042_scout_plus_ct"
    source = read_series(place)
    thin = linear_thin(source, factor=3)
    write_series(thin, folder / "out", source=source, provenance=PROVENANCE, compress=compress)
    return thin, folder / "out"


def assert_same_voxels(volume: Volume, values: np.ndarray, affine_ras: np.ndarray) -> None:
    """Another array (x, y, z) with its affine holds the volume's voxels at their places, in whatever order of axes."""
    assert sorted(values.shape) == sorted(volume.shape)
    to_index = np.linalg.inv(volume.affine) @ affine_ras
    turn = np.rint(to_index[:3, :3]).astype(int)  # a signed permutation, where the voxels are the same
    corner = np.array(volume.shape[::-1]) - 1
    np.testing.assert_allclose(to_index[:3, :3], turn, atol=0.01 / max(values.shape))
    np.testing.assert_allclose(to_index[:3, 3], np.where(turn.sum(axis=1) < 0, corner, 0), atol=0.01)
    axes = np.abs(turn).argmax(axis=1)
    moved = values.transpose(axes)
    moved = moved[tuple(slice(None, None, sign) for sign in turn.sum(axis=1))]
    np.testing.assert_array_equal(moved.transpose(2, 1, 0), np.rint(volume.hu))


def test_simpleitk(derived):
    thin, folder = derived
    reader = SimpleITK.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == thin.shape[0]
    reader.SetFileNames(names)
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ affine, thin.affine, atol=1e-4)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), np.rint(thin.hu))


def test_dcm2niix(derived, tmp_path):
    thin, folder = derived
    program = Path(sys.executable).with_name("dcm2niix")
    tool = str(program) if program.exists() else shutil.which("dcm2niix")
    assert tool, "dcm2niix is a development dependency: pip install dcm2niix"
    subprocess.run(
        [tool, "-z", "n", "-b", "n", "-f", "x", "-o", tmp_path, folder], check=True, capture_output=True, timeout=120
    )
    (file,) = tmp_path.glob("*.nii")
    image = nibabel.load(file)
    assert_same_voxels(thin, np.asarray(image.dataobj), image.affine)


def test_dicom2nifti(derived, tmp_path):
    thin, folder = derived
    convert_dicom.dicom_series_to_nifti(str(folder), str(tmp_path / "x.nii"), reorient_nifti=False)
    image = nibabel.load(tmp_path / "x.nii")
    assert_same_voxels(thin, np.asarray(image.dataobj), image.affine)


def test_highdicom(derived):
    thin, folder = derived
    volume = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in sorted(folder.iterdir())])
    order = np.array(volume.affine)  # LPS, array order (slice, row, column)
    affine = np.diag([-1, -1, 1, 1]) @ order[:, [2, 1, 0, 3]]
    assert_same_voxels(thin, np.asarray(volume.array).transpose(2, 1, 0), affine)
