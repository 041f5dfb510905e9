"""Figures of labels: exact on shapes, intervals that hold what they should, refused thresholds."""

import numpy as np
import pytest

from thinslice.errors import UsageError
from thinslice.measures.figures import FIGURES, Threshold, measure_labels
from thinslice.measures.outline import extents_mm, find_outline
from thinslice.uncertainty.correlation import Correlation, correlated_draws

VOXEL_MM = (2.0, 1.0, 0.5)
KNOWN = Correlation(along_z=(0.4,), spacing_mm=2.0, in_plane=(0.5, 0.2), pixel_mm=0.7)


def _ball(radius_mm: float = 8.0, shape: tuple[int, int, int] = (24, 40, 80)) -> tuple[np.ndarray, np.ndarray]:
    """HU of a ball of 40 in -800, its edge as blurred as one in a scan, and its label."""
    z, y, x = (step * (i - n // 2) for i, n, step in zip(np.indices(shape), shape, VOXEL_MM, strict=True))
    off = radius_mm - np.sqrt(z**2 + y**2 + x**2)
    return (-800 + 840 / (1 + np.exp(-2 * off))).astype(np.float32), (off > 0).astype(np.int16)


def test_a_ball_has_its_volume_its_diameters_and_its_mean() -> None:
    hu, labels = _ball()
    (row,) = measure_labels(np.where(labels, 40.0, -800.0), labels, VOXEL_MM)
    assert row.voxels == labels.sum()
    assert row.volume_ml.value == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.05)
    assert row.mean_hu.value == 40
    assert (row.z_mm.value, row.y_mm.value, row.x_mm.value) == pytest.approx((16, 16, 16), abs=2)
    assert row.share.value == 0
    assert row.volume_ml.low is None
    assert measure_labels(hu, labels, VOXEL_MM, threshold=Threshold(-2000, "above"))[0].share.value == 100


def test_where_nothing_is_uncertain_intervals_are_the_figures() -> None:
    hu, labels = _ball()
    (row,) = measure_labels(hu, labels, VOXEL_MM, sigma=np.zeros_like(hu), correlation=KNOWN)
    for name in FIGURES:
        figure = getattr(row, name)
        assert (figure.low, figure.high) == pytest.approx((figure.value, figure.value)), name


def test_turned_round_it_is_the_same_label() -> None:
    hu, labels = _ball()
    sigma = np.linspace(20, 120, hu.size, dtype=np.float32).reshape(hu.shape)
    (row,) = measure_labels(hu, labels, VOXEL_MM, sigma=sigma, correlation=KNOWN)
    turned = (array[::-1, ::-1, ::-1] for array in (hu, labels, sigma))
    other_hu, other_labels, other_sigma = turned
    (other,) = measure_labels(other_hu, other_labels, VOXEL_MM, sigma=other_sigma, correlation=KNOWN)
    for name in ("volume_ml", "mean_hu", "share"):
        one, two = getattr(row, name), getattr(other, name)
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), rel=1e-3), name


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Errors are drawn of the very kind that is told; extents are in whole voxels, and so may hold it more often."""
    hu, labels = _ball(6.0, (16, 30, 56))
    sigma = np.full(hu.shape, 150, np.float32)
    (row,) = measure_labels(hu, labels, VOXEL_MM, sigma=sigma, correlation=KNOWN, threshold=Threshold(-100, "above"))
    outline = find_outline(hu, labels > 0, VOXEL_MM)
    assert outline is not None
    held = dict.fromkeys(FIGURES, 0)
    fields = correlated_draws(hu.shape, KNOWN, VOXEL_MM, draws=300, generator=np.random.default_rng(9))
    for field in fields:
        truth = hu + sigma * field
        redrawn = outline.redrawn(truth)
        z, y, x = extents_mm(redrawn, VOXEL_MM)
        true = {"volume_ml": redrawn.sum() / 1e3, "z_mm": z, "y_mm": y, "x_mm": x}
        true |= {"mean_hu": truth[labels > 0].mean(), "share": 100 * (truth[labels > 0] > -100).mean()}
        for name in FIGURES:
            figure = getattr(row, name)
            held[name] += figure.low - 1e-6 <= true[name] <= figure.high + 1e-6
    for name, count in held.items():
        assert count / 300 > 0.86, (name, held)
    assert held["mean_hu"] / 300 < 0.995


def test_an_outline_that_follows_no_edge_has_no_interval() -> None:
    generator = np.random.default_rng(5)
    hu = generator.normal(50, 10, (12, 30, 30)).astype(np.float32)
    labels = np.zeros(hu.shape, np.int16)
    labels[4:8, 8:20, 8:20] = 3
    (row,) = measure_labels(hu, labels, (1, 1, 1), sigma=np.full(hu.shape, 12, np.float32), names={3: "liver"})
    assert (row.label, row.name) == (3, "liver")
    assert row.volume_ml.low is None
    assert row.x_mm.low is None
    assert row.mean_hu.low is not None


def test_labels_of_any_number_are_found() -> None:
    hu = np.zeros((3, 9, 9), np.float32)
    labels = np.zeros(hu.shape, np.int32)
    labels[0, 0, 0], labels[2, 8, 3:6] = 5, 2_000_000_000
    rows = measure_labels(hu, labels, (1, 1, 1))
    assert [(row.label, row.voxels, row.x_mm.value) for row in rows] == [(5, 1, 1), (2_000_000_000, 3, 3)]
    rows = measure_labels(hu, np.where(labels == 5, 5, 100_000), (1, 1, 1))
    assert [row.label for row in rows] == [5, 100_000]


def test_a_large_label_is_drawn_at_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    hu, labels = _ball()
    sigma = np.full(hu.shape, 120, np.float32)
    (whole,) = measure_labels(hu, labels, VOXEL_MM, sigma=sigma, correlation=KNOWN)
    monkeypatch.setattr("thinslice.measures.outline._AT_ONCE", 100)
    (ends,) = measure_labels(hu, labels, VOXEL_MM, sigma=sigma, correlation=KNOWN)
    for name, step in (("z_mm", 2.0), ("y_mm", 1.0), ("x_mm", 0.5)):
        one, two = getattr(whole, name), getattr(ends, name)
        assert (one.low, one.high) == pytest.approx((two.low, two.high), abs=2 * step), name


@pytest.mark.parametrize(("hu", "side"), [(float("nan"), "below"), (-950.0, "beside")])
def test_a_threshold_that_is_none_is_refused(hu: float, side: str) -> None:
    with pytest.raises(UsageError, match=r"found (beside|below nan)"):
        Threshold(hu, side)  # type: ignore[arg-type]
