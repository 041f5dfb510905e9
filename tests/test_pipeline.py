"""The main job: grids, promises, padding, refusals."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thinslice
from thinslice.errors import GeometryError, InputError, ResourceError, ThinsliceError, UsageError
from thinslice.fitting.config import FitConfig
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.phantom import make_phantom, thicken
from thinslice.physics.grid import Scale
from thinslice.physics.noise import noise_hu
from thinslice.plan import plan_job
from thinslice.system import memory
from thinslice.volume import Volume

CHEAP = {
    "fit": "scan",
    "iterations": 4,
    "config": FitConfig(
        inplane=InplaneConfig(channels=16, blocks=1), axial=AxialConfig(channels=16, blocks=1), batch=2, patch_slices=6
    ),
}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(shape=(60, 40, 44), spacing_mm=(1.0, 2.0, 2.2)).volume


def _scan(shape, spacing=5.0, thickness=None, seed=0):
    hu = np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32).round()
    return Volume(hu, np.diag([0.8, 0.8, spacing, 1.0]), thickness)


def test_thin_slices_come_back_bit_for_bit_at_their_place(phantom):
    thick, _ = thicken(phantom, 5.0, thickness_mm=1.0)
    result = thinslice.enhance(thick, spacing=1.0, **CHEAP)
    assert np.array_equal(result.volume.hu[::5], thick.hu)
    assert np.allclose(result.volume.affine[:, 3], thick.affine[:, 3])
    assert result.record["output"]["copied_slices"] == len(thick.hu)


@pytest.mark.parametrize(("apart", "spacing", "every"), [(2.49995, 1.25, 2), (2.4999, 1.0, 5), (10 / 3, 1.6667, 2)])
def test_positions_that_headers_round_still_lie_on_the_grid_asked_for(apart, spacing, every):
    grid = plan_job(_scan((60, 16, 16), apart), spacing=spacing, thickness=min(1.0, spacing)).grid
    taken, given = grid.on_grid()
    assert grid.output_spacing_mm == pytest.approx(spacing, rel=1e-3)
    assert len(taken) == len(range(0, 60, 1 if every == 2 else 2))
    assert (given[-1], taken[-1]) == ((118, 59) if every == 2 else (145, 58))
    assert grid.copies


def test_rounded_positions_lie_on_the_grid_that_is_chosen_for_them_as_well():
    grid = plan_job(_scan((60, 16, 16), 1.49995), thickness=1.0).grid
    assert len(grid.on_grid()[0]) == 30
    assert plan_job(_scan((9, 16, 16), 2.9999), spacing=2.5).grid.factor == pytest.approx(1.2)


def test_slices_as_thin_as_the_output_are_so_for_every_task():
    grid = plan_job(_scan((60, 16, 16), 2.49995), spacing=1.25, thickness=1.25).grid
    assert grid.copies
    assert grid.scale == Scale(2.0, 1.0)


def test_a_spacing_that_is_near_no_simple_ratio_is_taken_as_it_is():
    for spacing in (1.7, 1.26, 1.02, 0.99):
        assert plan_job(_scan((9, 16, 16), 5.0), spacing=spacing).grid.output_spacing_mm == pytest.approx(spacing)


def test_thin_slices_that_do_not_come_back_are_told_of():
    warnings = {
        spacing: plan_job(_scan((9, 20, 20)), spacing=spacing, thickness=1.0).warnings for spacing in (1.0, 1.7)
    }
    assert warnings[1.0] == ()
    assert [notice.code for notice in warnings[1.7]] == ["GEO-BETWEEN"]
    assert warnings[1.7][0].message.startswith("8 of 9 acquired slices")


@pytest.mark.parametrize("spacing", [1.0, 1.7, 2.5, 4.0])
def test_thick_slices_are_met(phantom, spacing):
    thick, _ = thicken(phantom, 5.0, thickness_mm=5.0)
    result = thinslice.enhance(thick, spacing=spacing, thickness=5.0, **CHEAP)
    assert result.record["consistency"]["residual_hu_before"]["max"] <= 0.01
    assert result.record["consistency"]["residual_hu_after"]["max"] <= 0.51
    assert result.volume.slice_spacing_mm == pytest.approx(spacing)


@settings(max_examples=12)
@given(
    st.integers(4, 9), st.integers(16, 41), st.integers(16, 41), st.floats(1.2, 8.0), st.floats(0.2, 2.0),
    st.sampled_from(["box", "gauss"]),
)  # fmt: skip
def test_odd_sizes_any_ratio_any_thickness(slices, rows, columns, factor, ratio, profile):
    volume = _scan((slices, rows, columns), thickness=5.0 * ratio)
    result = thinslice.enhance(volume, factor=factor, profile=profile, **CHEAP | {"iterations": 1})
    assert np.isfinite(result.volume.hu).all()
    assert result.volume.slice_spacing_mm == pytest.approx(5.0 / factor)
    inside = result.volume.affine[2, 3] >= volume.affine[2, 3] - 2.5 - 1e-6
    assert inside
    top = result.volume.affine[2, 3] + (len(result.volume.hu) - 1) * 5.0 / factor
    assert top <= volume.affine[2, 3] + (slices - 0.5) * 5.0 + 1e-6


def test_same_seed_same_voxels(phantom):
    thick, _ = thicken(phantom, 5.0, thickness_mm=5.0)
    first, second = (thinslice.enhance(thick, spacing=1.0, thickness=5.0, seed=3, **CHEAP) for _ in range(2))
    assert np.array_equal(first.volume.hu, second.volume.hu)
    assert first.record["model"]["sha256"] == second.record["model"]["sha256"]


def test_padding_is_put_back_with_its_value_and_never_seen(phantom):
    thick, _ = thicken(phantom, 5.0, thickness_mm=5.0)
    padding = np.zeros(thick.shape, bool)
    padding[:, :5, :5] = True
    padding[3:, -4:] = True
    results = []
    for value in (-2048, -3024):
        volume = dataclasses.replace(thick, hu=np.where(padding, value, thick.hu), padding=padding)
        results.append(thinslice.enhance(volume, spacing=1.0, thickness=5.0, **CHEAP).volume)
        assert (results[-1].hu[results[-1].padding] == value).all()
    first, second = results
    assert first.padding[:, :5, :5].all()
    assert np.array_equal(first.padding[2::5], padding)
    assert np.array_equal(first.hu[~first.padding], second.hu[~second.padding])


def test_the_default_spacing_is_near_the_pixels():
    assert plan_job(_scan((9, 20, 20), 5.0)).grid.output_spacing_mm == pytest.approx(1.0)
    assert plan_job(_scan((9, 20, 20), 12.0)).grid.output_spacing_mm == pytest.approx(1.5)
    assert plan_job(_scan((9, 20, 20), 3.27)).grid.output_spacing_mm == pytest.approx(1.09)
    fine = dataclasses.replace(_scan((9, 20, 20), 2.75), affine=np.diag([0.7, 0.7, 2.75, 1.0]))
    assert plan_job(fine).grid.output_spacing_mm == pytest.approx(1.375)  # three times finer would be 0.92 mm
    finer = dataclasses.replace(fine, affine=np.diag([0.7, 0.7, 1.6, 1.0]))
    assert plan_job(finer).grid.output_spacing_mm == 1.0


@pytest.mark.parametrize(
    ("shape", "options", "error", "code"),
    [
        ((2, 20, 20), {}, GeometryError, "GEO-FEW"),
        ((9, 8, 20), {}, GeometryError, "GEO-PLANE"),
        ((9, 20, 20), {"spacing": 6.0}, GeometryError, "GEO-NOTTHICK"),
        ((9, 20, 20), {"factor": 9.0}, UsageError, "USE-FACTOR"),
        ((9, 20, 20), {"factor": 1.0}, UsageError, "USE-FACTOR"),
        ((9, 20, 20), {"factor": 0.5}, UsageError, "USE-FACTOR"),
        ((9, 20, 20), {"factor": 2.0, "spacing": 1.0}, UsageError, "USE-TARGET"),
        ((9, 20, 20), {"spacing": float("nan")}, UsageError, "USE-TARGET"),
        ((9, 20, 20), {"spacing": "1"}, UsageError, "USE-TARGET"),
        ((9, 20, 20), {"thickness": -1.0}, UsageError, "USE-THICKNESS"),
        ((9, 20, 20), {"thickness": "5"}, UsageError, "USE-THICKNESS"),
        ((9, 20, 20), {"thickness": 1e9}, UsageError, "USE-THICKNESS"),
        ((9, 20, 20), {"seed": -1}, UsageError, "USE-SEED"),
        ((9, 20, 20), {"seed": 2**70}, UsageError, "USE-SEED"),
        ((9, 20, 20), {"views": ("oblique",)}, UsageError, "USE-VIEWS"),
        ((9, 20, 20), {"fit": "both"}, UsageError, "USE-FIT"),
        ((9, 20, 20), {"budget": 0.0}, UsageError, "USE-BUDGET"),
        ((9, 20, 20), {"consistency": -1.0}, UsageError, "USE-CONSISTENCY"),
        ((9, 20, 20), {"threads": 0}, UsageError, "USE-THREADS"),
        ((9, 20, 20), {"device": "abacus"}, UsageError, "USE-DEVICE"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(shape, options, error, code):
    with pytest.raises(error) as caught:
        thinslice.enhance(_scan(shape), **options)
    assert caught.value.code == code
    assert isinstance(caught.value, ThinsliceError)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"fit": "none"}, "USE-FIT", "fit 'none' fits nothing; choose auto or scan"),
        ({"fit": "scan", "model": "given"}, "USE-FIT", "fit scan starts from nothing; leave the weights out"),
        ({"budget": -1.0}, "USE-BUDGET", "the budget in seconds must be a number over 0, found -1"),
        ({"iterations": 0}, "USE-BUDGET", "iterations must be at least 1, found 0"),
    ],
)
def test_a_fit_of_nothing_is_refused(options, code, said, monkeypatch):
    monkeypatch.setattr("thinslice.pipeline.fit_scan", lambda *_, **__: pytest.fail("fitted first"))
    if "model" in options:
        config = CHEAP["config"]
        options = options | {"model": thinslice.Model.new(config.inplane, config.axial)}
    with pytest.raises(UsageError) as refused:
        thinslice.fit(_scan((9, 20, 20)), **options)
    assert refused.value.code == code
    assert refused.value.message.startswith(said)


def test_what_cannot_fit_is_refused_with_the_figure(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**9)
    with pytest.raises(ResourceError, match=r"needs \d+\.\d GB of memory and 1\.0 GB are free") as caught:
        thinslice.enhance(_scan((9, 64, 64)), spacing=1.0)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("options", [{"weights": None}, {"strict": True}, {"affine": np.eye(4)}])
def test_what_says_nothing_to_a_volume_is_an_error_and_not_passed_over(options):
    for command in (thinslice.enhance, thinslice.fit):
        with pytest.raises(TypeError, match=next(iter(options))):
            command(_scan((6, 16, 16)), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_whose_values_are_no_numbers_is_refused(value):
    scan = _scan((9, 20, 20))
    hu = scan.hu.copy()
    hu[3, 4, 5:7] = value
    with pytest.raises(InputError, match="2 voxels that are NaN or infinite"):
        thinslice.enhance(dataclasses.replace(scan, hu=hu), **CHEAP)


def test_the_record_has_the_threads_that_were_used():
    record = thinslice.enhance(_scan((9, 20, 20)), threads=1, **CHEAP).record
    assert record["device"]["threads"] == 1


def test_the_axial_view_alone_is_not_said_to_be_adapted():
    """Nothing would learn: no time is spent, and the self-check judges what is synthesised."""
    model = Model.new(CHEAP["config"].inplane, CHEAP["config"].axial)
    record = thinslice.enhance(_scan((9, 20, 20)), views=("axial",), fit="auto", iterations=3, model=model).record
    assert record["fit"] is None
    assert (record["method"]["views"], record["model"]["source"]) == (["axial"], "file")
    assert "FIT-AXIAL" in [warning["code"] for warning in record["warnings"]]


def test_slices_that_overlap_a_void_come_back_where_they_see_none_of_it():
    hu = np.random.default_rng(0).normal(40, 20, (9, 32, 32)).astype(np.float32)
    padding = np.zeros(hu.shape, bool)
    padding[:, :6] = True
    padding[4, :12] = True  # the slices beside it look into it
    volume = Volume(np.where(padding, np.float32(-3024), hu), np.diag([0.8, 0.8, 4.0, 1.0]), 5.0, padding)
    residual = thinslice.enhance(volume, factor=4, fit="none").record["consistency"]["residual_hu_before"]
    assert residual["max"] <= 0.01


def test_the_self_check_takes_each_view_by_its_own_pixels(phantom):
    """A scan with x and y exchanged is the same scan."""
    thick, _ = thicken(phantom, 5.0)
    turned = Volume(np.ascontiguousarray(thick.hu.transpose(0, 2, 1)), thick.affine[:, [1, 0, 2, 3]], thick.thickness)
    checks = [thinslice.enhance(scan, spacing=1.0, fit="none").record["self_check"] for scan in (thick, turned)]
    assert checks[0]["psnr_db"] == pytest.approx(checks[1]["psnr_db"], abs=1e-3)


def test_a_texture_that_is_not_lacking_is_not_said_to_be_added():
    thick, _ = thicken(make_phantom(shape=(32, 96, 96), spacing_mm=(1.0, 2.0, 2.0), noise_hu=0.5).volume, 4.0)
    noisy = thick.with_slices(thick.hu.round(), first=0, step=1)
    kept, matched = (thinslice.enhance(noisy, factor=2, fit="none", texture=texture) for texture in ("keep", "match"))
    same = np.array_equal(kept.volume.hu, matched.volume.hu)
    codes = [warning["code"] for warning in matched.record["warnings"]]
    assert (matched.record["method"]["texture"] == "keep") == same == ("TEXTURE-NONE" in codes)
    assert same


def test_an_upright_result_does_not_claim_what_held_before_it_was_resampled(tmp_path):
    affine = np.diag([0.8, 0.8, 5.0, 1.0])
    affine[1, 2] = 1.5
    hu = np.random.default_rng(0).normal(40, 20, (9, 48, 48)).astype(np.float32)
    sheared = thinslice.enhance(Volume(hu, affine, 1.0), factor=5, fit="none")
    upright = sheared.upright()
    sheared_s, upright_s = (result.record["times_s"]["total"] for result in (sheared, upright))
    assert upright_s == pytest.approx(sheared_s + upright.record["times_s"]["upright"])
    assert upright.record["peak_memory_bytes"] >= sheared.record["peak_memory_bytes"]
    sheared.save(tmp_path / "sheared.nii.gz")
    assert upright.record["times_s"]["total"] == upright_s
    assert sheared.record["times_s"]["total"] > sheared_s
    assert sheared.record["consistency"] is not None
    assert upright.record["consistency"] is None
    new = np.flatnonzero(np.arange(len(upright.volume.hu)) % 5)  # every fifth was acquired
    assert upright.record["noise"]["synthesised_hu"] == noise_hu(upright.volume.hu, new)
    assert upright.record["noise"]["acquired_hu"] == sheared.record["noise"]["acquired_hu"]


def test_numbers_of_numpy_are_numbers_and_weights_may_be_a_file(tmp_path):
    scan = _scan((9, 20, 20), thickness=np.float32(5.0))
    config = CHEAP["config"]
    thinslice.Model.new(config.inplane, config.axial).save(tmp_path / "w.safetensors")
    result = thinslice.enhance(
        scan, factor=np.int64(2), views=("axial",), fit="auto", budget=np.float32(0.5), consistency=np.float32(0.1),
        seed=np.int64(3), model=str(tmp_path / "w.safetensors"),
    )  # fmt: skip
    result.save(tmp_path / "thin.nii.gz")
    record = json.loads(json.dumps(result.record))
    assert record["method"]["budget_s"] == 0.5
    assert record["input"]["thickness_mm"] == 5.0
    assert record["model"]["source"] == "file"


def test_what_is_written_twice_is_remarked_once(tmp_path):
    result = thinslice.enhance(_scan((6, 16, 16)), factor=2, fit="none")
    loud = dataclasses.replace(result, volume=dataclasses.replace(result.volume, hu=result.volume.hu + 40_000))
    for name in ("a.nii", "b.nii"):
        loud.save(tmp_path / name)
    assert [warning["code"] for warning in loud.record["warnings"]].count("FILE-FLOAT") == 1


@pytest.mark.parametrize("factor", [2, 4])
def test_at_acquired_centres_thick_slices_come_back_and_a_thin_scan_from_there_lies_on_the_same_slices(phantom, factor):
    """The residual in the record is that of A on the result's own grid, whose end slabs reach beyond it."""
    from thinslice.physics.operator import SliceOperator
    from thinslice.plan import grid_of

    thick, _ = thicken(phantom, float(factor))
    result = thinslice.enhance(thick, spacing=1.0, fit="none", grid="centres")
    assert np.allclose(result.volume.affine[:, 3], thick.affine[:, 3])
    assert len(result.volume.hu) == (len(thick.hu) - 1) * factor + 1
    assert result.record["method"]["grid"] == "centres"
    again = SliceOperator(grid_of(thick, result.volume)).apply(result.volume.hu)
    apart = np.abs(again - thick.hu).max()
    assert apart < 0.01
    assert result.record["consistency"]["residual_hu_before"]["max"] == pytest.approx(apart, abs=1e-3)


def test_a_grid_that_does_not_exist_is_refused(phantom):
    with pytest.raises(UsageError, match="slabs or centres"):
        thinslice.enhance(phantom, factor=2, fit="none", grid="middle")
