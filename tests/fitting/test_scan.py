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
from thinslice.fitting.config import FitConfig
from thinslice.fitting.loop import Budget, ScanFit, _shares
from thinslice.fitting.scan import fit_scan, take_as_it_is
from thinslice.fitting.selfcheck import SelfCheck, _plane_db, check, choose_held_out
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.phantom import make_phantom, thicken
from thinslice.physics.grid import plan_grid

SMALL = FitConfig(
    inplane=InplaneConfig(channels=16, blocks=1),
    axial=AxialConfig(channels=16, blocks=1),
    batch=4,
    patch_slices=8,
    patch_width=32,
)


@pytest.fixture(scope="module")
def scan():
    phantom = make_phantom(shape=(64, 48, 48), spacing_mm=(1.0, 2.0, 2.0))
    return thicken(phantom.volume, 4.0, thickness_mm=1.0)


def _fit(scan, steps=12, config=SMALL, seed=0):
    thick, grid = scan
    return fit_scan(thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(None, steps), config=config, seed=seed)


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


def test_every_term_can_be_left_out_and_run_alone(scan):
    nothing = {"teacher": 0.0, "increment_minus1": 0.0, "increment_0": 0.0, "increment_plus1": 0.0}
    thick, grid = scan
    start = _fit(scan, steps=3).model  # from nothing all views are alike, and have nothing to teach each other
    taught = []
    for name in nothing:
        config = dataclasses.replace(
            SMALL, plane_share=0.0, context_share=0.0, learners=VIEWS, **(nothing | {name: 1.0})
        )
        fit = ScanFit(
            thick.hu, grid, pixel_mm=(2.0, 2.0), held_out=np.array([3, 7]), config=config, seed=0,
            device=torch.device("cpu"), start=start,
        )  # fmt: skip
        taught.append(fit.run(Budget(None, 5)).digest)
        assert [phase for phase, *_ in fit.curve] == ["increments"]
    assert len({start.digest, *taught}) == 5  # each term moves the weights, and none as another does
    mutual = dataclasses.replace(SMALL, **(nothing | {"increment_plus1": 1.0}), learners=VIEWS, gamma=0.25)
    assert np.isfinite(_fit(scan, steps=6, config=mutual).check.psnr_db)


def test_loss_falls_and_the_views_are_weighed(scan):
    fitted = _fit(scan, steps=220, config=dataclasses.replace(SMALL, robust_share=0.0, axial_weight=0.2))
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
    assert "bad.safetensors" in caught.value.message_with_names
    assert str(caught.value) == "the file is no thinslice model"
    for fusion, what in (({"axial": 1.0}, "coronal"), (dict.fromkeys(VIEWS, 1.0), "do not sum to 1")):
        path = tmp_path / f"{len(fusion)}.safetensors"
        dataclasses.replace(again, fusion=fusion).save(path)
        with pytest.raises(ModelError, match="no thinslice model") as caught:
            Model.load(path)
        assert what in caught.value.message_with_names
    with pytest.raises(ModelError, match=r"^weights cannot be read: No such file"):
        Model.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(("rate", "kept"), [(1.0, "scan"), (300.0, "start")])
def test_a_trained_model_is_adapted_and_the_better_of_both_is_kept(scan, rate, kept):
    """Barely trained weights gain by more steps; at a rate far too high they are spoilt."""
    thick, grid = scan
    trained = _fit(scan, steps=10).model
    before = {name: value.clone() for name, value in trained.state().items()}
    config = dataclasses.replace(SMALL, adapt_rate=rate, go_back=0.0)
    adapted = fit_scan(
        thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(None, 60), config=config, seed=1, start=trained
    )
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
    thick, grid = scan
    start, budget = Model.new(SMALL.inplane, SMALL.axial), Budget(None, 2)
    by_default = fit_scan(thick.hu, grid, pixel_mm=(2.0, 2.0), budget=budget, start=start).config
    given = dataclasses.replace(SMALL, row_noise=False, plane_share=1.0, context_share=0.0)
    chosen = fit_scan(thick.hu, grid, pixel_mm=(2.0, 2.0), budget=budget, start=start, config=given).config
    assert (by_default["row_noise"], by_default["context_share"], by_default["learners"]) == (True, 1.0, ())
    assert (chosen["row_noise"], chosen["context_share"], chosen["learners"]) == (False, 0.0, SMALL.learners)
    assert chosen["learning_rate"] == given.learning_rate * given.adapt_rate


def _check_of(model, scan):
    thick, grid = scan
    held_out = choose_held_out(len(thick.hu))
    return check(
        model, thick.hu, grid, weights=model.fusion, held_out=held_out, pixel_mm=(2.0, 2.0),
        device=torch.device("cpu"), compares=True,
    )  # fmt: skip


