"""The slice profile, found in the noise of a scan."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from thinslice.evaluation.protocols import make_case
from thinslice.io import files
from thinslice.physics.grid import plan_grid
from thinslice.physics.noise import NoiseCorrelation, noise_correlation
from thinslice.physics.operator import SliceOperator
from thinslice.physics.profile_estimate import Stated, estimate_profile, find_profile
from thinslice.plan import plan_job

UNKNOWN = Stated(4.0, firmly=True, box=0.5)


def _noisy(grid, seed=0):
    """Acquired slices of water with a little anatomy, whose raw noise is independent along z."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 40, (len(grid.output_mm), 96, 96))
    noise = ndimage.gaussian_filter(noise, (0, 0.8, 0.8))
    body = ndimage.gaussian_filter(random.normal(0, 900, noise.shape), (6, 6, 6))
    return SliceOperator(grid).apply(noise + body + 30).astype(np.float32)


def _grid(thickness=4.0, flatness=1.0, factor=4.0):
    return plan_grid(28, 4.0, 4.0 / factor, thickness_mm=thickness, flatness=flatness, nominal_mm=4.0)


@pytest.mark.parametrize(("thickness", "flatness"), [(4.0, 1.0), (4.0, 0.0), (3.9, 0.4)])
@pytest.mark.parametrize("stated", [4.0, 5.0])
def test_width_and_shape_are_found_in_the_noise_whatever_is_stated(thickness, flatness, stated):
    grid = _grid(thickness, flatness)
    said = replace(UNKNOWN, thickness_mm=stated, firmly=False)
    found = find_profile(_noisy(grid), replace(grid, thickness_mm=stated, flatness=1.0), said)
    assert found.determined_by == "scan"
    assert (found.flatness == 1) == (flatness == 1)
    assert found.thickness_mm == pytest.approx(thickness, rel=0.1)
    assert abs(found.thickness_mm - thickness) < 3 * found.error_mm


def test_the_measured_correlation_is_that_of_the_profile():
    found = noise_correlation(_noisy(_grid(4.0, 0.0)))
    assert found.values[0] == pytest.approx(0.25, abs=0.05)
    assert found.values[1] == pytest.approx(0.0, abs=0.05)
    assert 0 < found.errors[0] < 0.05


def test_anatomy_alone_tells_nothing():
    still = np.repeat(np.linspace(-100, 100, 96, dtype=np.float32)[None, :], 96, axis=0)
    assert noise_correlation(np.stack([still] * 12)) is None
    assert noise_correlation(np.full((12, 64, 64), -1000, np.float32)) is None
    assert noise_correlation(np.zeros((2, 64, 64), np.float32)) is None


@pytest.mark.parametrize(("box", "flatness"), [(0.5, 1.0), (0.95, 1.0), (0.1, 0.4)])
def test_where_nothing_can_be_measured_the_usual_profile_is_taken(box, flatness):
    found = estimate_profile(None, replace(UNKNOWN, box=box), spacing_mm=4.0, output_spacing_mm=1.0)
    assert (found.determined_by, found.flatness) == ("prior", flatness)
    assert found.certainty == max(box, 1 - box)


def test_what_a_file_says_of_gaps_is_believed():
    """Noise of slices with gaps is independent whatever their shape: nothing contradicts 1.5 mm of every 4."""
    grid = _grid(1.5, 1.0, factor=4.0)
    found = find_profile(_noisy(grid), grid, Stated(1.5, firmly=True, box=0.5))
    assert found.thickness_mm == pytest.approx(1.5, rel=0.05)


def test_thin_slices_keep_what_is_stated():
    grid = plan_grid(20, 4.0, 1.0, thickness_mm=1.0)
    found = find_profile(np.zeros((20, 32, 32), np.float32), grid, Stated(1.0, firmly=True, box=0.5))
    assert (found.determined_by, found.thickness_mm, found.error_mm) == ("stated", 1.0, None)


def test_a_profile_is_never_narrower_than_an_output_slice():
    grid = plan_grid(20, 4.0, 3.3, thickness_mm=4.0)
    found = find_profile(np.zeros((20, 32, 32), np.float32), grid, replace(UNKNOWN, box=0.1))
    grid = replace(grid, thickness_mm=found.thickness_mm)
    assert not grid.copies


