"""Thin slices as a step of pipelines: places, labels and notes are judged by the libraries themselves."""

import pickle
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
import torchio
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureTyped, LoadImaged
from torch.utils.data import DataLoader

import thinslice
from thinslice.errors import ModelError, UsageError
from thinslice.transforms import ThinSlices

SHAPE = (20, 18, 6)  # index order (i, j, k)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 5, 7], [0, 0, 0, 1]])
CT = np.random.default_rng(0).normal(0, 30, SHAPE).astype(np.float32)
LUNG = np.zeros(SHAPE, np.int16)
LUNG[3:9, 4:12, 1:5] = 1
BONE = np.zeros(SHAPE, np.int16)
BONE[6:16, 8:14, 2:4] = 7
OPTIONS = {"factor": 2, "thickness": 1.0, "fit": "none"}


@pytest.fixture(scope="module")
def thin():
    """What `enhance` gives of the same scan, (i, j, k)."""
    return thinslice.enhance(CT.T, affine=AFFINE, labels=LUNG.T, **OPTIONS)


@pytest.fixture
def subject():
    return torchio.Subject(
        ct=torchio.ScalarImage(tensor=CT[None], affine=AFFINE, kernel="B30"),
        lung=torchio.LabelMap(tensor=LUNG[None], affine=AFFINE),
        both=torchio.LabelMap(tensor=np.stack([LUNG > 0, BONE > 0]).astype(np.uint8), affine=AFFINE),
        age=50,
    )


def test_a_torchio_subject_with_all_its_label_maps(subject, thin):
    before = subject["ct"].data.clone()
    done = torchio.Compose([ThinSlices(**OPTIONS), torchio.ToCanonical(), torchio.Clamp(-1000, 1000)])(subject)
    done.check_consistent_space()
    assert (done["age"], done["ct"]["kernel"], done.ct.shape) == (50, "B30", (1, 20, 18, 11))
    canonical = torchio.ToCanonical()
    np.testing.assert_array_equal(done["ct"].data, canonical(thin.to_torchio()).data)
    lung = torchio.LabelMap(tensor=thin.labels.T[None].copy(), affine=thin.volume.affine)
    np.testing.assert_array_equal(done["lung"].data, canonical(lung).data)
    assert (done["lung"].data.dtype, done["both"].data.dtype) == (torch.int16, torch.uint8)
    np.testing.assert_array_equal(done["both"].data[0], done["lung"].data[0] > 0)
    assert done["both"].data[1].any()
    assert torch.equal(subject["ct"].data, before)
    assert subject.ct.shape == (1, *SHAPE)


def test_one_of_several_images_of_a_subject_is_named(subject):
    subject.add_image(torchio.ScalarImage(tensor=CT[None] + 1, affine=AFFINE), "other")
    with pytest.raises(UsageError, match=r"2 intensity images \(ct, other\); name with keys="):
        ThinSlices(**OPTIONS)(subject)
    done = ThinSlices(keys=["ct", "other"], label_keys="lung", **OPTIONS)(subject)
    assert [done[name].shape[-1] for name in ("ct", "other", "lung", "both")] == [11, 11, 11, 6]


def test_a_torchio_image(thin):
    image = torchio.Compose([ThinSlices(**OPTIONS)])(torchio.ScalarImage(tensor=CT[None], affine=AFFINE))
    assert isinstance(image, torchio.ScalarImage)
    np.testing.assert_array_equal(image.data[0], thin.volume.hu.T)
    np.testing.assert_array_equal(image.affine, thin.volume.affine)


def test_a_dictionary_of_files_in_monai(tmp_path, thin):
    for name, values in (("image", CT), ("label", LUNG)):
        nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"{name}.nii.gz")
    files = {name: tmp_path / f"{name}.nii.gz" for name in ("image", "label")} | {"age": 50}
    both = ["image", "label"]
    done = Compose([
        LoadImaged(both, ensure_channel_first=True, reader="NibabelReader"),
        ThinSlices(keys="image", label_keys="label", **OPTIONS),
        EnsureTyped(both),
    ])(files)  # fmt: skip
    assert done["age"] == 50
    for name, expected in (("image", thin.volume.hu), ("label", thin.labels)):
        assert isinstance(done[name], MetaTensor)
        np.testing.assert_array_equal(np.asarray(done[name])[0], expected.T)
        np.testing.assert_allclose(np.asarray(done[name].affine), thin.volume.affine)
        assert tuple(done[name].meta["spatial_shape"]) == (20, 18, 11)


