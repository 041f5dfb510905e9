"""What is no HU is refused or remarked, through whichever door it comes; what is CT, however odd, is not refused."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from thinslice.errors import InputError
from thinslice.io import scan
from thinslice.io.hounsfield import doubt
from thinslice.io.writing import write
from thinslice.volume import Volume

sys.path.insert(0, str(Path(__file__).parent / "dicom"))
import dicom_phantom

AFFINE = np.diag([-0.8, -0.8, 5.0, 1.0])
SIZE, SLICES = 64, 8


def body(part: str = "chest") -> tuple[np.ndarray, np.ndarray]:
    """(z, y, x) HU of a body in air, with noise, and where the field of view ends."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    hu = np.full((SLICES, SIZE, SIZE), -1000.0)
    hu[:, np.hypot(x, y) < 26] = -100
    hu[:, np.hypot(x, y) < 22] = 45
    hu[:, np.hypot(x, y - 15) < 4] = 400
    if part == "chest":
        hu[:, (np.hypot(x - 9, y) < 8) | (np.hypot(x + 9, y) < 8)] = -850
    hu += np.random.default_rng(0).normal(0, 12, hu.shape)
    return np.rint(hu), np.broadcast_to(np.hypot(x, y) > SIZE / 2, hu.shape)


def normalised(hu, low, high, first=0.0, last=1.0):
    return (np.clip(hu, low, high) - low) / (high - low) * (last - first) + first


RNG = np.random.default_rng(1)
REFUSED = {
    "stored values, 1024": lambda hu: np.clip(hu + 1024, 0, 4095),
    "stored values, 1000": lambda hu: hu + 1000,
    "density": lambda hu: hu + 1100,
    "unsigned 16 bit": lambda hu: hu + 32768,
    "wrapped around": lambda hu: np.where(hu < 0, hu + 65536, hu),
    "0 to 1": lambda hu: normalised(hu, -1000, 400),
    "-1 to 1": lambda hu: normalised(hu, -1000, 400, -1),
    "-1 to 3": lambda hu: hu / 1000,
    "z-scores": lambda hu: (hu - hu.mean()) / hu.std(),
    "hyperbolic tangent": lambda hu: np.tanh(hu / 500),
    "attenuation per mm": lambda hu: 0.02 * (1 + hu / 1000),
    "attenuation per cm": lambda hu: 0.2 * (1 + hu / 1000),
    "0 to 255": lambda hu: np.rint(normalised(hu, -160, 240, 0, 255)),
    "0 to 4095": lambda hu: normalised(hu, -1000, 1000, 0, 4095),
    "intercept twice": lambda hu: hu - 1024,
    "times 2": lambda hu: hu * 2,
    "times 10": lambda hu: hu * 10,
    "sign turned": lambda hu: -hu,
    "mask": lambda hu: (hu > -500).astype(float),
    "labels": lambda hu: np.digitize(hu, [-500, -20, 100, 300]).astype(float),
    "uptake": lambda hu: np.where(hu < -300, 0.05, 1.5) * RNG.gamma(4, 0.25, hu.shape),
}
REMARKED = {
    "constant": lambda hu: np.full_like(hu, 40),
    "attenuation per m": lambda hu: 20 * (1 + hu / 1000),
    "per cent": lambda hu: normalised(hu, -160, 240, 0, 100),
    "half": lambda hu: hu / 2,
    "a tenth": lambda hu: np.rint(hu / 10),
    "-128 to 127": lambda hu: np.rint(normalised(hu, -160, 240, -128, 127)),
    "magnetic resonance": lambda hu: np.where(hu < -300, 0, np.where(hu < -20, 500, 250)) + RNG.normal(0, 8, hu.shape),
    "cut off at 0": lambda hu: np.maximum(hu, 0),
    "cut off at -200": lambda hu: np.maximum(hu, -200),
}


@pytest.mark.parametrize("part", ["chest", "limb"])
@pytest.mark.parametrize("kind", REFUSED)
def test_no_hu_is_refused(kind, part):
    found = doubt(REFUSED[kind](body(part)[0]).astype(np.float32))
    assert found is not None
    assert found.certain


