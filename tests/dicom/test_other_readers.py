"""SimpleITK, dcm2niix and highdicom read a derived series with our spacing, origin, direction and HU."""

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
from dicom_cases import OBLIQUE, padded
from dicom_phantom import save, series
from thin import PROVENANCE, linear_thin

from thinslice.dicom import read_series, write_series
from thinslice.volume import Volume

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "padded": lambda: padded(-2000, -2000),
}


@pytest.fixture(scope="module", params=[*SOURCES, "real JPEG-LS"])
def derived(request, tmp_path_factory) -> tuple[Volume, Path]:
    folder = tmp_path_factory.mktemp("series")
    if request.param in SOURCES:
        save(SOURCES[request.param](), folder / "in")
        place = folder / "in"
    else:
        place = request.getfixturevalue("shared_ct") / "dicom" / "petct_acrin042_scout_plus_ct"
    source = read_series(place)
    thin = linear_thin(source, factor=3)
    write_series(thin, folder / "out", source=source, provenance=PROVENANCE)
    return thin, folder / "out"


def sampled_at(volume: Volume, affine_ras: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The volume at the voxels of another array (x, y, z) that must be the same voxels, in another order."""
    i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
    index = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ (np.linalg.inv(volume.affine) @ affine_ras).T
    nearest = np.rint(index[..., :3]).astype(int)
    assert np.abs(index[..., :3] - nearest).max() < 0.01
    return np.rint(volume.hu)[nearest[..., 2], nearest[..., 1], nearest[..., 0]]


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
    values = np.asarray(image.dataobj)
    np.testing.assert_array_equal(values, sampled_at(thin, image.affine, values.shape))


def test_highdicom(derived):
    thin, folder = derived
    volume = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in sorted(folder.iterdir())])
    order = np.array(volume.affine)  # LPS, array order (slice, row, column)
    affine = np.diag([-1, -1, 1, 1]) @ order[:, [2, 1, 0, 3]]
    values = np.asarray(volume.array).transpose(2, 1, 0)
    np.testing.assert_array_equal(values, sampled_at(thin, affine, values.shape))
