"""Label maps from whatever holds them: the scan's voxels, named as drawn, or a refusal."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torchio
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

import thinslice
from thinslice.cli.app import run
from thinslice.errors import GeometryError, InputError, UsageError
from thinslice.io import files
from thinslice.io.files.itk import to_image
from thinslice.io.label_map import labels_path, labels_with, read_label_map
from thinslice.volume import Volume

AFFINE = np.array([[-0.8, 0, 0, 60], [0, 0.8, 0.1, -40], [0, -0.05, 5, 7], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def scan():
    return Volume(np.random.default_rng(0).normal(-100, 300, (6, 20, 24)), AFFINE)


@pytest.fixture(scope="module")
def drawn():
    return np.random.default_rng(1).choice([0, 0, 3, 7, 104], (6, 20, 24)).astype(np.int16)


@given(st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_map_stored_in_another_order_or_sense_means_the_same_voxels(order, flips):
    scan = Volume(np.zeros((6, 20, 24)), AFFINE)
    drawn = np.arange(6 * 20 * 24, dtype=np.int16).reshape(6, 20, 24) % 7
    values, affine = drawn.T.transpose(order), AFFINE.copy()
    affine[:, :3] = AFFINE[:, order]
    for axis in np.flatnonzero(flips):
        values = np.flip(values, axis)
        affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
        affine[:3, axis] *= -1
    image = nib.Nifti1Image(np.ascontiguousarray(values), affine)
    assert np.array_equal(read_label_map(image, scan=scan).values, drawn)


def test_files_images_and_arrays_give_the_same_labels(scan, drawn, tmp_path):
    upright = replace(scan, affine=np.diag([-0.8, 0.8, 5, 1]))
    image = nib.Nifti1Image(drawn.T, upright.affine)
    nib.save(image, tmp_path / "a.nii.gz")
    scaled = nib.Nifti1Image(drawn.T.astype(float), upright.affine)
    scaled.set_data_dtype(np.int16)
    nib.save(scaled, tmp_path / "scaled.nii.gz")  # nibabel stores other numbers and a slope
    itk = to_image(replace(upright, hu=drawn), dtype=np.dtype(np.int16))
    sitk.WriteImage(itk, str(tmp_path / "a.nrrd"))
    sources = [drawn, drawn.astype(np.float32), image, itk, tmp_path / "a.nii.gz", str(tmp_path / "a.nrrd")]
    for source in [*sources, tmp_path / "scaled.nii.gz"]:
        found = read_label_map(source, scan=upright).values
        assert found.dtype == np.int16
        assert np.array_equal(found, drawn)
    assert np.array_equal(read_label_map(drawn == 7, scan=upright).values, drawn == 7)


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (lambda hu, affine: (hu, affine + 3 * np.eye(4, k=3)), GeometryError, "LABEL-GRID"),
        (lambda hu, affine: (hu, affine @ np.diag([1, 1, 1.02, 1])), GeometryError, "LABEL-GRID"),
        (lambda hu, affine: (hu, affine @ np.diag([2, 2, 1, 1])), GeometryError, "LABEL-GRID"),
        (lambda hu, affine: (hu + 0.25, affine), InputError, "LABEL-VALUES"),
        (lambda hu, affine: (hu - 1.0, affine), InputError, "LABEL-VALUES"),
        (lambda hu, affine: (hu * 1e8, affine), InputError, "LABEL-VALUES"),
        (lambda hu, affine: (np.arange(hu.size).reshape(hu.shape) % 1500, affine), InputError, "LABEL-MANY"),
    ],
    ids=["elsewhere", "other spacing", "other pixels", "halves", "negative", "too large", "an image"],
)  # fmt: skip
def test_what_is_no_label_map_of_this_scan_is_refused_in_one_line(scan, drawn, change, error, code):
    hu, affine = change(drawn.astype(np.float32), AFFINE)
    with pytest.raises(error) as caught:
        read_label_map(Volume(hu, affine), scan=scan)
    assert caught.value.code == code
    assert "\n" not in caught.value.line


CORNERS = st.lists(st.tuples(st.integers(-4, 8), st.integers(1, 9)), min_size=3, max_size=3)


@given(CORNERS, st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3), st.booleans())
def test_a_part_lies_where_it_was_cut_from_and_what_is_outside_is_left_out(corners, order, flips, rounded):
    """The scan's lattice goes on beyond it: a part of that, in any order of axes and sense."""
    scan = Volume(np.zeros((6, 20, 24)), AFFINE)
    start, size = np.array(corners).T
    part = (np.arange(np.prod(size)).reshape(size) % 7).astype(np.int16)  # index order (x, y, z)
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, :3] @ start
    expected = np.zeros((24, 20, 6), np.int16)
    for index in np.ndindex(*size):
        place = start + index
        if (place >= 0).all() and (place < expected.shape).all():
            expected[tuple(place)] = part[index]
    overlaps = ((start < expected.shape) & (start + size > 0)).all()
    lost = np.count_nonzero(part) - np.count_nonzero(expected)
    values, affine = part.transpose(order), affine[:, [*order, 3]]
    for axis in np.flatnonzero(flips):
        values = np.flip(values, axis)
        affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
        affine[:3, axis] *= -1
    if rounded:
        affine[:3, 3] += [0.03, -0.02, 0.04]
    image = nib.Nifti1Image(np.ascontiguousarray(values), affine)
    if not overlaps:
        with pytest.raises(GeometryError, match="wholly outside"):
            read_label_map(image, scan=scan)
        return
    found = read_label_map(image, scan=scan)
    assert np.array_equal(found.values.T, expected)
    assert [(n.code, n.message.split()[0]) for n in found.warnings] == ([("LABEL-OUTSIDE", str(lost))] if lost else [])


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha", "mhd"])
def test_a_crop_is_placed_whatever_its_format(tmp_path, drawn, ending):
    scan = Volume(np.zeros((6, 20, 24)), np.diag([-0.8, 0.8, 5, 1]))
    moved = np.eye(4)
    moved[:3, 3] = 3, 4, 1
    crop = Volume(drawn[1:5, 4:15, 3:20], scan.affine @ moved)
    files.write(crop, tmp_path / f"crop.{ending}")
    expected = np.zeros_like(drawn)
    expected[1:5, 4:15, 3:20] = drawn[1:5, 4:15, 3:20]
    assert np.array_equal(read_label_map(tmp_path / f"crop.{ending}", scan=scan).values, expected)
    whole = Volume(drawn, scan.affine)  # and the whole map on a scan that was cropped
    files.write(whole, tmp_path / f"whole.{ending}")
    assert np.array_equal(read_label_map(tmp_path / f"whole.{ending}", scan=crop).values, crop.hu)