@pytest.mark.parametrize("part", ["chest", "limb"])
@pytest.mark.parametrize("kind", REMARKED)
def test_what_may_be_no_hu_is_remarked(kind, part):
    found = doubt(REMARKED[kind](body(part)[0]).astype(np.float32))
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize("pad", [-2000, -1024, -1, 0])
@pytest.mark.parametrize(
    "kind", ["stored values, 1024", "stored values, 1000", "0 to 1", "z-scores", "attenuation per mm"]
)
def test_padding_does_not_make_hu_of_them(kind, pad):
    hu, void = body()
    values = np.where(void, pad, REFUSED[kind](hu)).astype(np.float32)
    with pytest.raises(InputError, match="rescale="):
        scan.read(values, affine=AFFINE)


def ct(name):
    """CT that few scanners give."""
    hu, void = body()
    rng = np.random.default_rng(2)
    return {
        "usual": hu,
        "air at -1045": hu - 45 * (hu < -900),
        "cut off at -1000": np.maximum(hu, -1000),
        "metal": np.where(hu > 350, 15720, hu),
        "streaks": np.where(rng.random(hu.shape) < 0.01, rng.uniform(-3000, -1000, hu.shape), hu),
        "padding": np.where(void, -3024, hu),
        "noise of a sharp kernel": hu + rng.normal(0, 90, hu.shape),
        "air alone": rng.normal(-1000, 12, hu.shape),
        "low air alone": rng.normal(-1045, 25, hu.shape),
        "lung alone": rng.normal(-850, 60, hu.shape),
        "liver alone": rng.normal(60, 14, hu.shape),
        "brain alone": rng.normal(30, 4, hu.shape),
        "water": rng.normal(0, 8, hu.shape),
        "fat and muscle": np.where(rng.random(hu.shape) < 0.4, -100, 50) + rng.normal(0, 14, hu.shape),
        "heart with contrast": np.where(rng.random(hu.shape) < 0.6, 350, 50) + rng.normal(0, 20, hu.shape),
        "skull base": np.where(rng.random(hu.shape) < 0.2, rng.uniform(200, 1600, hu.shape), 35)
        + rng.normal(0, 8, hu.shape),
        "cone beam": np.where(hu < -900, hu + 130, hu * 1.2) + rng.normal(0, 40, hu.shape),
        "masked": np.where(void, -1024, np.where(np.abs(hu - 45) < 60, hu, -1024)),
        "cut off at 0": np.maximum(hu, 0),
        "ramp": np.add.outer(np.add.outer(40 * np.arange(SLICES), 3 * np.arange(SIZE)), 4 * np.arange(SIZE)) - 500.0,
    }[name].astype(np.float32)


SILENT = {
    "usual", "air at -1045", "cut off at -1000", "metal", "padding", "air alone",
    "low air alone", "lung alone", "fat and muscle", "ramp",
}  # fmt: skip
ODD = {
    "streaks", "noise of a sharp kernel", "liver alone", "brain alone", "water", "heart with contrast", "skull base",
    "cone beam", "masked", "cut off at 0",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SILENT | ODD))
def test_ct_is_not_refused(name):
    codes = [notice.code for notice in scan.read(ct(name), affine=AFFINE).origin.warnings]
    assert codes == [] if name in SILENT else codes in ([], ["FILE-NOTHU"])


def test_real_scans_are_not_even_remarked(shared_ct):
    more, pairs = (sorted(shared_ct.glob(names)) for names in ("more/*.nii.gz", "pairs/*_thick.nii.gz"))
    assert more
    assert pairs
    for name in (*more, *pairs):
        assert [notice.code for notice in scan.read(name).origin.warnings] == [], name.name


def nifti(values, folder):
    nib.save(nib.Nifti1Image(values.T, AFFINE), folder / "a.nii")
    return {"source": folder / "a.nii"}


def metaimage(values, folder):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.8, 5.0))
    sitk.WriteImage(image, str(folder / "a.mha"))
    return {"source": folder / "a.mha"}