def test_a_bell_that_may_be_a_box_damps_projections_and_a_certain_one_does_not():
    between, clear = (NoiseCorrelation((value, 0.0), (0.01, 0.01)) for value in (0.155, 0.22))
    grids = []
    for found in (between, clear):
        profile = estimate_profile(found, replace(UNKNOWN, box=0.3), spacing_mm=4.0, output_spacing_mm=1.0)
        assert profile.flatness < 1
        grids.append(profile.on(plan_grid(8, 4.0, 1.0, thickness_mm=4.0)))
    assert [grid.usual_damping for grid in grids] == [0.1, 0.0]
    assert [grid.scale.grid(8).usual_damping for grid in grids] == [0.1, 0.0]
    x = np.random.default_rng(0).normal(0, 100, (32, 4, 4))
    left = [SliceOperator(grid).apply(SliceOperator(grid).null_projector(x)) for grid in grids]
    assert np.abs(left[0]).max() > 1
    assert np.abs(left[1]).max() < 0.01


def test_noise_that_no_profile_gives_leaves_what_is_usual():
    alike = NoiseCorrelation((1.0, 1.0), (0.0, 0.0))
    found = estimate_profile(alike, UNKNOWN, spacing_mm=4.0, output_spacing_mm=1.0)
    assert (found.determined_by, found.flatness, found.thickness_mm) == ("prior", 1.0, 4.0)


def test_a_workstations_word_outweighs_doubtful_noise():
    between = NoiseCorrelation((0.14, 0.0), (0.03, 0.03))
    shapes = [
        estimate_profile(between, replace(UNKNOWN, box=box), spacing_mm=4.0, output_spacing_mm=1.0).flatness
        for box in (0.95, 0.1)
    ]
    assert shapes[0] == 1.0
    assert shapes[1] < 1.0


THIN = ("chest_rider_0117", "chest_lungfcp0001", "chest_covidctmd_p002", "chest_cmbcrc01068", "chest_lidc0314")
BEYOND = {
    *(("chest_lungfcp0001", "box", 2, told) for told in (1.0, 0.75, 1.25)),
    ("chest_lungfcp0001", "gauss", 2, 1.25),
}
"""2 mm thick slices 1 mm apart, averaged by twos, are physically no box, and wider (docs/experiments, P12)."""


@pytest.mark.parametrize("name", THIN)
def test_simulated_slices_of_real_scans_are_known_by_their_noise(name, shared_ct):
    """Told nothing, or a thickness that is a quarter off."""
    thin = files.read(shared_ct / "thin" / f"{name}.nii.gz")
    for protocol, factor in (("box", 2), ("box", 4), ("gauss", 2), ("gauss", 4)):
        for told in (1.0, 0.75, 1.25):
            case = make_case(thin, name, protocol=protocol, factor=factor, assume_thickness=told, assume_profile="auto")
            found = case.grid.shape, case.assumed_thickness
            assert (found == (protocol, 1.0)) == ((name, protocol, factor, told) not in BEYOND), (
                protocol,
                factor,
                told,
                found,
            )


@pytest.mark.parametrize(
    ("path", "shapes", "width"),
    [
        ("more/head_philips_pcir_ub_5mm.nii.gz", {"box"}, 5.0),
        ("thick/chest_lungdx_a0001.nii.gz", {"rounded", "gauss"}, 4.55),
        ("more/abdomen_ge_crlm1004_5mm.nii.gz", {"rounded", "gauss"}, 4.7),
        ("pairs/headphantom_philips_ub_thick.nii.gz", {"rounded"}, 4.85),
    ],
)
def test_slices_of_scanners_are_boxes_where_they_are_sequential_and_bells_where_helical(path, shapes, width, shared_ct):
    job = plan_job(files.read(shared_ct / path))
    assert job.profile.shape in shapes
    assert job.profile.determined_by == "scan"
    assert job.grid.thickness_mm == pytest.approx(width, rel=0.03)
    assert job.stated_mm == pytest.approx(5.0, abs=0.01)