@pytest.mark.parametrize("shift", [(0.3, 0, 0), (0, 0, 2.5), (0, 0, 0.3)])
def test_a_part_between_voxels_is_refused(scan, drawn, shift):
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, 2] + shift
    with pytest.raises(GeometryError, match="mm off the scan's voxels") as refused:
        read_label_map(Volume(drawn[1:], affine), scan=scan)
    assert refused.value.code == "LABEL-GRID"


def test_a_part_that_does_not_say_where_it_lies_is_refused(scan, drawn, tmp_path):
    """Placed by what a header without orientation is taken for, it would lie somewhere."""
    plain = Volume(scan.hu, np.diag([0.8, 0.8, 5, 1]))
    for values, accepted in ((drawn, True), (drawn[:-1], False)):
        image = nib.Nifti1Image(values.T, plain.affine)
        nib.save(image, tmp_path / "a.nii")
        stated = nib.load(tmp_path / "a.nii")
        for set_form in (stated.set_sform, stated.set_qform):
            set_form(None, code=0)
        nib.save(stated, tmp_path / "b.nii")
        base = Volume(plain.hu, nib.load(tmp_path / "b.nii").affine)
        sources = [(values, plain), (torch.from_numpy(values), plain), (stated, base), (tmp_path / "b.nii", base)]
        for source, place in sources:
            if accepted:
                assert np.array_equal(read_label_map(source, scan=place).values, drawn)
                continue
            with pytest.raises(GeometryError) as refused:
                read_label_map(source, scan=place)
            assert refused.value.code == "LABEL-GRID"


