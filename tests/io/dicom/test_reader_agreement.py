"""Wherever another reader reads an awkward input rightly, it and this one give the same voxels at the same places.

The oracles are dcm2niix (as pip installs it) and highdicom: affines agree to 1e-3 mm at the corners, HU exactly.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import CASES, Case
from dicom_phantom import hu_at
from dicom_readers import READERS, errors_of

from thinslice.io.dicom import read_series
from thinslice.volume import Volume

ORACLES = ("dcm2niix", "highdicom")
READ = [case for case in CASES if case.refused is None and not case.options]

# what neither oracle reads rightly, or to which no one grid is right; the phantom's own truth covers them
ALONE = {
    "jitter 0.01 mm": "no grid is exact: each reader fits its own",
    "jitter 0.05 mm": "no grid is exact",
    "orientation noise 1e-4": "no orientation is exact",
    "tilt 15": "one loses the shear or measures along the slant, one refuses",
    "tilt -15 with tag": "as above",
    "tilt 2": "one measures along the slant, one loses the shear",
    "tilt 0.5": "both lose the shear",
    "all twice": "one gives two equal volumes as if in time, one refuses",
    "two copies": "one stacks the copies, one refuses",
    "concatenation": "one gives each part by itself, one has no reader for it",
    "zip": "neither opens archives",
    "no preamble": "both refuse",
    "JPEG 12 bit": "decoders of lossy images may differ by a rounding",
}


def assert_same(volume: Volume, values: np.ndarray, affine: np.ndarray) -> None:
    """Both hold one volume: the axes may be turned and flipped against each other, nothing else."""
    to_index = np.linalg.inv(volume.affine) @ affine
    turn = np.rint(to_index[:3, :3]).astype(int)
    assert (np.abs(turn).sum(axis=0) == 1).all()
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in values.shape], indexing="ij")).reshape(3, -1)
    start = np.where(turn.sum(axis=1) < 0, np.array(volume.shape[::-1]) - 1, 0)
    ours = volume.affine[:3, :3] @ (turn @ corners + start[:, None]) + volume.affine[:3, 3:]
    theirs = affine[:3, :3] @ corners + affine[:3, 3:]
    assert np.linalg.norm(ours - theirs, axis=0).max() <= 1e-3
    axes = np.abs(turn).argmax(axis=1)
    same_order = values.transpose(axes)[tuple(slice(None, None, sign) for sign in turn.sum(axis=1))]
    keep = slice(None) if volume.padding is None else ~volume.padding.T
    # exact: stored values are integers, and 2e-3 is what a slope kept in float32 makes of them at most
    np.testing.assert_allclose(same_order[keep], volume.hu.T[keep], rtol=0, atol=2e-3)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_every_oracle_that_is_right(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "in")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume = read_series(tmp_path / "in")
    truth = errors_of((volume.hu.T, volume.affine, None if volume.padding is None else volume.padding.T), hu_at)
    compared = 0
    for name in ORACLES if case.name not in ALONE else ():
        readings = READERS[name](tmp_path / "in", {}).volumes
        found = [entry for entry in readings if sorted(entry[0].shape) == sorted(volume.shape)]
        if len(found) != 1:
            continue
        values, affine, _ = found[0]
        marked = None
        if volume.padding is not None:  # axial, here: at most the rows are turned round
            marked = volume.padding.T if affine[1, 1] * volume.affine[1, 1] > 0 else volume.padding.T[:, ::-1]
        if errors_of((values, affine, marked), hu_at) <= truth + 0.005:  # 5 HU a mm: right to 1e-3 mm
            assert_same(volume, values, affine)
            compared += 1
    assert (compared > 0) != (case.name in ALONE), "no oracle reads this rightly: name it in ALONE with the reason"


def test_both_oracles_serve() -> None:
    """The reasons for standing alone are few beside what is compared."""
    assert len(READ) - len(ALONE) > 4 * len(ALONE)
    assert {case.name for case in READ} >= set(ALONE)
