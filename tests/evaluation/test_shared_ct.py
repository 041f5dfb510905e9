"""Figures of real scans, measured once with other code, come out again."""

import numpy as np
import pytest

from thinslice.conventions import HU_RANGE
from thinslice.evaluation.methods import CLASSICAL
from thinslice.evaluation.metrics import PEAK_HU, Scorer, psnr
from thinslice.evaluation.protocols import cut, make_case
from thinslice.io import files


@pytest.fixture(scope="module")
def lidc(shared_ct):
    return cut(files.read(shared_ct / "thin" / "chest_lidc0314.nii.gz"), slices=129, region=256)


def test_rows_and_biases_where_slices_are_left_out(lidc):
    case = make_case(lidc, "lidc", protocol="gap", factor=4)
    scores = Scorer(case).score(CLASSICAL["linear"](case.thick, case.grid))
    assert scores.psnr_new == pytest.approx(35.17, abs=0.01)
    assert [scores.bias_lung, scores.bias_soft, scores.bias_bone] == pytest.approx([0.5, -0.4, -12.55], abs=0.06)


def test_rows_where_slices_are_averaged(lidc):
    case = make_case(lidc, "lidc", protocol="box", factor=4)
    expected = {"linear": 37.09, "cubic": 37.69, "bspline": 37.88}
    found = {}
    for name in expected:
        result = np.clip(CLASSICAL[name](case.thick, case.grid), *HU_RANGE)
        found[name] = psnr(float(np.mean(np.square(result - case.truth))), peak=PEAK_HU)
    assert found == pytest.approx(expected, abs=0.01)
