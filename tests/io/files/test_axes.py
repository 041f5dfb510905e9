"""The slice axis is the named one, the one with the largest spacing, or the third where sizes do not tell."""

import nibabel as nib
import numpy as np
import pytest

from thinslice.errors import UsageError
from thinslice.io import files
from thinslice.io.files.objects import from_object

TAGS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) * 8 - 900


def save(path, spacing):
    nib.save(nib.Nifti1Image(TAGS, np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize(("spacing", "shape"), [((5, 1, 1), (4, 6, 5)), ((1, 5, 1), (5, 6, 4)), ((1, 1, 5), (6, 5, 4))])
def test_the_coarsest_axis_becomes_z(tmp_path, spacing, shape):
    volume = files.read(save(tmp_path / "scan.nii", spacing))
    assert volume.shape == shape
    assert volume.voxel_mm == (1, 1, 5)
    assert volume.origin.facts["slice_axis"] == "xyz"[spacing.index(5)]


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 1), "z"), ((0.488, 0.488, 0.45), "z"), ((2, 1, 2), "z"), ((2, 2.001, 1), "z"), ((0.6, 0.55, 0.5), "z"),
     ((1.1, 1, 1), "x"), ((1, 1.1, 1), "y")],
)  # fmt: skip
def test_where_sizes_do_not_tell_it_is_the_third_axis_or_the_one_beside_square_pixels_and_is_said(
    tmp_path, spacing, axis
):
    path = save(tmp_path / "scan.nii", spacing)
    for volume in (files.read(path), from_object(nib.load(path))):
        assert volume.origin.facts["slice_axis"] == axis
        (notice,) = volume.origin.warnings
        assert notice.code == "GEO-AXIS"
        assert f"; {axis} (" in notice.message
    named = files.read(path, axis="y")
    assert named.shape == (5, 6, 4)
    assert named.origin.warnings == ()


@pytest.mark.parametrize("spacing", [(5, 0.7, 0.7), (0.7, 5, 0.7), (0.7, 0.7, 5), (0.9, 1.2, 1.0), (0.7, 0.8, 0.9)])
def test_a_spacing_that_is_clearly_the_largest_needs_no_remark(tmp_path, spacing):
    volume = files.read(save(tmp_path / "scan.nii", spacing))
    assert volume.voxel_mm[2] == pytest.approx(max(spacing))
    assert volume.origin.warnings == ()


@pytest.mark.parametrize("axis", ["x", "X", 0, "0"])
def test_a_named_axis_wins_and_comes_back(tmp_path, axis):
    volume = files.read(save(tmp_path / "scan.nii", (1, 1, 5)), axis=axis)
    assert volume.shape == (4, 6, 5)
    files.write(volume, tmp_path / "out.nii")
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").dataobj, TAGS)


@pytest.mark.parametrize("axis", ["w", 3, "axial", ""])
def test_an_unknown_axis_is_a_usage_error(tmp_path, axis):
    with pytest.raises(UsageError, match="must be x, y or z"):
        files.read(save(tmp_path / "scan.nii", (1, 1, 5)), axis=axis)


def test_new_slices_lie_along_the_file_s_own_slice_axis(tmp_path):
    """Twice as many slices of a sagittal stack are twice as many along x of its file."""
    volume = files.read(save(tmp_path / "scan.nii", (5, 1, 1)))
    files.write(volume.with_slices(np.repeat(volume.hu, 2, axis=0), first=-0.25, step=0.5), tmp_path / "out.nii")
    out = nib.load(tmp_path / "out.nii")
    np.testing.assert_array_equal(out.dataobj, np.repeat(TAGS, 2, axis=0))
    np.testing.assert_allclose(out.affine, [[2.5, 0, 0, -1.25], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
