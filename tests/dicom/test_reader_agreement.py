"""Wherever another reader reads an awkward input rightly, it and this one give the same voxels at the same places.

The oracles are dcm2niix (the build from PyPI) and highdicom: affines agree to 1e-3 mm at the corners, HU exactly.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import CASES, Case
from dicom_phantom import hu_at
from dicom_readers import READERS, errors_of

from thinslice.dicom import read_series
from thinslice.volume import Volume

ORACLES = ("dcm2niix", "highdicom")
READ = [case for case in CASES if case.refused is None and not case.options]

# cases that neither oracle reads rightly, with the reason: what is left is covered by the phantom's own truth
ALONE: dict[str, str] = {}


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
    np.testing.assert_array_equal(same_order[keep].astype(np.float32), volume.hu.T[keep])


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_every_oracle_that_is_right(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "in")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume = read_series(tmp_path / "in")
    compared = 0
    for name in ORACLES:
        found = [entry for entry in READERS[name](tmp_path / "in", {}).volumes if entry[0].shape[2] > 1]
        if len(found) != 1 or found[0][0].ndim != 3 or sorted(found[0][0].shape) != sorted(volume.shape):
            continue
        values, affine, _ = found[0]
        marked = None
        if volume.padding is not None and values.shape == volume.shape[::-1]:
            marked = volume.padding.T[:, ::-1] if affine[1, 1] * volume.affine[1, 1] < 0 else volume.padding.T
        if errors_of((values, affine, marked), hu_at) > case.within:
            continue
        assert_same(volume, values, affine)
        compared += 1
    assert compared or case.name in ALONE, "no oracle reads this rightly: name it in ALONE with the reason"
