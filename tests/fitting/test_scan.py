"""A fit to one scan: repeatable, honest about what it set aside, better than its base."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thinslice.conventions import VIEWS
from thinslice.errors import ModelError, UsageError
from thinslice.fitting.config import FitConfig, IncrementConfig
from thinslice.fitting.effort import Effort
from thinslice.fitting.loop import ScanFit, _shares
from thinslice.fitting.scan import fit_scan, take_as_it_is
from thinslice.fitting.selfcheck import SelfCheck, _plane_db, check, choose_held_out
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.phantom import make_phantom, thicken
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid

SMALL = dataclasses.replace(
    FitConfig.for_views(("axial",)),  # every phase
    inplane=InplaneConfig(channels=16, blocks=1),
    axial=AxialConfig(channels=16, blocks=1),
    batch=4,
    patch_slices=8,
    patch_width=32,
)


@pytest.fixture(scope="module")
def scan():
    phantom = make_phantom(shape=(64, 48, 48), spacing_mm=(1.0, 2.0, 2.0))
    thick, grid = thicken(phantom.volume, 4.0, thickness_mm=1.0)
    return Acquisition(thick.hu, grid, (2.0, 2.0))


def _fit(scan, steps=12, config=SMALL, seed=0):
    return fit_scan(scan, Effort(None, steps, seed), config=config)


def _learning(config, **changes):
    """The configuration with other choices of what is learned at increments."""
    return dataclasses.replace(config, increments=dataclasses.replace(config.increments, **changes))


@given(st.integers(4, 1500))
@example(8)
@example(9)
@example(13)
def test_held_out_slices_are_few_spread_and_no_neighbours(slices):
    held = choose_held_out(slices)
    assert len(held) <= 24
    if slices >= 14:
        assert len(held) >= 4
    if slices >= 8:
        assert len(held) >= (2 if slices > 8 else 1)
        assert np.diff(held).min(initial=2) >= 2
        assert held[0] >= 1
        assert held[-1] <= slices - 2


def test_same_seed_and_steps_give_the_same_weights(scan):
    first, second, other = _fit(scan), _fit(scan), _fit(scan, seed=1)
    assert [step for _, step, _ in first.curve][-1] == 12
    assert first.model.digest == second.model.digest != other.model.digest
    assert first.steps == 12


def test_the_axial_network_learns_where_its_view_is_asked_for_alone():
    for views, learners in ((VIEWS, ()), (("axial", "coronal"), ()), (("axial",), ("axial",))):
        config = FitConfig.for_views(views)
        assert config.increments.learners == learners
        assert config.increments_run == bool(learners)
    assert FitConfig.for_views(VIEWS) == FitConfig()


def test_every_term_can_be_left_out_and_run_alone(scan):
    nothing = {"teacher": 0.0, "minus_one": 0.0, "zero": 0.0, "plus_one": 0.0}
    start = _fit(scan, steps=3).model  # from nothing all views are alike, and have nothing to teach each other
    taught = []
    for name in nothing:
        config = dataclasses.replace(SMALL, plane_share=0.0, context_share=0.0)
        config = _learning(config, learners=VIEWS, **(nothing | {name: 1.0}))
        fit = ScanFit(scan, held_out=np.array([3, 7]), config=config, seed=0, device=torch.device("cpu"), start=start)
        taught.append(fit.run(Effort(None, 5)).digest)
        assert [phase for phase, *_ in fit.curve] == ["increments"]
    assert len({start.digest, *taught}) == 5  # each term moves the weights, and none as another does
    mutual = _learning(SMALL, **(nothing | {"plus_one": 1.0}), learners=VIEWS, gamma=0.25)
    assert np.isfinite(_fit(scan, steps=6, config=mutual).check.psnr_db)


def test_loss_falls_and_the_views_are_weighed(scan):
    fitted = _fit(scan, steps=220, config=dataclasses.replace(SMALL, charbonnier_share=0.0, axial_weight=0.2))
    losses = [loss for phase, _, loss in fitted.curve if phase in ("planes", "context")]
    assert losses[-1] < losses[0]
    assert fitted.check.positions
    assert fitted.model.fusion == pytest.approx({"axial": 0.2, "coronal": 0.4, "sagittal": 0.4})
    assert fitted.check.psnr_db > fitted.check.psnr_cubic_db - 0.5


def test_saved_weights_come_back(scan, tmp_path):
    model = _fit(scan, steps=3).model
    model.save(tmp_path / "w.safetensors")
    again = Model.load(tmp_path / "w.safetensors")
    assert again.digest == model.digest
    assert again.facts["steps"] == 3
    (tmp_path / "bad.safetensors").write_bytes(b"no model" * 9)
    with pytest.raises(ModelError, match="no thinslice model") as caught:
        Model.load(tmp_path / "bad.safetensors")
    assert caught.value.code == "MODEL-READ"
    assert str(caught.value) == f"{tmp_path / 'bad.safetensors'} is no thinslice model"
    assert caught.value.message == "the file is no thinslice model"
    for fusion, what in (({"axial": 1.0}, "coronal"), (dict.fromkeys(VIEWS, 1.0), "do not sum to 1")):
        path = tmp_path / f"{len(fusion)}.safetensors"
        dataclasses.replace(again, fusion=fusion).save(path)
        with pytest.raises(ModelError, match="no thinslice model") as caught:
            Model.load(path)
        assert what in caught.value.message_with_names
    with pytest.raises(ModelError, match=r"^weights .*none\.safetensors cannot be read: No such file"):
        Model.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(("rate", "kept"), [(1.0, "scan"), (300.0, "start")])
def test_a_trained_model_is_adapted_and_the_better_of_both_is_kept(scan, rate, kept):
    """Barely trained weights gain by more steps; at a rate far too high they are spoilt."""
    trained = _fit(scan, steps=10).model
    before = {name: value.clone() for name, value in trained.state().items()}
    config = dataclasses.replace(SMALL, adapt_rate=rate, interpolate_towards=0.0)
    adapted = fit_scan(scan, Effort(None, 60, seed=1), config=config, start=trained)
    assert all(torch.equal(value, before[name]) for name, value in trained.state().items())
    assert adapted.kept == kept
    was, found = _check_of(trained, scan), _check_of(adapted.model, scan)
    assert adapted.check.psnr_db == found.psnr_db
    if kept == "scan":
        assert found.beats(was)
        assert adapted.model.facts["started_from"] == trained.digest
    else:
        assert adapted.model.digest == trained.digest


def test_adapting_has_choices_of_its_own_and_those_that_are_given_count(scan):
    start, effort = Model.new(SMALL.inplane, SMALL.axial), Effort(None, 2)
    by_default = fit_scan(scan, effort, start=start).config
    given = dataclasses.replace(SMALL, slice_noise=False, plane_share=1.0, context_share=0.0)
    chosen = fit_scan(scan, effort, start=start, config=given).config
    learners = [config["increments"]["learners"] for config in (by_default, chosen)]
    assert (by_default["slice_noise"], by_default["context_share"], learners[0]) == (True, 1.0, ())
    assert (chosen["slice_noise"], chosen["context_share"], learners[1]) == (False, 0.0, SMALL.increments.learners)
    assert chosen["learning_rate"] == given.learning_rate * given.adapt_rate


def _check_of(model, scan):
    held_out = choose_held_out(len(scan.hu))
    return check(model, scan, view_weights=model.fusion, held_out=held_out, compares=True)


def test_the_self_check_scores_the_views_that_run_and_as_much_of_them_as_runs(scan):
    """The axial network adds nothing yet: alone, or where nothing of the views is added, what is left is the base."""
    model, untaught = (Model.new(SMALL.inplane, SMALL.axial) for _ in range(2))
    with torch.no_grad():
        for weights in model.inplane.parameters():
            weights += 0.1 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    base = take_as_it_is(untaught, scan).check.psnr_db
    fused, axial = (take_as_it_is(model, scan, views=views).check.psnr_db for views in (VIEWS, ("axial",)))
    assert axial == pytest.approx(base, abs=1e-4)
    assert abs(fused - base) > 0.1
    thicker = scan.within(scan.hu, plan_grid(len(scan.hu), 4.0, 1.0, thickness_mm=12.0))
    nothing = take_as_it_is(model, thicker)
    assert set(nothing.view_weights.values()) == {0.0}
    assert nothing.check.psnr_db == pytest.approx(take_as_it_is(untaught, thicker).check.psnr_db, abs=1e-4)


def test_an_adaptation_that_spoils_the_model_is_thrown_away(scan):
    trained = _fit(scan, steps=120).model
    wild = dataclasses.replace(SMALL, learning_rate=3.0, kernel_rate=3.0, adapt_rate=1.0)
    fitted = fit_scan(scan, Effort(None, 6), config=wild, start=trained)
    assert fitted.kept == "start"
    assert fitted.model is trained


class _OneDevice(TorchDispatchMode):
    """Refuses operations between two devices, as a GPU does; the meta device lets products with the CPU pass."""

    between = ("_to_copy", "copy_", "index", "index_put_", "_index_put_impl_")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor) and leaf.dim()]
        devices = {tensor.device.type for tensor in tensors}
        assert len(devices) < 2 or func.overloadpacket.__name__ in self.between, f"{func} between {devices}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["_plane_losses", "_minus_one_losses", "_zero_losses", "_plus_one_losses"])
def test_every_loss_is_computed_where_the_model_is(scan, loss):
    config = _learning(SMALL, learners=VIEWS, gamma=0.5)
    fit = ScanFit(scan, held_out=np.array([3, 7]), config=config, seed=0, device=torch.device("meta"))
    fit._teachers = fit.model
    with _OneDevice():
        value, base = getattr(fit, loss)()
        value.backward()
    assert value.device.type == base.device.type == "meta"


def test_the_self_check_computes_where_the_model_is(scan):
    model = Model.new(SMALL.inplane, SMALL.axial).to(torch.device("meta"))
    with _OneDevice(), pytest.raises(RuntimeError, match="meta"):  # there is no figure to be had in the end
        _plane_db(model, scan, np.arange(len(scan.hu)), weight=1.0)


def test_of_two_models_the_one_is_kept_that_restores_the_plane_better_unless_it_was_spoilt():
    good = SelfCheck((1,), psnr_db=35.0, psnr_cubic_db=33.0, psnr_plane_db=40.0)
    assert dataclasses.replace(good, psnr_db=34.5, psnr_plane_db=40.2).beats(good)
    assert not dataclasses.replace(good, psnr_db=33.9, psnr_plane_db=40.2).beats(good)
    assert not dataclasses.replace(good, psnr_db=35.5, psnr_plane_db=39.9).beats(good)


def test_slices_set_aside_teach_nothing(scan):
    config = _learning(dataclasses.replace(SMALL, plane_share=1.0, context_share=0.0), learners=())
    held_out = np.array([3, 7])
    spoilt = scan.hu.copy()
    spoilt[held_out] = 3000
    fits = [
        ScanFit(scan.within(hu, scan.grid), held_out=held_out, config=config, seed=0, device=torch.device("cpu"))
        for hu in (scan.hu, spoilt)
    ]
    one, other = (fit.run(Effort(None, 3)).digest for fit in fits)
    assert one == other


def test_figures_of_the_self_check_are_those_of_the_slice_itself_and_repeat():
    hu = np.random.default_rng(0).normal(0, 100, (12, 32, 32)).astype(np.float32)
    grid, model = plan_grid(12, 4.0, 1.0, thickness_mm=1.0), Model.new(SMALL.inplane, SMALL.axial)
    acquisition = Acquisition(hu, grid, (1.0, 1.0))
    first, again = (
        check(model, acquisition, view_weights=model.fusion, held_out=np.array([5]), compares=True) for _ in range(2)
    )

    def db(guess: np.ndarray) -> float:
        return float(20 * np.log10(4095 / np.sqrt(np.square(guess - hu[5]).mean())))

    given_ = [0, 2, 4, 6, 8, 10]
    assert first.psnr_cubic_db == pytest.approx(db(CubicSpline(given_, hu[given_])(5)), abs=0.01)
    assert first.psnr_db == pytest.approx(db((hu[4] + hu[6]) / 2), abs=0.01)  # untaught: linear
    assert first == again
    assert first.psnr_plane_db is not None


def test_weights_are_interpolated_by_a_share_of_the_way():
    model, start = (Model.new(SMALL.inplane, SMALL.axial, seed=seed) for seed in (0, 1))
    own, old = ({name: value.clone() for name, value in m.state().items()} for m in (model, start))
    model.interpolate_towards(start, share=0.25)
    for name, value in model.state().items():
        torch.testing.assert_close(value, 0.75 * own[name] + 0.25 * old[name])


def test_fits_hand_over_the_averaged_weights_and_adaptations_move_back(scan, monkeypatch):
    called = []
    monkeypatch.setattr(Model, "interpolate_towards", lambda self, other, *, share: called.append(share))
    fit_scan(scan, Effort(None, 1), config=SMALL, start=Model.new(SMALL.inplane, SMALL.axial))
    assert called == [SMALL.interpolate_towards]
    monkeypatch.setattr("thinslice.fitting.average.Average.update", lambda self: None)  # the mean stays where it began
    state, untaught = _fit(scan, steps=3).model.state(), Model.new(SMALL.inplane, SMALL.axial, seed=0).state()
    assert all(torch.equal(value, untaught[name]) for name, value in state.items())


@pytest.mark.parametrize(("begin", "end", "made"), [(0.0, 1.0, 100), (0.0, 0.5, 50), (0.5, 1.0, 50)])
def test_a_phase_lasts_for_its_share_of_the_seconds(begin, end, made, monkeypatch):
    clock = itertools.count(round(begin * 100) - 1)
    monkeypatch.setattr("thinslice.fitting.loop.time.monotonic", lambda: float(next(clock)))
    shares = list(_shares(Effort(seconds=100.0), start=0.0, begin=begin, end=end, on_progress=lambda *_: None))
    assert abs(len(shares) - made) <= 1
    assert shares[0] == pytest.approx(0, abs=0.02)
    assert 0.97 < shares[-1] < 1


def test_however_short_the_time_there_is_a_step(scan):
    fitted = fit_scan(scan, Effort(1e-9), config=SMALL)
    assert fitted.entry["steps"] == fitted.steps == 2  # one of each phase


def test_slices_with_noise_are_a_choice_that_arrives(scan):
    planes = _learning(dataclasses.replace(SMALL, plane_share=1.0, context_share=0.0), learners=())
    with_, without = (_fit(scan, steps=2, config=dataclasses.replace(planes, slice_noise=on)) for on in (True, False))
    assert with_.model.digest != without.model.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"teaching": ("axial",), "learners": ("axial", "coronal")},
        {"teaching": (), "fused_labels": False},
    ],
)
def test_a_view_without_another_to_learn_from_is_refused(changes):
    with pytest.raises(UsageError, match="no other to learn from"):
        IncrementConfig(**changes)


def test_four_slices_teach_the_increment_before_theirs():
    hu = np.random.default_rng(0).normal(0, 100, (4, 24, 24)).astype(np.float32)
    grid = plan_grid(4, 4.0, 1.0, thickness_mm=4.0)
    config = dataclasses.replace(SMALL, plane_share=0.0, context_share=0.0)
    config = _learning(config, minus_one=1.0, learners=VIEWS)
    assert fit_scan(Acquisition(hu, grid, (1.0, 1.0)), Effort(None, 2), config=config).steps == 2


def test_the_plane_is_restored_only_where_two_models_are_compared(scan, monkeypatch):
    start, plane = Model.new(SMALL.inplane, SMALL.axial), []
    monkeypatch.setattr("thinslice.fitting.selfcheck._plane_db", lambda *_, **__: plane.append(1) or 30.0)
    assert take_as_it_is(start, scan).check.entry["psnr_plane_db"] is None
    assert _fit(scan, steps=1).check.entry["psnr_plane_db"] is None
    assert plane == []
    adapted = fit_scan(scan, Effort(None, 1), config=SMALL, start=start)
    assert (len(plane), adapted.check.psnr_plane_db) == (2, 30.0)


def test_the_self_check_shows_how_far_it_is(scan):
    for start, checks in ((Model.new(SMALL.inplane, SMALL.axial), 2), (None, 1)):
        shown = []
        fit_scan(
            scan, Effort(None, 1), config=SMALL, start=start, on_progress=lambda *step, into=shown: into.append(step)
        )
        steps = [(done, total) for stage, done, total in shown if stage == "self-check"]
        assert [done for done, _ in steps].count(0) == checks
        assert steps.count((steps[0][1], steps[0][1])) == checks
        assert len({total for _, total in steps}) == 1


def test_without_a_check_every_slice_teaches_and_what_is_fitted_is_kept(scan, monkeypatch):
    monkeypatch.setattr(
        "thinslice.fitting.selfcheck.check", lambda *_, held_out, **__: None if not len(held_out) else 1 / 0
    )
    held = []

    class Spied(ScanFit):
        def __init__(self, *args, held_out, **options):
            held.append(len(held_out))
            super().__init__(*args, held_out=held_out, **options)

    monkeypatch.setattr("thinslice.fitting.scan.ScanFit", Spied)
    start = Model.new(SMALL.inplane, SMALL.axial)
    fitted = fit_scan(scan, Effort(None, 1, check=False), config=SMALL, start=start)
    assert (held, fitted.check, fitted.kept) == ([0], None, "scan")
    assert take_as_it_is(start, scan, check=False).check is None