def test_the_self_check_judges_the_views_that_run_and_as_much_of_them_as_runs(scan):
    """The axial network adds nothing yet: alone, or where nothing of the views is added, what is left is the base."""
    thick, grid = scan
    model, untaught = (Model.new(SMALL.inplane, SMALL.axial) for _ in range(2))
    with torch.no_grad():
        for weights in model.inplane.parameters():
            weights += 0.1 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    settings = {"pixel_mm": (2.0, 2.0), "device": torch.device("cpu")}
    base = take_as_it_is(untaught, thick.hu, grid, **settings).check.psnr_db
    fused, axial = (
        take_as_it_is(model, thick.hu, grid, views=views, **settings).check.psnr_db for views in (VIEWS, ("axial",))
    )
    assert axial == pytest.approx(base, abs=1e-4)
    assert abs(fused - base) > 0.1
    thicker = plan_grid(len(thick.hu), 4.0, 1.0, thickness_mm=12.0)
    nothing = take_as_it_is(model, thick.hu, thicker, **settings)
    assert set(nothing.weights.values()) == {0.0}
    assert nothing.check.psnr_db == pytest.approx(
        take_as_it_is(untaught, thick.hu, thicker, **settings).check.psnr_db, abs=1e-4
    )


def test_an_adaptation_that_spoils_the_model_is_thrown_away(scan):
    thick, grid = scan
    trained = _fit(scan, steps=120).model
    wild = dataclasses.replace(SMALL, learning_rate=3.0, kernel_rate=3.0, adapt_rate=1.0)
    fitted = fit_scan(thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(None, 6), config=wild, start=trained)
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
    thick, grid = scan
    config = dataclasses.replace(SMALL, learners=VIEWS, gamma=0.5)
    fit = ScanFit(
        thick.hu.copy(), grid, pixel_mm=(2.0, 2.0), held_out=np.array([3, 7]), config=config, seed=0,
        device=torch.device("meta"),
    )  # fmt: skip
    fit._teachers = fit.model
    with _OneDevice():
        value, base = getattr(fit, loss)()
        value.backward()
    assert value.device.type == base.device.type == "meta"


def test_the_self_check_computes_where_the_model_is(scan):
    thick, grid = scan
    meta = torch.device("meta")
    model = Model.new(SMALL.inplane, SMALL.axial).to(meta)
    with _OneDevice(), pytest.raises(RuntimeError, match="meta"):  # there is no figure to be had in the end
        _plane_db(model, thick.hu, grid, share=1.0, pixel_mm=(2.0, 2.0), device=meta)


def test_of_two_models_the_one_is_kept_that_restores_the_plane_better_unless_it_was_spoilt():
    good = SelfCheck((1,), psnr_db=35.0, psnr_cubic_db=33.0, psnr_plane_db=40.0)
    assert dataclasses.replace(good, psnr_db=34.5, psnr_plane_db=40.2).beats(good)
    assert not dataclasses.replace(good, psnr_db=33.9, psnr_plane_db=40.2).beats(good)
    assert not dataclasses.replace(good, psnr_db=35.5, psnr_plane_db=39.9).beats(good)


def test_slices_set_aside_teach_nothing(scan):
    thick, grid = scan
    config = dataclasses.replace(SMALL, plane_share=1.0, context_share=0.0, learners=())
    held_out = np.array([3, 7])
    spoilt = thick.hu.copy()
    spoilt[held_out] = 3000
    fits = [
        ScanFit(hu, grid, pixel_mm=(2.0, 2.0), held_out=held_out, config=config, seed=0, device=torch.device("cpu"))
        for hu in (thick.hu, spoilt)
    ]
    one, other = (fit.run(Budget(None, 3)).digest for fit in fits)
    assert one == other


def test_figures_of_the_self_check_are_those_of_the_slice_itself_and_repeat():
    hu = np.random.default_rng(0).normal(0, 100, (12, 32, 32)).astype(np.float32)
    grid, model = plan_grid(12, 4.0, 1.0, thickness_mm=1.0), Model.new(SMALL.inplane, SMALL.axial)
    first, again = (
        check(
            model, hu, grid, weights=model.fusion, held_out=np.array([5]), pixel_mm=(1.0, 1.0),
            device=torch.device("cpu"), compares=True,
        )
        for _ in range(2)
    )  # fmt: skip

    def db(guess: np.ndarray) -> float:
        return float(20 * np.log10(4095 / np.sqrt(np.square(guess - hu[5]).mean())))

    given_ = [0, 2, 4, 6, 8, 10]
    assert first.psnr_cubic_db == pytest.approx(db(CubicSpline(given_, hu[given_])(5)), abs=0.01)
    assert first.psnr_db == pytest.approx(db((hu[4] + hu[6]) / 2), abs=0.01)  # untaught: linear
    assert first == again
    assert first.psnr_plane_db is not None


def test_going_back_is_a_share_of_the_way():
    model, start = (Model.new(SMALL.inplane, SMALL.axial, seed=seed) for seed in (0, 1))
    own, old = ({name: value.clone() for name, value in m.state().items()} for m in (model, start))
    model.go_back(start, share=0.25)
    for name, value in model.state().items():
        torch.testing.assert_close(value, 0.75 * own[name] + 0.25 * old[name])


