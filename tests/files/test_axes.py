"""The slice axis is the one with the largest spacing, the named one, or an error that names the tie."""

import nibabel as nib
import numpy as np
import pytest

from thinslice import files
from thinslice.errors import GeometryError, UsageError

TAGS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 30


def save(path, spacing):
    nib.save(nib.Nifti1Image(TAGS, np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize(("spacing", "shape"), [((5, 1, 1), (4, 6, 5)), ((1, 5, 1), (5, 6, 4)), ((1, 1, 5), (6, 5, 4))])
def test_the_coarsest_axis_becomes_z(tmp_path, spacing, shape):
    volume = files.read(save(tmp_path / "scan.nii", spacing))
    assert volume.shape == shape
    assert volume.voxel_mm == (1, 1, 5)
    assert volume.source.facts["slice_axis"] == "xyz"[spacing.index(5)]


@pytest.mark.parametrize(
    ("spacing", "names", "others"),
    [((2, 1, 2), ("x (left-right)", "z (head-foot)"), ("y (",)), ((2, 2.001, 1), ("x (", "y (front-back)"), ("z (",)),
     ((1, 1, 1), ("x (", "y (", "z ("), ())],
)  # fmt: skip
def test_a_tie_names_its_axes(tmp_path, spacing, names, others):
    path = save(tmp_path / "scan.nii", spacing)
    with pytest.raises(GeometryError) as tie:
        files.read(path)
    assert tie.value.code == "GEO-TIE"
    assert all(name in tie.value.message for name in names)
    assert not any(name in tie.value.message for name in others)
    assert files.read(path, axis="y").shape == (5, 6, 4)


def test_thin_slices_between_square_pixels_tie_in_plane(tmp_path):
    """Two equal pixel sizes above the slice spacing are a tie: which of them were the slices?"""
    with pytest.raises(GeometryError, match=r"axes x \(left-right\) and y \(front-back\).*--axis x\|y"):
        files.read(save(tmp_path / "scan.nii", (1, 1, 0.5)))


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