@pytest.mark.parametrize("space", ["RAS", "LPS"])
@pytest.mark.parametrize("shape", [SHAPE, (1, *SHAPE)])
def test_a_metatensor_keeps_its_space_and_its_dimensions(space, shape, thin):
    flip = np.diag([-1.0, -1.0, 1.0, 1.0]) if space == "LPS" else np.eye(4)
    scan = MetaTensor(
        torch.from_numpy(CT.reshape(shape)), affine=torch.from_numpy(flip @ AFFINE), meta={"space": space}
    )
    done = ThinSlices(keys="ct", label_keys="seg", **OPTIONS)(
        {"ct": scan, "seg": torch.from_numpy(LUNG.reshape(shape))}
    )
    assert done["ct"].shape == done["seg"].shape == (*shape[:-1], 11)
    assert (done["ct"].meta["space"], done["seg"].dtype) == (space, torch.int16)
    np.testing.assert_array_equal(np.asarray(done["seg"]).reshape(20, 18, 11), thin.labels.T)
    np.testing.assert_allclose(np.asarray(done["ct"].affine), flip @ thin.volume.affine)
    alone = Compose([ThinSlices(**OPTIONS)])(scan)
    assert torch.equal(alone.as_tensor(), done["ct"].as_tensor())


def test_other_images_come_back_as_what_they_were(thin):
    transform = ThinSlices(**OPTIONS)
    image = transform(nib.Nifti1Image(CT, AFFINE))
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), thin.volume.hu.T)
    np.testing.assert_array_equal(transform(thinslice.read(CT.T, affine=AFFINE, thickness=1.0)).hu, thin.volume.hu)


def test_workers_of_a_loader_have_it(subject, thin):
    transform = pickle.loads(pickle.dumps(ThinSlices(**OPTIONS)))
    scans = torchio.SubjectsDataset([subject], transform=torchio.Compose([transform]))
    loader = DataLoader(scans, batch_size=None, num_workers=1, timeout=60, multiprocessing_context="fork")
    (found,) = loader
    np.testing.assert_allclose(found["ct"].data[0], thin.volume.hu.T, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "data", "message"),
    [
        ({}, {"image": 1}, "name it with keys="),
        ({"keys": "ct"}, {"image": 1}, "there is no image 'ct'; there are: image"),
        ({"keys": []}, None, "names no image"),
        ({}, torchio.Subject(seg=torchio.LabelMap(tensor=LUNG[None])), r"holds 0 intensity images \(none\)"),
    ],
)
def test_what_is_not_clear_is_asked(arguments, data, message):
    with pytest.raises(UsageError, match=message):
        ThinSlices(**arguments)(data)


@pytest.mark.parametrize("name", ["factor_", "labels", "affine"])
def test_what_no_scan_can_be_told_is_refused_at_once(name):
    with pytest.raises(TypeError, match=rf"^ThinSlices\(\) got an unexpected keyword argument '{name}'"):
        ThinSlices(**{name: 2})
    assert sys.modules["thinslice.transforms"] is thinslice.transforms


def test_what_leaves_a_pipeline_is_marked_as_synthetic():
    """So that a second pass, or training on it, is refused."""
    scan = torchio.ScalarImage(tensor=CT[None], affine=AFFINE)
    tensor = MetaTensor(torch.from_numpy(CT[None]), affine=torch.from_numpy(AFFINE))
    again = {**OPTIONS, "factor": 1.5}
    for image in (scan, tensor):
        with pytest.raises(ModelError) as refused:
            ThinSlices(**again)(ThinSlices(**OPTIONS)(image))
        assert refused.value.code == "FILE-SYNTH"
