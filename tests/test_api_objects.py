"""Libraries' objects in and out: axis order and LPS/RAS are judged by each library itself."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torchio
from monai.data import MetaTensor
from monai.transforms import LoadImage, Orientation
from monai.utils import SpaceKeys

from thinslice.errors import GeometryError, InputError, UsageError
from thinslice.io import files, scan
from thinslice.io.files.assemble import NO_ORIENTATION
from thinslice.io.files.objects import from_object, is_scan
from thinslice.io.files.to_objects import to_monai, to_nibabel, to_sitk, to_torchio
from thinslice.io.writing import write
from thinslice.volume import Volume

SHAPE = (4, 5, 6)  # index order (i, j, k)
TAGS = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) * 12 - 950  # every voxel has its own value


def grid(kind):
    """Affines (RAS) with the coarse axis at i, j or k; flipped, permuted, oblique."""
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    steps = {
        "upright": np.diag([-0.7, -0.8, 5.0]),
        "RAS": np.diag([0.7, 0.8, 5.0]),
        "feet first": np.diag([-0.7, 0.8, -5.0]),
        "sagittal": np.array([[0, 0, 5.0], [0.7, 0, 0], [0, -0.8, 0]]),
        "coarse first": np.array([[5.0, 0, 0], [0, 0, 0.7], [0, -0.8, 0]]),
        "coarse second": np.array([[0, 0, -0.7], [0.8, 0, 0], [0, 5.0, 0]]),
        "oblique": turn * [0.7, 0.8, 5.0],
        "oblique, coarse first": turn * [5.0, 0.8, 0.7],
    }[kind]
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = -90.5, 33.25, -712
    return affine


KINDS = (
    "upright",
    "RAS",
    "feet first",
    "sagittal",
    "coarse first",
    "coarse second",
    "oblique",
    "oblique, coarse first",
)


@pytest.fixture(params=KINDS)
def affine(request):
    return grid(request.param)


def value_at(volume, world):
    """The volume's value at a place (x, y, z) in RAS mm, which must be a voxel centre."""
    x, y, z = np.linalg.solve(volume.affine, [*world, 1])[:3]
    index = np.rint([z, y, x]).astype(int)
    np.testing.assert_allclose(index, [z, y, x], atol=1e-4)
    return volume.hu[tuple(index)]


def corners():
    return [(i, j, k) for i in (0, 3) for j in (0, 2, 4) for k in (0, 1, 5)]


def test_nibabel(affine):
    image = nib.Nifti1Image(TAGS, affine)
    volume = from_object(image)
    assert volume.voxel_mm[2] == pytest.approx(5)
    for index in corners():
        world = nib.affines.apply_affine(image.affine, index)
        assert value_at(volume, world) == image.dataobj[index]
    back = to_nibabel(volume)
    np.testing.assert_array_equal(back.get_fdata(), TAGS)
    np.testing.assert_array_equal(back.affine, affine)


def test_simpleitk(affine):
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(TAGS.T)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    volume = from_object(image)
    for index in corners():
        left, back, up = image.TransformIndexToPhysicalPoint(index)
        assert value_at(volume, (-left, -back, up)) == image[index]
    again = to_sitk(volume)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), TAGS.T)
    for index in corners():
        expected = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(again.TransformIndexToPhysicalPoint(index), expected, atol=1e-9)


def test_torchio(affine):
    image = torchio.ScalarImage(tensor=torch.from_numpy(TAGS[None]), affine=affine)
    for source in (image, torchio.Subject(ct=image, age=torch.zeros(1))):
        volume = from_object(source)
        for index in corners():
            assert value_at(volume, nib.affines.apply_affine(image.affine, index)) == image.data[(0, *index)]
    back = to_torchio(volume)
    np.testing.assert_array_equal(back.numpy(), TAGS[None])
    np.testing.assert_allclose(back.affine, affine, atol=1e-12)
    assert back.orientation == image.orientation


