"""Source and result lie on one another in nibabel and in SimpleITK, whatever a header says and in every format."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import thinslice
from thinslice.errors import GeometryError
from thinslice.io import files
from thinslice.io.files.objects import from_object
from thinslice.io.files.to_objects import to_nibabel

SHAPE = (6, 5, 8)  # (x, y, z) of the file
SPACING = np.array([0.7, 0.9, 5.0])
TAGS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 300
AXIAL = np.array([[-0.7, 0, 0, 12.0], [0, -0.9, 0, 20.0], [0, 0, 5.0, -30.0], [0, 0, 0, 1.0]])


def grid(turn=(0, 0, 0), *, spacing=SPACING, offset=(12, 20, -30), mirrored=False):
    affine = np.eye(4)
    signs = np.array([-1, -1 if mirrored else 1, 1])
    affine[:3, :3] = Rotation.from_rotvec(turn).as_matrix() * spacing * signs
    affine[:3, 3] = offset
    return affine


def nifti(path, *, sform=None, qform=None, shape=SHAPE, kind=nib.Nifti1Header, unit="mm", data=TAGS, **fields):
    """Write a file with just these forms, each (affine, code) or None; other fields of the header as given."""
    header = kind()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_xyzt_units(unit)
    header["pixdim"][1:4] = SPACING
    if qform:
        header.set_qform(qform[0], qform[1])
    if sform:
        header.set_sform(sform[0], sform[1])
    header["scl_slope"], header["vox_offset"] = 1, int(header["sizeof_hdr"]) + 4
    if kind is nib.Nifti1Header:
        header["magic"] = b"n+1"
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + data.tobytes(order="F"))
    return path


def thin(path, out, *, first=-0.4, step=0.2, count=40):
    """A file as a result of `path` is written: slices refined along z. Gives what makes of an index of it one of it."""
    volume = files.read(path, axis="z")
    files.write(volume.with_slices(np.zeros((count, *volume.shape[1:]), np.float32), first=first, step=step), out)
    to_source = np.diag([1, 1, step, 1.0])
    to_source[2, 3] = first
    return to_source


def by_itk(path):
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def by_nibabel(path):
    return nib.load(path).affine


def by_thinslice(path):
    return files.read_values(path).affine


def apart_mm(affine, other, shape):
    corners = np.array([[*(np.array(c) * (np.array(shape) - 1)), 1] for c in itertools.product((0, 1), repeat=3)])
    return np.abs((affine - other) @ corners.T).max()


def lies_on(source, result, to_source, *, readers, shape=(6, 5, 40)):
    for reader in readers:
        assert apart_mm(reader(result), reader(source) @ to_source, shape) < 1e-3, reader.__name__


ALL = (by_thinslice, by_nibabel, by_itk)
FURTHER = grid(offset=(42, 0, 20))
TURNED = grid((0.05, -0.1, 0.2))

FORMS = {
    "sform and qform alike": {"sform": (AXIAL, 1), "qform": (AXIAL, 1)},
    "sform aligned, qform scanner, elsewhere": {"sform": (AXIAL, 2), "qform": (FURTHER, 1)},
    "both scanner, elsewhere": {"sform": (AXIAL, 1), "qform": (FURTHER, 1)},
    "sform MNI, qform turned": {"sform": (AXIAL, 4), "qform": (TURNED, 1)},
    "left and right differ": {"sform": (AXIAL, 1), "qform": (grid(mirrored=True) * [[-1], [1], [1], [1]], 1)},
    "sform alone": {"sform": (TURNED, 4)},
    "qform alone": {"qform": (TURNED, 1)},
    "qform alone, mirrored": {"qform": (grid((0.1, 0.2, 3.0), mirrored=True), 2)},
    "qform near half a turn": {"qform": (grid((0.001, 0.002, 3.1406)), 1)},
    "code 5": {"sform": (AXIAL, 5), "qform": (FURTHER, 3)},
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_carried_with_its_code(tmp_path, name):
    source = nifti(tmp_path / "in.nii", **FORMS[name])
    to_source = thin(source, tmp_path / "out.nii.gz")
    lies_on(source, tmp_path / "out.nii.gz", to_source, readers=ALL)
    before, after = nib.load(source).header, nib.load(tmp_path / "out.nii.gz").header
    for form in ("sform", "qform"):
        assert after[f"{form}_code"] == before[f"{form}_code"]
        if before[f"{form}_code"]:
            stated = getattr(before, f"get_{form}")() @ to_source
            assert apart_mm(getattr(after, f"get_{form}")(), stated, (6, 5, 40)) < 1e-3


@pytest.mark.parametrize("name", FORMS)
def test_nibabel_objects_keep_both_forms_as_well(tmp_path, name):
    image = nib.load(nifti(tmp_path / "in.nii", **FORMS[name]))
    back = to_nibabel(from_object(image))
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-5)
    nib.save(back, tmp_path / "out.nii")
    lies_on(tmp_path / "in.nii", tmp_path / "out.nii", np.eye(4), readers=ALL, shape=SHAPE)
    for form in ("sform", "qform"):
        assert nib.load(tmp_path / "out.nii").header[f"{form}_code"] == image.header[f"{form}_code"]


def test_an_affine_that_somebody_gave_an_image_counts(tmp_path):
    image = nib.load(nifti(tmp_path / "in.nii", **FORMS["both scanner, elsewhere"]))
    moved = nib.Nifti1Image(image.dataobj, TURNED, image.header)
    np.testing.assert_allclose(to_nibabel(from_object(moved)).affine, TURNED, atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_forms_follow_the_slice_axis_of_the_file(tmp_path, axis):
    source = nifti(tmp_path / "in.nii", sform=(AXIAL, 2), qform=(TURNED, 1))
    volume = files.read(source, axis=axis)
    hu = np.zeros((2 * volume.shape[0], *volume.shape[1:]), np.float32)
    files.write(volume.with_slices(hu, first=-0.25, step=0.5), tmp_path / "out.nii")
    a = "xyz".index(axis)
    to_source = np.eye(4)
    to_source[a, a], to_source[a, 3] = 0.5, -0.25
    shape = list(SHAPE)
    shape[a] *= 2
    for reader in (by_nibabel, by_itk):
        assert apart_mm(reader(tmp_path / "out.nii"), reader(source) @ to_source, shape) < 1e-3


@pytest.mark.parametrize("name", ["sform aligned, qform scanner, elsewhere", "left and right differ"])
def test_forms_that_differ_are_said_with_figures(tmp_path, name):
    (notice,) = files.read(nifti(tmp_path / "in.nii", **FORMS[name])).origin.warnings
    assert notice.code == "FILE-FORMS"
    assert "mm apart" in notice.message
    by = "sform" if apart_mm(by_itk(tmp_path / "in.nii"), AXIAL, SHAPE) < 1e-3 else "qform"
    assert f"ITK go by the {by}" in notice.message


def test_forms_that_differ_by_rounding_are_not_said(tmp_path):
    rounded = np.round(TURNED, 4)
    assert files.read(nifti(tmp_path / "in.nii", sform=(rounded, 1), qform=(TURNED, 1))).origin.warnings == ()


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize(("unit", "per_mm"), [("mm", 1), ("meter", 1e-3), ("micron", 1e3)])
def test_units_and_versions(tmp_path, kind, unit, per_mm):
    scale = np.array([[per_mm]] * 3 + [[1]])
    source = nifti(
        tmp_path / "in.nii", sform=(AXIAL * scale, 2), qform=(FURTHER * scale, 1), kind=kind, unit=unit
    )  # fmt: skip
    assert [notice.code for notice in files.read(source).origin.warnings] == ["FILE-FORMS"]
    to_source = thin(source, tmp_path / "out.nii")
    assert apart_mm(by_nibabel(tmp_path / "out.nii"), AXIAL @ to_source, (6, 5, 40)) < 1e-3
    assert apart_mm(by_itk(tmp_path / "out.nii"), FURTHER @ to_source, (6, 5, 40)) < 1e-3


def test_a_spacing_that_the_qform_contradicts_is_refused(tmp_path):
    wrong = grid(spacing=SPACING * [1, 1, 0.8])
    for source in (nifti(tmp_path / "in.nii", sform=(wrong, 1), qform=(AXIAL, 1)),):
        for read in (files.read, lambda path: from_object(nib.load(path))):
            with pytest.raises(GeometryError, match=r"x 4 mm by its sform.*x 5 mm by its qform") as refused:
                read(source)
            assert refused.value.code == "GEO-SPACING"
    files.read(nifti(tmp_path / "in.nii", sform=(wrong, 0), qform=(AXIAL, 1)))  # as the message advises


def test_a_tilted_sform_beside_a_square_qform_is_no_wrong_spacing(tmp_path):
    """Of sheared slices pixdim says the distance of centres or that of planes."""
    tilted = AXIAL.copy()
    tilted[1, 2] = 1.4
    for distance in (5.0, np.hypot(5, 1.4)):
        square = grid(spacing=[0.7, 0.9, distance])
        volume = files.read(nifti(tmp_path / "in.nii", sform=(tilted, 1), qform=(square, 1)))
        assert [notice.code for notice in volume.origin.warnings] == ["FILE-FORMS"]


# ---- neither form


@pytest.mark.parametrize(
    ("first", "step", "count", "codes"), [(0, 0.5, 15, 0), (0, 0.2, 36, 0), (-0.25, 0.5, 16, 2), (0, 0.4, 18, 2)]
)
def test_a_result_of_a_file_without_orientation_lies_on_it_in_every_reader(tmp_path, first, step, count, codes):
    """Both codes stay 0 where first and last centres are the source's; where not, each reader is told its place."""
    source = nifti(tmp_path / "in.nii")
    to_source = thin(source, tmp_path / "out.nii.gz", first=first, step=step, count=count)
    lies_on(source, tmp_path / "out.nii.gz", to_source, readers=ALL, shape=(6, 5, count))
    header = nib.load(tmp_path / "out.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (codes, codes)


@pytest.mark.parametrize("fields", [{"qoffset_x": 30.0}, {"pixdim": [-1, 0.7, 0.9, 5, 0, 0, 0, 0]}, {"quatern_d": 1.0}])
def test_what_stands_beside_codes_of_0_says_nothing(tmp_path, fields):
    source = nifti(tmp_path / "in.nii", **fields)
    lies_on(source, tmp_path / "out.nii", thin(source, tmp_path / "out.nii"), readers=ALL)


@pytest.mark.parametrize("as_object", [False, True])
@pytest.mark.parametrize(("options", "slices", "codes"), [({}, 15, 0), ({"grid": "slabs"}, 16, 2)])
def test_enhance_of_a_file_without_orientation(tmp_path, as_object, options, slices, codes):
    """By default it begins at the first acquired centre: nothing need be written into the header then."""
    data = np.random.default_rng(0).integers(-900, 100, (16, 16, 8)).astype(np.int16)
    source = nifti(tmp_path / "in.nii", shape=data.shape, data=data)
    given = nib.load(source) if as_object else source
    result = thinslice.enhance(given, factor=2, fit="none", **options)
    assert ("GEO-CENTRES" in {warning["code"] for warning in result.record["warnings"]}) == (not options)
    if as_object:
        nib.save(result.to_nibabel(), tmp_path / "out.nii")
    else:
        result.save(tmp_path / "out.nii")
    header = nib.load(tmp_path / "out.nii").header
    assert header.get_data_shape()[2] == slices
    assert (header["sform_code"], header["qform_code"]) == (codes, codes)
    to_source = np.diag([1, 1, 0.5, 1.0])
    to_source[2, 3] = -0.25 if options else 0
    lies_on(source, tmp_path / "out.nii", to_source, readers=ALL, shape=(16, 16, slices))


# ---- rounded forms


def leaning(radian):
    """A sform whose slices lean, and whose columns do against its rows, as a rounded one's do."""
    affine = grid((0, 0, 0.02))
    affine[0, 2] += 5 * radian
    affine[0, 1] += 0.9 * radian / 2
    return affine


@pytest.mark.parametrize("radian", [1e-6, 2e-5, 9e-5, 1e-4, 1.1e-4, 1e-3])
@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "nhdr", "mha", "mhd"])
def test_a_rounded_sform_is_no_tilt(tmp_path, radian, ending):
    source = nifti(tmp_path / "in.nii", sform=(leaning(radian), 2))
    assert files.read(source).origin.warnings == ()
    out = tmp_path / f"out.{ending}"
    to_source = thin(source, out)
    stated = by_nibabel(source) @ to_source
    assert apart_mm(by_itk(out), stated, (6, 5, 40)) < 0.1 * 0.7
    if ending == "nii.gz":
        assert apart_mm(by_nibabel(out), stated, (6, 5, 40)) < 1e-3