def test_fits_hand_over_the_averaged_weights_and_adaptations_go_back(scan, monkeypatch):
    thick, grid = scan
    called = []
    monkeypatch.setattr(Model, "go_back", lambda self, start, *, share: called.append(share))
    fit_scan(
        thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(None, 1), config=SMALL,
        start=Model.new(SMALL.inplane, SMALL.axial),
    )  # fmt: skip
    assert called == [SMALL.go_back]
    monkeypatch.setattr("thinslice.fitting.average.Average.update", lambda self: None)  # the mean stays where it began
    state, untaught = _fit(scan, steps=3).model.state(), Model.new(SMALL.inplane, SMALL.axial, seed=0).state()
    assert all(torch.equal(value, untaught[name]) for name, value in state.items())


@pytest.mark.parametrize(("begin", "end", "made"), [(0.0, 1.0, 100), (0.0, 0.5, 50), (0.5, 1.0, 50)])
def test_a_phase_lasts_for_its_share_of_the_seconds(begin, end, made, monkeypatch):
    clock = itertools.count(round(begin * 100) - 1)
    monkeypatch.setattr("thinslice.fitting.loop.time.monotonic", lambda: float(next(clock)))
    budget = Budget(seconds=100.0)
    shares = list(_shares(budget, start=0.0, begin=begin, end=end, on_progress=lambda *_: None))
    assert abs(len(shares) - made) <= 1
    assert shares[0] == pytest.approx(0, abs=0.02)
    assert 0.97 < shares[-1] < 1


def test_however_short_the_time_there_is_a_step(scan):
    thick, grid = scan
    fitted = fit_scan(thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(1e-9), config=SMALL)
    assert fitted.entry["steps"] == fitted.steps == 2  # one of each phase


def test_rows_with_noise_are_a_choice_that_arrives(scan):
    planes = dataclasses.replace(SMALL, plane_share=1.0, context_share=0.0, learners=())
    with_, without = (_fit(scan, steps=2, config=dataclasses.replace(planes, row_noise=on)) for on in (True, False))
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
        dataclasses.replace(SMALL, **changes)


def test_four_slices_teach_the_increment_before_theirs():
    hu = np.random.default_rng(0).normal(0, 100, (4, 24, 24)).astype(np.float32)
    grid = plan_grid(4, 4.0, 1.0, thickness_mm=4.0)
    config = dataclasses.replace(SMALL, plane_share=0.0, context_share=0.0, increment_minus1=1.0, learners=VIEWS)
    assert fit_scan(hu, grid, pixel_mm=(1.0, 1.0), budget=Budget(None, 2), config=config).steps == 2


def test_the_plane_is_restored_only_where_two_models_are_compared(scan, monkeypatch):
    thick, grid = scan
    start, plane = Model.new(SMALL.inplane, SMALL.axial), []
    monkeypatch.setattr("thinslice.fitting.selfcheck._plane_db", lambda *_, **__: plane.append(1) or 30.0)
    settings = {"pixel_mm": (2.0, 2.0), "device": torch.device("cpu")}
    assert take_as_it_is(start, thick.hu, grid, **settings).check.entry["psnr_plane_db"] is None
    assert _fit(scan, steps=1).check.entry["psnr_plane_db"] is None
    assert plane == []
    adapted = fit_scan(thick.hu, grid, budget=Budget(None, 1), config=SMALL, start=start, **settings)
    assert (len(plane), adapted.check.psnr_plane_db) == (2, 30.0)


def test_the_self_check_shows_how_far_it_is(scan):
    thick, grid = scan
    for start, checks in ((Model.new(SMALL.inplane, SMALL.axial), 2), (None, 1)):
        shown = []
        fit_scan(
            thick.hu, grid, pixel_mm=(2.0, 2.0), budget=Budget(None, 1), config=SMALL, start=start,
            on_progress=lambda *told, into=shown: into.append(told),
        )  # fmt: skip
        told = [(done, total) for stage, done, total in shown if stage == "self-check"]
        assert [done for done, _ in told].count(0) == checks
        assert told.count((told[0][1], told[0][1])) == checks
        assert len({total for _, total in told}) == 1


def test_without_a_check_every_slice_teaches_and_what_is_fitted_is_kept(scan, monkeypatch):
    thick, grid = scan
    monkeypatch.setattr(
        "thinslice.fitting.selfcheck.check", lambda *_, held_out, **__: None if not len(held_out) else 1 / 0
    )
    seen = []

    class Spied(ScanFit):
        def __init__(self, *args, held_out, **options):
            seen.append(len(held_out))
            super().__init__(*args, held_out=held_out, **options)

    monkeypatch.setattr("thinslice.fitting.scan.ScanFit", Spied)
    start = Model.new(SMALL.inplane, SMALL.axial)
    settings = {"pixel_mm": (2.0, 2.0), "check": False}
    fitted = fit_scan(thick.hu, grid, budget=Budget(None, 1), config=SMALL, start=start, **settings)
    assert (seen, fitted.check, fitted.kept) == ([0], None, "scan")
    assert take_as_it_is(start, thick.hu, grid, device=torch.device("cpu"), **settings).check is None
