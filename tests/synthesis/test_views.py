"""Views and their fusion: symmetry, no seams, what is copied, what is added."""

import numpy as np
import pytest
import torch

from thinslice.conventions import VIEWS
from thinslice.fitting.increments import predict
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.networks.planes import plane_steps
from thinslice.networks.task import CONDITIONS, make_task
from thinslice.physics import operator
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.synthesis import views as views_module
from thinslice.synthesis.consistency import project
from thinslice.synthesis.fusion import synthesise, view_weights
from thinslice.synthesis.views import add_view


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Model.new(InplaneConfig(channels=16, blocks=1, neighbours=2), AxialConfig(channels=16, blocks=1))
    for network in (model.inplane, model.axial):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture(scope="module")
def scan():
    return np.random.default_rng(0).normal(0, 200, (6, 37, 53)).astype(np.float32)


def _view(model, scan, view, grid, pixel_mm=(0.8, 0.8)):
    out = np.zeros((len(grid.output_mm), *scan.shape[1:]), np.float32)
    add_view(out, Acquisition(scan, grid, pixel_mm), model=model, view=view, weight=1.0)
    return out


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("thickness", [1.0, 4.0])
def test_batches_leave_no_seams(model, scan, view, thickness, monkeypatch):
    grid = plan_grid(len(scan), 4.0, 1.0, thickness_mm=thickness)
    whole = _view(model, scan, view, grid)
    monkeypatch.setattr(views_module, "_PIXELS", 1)
    assert np.abs(_view(model, scan, view, grid) - whole).max() < 1e-2
    assert np.abs(whole).max() > 1


@pytest.mark.parametrize("values", [1, 24 * 16 * 5])
def test_slabs_of_rows_leave_no_seams(model, values, monkeypatch):
    grid = plan_grid(6, 4.0, 1.0, thickness_mm=4.0)
    scan = np.random.default_rng(0).normal(0, 100, (6, 17, 16)).astype(np.float32)
    acquisition = Acquisition(scan, grid, (1.0, 1.0))
    whole, _ = synthesise(acquisition, model=model, view_weights={})
    monkeypatch.setattr(operator, "_VALUES", values)
    parts, _ = synthesise(acquisition, model=model, view_weights={})
    for found in (whole, parts):
        assert np.allclose(found.reshape(6, 4, 17, 16).mean(axis=1), scan, atol=0.01)
    assert np.allclose(parts, whole, atol=1e-3)


def test_neighbouring_planes_lie_along_their_own_axis(model, monkeypatch):
    """Coronal images are stacked along y, sagittal ones along x: fine pixels there make wide steps."""
    grid = plan_grid(6, 4.0, 1.0, thickness_mm=4.0)
    scan = np.random.default_rng(0).normal(0, 200, (6, 24, 24)).astype(np.float32)
    for view, along, across in (("coronal", (1.0, 0.3), (0.3, 1.0)), ("sagittal", (0.3, 1.0), (1.0, 0.3))):
        plain = _view(model, scan, view, grid, (1.0, 1.0))
        fine = _view(model, scan, view, grid, along)
        assert np.array_equal(_view(model, scan, view, grid, across), plain)
        assert np.abs(fine - plain).max() > 1
        with monkeypatch.context() as one_by_one:
            one_by_one.setattr(views_module, "_PIXELS", 1)
            assert np.abs(_view(model, scan, view, grid, along) - fine).max() < 1e-2
    assert plane_steps(Acquisition(scan, grid, (0.25, 0.5))) == {"coronal": 2, "sagittal": 4}


@pytest.mark.parametrize("view", VIEWS)
def test_networks_are_given_no_value_beyond_the_range_of_ct(model, scan, view):
    grid = plan_grid(len(scan), 4.0, 1.0, thickness_mm=1.0)
    metal, clipped = scan.copy(), scan.copy()
    metal[2, 5, 5], clipped[2, 5, 5] = 30_000, 3071
    new = np.setdiff1d(np.arange(len(grid.output_mm)), np.arange(0, len(grid.output_mm), 4))
    assert np.allclose(_view(model, metal, view, grid)[new], _view(model, clipped, view, grid)[new], atol=1e-2)


def test_coronal_and_sagittal_are_one_network_in_two_planes(model, scan):
    grid = plan_grid(len(scan), 4.0, 1.0, thickness_mm=4.0)
    turned = np.ascontiguousarray(scan.transpose(0, 2, 1))
    coronal = _view(model, scan, "coronal", grid)
    assert np.allclose(_view(model, turned, "sagittal", grid).transpose(0, 2, 1), coronal, atol=1e-2)


@pytest.mark.parametrize("view", VIEWS)
def test_acquired_slices_are_left_alone_in_the_gap_regime(model, scan, view):
    grid = plan_grid(len(scan), 4.0, 1.0, thickness_mm=1.0)
    assert not _view(model, scan, view, grid)[::4].any()


@pytest.mark.parametrize("spacing", [1.0, 1.3, 2.9])
@pytest.mark.parametrize("subset", [("axial",), ("coronal", "sagittal"), VIEWS])
def test_any_views_any_spacing(model, scan, spacing, subset):
    grid = plan_grid(len(scan), 4.0, spacing, thickness_mm=4.0)
    weights = view_weights(model, subset)
    out, damping = synthesise(Acquisition(scan, grid, (0.8, 0.9)), model=model, view_weights=weights)
    assert out.shape == (len(grid.output_mm), *scan.shape[1:])
    assert np.isfinite(out).all()
    assert sum(weights.values()) == pytest.approx(1)
    assert damping == 0.0


def test_networks_trace_on_the_meta_device():
    """Nothing in the networks asks for a device of its own."""
    meta = torch.device("meta")
    model = Model.new(InplaneConfig(channels=16, blocks=1), AxialConfig(channels=16, blocks=1))
    from thinslice.networks.unfold import Unfolding

    where = Unfolding(torch.zeros(5, dtype=torch.int64, device=meta), torch.zeros(5, 8, device=meta))
    condition = torch.zeros(CONDITIONS, device=meta)
    planes = torch.zeros(2, model.inplane.config.planes, 4, 20, device=meta)
    assert model.inplane.to(meta).residual(planes, where, condition).shape == (2, 5, 20)
    slices = torch.zeros(1, 4, 12, 14, device=meta)
    assert model.axial.to(meta).residual(slices, where, condition).shape == (5, 12, 14)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("thickness", "damping"), [(2.0, "off"), (4.0, "off"), (8.0, "off"), (4.0, 5.0), (8.0, None)])
def test_what_a_view_adds_is_what_it_was_taught_to_add(model, scan, view, thickness, damping):
    """Training counts nothing of what acquired slices determine, however the result is projected in the end."""
    grid = plan_grid(len(scan), 4.0, 1.0, thickness_mm=thickness)
    acquisition = Acquisition(scan, grid, (0.8, 0.8))
    out, _ = synthesise(acquisition, model=model, view_weights={view: 1.0}, damping=damping)
    steps = plane_steps(acquisition)
    with torch.inference_mode():
        expected = predict(model, torch.from_numpy(scan), make_task(grid), plane_steps=steps, views=[view])[
            view
        ].numpy()
    project(expected, acquisition, damping=damping)
    assert np.abs(out - expected).max() < 0.05
