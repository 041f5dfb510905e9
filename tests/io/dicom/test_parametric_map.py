"""The uncertainty of a DICOM result is a Parametric Map of the same study, on the grid of the derived series."""

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_cases import setting, tilted
from dicom_phantom import save, series
from test_validators import findings

import thinslice
from thinslice.cli.app import run
from thinslice.errors import UsageError
from thinslice.io.dicom import read_series
from thinslice.uncertainty.meaning import MEANING

KNOWN = ("<SECTRA>", "<99THINSLICE>", "<QUANTITY>")  # terms and codes younger than the validator's dictionary, or ours


@pytest.fixture
def noisy(tmp_path):
    """A folder with a noisy series."""

    def made(slices):
        random = np.random.default_rng(0)
        for ds in slices:
            pixels = np.frombuffer(ds.PixelData, np.int16)
            ds.PixelData = (pixels + random.normal(0, 20, pixels.shape).round()).astype(np.int16).tobytes()
        save(slices, tmp_path / "in")
        return tmp_path / "in"

    return made


@pytest.mark.dicom3tools
@pytest.mark.parametrize(
    "source", [series, lambda: tilted(12), lambda: setting(BodyPartExamined="KNEE", Laterality="R")]
)
def test_it_joins_the_study_and_holds_the_values(source, noisy, tmp_path):
    folder = noisy(source())
    result = thinslice.enhance(folder, factor=2, fit="none", uncertainty=True)
    result.save(tmp_path / "out")
    result.save_uncertainty(tmp_path / "unc.dcm", series=tmp_path / "out")

    found = highdicom.imread(tmp_path / "unc.dcm")
    slices = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert found.get(name) == slices[0].get(name)
    assert found.Modality != "CT"
    assert found.SeriesNumber == slices[0].SeriesNumber + 1
    assert found.ContentDescription == MEANING[:64]

    written = read_series(tmp_path / "out", allow_derived=True)
    order = np.argsort([ds.InstanceNumber for ds in slices])
    places = [
        np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for frame in found.PerFrameFunctionalGroupsSequence
    ]
    positions = [np.array(slices[k].ImagePositionPatient, float) for k in order]
    assert {tuple(p.round(3)) for p in places} == {tuple(p.round(3)) for p in positions}
    frames = found.get_frames(apply_real_world_transform=True)
    for place, frame in zip(places, frames, strict=True):
        k = int(np.argmin([np.linalg.norm(p - place) for p in positions]))
        z = int(
            np.argmin(np.abs(written.hu - slices[k].pixel_array.astype(float) - slices[k].RescaleIntercept).sum((1, 2)))
        )
        np.testing.assert_allclose(frame, result.uncertainty[z], atol=1 / 32 + 1e-6)

    left = [line for line in findings(tmp_path / "unc.dcm") if not any(term in line for term in KNOWN)]
    assert left == []


def test_the_same_run_gives_the_same_uids(noisy, tmp_path):
    folder = noisy(series())
    uids = set()
    for name in ("a", "b"):
        result = thinslice.enhance(folder, factor=2, fit="none", check=False, uncertainty=True)
        result.save(tmp_path / name)
        result.save_uncertainty(tmp_path / f"{name}.dcm", series=tmp_path / name)
        uids.add(pydicom.dcmread(tmp_path / f"{name}.dcm").SOPInstanceUID)
    assert len(uids) == 1


@pytest.mark.parametrize(
    ("output", "uncertainty", "code", "status"),
    [
        ("out.nii.gz", "unc.dcm", "USE-UNCERTAINTY", 2),
        ("out", "unc.txt", "OUT-FORMAT", 6),
        ("out", "out/unc.nii.gz", "OUT-", 6),
        ("out", "in", "OUT-", 6),
    ],
)
def test_what_does_not_fit_is_refused_before_work(output, uncertainty, code, status, noisy, tmp_path, capsys):
    folder = noisy(series())
    before = sorted(path.name for path in folder.iterdir())
    arguments = ["enhance", "-i", str(folder), "-o", str(tmp_path / output), "--factor", "2", "--fit", "none"]
    assert run([*arguments, "--uncertainty", str(tmp_path / uncertainty)]) == status
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith(f"error[{code}")
    assert not (tmp_path / output).exists()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_map_alone_has_nothing_to_join(noisy, tmp_path):
    result = thinslice.enhance(noisy(series()), factor=2, fit="none", check=False, uncertainty=True)
    with pytest.raises(UsageError, match="beside a DICOM result"):
        result.save_uncertainty(tmp_path / "unc.dcm")
