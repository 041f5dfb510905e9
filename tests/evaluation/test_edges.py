"""Edge width along z is the width that an edge was given."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from thinslice.evaluation.edges import edge_width_mm, find_edges

STEP_MM = 0.5
Z = np.arange(80) * STEP_MM


def edge(sigma_mm, *, at=20.2, low=-800.0, high=200.0):
    profile = low + (high - low) * ndtr((Z - at) / max(sigma_mm, 1e-9))
    return np.broadcast_to(profile[:, None, None], (len(Z), 8, 9)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("falling", [False, True])
def test_a_gaussian_edge_has_the_width_of_its_integral(sigma, falling):
    sharp, blurred = edge(0.3), edge(sigma)
    if falling:
        sharp, blurred = sharp[::-1], blurred[::-1]
    edges = find_edges(sharp, step_mm=STEP_MM, acquired_mm=2.0)
    assert len(edges.centre) == 8 * 9
    assert edge_width_mm(blurred, edges) == pytest.approx(2 * 1.2816 * sigma, rel=0.05)


def test_noise_hardly_changes_the_width():
    noise = np.random.default_rng(0).normal(0, 30, edge(1).shape)
    edges = find_edges(edge(0.3) + noise, step_mm=STEP_MM, acquired_mm=2.0)
    assert edge_width_mm(edge(1.0) + noise, edges) == pytest.approx(2 * 1.2816, rel=0.12)


def test_a_shifted_edge_is_as_sharp_as_before():
    edges = find_edges(edge(0.3), step_mm=STEP_MM, acquired_mm=2.0)
    assert edge_width_mm(edge(0.8, at=20.9), edges) == pytest.approx(2 * 1.2816 * 0.8, rel=0.05)


def test_an_edge_that_is_gone_counts_as_wide_as_the_window():
    edges = find_edges(edge(0.3), step_mm=STEP_MM, acquired_mm=2.0)
    for lost in (np.full((len(Z), 8, 9), -800.0), np.full((len(Z), 8, 9), 200.0), edge(0.3)[::-1]):
        assert edge_width_mm(lost, edges) >= 2 * 2.0


@pytest.mark.parametrize("high", [-600.0, -800.0])
def test_faint_edges_are_left_out(high):
    edges = find_edges(edge(0.3, high=high), step_mm=STEP_MM, acquired_mm=2.0)
    assert math.isnan(edge_width_mm(edge(0.3), edges))


def test_thin_plates_are_no_edges():
    plate = edge(0.3) - edge(0.3, at=22.2, low=0, high=1000)
    assert len(find_edges(plate, step_mm=STEP_MM, acquired_mm=2.0).centre) == 0
