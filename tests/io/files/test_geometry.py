"""A voxel keeps its place in the patient, whatever the file's axes are: nibabel and SimpleITK as judges."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from thinslice.errors import GeometryError
from thinslice.io import files

SHAPE = (4, 5, 6)  # (x, y, z) of the file
TAGS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 30  # every voxel has its own value


@st.composite
def affines(draw, *, sheared=False):
    """Any orientation, handedness, obliquity and spacing; one axis is coarser than the others."""
    unit = st.floats(-1, 1, allow_nan=False)
    turn = Rotation.from_rotvec([3 * draw(unit), 3 * draw(unit), 3 * draw(unit)]).as_matrix()
    spacing = np.array([draw(st.floats(0.4, 1.0)), draw(st.floats(0.4, 1.0)), draw(st.floats(1.2, 9.0))])
    signs = [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    steps = turn * spacing * signs
    if sheared:
        steps[:, 2] += draw(st.floats(0.3, 0.6)) * spacing[2] * turn[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = steps[:, list(draw(st.permutations(range(3))))]
    affine[:3, 3] = [400 * draw(unit) for _ in range(3)]
    return affine


def places(values_xyz, affine):
    """Where each value is, (number of values, 3), ordered by value."""
    index = np.indices(values_xyz.shape).reshape(3, -1)
    world = (affine[:3, :3] @ index).T + affine[:3, 3]
    return world[np.argsort(values_xyz.ravel())]


@given(affine=affines() | affines(sheared=True))
def test_nifti_keeps_every_voxel_in_its_place(tmp_path_factory, affine):
    folder = tmp_path_factory.mktemp("nifti")
    nib.save(nib.Nifti1Image(TAGS, affine), folder / "in.nii")
    stored = nib.load(folder / "in.nii").affine
    volume = files.read(folder / "in.nii")
    np.testing.assert_allclose(places(volume.hu.T, volume.affine), places(TAGS, stored), atol=1e-9)
    assert volume.voxel_mm[2] == max(volume.voxel_mm)

    files.write(volume, folder / "out.nii")
    again = nib.load(folder / "out.nii")
    np.testing.assert_array_equal(np.asarray(again.dataobj), TAGS)
    np.testing.assert_array_equal(again.affine, stored)
    assert (again.header["sform_code"], again.header["qform_code"]) == (2, 0)  # as nibabel saved the source


@given(affine=affines(sheared=True))
def test_a_sheared_grid_has_no_qform(tmp_path_factory, affine):
    folder = tmp_path_factory.mktemp("shear")
    nib.save(nib.Nifti1Image(TAGS, affine), folder / "in.nii")
    files.write(files.read(folder / "in.nii"), folder / "out.nii")
    again = nib.load(folder / "out.nii")
    assert again.header["qform_code"] == 0
    np.testing.assert_allclose(again.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)


@given(affine=affines(), ending=st.sampled_from(("nrrd", "mha", "mhd")))
def test_itk_formats_keep_every_voxel_in_its_place(tmp_path_factory, affine, ending):
    folder = tmp_path_factory.mktemp("itk")
    lps = np.diag([-1, -1, 1, 1]) @ affine
    image = sitk.GetImageFromArray(TAGS.T)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(folder / f"in.{ending}"))

    volume = files.read(folder / f"in.{ending}")
    np.testing.assert_allclose(places(volume.hu.T, volume.affine), places(TAGS, affine), atol=1e-4)

    files.write(volume, folder / f"out.{ending}")
    again = sitk.ReadImage(str(folder / f"out.{ending}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), TAGS.T)
    for index in itertools.product((0, 3), (0, 4), (0, 5)):
        expected = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(again.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)


@given(affine=affines())
def test_formats_agree_on_where_things_are(tmp_path_factory, affine):
    """What is read from NIfTI and written as NRRD has the same axes and the same place."""
    folder = tmp_path_factory.mktemp("across")
    nib.save(nib.Nifti1Image(TAGS, affine), folder / "in.nii.gz")
    volume = files.read(folder / "in.nii.gz")
    files.write(volume, folder / "out.nrrd")
    again = files.read(folder / "out.nrrd")
    np.testing.assert_array_equal(again.hu, volume.hu)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-9)


@given(affine=affines(sheared=True), ending=st.sampled_from(("nrrd", "mha", "mhd")))
def test_formats_for_upright_grids_refuse_shear(tmp_path_factory, affine, ending):
    folder = tmp_path_factory.mktemp("refused")
    nib.save(nib.Nifti1Image(TAGS, affine), folder / "in.nii")
    with pytest.raises(GeometryError, match=r"sheared by .* degrees") as refused:
        files.write(files.read(folder / "in.nii"), folder / f"out.{ending}")
    assert refused.value.code == "GEO-SHEAR"
    assert [p.name for p in folder.iterdir()] == ["in.nii"]


def test_a_sheared_nrrd_is_read_as_it_lies(tmp_path):
    affine = np.array([[-0.8, 0, 0, 10], [0, -0.8, 1.5, 20], [0, 0, 5, 30], [0, 0, 0, 1]], float)
    image = sitk.GetImageFromArray(TAGS.T)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(tmp_path / "tilted.nrrd"))
    np.testing.assert_allclose(files.read(tmp_path / "tilted.nrrd").affine, affine, atol=1e-9)
    assert files.read(tmp_path / "tilted.nrrd").slice_spacing_mm == pytest.approx(5.0)
