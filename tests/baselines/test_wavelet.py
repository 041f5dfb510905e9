"""The wavelet loss: an orthonormal transform that smooth images do not excite."""

import pytest
import torch

from thinslice.baselines.wavelet import bands, daubechies3, wavelet_loss


def test_the_filters_are_those_that_daubechies_published() -> None:
    low, high = daubechies3()
    published = [0.3326705529500826, 0.8068915093110926, 0.4598775021184915, -0.1350110200102546]
    assert low[:4].tolist() == pytest.approx(published, abs=1e-12)
    for moment in range(3):  # three vanishing moments
        assert (high * torch.arange(6.0, dtype=torch.float64) ** moment).sum().item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("shape", [(2, 32, 48), (1, 8, 8), (3, 16, 8)])
def test_the_transform_keeps_energy(shape: tuple[int, int, int]) -> None:
    images = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    smooth, details = bands(images, levels=3)
    energy = smooth.square().sum() + sum(detail.square().sum() for detail in details)
    assert energy.item() == pytest.approx(images.square().sum().item(), rel=1e-12)
    assert len(details) == 3


def test_equal_images_cost_nothing_and_neither_does_an_offset() -> None:
    images = torch.rand(2, 21, 34, generator=torch.Generator().manual_seed(0))
    assert wavelet_loss(images, images, levels=3).item() == 0
    assert wavelet_loss(images + 0.3, images, levels=3).item() == pytest.approx(0, abs=1e-6)


def test_fine_detail_costs_more_than_a_slope_of_the_same_size() -> None:
    position = torch.arange(64.0)
    slope = (position / 63 - 0.5).expand(64, 64)[None]
    checks = (0.5 * (-1) ** position).expand(64, 64)[None]
    zero = torch.zeros(1, 64, 64)
    assert wavelet_loss(checks, zero, levels=1) > 5 * wavelet_loss(slope, zero, levels=1)
