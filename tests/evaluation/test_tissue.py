"""Lung is lung: not the air around the body, whole or cut, with its vessels and without its walls."""

import numpy as np
import pytest
from scipy import ndimage

from thinslice.evaluation.metrics import Scorer
from thinslice.evaluation.protocols import cut, make_case
from thinslice.evaluation.tissue import inside_lung, lung_mask
from thinslice.phantom import make_phantom
from thinslice.volume import Volume


@pytest.fixture(scope="module")
def chest():
    """Upper half of the phantom, where there is lung in every slice; 1.7 mm pixels, no noise."""
    return cut(make_phantom(shape=(80, 160, 160), spacing_mm=(2.0, 1.7, 1.7), noise_hu=0).volume, slices=24)


def smoothed(hu):
    return ndimage.gaussian_filter(hu, (1, 2 / 1.7, 2 / 1.7))


def test_air_around_the_body_is_no_lung(chest):
    lung = lung_mask(chest.hu, smoothed(chest.hu), (1.7, 1.7))
    assert lung.any(axis=(1, 2)).all()
    rim = np.ones(chest.hu.shape[1:], bool)
    rim[12:-12, 12:-12] = False
    assert not lung[:, rim].any()
    assert -900 < np.median(chest.hu[lung]) < -800


def test_a_region_that_cuts_the_lungs_keeps_them(chest):
    whole = lung_mask(chest.hu, smoothed(chest.hu), (1.7, 1.7))
    window = (slice(None), slice(40, 120), slice(40, 120))
    part = lung_mask(chest.hu[window], smoothed(chest.hu)[window], (1.7, 1.7))
    assert (part & whole[window]).sum() > 0.95 * whole[window].sum()


def test_vessels_are_looked_for_inside_and_walls_are_not():
    lung = np.zeros((1, 80, 80), bool)
    lung[:, 10:70, 10:70] = True
    lung[:, 30:36, 5:45] = False  # a vessel of 6 mm that comes in from the side
    found = inside_lung(lung, (1.0, 1.0))
    assert found[0, 30:36, 20:45].all()
    assert not found[0, :13].any()
    assert found[0, 13:67, 13:67].all()


def test_a_vessel_that_is_lost_costs_overlap_and_one_that_is_invented_too():
    hu = np.full((13, 60, 60), -850.0)
    hu[:, :6], hu[:, -6:], hu[:, :, :6], hu[:, :, -6:] = 40, 40, 40, 40
    hu[:, 20:24, 20:40] = 30
    case = make_case(Volume(hu, np.eye(4)), "a", protocol="gap", factor=2)
    lost, invented, faint, haze = (case.truth.copy() for _ in range(4))
    lost[:, 20:24, 20:30] = -850
    for made, hu_of_it in ((invented, 30), (faint, -550), (haze, -650)):
        made[:, 40:44, 20:40] = hu_of_it
    judge = Scorer(case)
    assert judge.score(case.truth).dice_vessel == 1
    assert judge.score(lost).dice_vessel == pytest.approx(2 / 3)
    assert judge.score(invented).dice_vessel == judge.score(faint).dice_vessel == pytest.approx(2 / 3)
    assert judge.score(haze).dice_vessel == 1
    assert np.isnan(judge.score(case.truth).dice_bone)
