"""Losses, in units of HU_SCALE squared, with e the error prediction - truth.

The mean squared error is least for the mean of what may be there, which HU fidelity wants; a fit ends on it.
Charbonnier's loss lies between it and the absolute error, and is less swayed by the few pixels at bone and metal. The
mean of what may be there is too low over all of a bone: `tissue_bias` counts that by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thinslice.conventions import TISSUES
from thinslice.fitting.config import FitConfig
from thinslice.networks.blocks import HU_SCALE

_FLOOR = (2.0 / HU_SCALE) ** 2  # a patch of air, where interpolation errs by nothing, must not count without bound


def mean_squared_error(prediction: Tensor, truth: Tensor, *, keep: Tensor | None = None) -> Tensor:
    """mean(e^2); over the voxels of the mask `keep` where there is one."""
    error = ((prediction - truth) / HU_SCALE) ** 2
    return error.mean() if keep is None else (error * keep).sum() / keep.sum().clamp(min=1)


def relative_loss(loss: Tensor, base: Tensor) -> Tensor:
    """loss / (base + floor): a loss relative to that of the base interpolation, so that every task counts alike.

    Args:
        loss: of the network, scalar.
        base: of the base interpolation, scalar; no gradient runs through it.
    """
    return loss / (base.detach() + _FLOOR)


def charbonnier(prediction: Tensor, truth: Tensor) -> Tensor:
    """Charbonnier's loss, 2 w mean(sqrt(e^2 + w^2) - w) with w = 20 HU (Charbonnier et al., ICIP 1994).

    Scaled to equal the squared error far below w; far above it is 2 w times the absolute error.
    """
    width = 20.0 / HU_SCALE
    error = (prediction - truth) / HU_SCALE
    return 2 * width * ((error**2 + width**2).sqrt() - width).mean()


def tissue_bias(prediction: Tensor, truth: Tensor) -> Tensor:
    """Squared bias within lung, soft tissue and bone, each by its share p of the pixels: sum p mean(e)^2.

    A pixel is within a tissue where the truth, averaged over 5 x 5 pixels, is in the tissue's range
    (`conventions.TISSUES`) up to 2 pixels around.

    Args:
        prediction: (images, y, x) HU; one mean over all images.
        truth: the same.
    """
    smooth = functional.avg_pool2d(truth[:, None], 5, stride=1, padding=2, count_include_pad=False)
    highest, lowest = (sign * functional.max_pool2d(sign * smooth, 5, stride=1, padding=2)[:, 0] for sign in (1, -1))
    error = (prediction - truth) / HU_SCALE
    within = [(lowest > low) & (highest < high) for low, high in TISSUES.values()]
    biases = [(error * mask).sum().square() / mask.sum().clamp(min=1) for mask in within]
    return torch.stack(biases).sum() / truth.numel()


def label_losses(
    prediction: Tensor, base: Tensor, truth: Tensor, *, share: float, config: FitConfig
) -> tuple[Tensor, Tensor]:
    """Loss of a network on acquired labels, and of the base interpolation.

    Args:
        prediction: (images, y, x) HU.
        base: base interpolation, of the same shape.
        truth: labels, of the same shape.
        share: of the phase that is over; Charbonnier's loss before `config.charbonnier_share`, then the squared error.
        config: weights of the terms.
    """
    distance = charbonnier if share < config.charbonnier_share else mean_squared_error
    loss = distance(prediction, truth) + config.bias * tissue_bias(prediction, truth)
    return loss, distance(base, truth)


def agreement_mask(teachers: Tensor, *, gamma: float) -> Tensor:
    """Mask of the share `gamma` of voxels on which teachers agree best (Fang et al., CVPR 2022).

    Args:
        teachers: (k, ...) their predictions.
        gamma: share to keep, over 0 up to 1.

    Returns:
        bool mask (...) with ceil(gamma * size) voxels set.
    """
    spread = (teachers - teachers.mean(0)).square().sum(0)
    kept = max(1, -int(-gamma * spread.numel() // 1))
    mask = torch.zeros(spread.numel(), dtype=torch.bool, device=spread.device)
    mask[spread.flatten().topk(kept, largest=False).indices] = True
    return mask.view_as(spread)