@settings(max_examples=30)
@given(turn=st.tuples(*[st.floats(-2, 2)] * 3), digits=st.integers(3, 6))
def test_the_nearest_square_grid_is_square_and_near(turn, digits):
    from thinslice.volume import corner_shift_mm, lean, squared

    affine = np.round(grid(turn), digits)
    shape = (60, 512, 512)
    square = squared(affine, shape)
    assert lean(square) < 1e-9
    np.testing.assert_allclose(np.linalg.norm(square, axis=0)[:3], np.linalg.norm(affine, axis=0)[:3])
    middle = [255.5, 255.5, 29.5, 1]
    np.testing.assert_allclose(square @ middle, affine @ middle, atol=1e-9)
    assert corner_shift_mm(affine, square, shape) <= 512 * lean(affine) * 1.5
    np.testing.assert_allclose(squared(square, shape), square, atol=1e-9)


# ---- formats


@settings(max_examples=25)
@given(
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    offset=st.tuples(*[st.floats(-400, 400)] * 3),
    mirrored=st.booleans(),
    from_=st.sampled_from(("nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd")),
    to=st.sampled_from(("nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd")),
)
def test_from_every_format_to_every_other_one(tmp_path_factory, turn, offset, mirrored, from_, to):
    folder = tmp_path_factory.mktemp("across")
    first = nifti(folder / "first.nii", sform=(grid(turn, offset=offset, mirrored=mirrored), 1))
    source, result = folder / f"in.{from_}", folder / f"out.{to}"
    files.write(files.read(first), source)
    to_source = thin(source, result)
    lies_on(source, result, to_source, readers=(by_thinslice, by_itk))
    for path, shape in ((source, SHAPE), (result, (6, 5, 40))):
        if path.name.endswith((".nii", ".nii.gz")):
            assert apart_mm(by_nibabel(path), by_itk(path), shape) < 1e-3


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_what_itk_writes_without_orientation_lies_alike_in_nifti(tmp_path, ending):
    header = {"nrrd": "space directions:", "mha": "TransformMatrix ="}[ending].encode()
    image = sitk.GetImageFromArray((np.arange(240).reshape(8, 5, 6) * 5 - 1000).astype(np.int16))
    image.SetSpacing(SPACING.tolist())
    sitk.WriteImage(image, str(tmp_path / f"full.{ending}"))
    lines = (tmp_path / f"full.{ending}").read_bytes().split(b"\n")
    spacings = [b"spacings: 0.7 0.9 5"] if ending == "nrrd" else []
    kept = [line for line in lines if not line.startswith((header, b"space:", b"space origin:"))]
    (tmp_path / f"in.{ending}").write_bytes(b"\n".join([*kept[:6], *spacings, *kept[6:]]))
    source = tmp_path / f"in.{ending}"
    assert [notice.code for notice in files.read(source).origin.warnings] == ["FILE-NOORIENT"]
    to_source = thin(source, tmp_path / "out.nii")
    lies_on(source, tmp_path / "out.nii", to_source, readers=(by_thinslice, by_itk))
    assert nib.load(tmp_path / "out.nii").header["sform_code"] == 2  # aligned to another file, and to no scanner
