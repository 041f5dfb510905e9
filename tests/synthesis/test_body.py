"""Where networks run: on the body and what it encloses, and in no air about it."""

import numpy as np
import pytest

from thinslice.conventions import VIEWS
from thinslice.phantom import make_phantom
from thinslice.physics.acquisition import Acquisition
from thinslice.physics.grid import plan_grid
from thinslice.synthesis import views
from thinslice.synthesis.body import nearness
from thinslice.synthesis.fusion import synthesise, view_weights
from thinslice.weights import shipped


def _disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(y, x) < radius


def test_it_is_one_on_the_body_falls_about_it_and_is_zero_in_air() -> None:
    body = _disc(96, 20)
    hu = np.where(body, 40.0, -1000.0)[None].repeat(3, axis=0).astype(np.float32)
    hu += np.random.default_rng(0).normal(0, 30, hu.shape).astype(np.float32)
    near = nearness(hu, reach=14)
    assert near.dtype == np.float32
    assert (near[_disc(96, 22)] == 1).all()
    assert not near[~_disc(96, 42)].any()
    row = near[48, 48:]
    assert (np.diff(row) <= 0).all()
    assert np.abs(np.diff(row)).max() < 0.1  # no seam


def test_lung_without_a_vessel_counts_where_the_body_encloses_it() -> None:
    hu = np.where(_disc(96, 40), 40.0, -1000.0)
    hu[_disc(96, 30)] = -990  # all air, as in a bulla
    assert (nearness(hu[None].astype(np.float32), reach=14)[_disc(96, 40)] == 1).all()
    cropped = nearness(hu[None, :, 40:].astype(np.float32), reach=14)
    assert (cropped[_disc(96, 40)[:, 40:]] == 1).all()  # enclosed along y


def test_body_in_one_slice_is_enough_and_air_alone_has_none() -> None:
    air = np.full((4, 40, 40), -1000, np.float32)
    assert not nearness(air, reach=14).any()
    air[2, 10:20, 10:20] = -500
    assert (nearness(air, reach=14)[10:20, 10:20] == 1).all()


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """A phantom in twice as much air, noisy as that of a scanner, and wholly uniform at one side."""
    body = make_phantom(shape=(6, 48, 48), spacing_mm=(5.0, 3.0, 3.0)).volume.hu
    air = np.random.default_rng(0).normal(-1000, 8, (6, 128, 144)).astype(np.float32)
    air[:, :, :30] = -1000
    air[:, 40:88, 48:96] = body
    return air


@pytest.mark.parametrize("thickness", [1.25, 5.0])
def test_the_body_is_as_if_networks_had_run_everywhere(
    scan: np.ndarray, thickness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = Acquisition(scan, plan_grid(6, 5.0, 1.25, thickness_mm=thickness), (3.0, 3.0))
    weights = view_weights(shipped(), VIEWS)
    pixels = []

    def result() -> tuple[np.ndarray, np.ndarray]:
        differs = np.zeros(acquisition.output_shape, np.float32)
        out, _ = synthesise(acquisition, model=shipped(), view_weights=weights, disagreement=differs)
        return out, differs

    def counted(planes, start, stop, **how):
        pixels.append((stop - start) * planes.shape[2])
        return with_neighbours(planes, start, stop, **how)

    with_neighbours = views.with_neighbours
    monkeypatch.setattr(views, "with_neighbours", counted)
    skipped, used = result(), sum(pixels)
    near = nearness(scan, reach=shipped().inplane.config.reach)
    monkeypatch.setattr(views, "nearness", lambda hu, reach: np.ones(hu.shape[1:], np.float32))
    pixels.clear()
    everywhere = result()
    assert used < 0.75 * sum(pixels)
    for mine, its in zip(skipped, everywhere, strict=True):
        np.testing.assert_allclose(mine[:, near == 1], its[:, near == 1], atol=0.02)
    uniform = np.s_[:, :, :20]  # where the contrast of the image silences the network
    np.testing.assert_allclose(skipped[0][uniform], -1000, atol=1e-3)
    np.testing.assert_allclose(everywhere[0][uniform], -1000, atol=0.1)
    assert not skipped[1][:, near == 0].any()


@pytest.mark.parametrize("width", [7, 40, 144, 513])
def test_images_are_cut_to_few_widths_that_hold_what_is_near(width: int) -> None:
    """For every shape that is met PyTorch keeps some megabytes."""
    widths = set()
    for first in range(width):
        for last in range(first, width, max(1, width // 40)):
            near = np.zeros((2, width), np.float32)
            near[0, first] = near[1, last] = 1
            span = views._some(near)
            assert span is not None
            assert 0 <= span.start <= first <= last < span.stop <= width
            widths.add(span.stop - span.start)
    assert len(widths) <= 8
    assert views._some(np.zeros((2, width), np.float32)) is None