def test_torchio_from_a_file_is_the_same_scan(affine, tmp_path):
    nib.save(nib.Nifti1Image(TAGS.astype(np.int16), affine), tmp_path / "scan.nii.gz")
    from_file = files.read(tmp_path / "scan.nii.gz")
    from_library = from_object(torchio.ScalarImage(tmp_path / "scan.nii.gz"))
    np.testing.assert_array_equal(from_library.hu, from_file.hu)
    np.testing.assert_allclose(from_library.affine, from_file.affine, atol=1e-5)


@pytest.mark.parametrize("channel_first", [True, False])
def test_monai_from_a_file_is_the_same_scan(affine, tmp_path, channel_first):
    nib.save(nib.Nifti1Image(TAGS.astype(np.int16), affine), tmp_path / "scan.nii.gz")
    image = LoadImage(reader="NibabelReader", image_only=True, ensure_channel_first=channel_first)(
        tmp_path / "scan.nii.gz"
    )
    assert image.ndim == 3 + channel_first
    volume, expected = from_object(image), files.read(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.hu, expected.hu)
    np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-5)


@pytest.mark.parametrize("space", list(SpaceKeys))
def test_monai_says_its_space(affine, space):
    flip = np.diag([-1, -1, 1, 1]) if space == SpaceKeys.LPS else np.eye(4)
    tensor = MetaTensor(torch.from_numpy(TAGS[None]), affine=torch.from_numpy(flip @ affine), meta={"space": space})
    volume = from_object(tensor)
    for index in corners():
        assert value_at(volume, nib.affines.apply_affine(affine, index)) == TAGS[index]


def test_array_with_affine():
    """(z, y, x) and voxel (x, y, z) to RAS: exactly what a Volume is; z is the slice axis as given."""
    affine = grid("upright")
    for array in (TAGS.T, TAGS.T.astype(np.int16), np.asfortranarray(TAGS.T), torch.from_numpy(TAGS).permute(2, 1, 0)):
        volume = from_object(array, affine=affine, thickness=5.0)
        np.testing.assert_array_equal(volume.hu, TAGS.T)
        np.testing.assert_array_equal(volume.affine, affine)
        assert volume.thickness == 5.0
    assert from_object(TAGS.T, affine=np.eye(4)).shape == (6, 5, 4)  # no tie: the order says which is z


def test_axes_of_one_are_dropped_and_bfloat16_is_read():
    values, affine = np.zeros((1, 1, 6, 5, 4), np.float32), np.diag([1.0, 1.0, 5.0, 1.0])
    assert from_object(values, affine=affine).shape == (6, 5, 4)
    assert from_object(torch.zeros(1, 6, 5, 4, dtype=torch.bfloat16), affine=affine).shape == (6, 5, 4)
    assert from_object(MetaTensor(torch.zeros(4, 5, 6, 1), affine=torch.from_numpy(affine))).shape == (6, 5, 4)
    assert from_object(nib.spatialimages.SpatialImage(np.zeros((4, 5, 6)), affine)).shape == (6, 5, 4)
    with pytest.raises(UsageError, match="does not consist of numbers"):
        from_object(values, affine="none")


def test_array_along_another_axis():
    volume = from_object(TAGS.T, affine=grid("upright"), axis="x")
    np.testing.assert_array_equal(volume.hu, TAGS.transpose(0, 2, 1))
    assert volume.voxel_mm == pytest.approx((0.8, 5, 0.7))
    np.testing.assert_array_equal(to_nibabel(volume).get_fdata(), TAGS)


def test_the_caller_s_array_is_not_the_volume_s():
    array = TAGS.T.copy()
    volume = from_object(array, affine=grid("upright"))
    array[:] = 0
    np.testing.assert_array_equal(volume.hu, TAGS.T)


def test_volume_and_path_pass_through(tmp_path):
    volume = from_object(TAGS.T, affine=grid("upright"))
    assert from_object(volume) is volume
    assert from_object(volume, thickness=3.0).thickness == 3.0
    files.write(volume, tmp_path / "scan.nii.gz")
    for path in (tmp_path / "scan.nii.gz", str(tmp_path / "scan.nii.gz")):
        np.testing.assert_array_equal(from_object(path).hu, TAGS.T)