def dicom(values, folder):
    datasets = dicom_phantom.series(slices=len(values))
    for ds, image in zip(datasets, values, strict=True):
        ds.Rows, ds.Columns = image.shape
        ds.RescaleIntercept = "0"
        dicom_phantom.paint(ds, image)
    dicom_phantom.save(datasets, folder / "series")
    return {"source": folder / "series"}


DOORS = {
    "nifti": nifti,
    "metaimage": metaimage,
    "dicom": dicom,
    "array": lambda values, folder: {"source": values, "affine": AFFINE},
    "nibabel": lambda values, folder: {"source": nib.Nifti1Image(values.T, AFFINE)},
    "SimpleITK": lambda values, folder: {"source": metaimage(values, folder) and sitk.ReadImage(str(folder / "a.mha"))},
}


@pytest.mark.parametrize("door", DOORS)
def test_stored_values_are_refused_through_every_door_and_the_cure_works(door, tmp_path):
    hu, _ = body()
    given = DOORS[door]((hu + 1024).astype(np.int16), tmp_path)
    source = given.pop("source")
    with pytest.raises(InputError) as refused:
        scan.read(source, **given)
    assert refused.value.code == ("DCM-NOTHU" if door == "dicom" else "FILE-NOTHU")
    assert ("--rescale 1,-1024" if door in ("nifti", "metaimage", "dicom") else "rescale=(1, -1024)") in str(
        refused.value
    )
    cured = scan.read(source, rescale=(1, -1024), **given)
    assert not [notice for notice in cured.origin.warnings if notice.code.endswith("NOTHU")]
    assert sorted(np.unique(cured.hu)) == sorted(np.unique(hu))


@pytest.mark.parametrize("door", DOORS)
def test_odd_values_are_remarked_through_every_door_and_refused_where_warnings_are_errors(door, tmp_path):
    values = np.rint(ct("liver alone")).astype(np.int16)
    given = DOORS[door](values, tmp_path)
    source = given.pop("source")
    (notice,) = scan.read(source, **given).origin.warnings
    assert notice.code.endswith("NOTHU")
    assert "\x02" not in notice.line
    with pytest.raises(InputError, match="neither air nor fat"):
        scan.read(source, strict=True, **given)


def test_values_from_593_to_1064_of_a_series_are_refused(tmp_path):
    values = np.rint(RNG.uniform(593, 1064, (6, 24, 20)))
    with pytest.raises(InputError, match="values from 59") as refused:
        scan.read(**dicom(values, tmp_path))
    assert refused.value.code == "DCM-NOTHU"


def test_who_says_how_values_become_hu_is_believed(tmp_path):
    values = np.round(REFUSED["0 to 1"](body()[0]), 3).astype(np.float32)
    for door in ("nifti", "array", "nibabel"):
        given = DOORS[door](values, tmp_path)
        volume = scan.read(given.pop("source"), rescale=(1, 0), **given)
        assert [notice.code for notice in volume.origin.warnings] == ["FILE-NOTHU"]


def test_a_volume_that_a_caller_built_is_remarked():
    volume = Volume(REFUSED["0 to 1"](body()[0]), AFFINE)
    assert [notice.code for notice in scan.read(volume).origin.warnings] == ["FILE-NOTHU"]
    assert [notice.code for notice in scan.remark_values(volume).origin.warnings] == ["FILE-NOTHU"]
    assert scan.read(Volume(body()[0], AFFINE)).origin.warnings == ()


def test_rounding_that_leaves_next_to_nothing_is_remarked(tmp_path):
    hu, void = body()
    small = Volume(np.where(void, -2000, hu / 1000), AFFINE, padding=void)
    (notice,) = write(small, tmp_path / "a.nii")
    assert notice.code == "OUT-ROUND"
    assert "2 whole numbers" in notice.message
    assert write(small, tmp_path / "b.nii", dtype="float32") == ()
    for harmless in (hu, np.rint(hu / 1000), np.full_like(hu, 0.5)):
        assert write(Volume(harmless, AFFINE), tmp_path / "c.nii", overwrite=True) == ()
