"""Classical rows: what every interpolation keeps, and what the learned filter adds."""

import numpy as np
import pytest

from thinslice.baselines.linear_filter import filter_matrix
from thinslice.errors import UsageError
from thinslice.evaluation.learning import Learning
from thinslice.evaluation.methods import CLASSICAL, check_methods, run_methods
from thinslice.evaluation.metrics import psnr
from thinslice.evaluation.protocols import PROTOCOLS, make_case
from thinslice.fitting.effort import Effort
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.volume import Volume


def blobs(seed=0, size=48):
    """An isotropic volume: what is learned in plane holds along z."""
    generator = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(size)
    radius = np.sqrt(sum(np.square(f) for f in np.meshgrid(frequency, frequency, frequency, indexing="ij")))
    spectrum = np.fft.fftn(generator.normal(size=(size,) * 3)) * np.exp(-np.square(radius / 0.13))
    hu = np.real(np.fft.ifftn(spectrum))
    return Volume(300 * hu / hu.std(), np.eye(4))


@pytest.mark.parametrize("method", CLASSICAL)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_constant_stays_constant(method, protocol):
    flat = Volume(np.full((25, 20, 21), -321.0), np.eye(4))
    case = make_case(flat, "a", protocol=protocol, factor=4)
    result = CLASSICAL[method](case.thick, case.grid)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, case.truth, atol=0.01)


@pytest.mark.parametrize("method", CLASSICAL)
def test_acquired_slices_come_back_where_nothing_was_averaged(method):
    case = make_case(blobs(), "a", protocol="gap", factor=3)
    result = CLASSICAL[method](case.thick, case.grid)
    np.testing.assert_allclose(result[~case.new], case.thick.hu, atol=0.05)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factor", [2, 3])
def test_the_learned_filter_is_not_below_any_other_where_z_is_like_x_and_y(protocol, factor):
    case = make_case(blobs(), "a", protocol=protocol, factor=factor)
    inner = slice(3 * factor, -3 * factor)  # ends have no neighbours, and no filter is learned for them
    found = {
        name: psnr(float(np.mean(np.square(method(case.thick, case.grid) - case.truth)[inner])), peak=4095)
        for name, method in CLASSICAL.items()
    }
    assert found["smooth"] > max(found[name] for name in ("linear", "cubic", "bspline")) - 0.02


def test_the_learned_filter_has_weights_that_sum_to_one():
    case = make_case(blobs(), "a", protocol="box", factor=4)
    weights = filter_matrix(case.thick, case.grid)
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1, atol=1e-5)


def test_a_scan_too_small_to_learn_from_gets_linear_interpolation():
    small = Volume(blobs().hu[:, :12, :12], np.eye(4))
    case = make_case(small, "a", protocol="gap", factor=4)
    expected = CLASSICAL["linear"](case.thick, case.grid)
    np.testing.assert_allclose(CLASSICAL["smooth"](case.thick, case.grid), expected, atol=1e-2)


def test_methods_are_run_in_the_order_asked_for():
    case = make_case(blobs(), "a", protocol="gap", factor=4)
    rows = run_methods(case.thick, case.grid, ["cubic", "linear"], Learning(Effort()), on_progress=None)
    assert [(name, result.shape, seconds > 0) for name, result, seconds in rows] == [
        ("cubic", case.truth.shape, True),
        ("linear", case.truth.shape, True),
    ]


def test_weights_take_the_place_of_the_shipped_ones():
    """Untaught networks add nothing: what is left is the interpolation that they would have added to."""
    case = make_case(blobs(), "a", protocol="gap", factor=4)
    learning = Learning(Effort(steps=1), Model.new(InplaneConfig(16, 1), AxialConfig(16, 1)))
    names = ["linear", "coronal", "thinslice"]
    rows = run_methods(case.thick, case.grid, names, learning, on_progress=None)
    results = {name: result for name, result, _ in rows}
    for name in ("coronal", "thinslice"):
        np.testing.assert_allclose(results[name], results["linear"], atol=0.01)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="lanczos"):
        check_methods(["linear", "lanczos"], Learning(Effort()))
