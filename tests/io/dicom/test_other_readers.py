"""SimpleITK, dcm2niix, dicom2nifti and highdicom read a derived series with our spacing, origin, direction and HU."""

import json
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
from dicom_cases import OBLIQUE, padded, setting, tilted
from dicom_phantom import enhanced, save, series
from thin import PROVENANCE, linear_thin

from thinslice.io.dicom import read_series, write_series
from thinslice.io.output_format import OutputFormat
from thinslice.volume import Volume

SOURCES = {
    "axial": series,
    "oblique": lambda: series(orientation=OBLIQUE),
    "coronal": lambda: series(orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
    "sagittal": lambda: series(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)),
    "prone": lambda: series(orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),
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
    write_series(thin, folder / "out", OutputFormat(compress=compress), source=source, provenance=PROVENANCE)
    return thin, folder / "out"


def assert_same_voxels(volume: Volume, values: np.ndarray, affine_ras: np.ndarray) -> None:
    """Another array (x, y, z) with its affine holds the volume's voxels at their places, in whatever order of axes."""
    assert sorted(values.shape) == sorted(volume.shape)
    to_index = np.linalg.inv(volume.affine) @ affine_ras
    turn = np.rint(to_index[:3, :3]).astype(int)  # a signed permutation, where the voxels are the same
    corner = np.array(volume.shape[::-1]) - 1
    snapped = np.eye(4)
    snapped[:3, :3], snapped[:3, 3] = turn, np.where(turn.sum(axis=1) < 0, corner, 0)
    corners = np.c_[np.array([*np.ndindex(2, 2, 2)]) * (np.array(values.shape) - 1), np.ones(8)]
    np.testing.assert_allclose(corners @ affine_ras.T, corners @ (volume.affine @ snapped).T, atol=1e-3)
    axes = np.abs(turn).argmax(axis=1)
    moved = values.transpose(axes)
    moved = moved[tuple(slice(None, None, sign) for sign in turn.sum(axis=1))]
    np.testing.assert_array_equal(moved.transpose(2, 1, 0), np.rint(volume.hu))


def read_by_simpleitk(folder: Path, _: Path) -> tuple[np.ndarray, np.ndarray]:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


def read_by_dcm2niix(folder: Path, place: Path) -> tuple[np.ndarray, np.ndarray]:
    program = Path(sys.executable).with_name("dcm2niix")
    tool = str(program) if program.exists() else shutil.which("dcm2niix")
    assert tool, "dcm2niix is a development dependency: pip install dcm2niix"
    place.mkdir()
    command = [tool, "-z", "n", "-b", "y", "-f", "x", "-o", place, folder]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    image = nibabel.load(place / "x.nii")
    return np.asarray(image.dataobj), image.affine


def read_by_dicom2nifti(folder: Path, place: Path) -> tuple[np.ndarray, np.ndarray]:
    place.mkdir()
    convert_dicom.dicom_series_to_nifti(str(folder), str(place / "x.nii"), reorient_nifti=False)
    image = nibabel.load(place / "x.nii")
    return np.asarray(image.dataobj), image.affine


def read_by_highdicom(folder: Path, _: Path) -> tuple[np.ndarray, np.ndarray]:
    volume = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in sorted(folder.iterdir())])
    order = np.array(volume.affine)  # LPS, array order (slice, row, column)
    return np.asarray(volume.array).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ order[:, [2, 1, 0, 3]]


READERS = {
    "SimpleITK": read_by_simpleitk,
    "dcm2niix": read_by_dcm2niix,
    "dicom2nifti": read_by_dicom2nifti,
    "highdicom": read_by_highdicom,
}


@pytest.mark.parametrize("reader", READERS)
def test_geometry_and_values_are_ours(reader, derived, tmp_path):
    thin, folder = derived
    values, affine = READERS[reader](folder, tmp_path / "read")
    assert_same_voxels(thin, values, affine)


LYING = {name: SOURCES[name] for name in ("axial", "oblique", "coronal", "sagittal", "prone")}


@pytest.mark.parametrize("name", [*LYING, "tilted"])
def test_source_and_result_lie_on_one_another(name, tmp_path):
    """In each reader by itself, the corners of the source are voxels of the result, at the same place, of the same HU.

    Of gantry tilt only dcm2niix gives a sheared grid; the others lay slices out square, or refuse.
    """
    save((LYING | {"tilted": lambda: tilted(15)})[name](), tmp_path / "in")
    source = read_series(tmp_path / "in")
    write_series(linear_thin(source, factor=3), tmp_path / "out", source=source, provenance=PROVENANCE)
    for reader, read in READERS.items():
        if name == "tilted" and reader != "dcm2niix":
            continue
        thick, at = read(tmp_path / "in", tmp_path / f"{reader} in")
        thin, to = read(tmp_path / "out", tmp_path / f"{reader} out")
        corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array(thick.shape) - 1)
        places = corners @ at[:3, :3].T + at[:3, 3]
        index = np.rint((places - to[:3, 3]) @ np.linalg.inv(to[:3, :3]).T).astype(int)
        np.testing.assert_allclose(index @ to[:3, :3].T + to[:3, 3], places, atol=1e-3, err_msg=reader)
        assert ((index >= 0) & (index < thin.shape)).all(), reader
        np.testing.assert_array_equal(thin[tuple(index.T)], thick[tuple(corners.T)], err_msg=reader)


def test_the_side_car_of_dcm2niix_says_what_it_is(tmp_path):
    save(setting(SeriesDescription="胸" * 64, SpecificCharacterSet="ISO_IR 192"), tmp_path / "in")
    source = read_series(tmp_path / "in")
    write_series(linear_thin(source, factor=3), tmp_path / "out", source=source, provenance=PROVENANCE)
    read_by_dcm2niix(tmp_path / "out", tmp_path / "read")
    said = json.loads((tmp_path / "read" / "x.json").read_text())
    assert said["ImageType"][0] == "DERIVED"
    assert said["SeriesDescription"].endswith("| thinslice 1.67mm")
    assert said["ManufacturersModelName"] == "thinslice"
