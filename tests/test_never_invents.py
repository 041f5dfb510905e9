"""What no model may do, whatever it was taught: shift water, prefer a side, lose to cubic, invent a nodule.

`MODELS` holds models and how to get them; every property is asked of each, used as it is.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import thinslice
from thinslice.evaluation.methods import CLASSICAL
from thinslice.evaluation.metrics import PEAK_HU, psnr
from thinslice.fitting.config import FitConfig
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.phantom import make_phantom, make_water_phantom, thicken

pytestmark = pytest.mark.slow

SPACING_MM = 4.0
REGIMES = {"gap": 1.0, "box": 4.0}  # slice thickness
SIZE = {"shape": (49, 80, 80), "spacing_mm": (1.0, 1.5, 1.5)}
SMALL = FitConfig(inplane=InplaneConfig(channels=16, blocks=2), axial=AxialConfig(channels=16, blocks=1), batch=8)


def fitted(regime):
    """What a short fit to the phantom gives."""
    thick, _ = thicken(make_phantom(**SIZE).volume, SPACING_MM, thickness_mm=REGIMES[regime])
    return {
        "fit": "none",
        "model": thinslice.enhance(thick, spacing=1.0, fit="scan", iterations=150, config=SMALL).model,
    }


MODELS = {"fitted to the phantom": fitted, "shipped": lambda regime: {"fit": "none"}}


@pytest.fixture(scope="module", params=[(name, regime) for name in MODELS for regime in REGIMES], ids=" ".join)
def case(request):
    name, regime = request.param
    options = MODELS[name](regime)
    return regime, functools.partial(thinslice.enhance, spacing=1.0, **options)


def gain(case, volume):
    """dB over cubic on the slices that the thick scan does not hold."""
    regime, enhance = case
    thick, grid = thicken(volume, SPACING_MM, thickness_mm=REGIMES[regime])
    new = np.setdiff1d(np.arange(len(grid.output_mm)), grid.on_grid()[1] if grid.copies else [])
    truth = volume.hu[: len(grid.output_mm)]
    results = enhance(thick).volume.hu, CLASSICAL["cubic"](thick, grid)
    ours, cubic = (psnr(float(np.mean(np.square((hu - truth)[new]))), peak=PEAK_HU) for hu in results)
    return ours - cubic


@pytest.fixture(scope="module")
def chest():
    """A number of slices that gap and box both use up, so that a flip along z gives the same thick slices."""
    volume = make_phantom(**SIZE).volume
    return {"gap": volume, "box": volume.with_slices(volume.hu[:48], first=0, step=1)}


def test_water_without_noise_comes_out_as_water(case):
    regime, enhance = case
    water = make_water_phantom(shape=(49, 64, 64), noise_hu=0.0)
    thick, _ = thicken(water, SPACING_MM, thickness_mm=REGIMES[regime])
    hu = enhance(thick).volume.hu
    inside = np.hypot(*(np.indices((64, 64)) - 31.5)) < 0.4 * 64 - 4
    assert np.abs(hu[:, inside]).max() <= 1


@pytest.mark.parametrize("axis", [0, 1, 2], ids="zyx")
def test_the_gain_over_cubic_does_not_depend_on_sides(case, chest, axis):
    volume = chest[case[0]]
    assert abs(gain(case, replace(volume, hu=np.flip(volume.hu, axis))) - gain(case, volume)) < 0.1


def test_the_gain_over_cubic_does_not_depend_on_an_offset(case, chest):
    hu = np.clip(chest[case[0]].hu, -924, 2900)  # so that 100 HU more or less stay within the scale
    plain, more = (gain(case, replace(chest[case[0]], hu=hu + offset)) for offset in (0, 100))
    assert abs(more - plain) < 0.1


def test_the_gain_over_cubic_does_not_depend_on_where_the_scan_begins(case, chest):
    """The same slices, one acquired spacing on: compared on the slices that both hold."""
    regime, enhance = case
    thick, _ = thicken(chest[regime], SPACING_MM, thickness_mm=REGIMES[regime])
    whole, later = (enhance(volume).volume.hu for volume in (thick, thick.with_slices(thick.hu[1:], first=1, step=1)))
    truth = chest[regime].hu[: len(whole)]
    common = slice(12, len(whole) - 12)
    ours = [psnr(float(np.mean(np.square((hu - truth)[common]))), peak=PEAK_HU)
            for hu in (whole, np.concatenate([whole[:4], later]))]  # fmt: skip
    assert abs(ours[0] - ours[1]) < 0.1


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_it_is_not_below_cubic_where_noise_is_less_or_more(case, factor):
    assert gain(case, make_phantom(**SIZE, noise_hu=18.0 * factor).volume) >= 0


@pytest.mark.parametrize("nodules", [False, True], ids=["without", "with nodules"])
def test_nothing_appears_where_nothing_was(case, nodules):
    """Without noise: what is brighter than lung lies at what is so in the truth, less than an acquired spacing off."""
    regime, enhance = case
    chest = make_phantom(**SIZE, noise_hu=0.0, nodules=nodules).volume
    thick, _ = thicken(chest, SPACING_MM, thickness_mm=REGIMES[regime])
    hu = enhance(thick).volume.hu
    assert (hu > -400).any()
    off = ndimage.distance_transform_edt(chest.hu[: len(hu)] < -400, sampling=SIZE["spacing_mm"])
    assert off.max() > 3 * SPACING_MM  # there is lung enough for something to appear in
    assert off[hu > -400].max() < SPACING_MM