@pytest.mark.parametrize("ending", ["nii", "nrrd", "mha", "mhd"])
def test_large_labels_are_written_as_they_are(thick_phantom, tmp_path, ending):
    """Numbers of an atlas, which float32 cannot hold."""
    volume = files.read(thick_phantom)
    labels = np.where(volume.hu > 200, 614454277, 0).astype(np.int32)
    files.write_labels(labels, tmp_path / f"a.{ending}", like=volume)
    path = tmp_path / f"a.{ending}"
    stored = nib.load(path).dataobj[:] if ending == "nii" else sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T
    assert stored.dtype == np.int32
    assert np.array_equal(stored.T, labels)
    assert np.array_equal(read_label_map(path, scan=volume).values, labels)


def test_a_scaled_image_that_was_not_yet_read_keeps_its_labels(scan, drawn, tmp_path):
    scaled = nib.Nifti1Image(drawn.T.astype(float), AFFINE)
    scaled.set_data_dtype(np.uint8)
    nib.save(scaled, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.abs(image.get_fdata() - np.rint(image.get_fdata())).max() > 0.1
    for source in (nib.load(tmp_path / "a.nii.gz"), tmp_path / "a.nii.gz"):
        assert np.array_equal(read_label_map(source, scan=scan).values, drawn)


def subject_of(scan, **maps):
    def image(kind, values):
        return kind(tensor=torch.from_numpy(np.ascontiguousarray(values.T)[None]), affine=scan.affine)

    images = {name: image(torchio.LabelMap, values) for name, values in maps.items()}
    return torchio.Subject(ct=image(torchio.ScalarImage, scan.hu), age=7, **images)


def test_a_subject_s_label_map_goes_along_with_its_scan(scan, drawn):
    subject = subject_of(scan, organs=drawn)
    options = {"factor": 2, "thickness": 1.0, "fit": "none", "views": ("axial",)}
    result = thinslice.enhance(subject, **options)
    assert np.array_equal(result.labels[::2], drawn)
    assert np.array_equal(read_label_map(subject, scan=scan).values, drawn)


def test_which_of_a_subject_s_label_maps_is_meant_must_be_clear(scan, drawn):
    one, two = subject_of(scan, organs=drawn), subject_of(scan, organs=drawn, bones=drawn > 3)
    assert labels_with(one, None) is one["organs"]
    assert labels_with(two, two["bones"]) is two["bones"]
    assert labels_with(subject_of(scan), None) is None
    assert labels_with(one["ct"], None) is None
    assert labels_with(scan, drawn) is drawn
    for subject, labels in ((two, None), (one, drawn), (two, "labels.nii.gz"), (two, two)):
        with pytest.raises(UsageError, match="organs") as refused:
            labels_with(subject, labels)
        assert refused.value.code == "USE-LABELS"
    with pytest.raises(UsageError, match="no label map"):
        read_label_map(subject_of(scan), scan=scan)


def test_a_label_map_outside_the_scan_is_told_in_the_record(thick_phantom):
    volume = files.read(thick_phantom)
    affine = volume.affine.copy()
    affine[:3, 3] -= 2 * affine[:3, 2]
    drawn = nib.Nifti1Image(_drawn(volume).T, affine)
    result = thinslice.enhance(volume, factor=2, thickness=1.0, fit="none", views=("axial",), labels=drawn)
    assert np.array_equal(result.labels[: 2 * len(volume.hu) - 5 : 2], _drawn(volume)[2:])
    assert "LABEL-OUTSIDE" in [warning["code"] for warning in result.record["warnings"]]


def test_names_of_label_files_are_kept_out_of_records(scan, drawn, tmp_path):
    nib.save(nib.Nifti1Image(drawn.T + np.float32(0.25), AFFINE), tmp_path / "Mueller_Hans.nii.gz")
    with pytest.raises(InputError) as caught:
        read_label_map(tmp_path / "Mueller_Hans.nii.gz", scan=scan)
    assert "Mueller" not in caught.value.message
    assert str(tmp_path / "Mueller_Hans.nii.gz") in caught.value.line


@pytest.mark.parametrize(
    ("result", "labels"),
    [
        ("thin.nii.gz", "thin_labels.nii.gz"),
        ("a/my.scan.nii", "a/my.scan_labels.nii"),
        ("thin.nrrd", "thin_labels.nrrd"),
        ("THIN.MHD", "THIN_labels.MHD"),
        ("a/folder", "a/folder_labels.nii.gz"),
    ],
)
def test_labels_lie_beside_the_result(result, labels):
    assert labels_path(result) == Path(labels)


@pytest.fixture(scope="module")
def map_file(thick_phantom, tmp_path_factory):
    """Bone of the small phantom as label 5, lung as 2."""
    volume = files.read(thick_phantom)
    path = tmp_path_factory.mktemp("labels") / "labels.nii.gz"
    nib.save(nib.Nifti1Image(_drawn(volume).T, volume.affine), path)
    return path


def _drawn(volume):
    return np.select([volume.hu > 200, volume.hu < -600], [5, 2], 0).astype(np.int16)


def test_a_result_carries_labels_on_its_own_grid(thick_phantom, map_file, tmp_path):
    volume = replace(files.read(thick_phantom), thickness=1.0)
    result = thinslice.enhance(volume, spacing=1.0, fit="none", labels=map_file)
    assert result.labels.shape == result.volume.shape
    assert np.array_equal(result.labels[::5], _drawn(volume))
    assert result.record["output"]["labels"] == 2
    result.save(tmp_path / "thin.mhd")
    names = {"thin.mhd", "thin.raw", "thin_labels.mhd", "thin_labels.raw"}
    assert {path.name for path in tmp_path.iterdir()} == names
    written = files.read_values(tmp_path / "thin_labels.mhd")
    assert np.array_equal(written.hu, result.labels)
    np.testing.assert_allclose(written.affine, result.volume.affine, atol=1e-6)
    with pytest.raises(thinslice.OutputError):
        result.save(tmp_path / "thin.mhd")
    (tmp_path / "other_labels.nii.gz").write_bytes(b"mine")
    with pytest.raises(thinslice.OutputError):
        result.save(tmp_path / "other.nii.gz")
    assert (tmp_path / "other_labels.nii.gz").read_bytes() == b"mine"
    assert not (tmp_path / "other.nii.gz").exists()


def test_without_labels_there_are_none(thick_phantom):
    result = thinslice.enhance(thick_phantom, factor=2, fit="none")
    assert result.labels is None
    assert result.record["output"]["labels"] is None


def test_labels_from_a_shell(thick_phantom, map_file, tmp_path, capfd):
    arguments = ["enhance", "-i", str(thick_phantom), "--labels", str(map_file), "--spacing", "2", "--fit", "none"]
    assert run([*arguments, "-o", str(tmp_path / "thin.nii.gz"), "--show-identity"]) == 0
    assert "thin_labels.nii.gz" in capfd.readouterr().out
    thin, labels = nib.load(tmp_path / "thin.nii.gz"), nib.load(tmp_path / "thin_labels.nii.gz")
    np.testing.assert_array_equal(thin.affine, labels.affine)
    assert thin.shape == labels.shape
    assert set(np.unique(labels.dataobj)) == {0, 2, 5}
    (tmp_path / "thin.nii.gz").unlink()
    (tmp_path / "thin.json").unlink()
    assert run([*arguments, "-o", str(tmp_path / "thin.nii.gz")]) == 6  # the labels exist
    assert run([*arguments[:4], str(thick_phantom), "-o", str(tmp_path / "b.nii.gz"), *arguments[5:]]) == 3  # a CT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thin_labels.nii.gz"]


def test_a_picture_that_cannot_be_drawn_leaves_neither_result_nor_labels(
    thick_phantom, map_file, tmp_path, monkeypatch
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("thinslice.report.preview.save_preview", stop)
    arguments = ["enhance", "-i", thick_phantom, "--labels", map_file, "--factor", "2", "--fit", "none"]
    arguments += ["-o", tmp_path / "thin.mhd", "--preview", tmp_path / "thin.png", "--json", tmp_path / "thin.json"]
    assert run(list(map(str, arguments))) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_written_leaves_no_labels(thick_phantom, map_file, tmp_path, monkeypatch):
    result = thinslice.enhance(thick_phantom, factor=2, fit="none", labels=map_file)

    def full(*_, **__):
        assert (tmp_path / "thin_labels.nii.gz").exists()
        raise thinslice.OutputError("OUT-FULL", "no space left")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(thinslice.OutputError):
        result.save(tmp_path / "thin.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_tensors_are_arrays_and_masks_may_be_of_truth_values(scan, drawn):
    assert np.array_equal(read_label_map(torch.from_numpy(drawn), scan=scan).values, drawn)
    assert np.array_equal(read_label_map(torch.from_numpy(drawn > 3), scan=scan).values, drawn > 3)
    mask = MetaTensor(torch.from_numpy(drawn.T.copy() > 3), affine=torch.from_numpy(AFFINE))
    assert np.array_equal(read_label_map(mask, scan=scan).values, drawn > 3)


def test_arrays_of_other_libraries_and_channels_of_one_are_label_arrays(scan, drawn):
    class Duck:
        def __array__(self, dtype=None, copy=None):
            return drawn

    hidden = np.ma.masked_array(drawn, drawn == 7)
    assert np.array_equal(read_label_map(hidden, scan=scan).values, np.where(drawn == 7, 0, drawn))
    for array in (Duck(), drawn[None], drawn[..., None], drawn.astype(">u4"), torch.from_numpy(drawn)[None]):
        assert np.array_equal(read_label_map(array, scan=scan).values, drawn)
    with pytest.raises(UsageError, match="cannot read a list"):
        read_label_map([drawn], scan=scan)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor], ids=["array", "tensor"])
def test_a_label_array_has_the_axes_of_the_array_that_the_scan_was_given_as(axis, kind):
    """A cube: of another shape, the wrong order would be refused."""
    hu = np.random.default_rng(0).normal(-100, 300, (16, 16, 16)).astype(np.float32)
    drawn = (hu > 100).astype(np.int16)
    affine = np.eye(4)
    affine["xyz".index(axis), "xyz".index(axis)] = 4.0
    result = thinslice.enhance(
        kind(hu), affine=affine, axis=axis, labels=kind(drawn), factor=2, thickness=1.0, fit="none", views=("axial",)
    )
    assert np.array_equal(result.labels[::2], result.scan.hu > 100)
    seen = read_label_map(kind(result.scan.hu.copy() > 100), scan=result.scan).values  # of a volume: in its own order
    assert np.array_equal(seen, result.scan.hu > 100)


@pytest.mark.parametrize(
    ("name", "said"), [("seg.dcm", "no DICOM segmentation"), ("masks", "a folder of masks"), ("none.nii", "label map")]
)
def test_what_is_no_label_map_is_said_to_be_none(scan, name, said, tmp_path):
    (tmp_path / "seg.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match=said):
        read_label_map(tmp_path / name, scan=scan)