def test_conversions_agree_with_each_other(affine):
    """nibabel to Volume to SimpleITK to Volume to torchio to Volume: nothing moved."""
    first = from_object(nib.Nifti1Image(TAGS, affine))
    last = from_object(to_torchio(from_object(to_sitk(first))))
    np.testing.assert_array_equal(last.hu, first.hu)
    np.testing.assert_allclose(last.affine, first.affine, atol=1e-9)


def test_a_sheared_volume_has_no_upright_image():
    affine = grid("upright")
    affine[1, 2] = 1.5
    with pytest.raises(GeometryError, match="sheared"):
        to_sitk(Volume(TAGS.T, affine))
    np.testing.assert_array_equal(to_nibabel(Volume(TAGS.T, affine)).affine, affine)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (lambda: nib.Nifti1Image(TAGS[..., 0], np.eye(4)), "FILE-DIMS"),
        (lambda: nib.Nifti1Image(np.stack([TAGS, TAGS], -1), np.eye(4)), "FILE-DIMS"),
        (lambda: nib.Nifti1Image(TAGS.astype(np.complex64), np.eye(4)), "FILE-DTYPE"),
        (lambda: nib.Nifti1Image(np.where(TAGS == 10, np.nan, TAGS), grid("upright")), "FILE-NAN"),
        (lambda: sitk.Image([4, 5], sitk.sitkInt16), "FILE-DIMS"),
        (lambda: sitk.Image([4, 5, 6], sitk.sitkVectorUInt8), "FILE-DTYPE"),
        (lambda: torchio.ScalarImage(tensor=torch.zeros(3, 4, 5, 6)), "FILE-DIMS"),
    ],
)
def test_objects_that_are_no_ct_volume_are_refused(source, code):
    with pytest.raises(InputError) as refused:
        from_object(source())
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"obj": TAGS.T}, "USE-AFFINE"),
        ({"obj": nib.Nifti1Image(TAGS, grid("upright")), "affine": np.eye(4)}, "USE-AFFINE"),
        ({"obj": [[1, 2], [3, 4]]}, "USE-INPUT"),
        ({"obj": None}, "USE-INPUT"),
        ({"obj": nib.Nifti1Header()}, "USE-INPUT"),
        ({"obj": nib.gifti.GiftiImage()}, "USE-INPUT"),
        ({"obj": sitk.Transform()}, "USE-INPUT"),
        ({"obj": torch.nn.Identity()}, "USE-INPUT"),
        ({"obj": LoadImage()}, "USE-INPUT"),
        ({"obj": np.random.default_rng(0)}, "USE-INPUT"),
        ({"obj": torch.empty(4, 5, 6, device="meta"), "affine": np.eye(4)}, "USE-INPUT"),
        ({"obj": torchio.Subject(a=torchio.ScalarImage(tensor=torch.zeros(1, 2, 2, 2)),
                                 b=torchio.ScalarImage(tensor=torch.zeros(1, 2, 2, 2)))}, "USE-INPUT"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(arguments, code):
    with pytest.raises(UsageError) as refused:
        from_object(**arguments)
    assert refused.value.code == code


def test_only_the_library_in_use_is_imported():
    program = (
        "import sys, numpy as np\n"
        "from thinslice.io.files.objects import from_object\n"
        "from_object(np.zeros((3, 4, 5)), affine=np.eye(4))\n"
        "loaded = {'nibabel', 'SimpleITK', 'torch', 'torchio', 'monai', 'pydicom'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_volume_read_along_another_axis_keeps_its_padding_but_not_the_thickness_along_the_first():
    padding = np.zeros((4, 5, 6), bool)
    padding[:, 0] = True
    volume = Volume(TAGS.T.reshape(4, 5, 6), np.diag([1.0, 1.0, 5.0, 1.0]), thickness=5.0, padding=padding)
    turned = from_object(volume, axis="x")
    assert turned.thickness is None
    assert np.array_equal(turned.padding, padding.transpose(2, 0, 1))
    assert np.array_equal(turned.hu, volume.hu.transpose(2, 0, 1))


def test_an_image_without_orientation_is_remarked_as_its_file_is(tmp_path):
    image = nib.Nifti1Image(TAGS, np.diag([0.7, 0.8, 5.0, 1.0]))
    assert from_object(image).origin.warnings == ()
    for place in (image.set_sform, image.set_qform):
        place(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    for found in (from_object(image), files.read(tmp_path / "a.nii")):
        assert [notice.code for notice in found.origin.warnings] == ["FILE-NOORIENT"]


def test_options_of_dicom_go_with_nothing_else(tmp_path):
    nib.save(nib.Nifti1Image(TAGS, np.diag([0.7, 0.8, 5.0, 1.0])), tmp_path / "a.nii")
    for source in (nib.load(tmp_path / "a.nii"), tmp_path / "a.nii"):
        with pytest.raises(UsageError, match="on-gap goes with DICOM"):
            scan.read(source, on_gap="fill")


@pytest.mark.parametrize("path", ["", "a\0b.nii"])
def test_what_is_no_path_is_refused(path):
    for command in (scan.read, lambda path: write(Volume(TAGS, np.eye(4)), path)):
        with pytest.raises(UsageError) as caught:
            command(path)
        assert caught.value.code == "USE-PATH"
    with pytest.raises(UsageError, match="only a Volume is written"):
        write(TAGS, "a.nii")


@pytest.mark.parametrize("again", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=["copy", "pickle"])
def test_copies_of_a_volume_are_as_protected_as_itself(again):
    volume = again(Volume(TAGS, np.eye(4), padding=TAGS > 0))
    for array in (volume.affine, volume.padding):
        assert not array.flags.writeable


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float64])
@pytest.mark.parametrize("axis", ["z", "x"])
def test_masked_voxels_were_never_measured(dtype, axis):
    values = (np.arange(4 * 5 * 6) % 90).reshape(4, 5, 6).astype(dtype)
    hidden = np.zeros(values.shape, bool)
    hidden[:, 1, 2] = hidden[2, 4] = True
    values[hidden] = 77 if dtype != np.float64 else np.nan  # what lies under a mask is no value
    volume = from_object(np.ma.masked_array(values, hidden), affine=np.diag([0.7, 0.8, 5.0, 1.0]), axis=axis)
    turn = (0, 1, 2) if axis == "z" else (2, 0, 1)
    assert np.array_equal(volume.padding, hidden.transpose(turn))
    assert np.array_equal(volume.hu, np.where(hidden, np.float32(-1024), values).transpose(turn))
    assert volume.origin.facts["padding_voxels"] == hidden.sum()
    image = nib.spatialimages.SpatialImage(np.ma.masked_array(values.T, hidden.T), np.diag([0.7, 0.8, 5.0, 1.0]))
    assert np.array_equal(from_object(image, axis=axis).padding, hidden.transpose(turn))


def test_a_mask_over_nothing_is_no_padding_and_one_over_all_leaves_no_scan():
    affine = np.diag([0.7, 0.8, 5.0, 1.0])
    assert from_object(np.ma.masked_array(TAGS), affine=affine).padding is None
    with pytest.raises(InputError, match="every voxel of the array is masked"):
        from_object(np.ma.masked_array(TAGS, True), affine=affine)


class Duck:
    """An array of another library, such as dask or xarray: all that is known of it is `__array__`."""

    def __init__(self, values, **attributes):
        self.values = values
        self.__dict__.update(attributes)

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.values, Exception):
            raise self.values
        return np.asarray(self.values, dtype)


