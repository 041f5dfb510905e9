"""Every weight moves, kernels through the matrices that share their memory."""

import torch

from thinslice.fitting.config import FitConfig
from thinslice.fitting.optimiser import Optimiser
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model


def _loss(model):
    return sum((parameter - 1).square().mean() for parameter in model.inplane.parameters())


def test_a_step_moves_every_weight_and_no_other():
    model = Model.new(InplaneConfig(channels=16, blocks=2), AxialConfig(channels=16, blocks=1))
    before = {name: value.clone() for name, value in model.state().items()}
    optimiser = Optimiser([model.inplane], FitConfig())
    first = _loss(model)
    for step in range(5):
        optimiser.step(_loss(model), share=step / 5)
    assert _loss(model) < first
    for name, value in model.state().items():
        assert torch.equal(before[name], value) == name.startswith("axial."), name


def test_the_rate_falls_to_nearly_nothing():
    model = Model.new(InplaneConfig(channels=16, blocks=1), AxialConfig(channels=16, blocks=1))
    optimiser = Optimiser([model.inplane], FitConfig())
    sizes = []
    for share in (0.0, 1.0):
        for _ in range(25):
            before = model.inplane.body.blocks[0].second.weight.detach().clone()
            optimiser.step(_loss(model), share=share)
        sizes.append(float((model.inplane.body.blocks[0].second.weight.detach() - before).norm()))
    assert sizes[1] < 0.03 * sizes[0]
