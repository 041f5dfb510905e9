"""The networks of the paper's rows: sizes, where they start, symmetry, the memory."""

import pytest
import torch
from torch.nn import functional

from thinslice.baselines.paper_networks import ChannelSpatialAttention, Memory, PixelWise, SliceWise, between


def slice_wise(ratio: int) -> SliceWise:
    return SliceWise(ratio=ratio, channels=16, groups=1, blocks=1, items=10)


def pixel_wise(ratio: int) -> PixelWise:
    return PixelWise(ratio=ratio, channels=8, groups=2, blocks=1)


def stir(network: torch.nn.Module) -> None:
    """Weights away from their start, where residuals are zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize("shape", [(4, 16, 24), (2, 17, 31), (3, 9, 5), (2, 3, 40)])
@pytest.mark.parametrize("ratio", [2, 3])
def test_views_of_any_size_have_the_slices_between(shape: tuple[int, int, int], ratio: int) -> None:
    slices = torch.rand(shape)
    wanted = (shape[0] - 1, ratio - 1, *shape[1:])
    network = pixel_wise(ratio)
    assert slice_wise(ratio)(slices).slices.shape == wanted
    assert network.coronal(slices).shape == wanted
    assert network.sagittal(slices).shape == wanted


def test_untrained_networks_interpolate_linearly() -> None:
    torch.manual_seed(0)
    slices = torch.rand(5, 11, 13)
    linear = torch.stack([(2 * slices[:-1] + slices[1:]) / 3, (slices[:-1] + 2 * slices[1:]) / 3], 1)
    network = pixel_wise(3)
    for view in (between(slices, 3), slice_wise(3)(slices).slices, network.coronal(slices), network.sagittal(slices)):
        torch.testing.assert_close(view, linear)


def test_the_sagittal_view_is_the_coronal_one_of_the_transposed_scan() -> None:
    torch.manual_seed(0)
    network = pixel_wise(2)
    stir(network)
    slices = torch.rand(4, 10, 12)
    swapped = network.coronal(slices.transpose(1, 2)).transpose(2, 3)
    torch.testing.assert_close(network.sagittal(slices), swapped)
    assert (swapped - network.coronal(slices)).abs().max() > 1e-3


def test_coronal_images_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = pixel_wise(2)
    stir(network)
    slices = torch.rand(4, 6, 12)
    torch.testing.assert_close(network.coronal(slices)[:, :, 2:4], network.coronal(slices[:, 2:4]))


def test_the_memory_is_content_with_features_that_are_its_items() -> None:
    torch.manual_seed(0)
    memory = Memory(16, 10)
    with torch.no_grad():
        memory.items.copy_(torch.eye(10, 16))
    at_items = memory.items.detach().T.reshape(1, 16, 2, 5).contiguous()
    _, compactness, separateness = memory(3.0 * at_items)
    # Orthogonal unit vectors: distance 0 from their own item, squared distance 2 from the next.
    assert compactness.item() == pytest.approx(0, abs=1e-6)
    assert separateness.item() == pytest.approx(0, abs=1e-6)
    _, compactness, separateness = memory(torch.ones(1, 16, 1, 1))
    assert compactness.item() == pytest.approx(2 - 2 / 4, abs=1e-6)
    assert separateness.item() == pytest.approx(1, abs=1e-6)


def test_attention_over_channels_and_pixels_is_a_convolution_in_three_dimensions() -> None:
    torch.manual_seed(0)
    attention = ChannelSpatialAttention(8)
    with torch.no_grad():
        attention.strength.fill_(0.7)
        attention.bias.fill_(-0.2)
    x = torch.randn(2, 8, 5, 6)
    weighed = functional.conv3d(x[:, None], attention.kernel[None, None], attention.bias, padding=1)[:, 0]
    torch.testing.assert_close(attention(x), x + 0.7 * x * torch.sigmoid(weighed))