def test_what_becomes_an_array_by_itself_is_one():
    affine = grid("upright")
    np.testing.assert_array_equal(from_object(Duck(TAGS.T), affine=affine).hu, TAGS.T)
    np.testing.assert_array_equal(from_object(Duck(TAGS.T, dims=("z", "y", "x")), affine=affine).hu, TAGS.T)
    assert not is_scan(Duck(TAGS.T))
    for duck, arguments, code in (
        (Duck(TAGS.T), {}, "USE-AFFINE"),
        (Duck(TypeError("on a device")), {"affine": affine}, "USE-INPUT"),
        (Duck(TAGS.T, dims=("x", "y", "z")), {"affine": affine}, "USE-INPUT"),
    ):
        with pytest.raises(UsageError) as refused:
            from_object(duck, **arguments)
        assert refused.value.code == code
        assert "\n" not in refused.value.line


@pytest.mark.parametrize(
    "kind",
    [
        lambda hu: hu.astype(">i2"),
        lambda hu: hu.astype(np.float16),
        lambda hu: np.asfortranarray(hu),
        lambda hu: np.repeat(hu, 2, axis=2)[..., ::2],
        lambda hu: hu[None],
        lambda hu: hu[..., None],
        lambda hu: torch.tensor(hu, requires_grad=True),
        lambda hu: torch.tensor(hu)[None],
        lambda hu: torch.tensor(hu).to_sparse(),
        lambda hu: np.broadcast_to(hu, hu.shape),
        lambda hu: np.ma.masked_array(hu),
    ],
)
def test_arrays_of_every_make(kind):
    np.testing.assert_array_equal(from_object(kind(TAGS.T), affine=grid("upright")).hu, TAGS.T)


def test_arrays_on_disk(tmp_path):
    np.save(tmp_path / "a.npy", TAGS.T)
    np.testing.assert_array_equal(
        from_object(np.load(tmp_path / "a.npy", mmap_mode="r"), affine=grid("upright")).hu, TAGS.T
    )


@pytest.mark.parametrize(
    "values", [TAGS.T > 0, TAGS.T.astype(object), TAGS.T.astype(complex), TAGS.T.astype(str), TAGS.T[0], np.float64(3)]
)
def test_arrays_that_hold_no_hu_are_refused(values):
    with pytest.raises(InputError) as refused:
        from_object(values, affine=grid("upright"))
    assert refused.value.code in ("FILE-DTYPE", "FILE-DIMS")


def test_a_scaled_nibabel_image_is_what_its_file_is(affine, tmp_path):
    image = nib.Nifti1Image(TAGS * 1.1, affine)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(from_object(nib.load(tmp_path / "a.nii")).hu, files.read(tmp_path / "a.nii").hu)


@pytest.mark.filterwarnings("error")
def test_voxels_go_to_pytorch_as_they_are(tmp_path):
    """Without a copy, and without a warning of memory that may not be written to."""
    volume = from_object(TAGS.T, affine=grid("upright"))
    files.write(volume, tmp_path / "scan.nii.gz")
    for found in (volume, files.read(tmp_path / "scan.nii.gz"), pickle.loads(pickle.dumps(volume))):
        assert torch.from_numpy(found.hu).data_ptr() == found.hu.ctypes.data


def test_monai(affine):
    """As MONAI itself reads the file that nibabel would write."""
    volume = from_object(nib.Nifti1Image(TAGS, affine))
    tensor = to_monai(volume)
    assert isinstance(tensor, MetaTensor)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(np.asarray(tensor), TAGS[None])
    np.testing.assert_array_equal(np.asarray(tensor.affine), affine)
    again = from_object(tensor)
    np.testing.assert_array_equal(again.hu, volume.hu)
    turned = Orientation(axcodes="RAS", labels=None)(tensor)
    assert torchio.ScalarImage(tensor=turned.as_tensor(), affine=turned.affine).orientation == ("R", "A", "S")


def test_what_shells_show_is_short():
    volume = from_object(TAGS.T, affine=np.diag([0.7, 0.8, 5, 1.0]), thickness=5)
    assert repr(volume) == "<Volume: 6 slices 5 mm apart, of 4 x 5 pixels of 0.7 x 0.8 mm, 5 mm thick; array>"
    assert repr(replace(volume.origin, warnings=(NO_ORIENTATION,))) == "<Origin: array; warnings FILE-NOORIENT>"
