"""A model and what is made of it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from thinslice.errors import UsageError
from thinslice.networks.axial import AxialConfig, AxialNetwork, around
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.networks.task import condition, extrapolation_weight, patch_task
from thinslice.physics.grid import Scale, plan_grid


@pytest.fixture
def trained() -> Model:
    """A model whose weights are no longer those of the start."""
    torch.manual_seed(0)
    model = Model.new(InplaneConfig(16, 2), AxialConfig(16, 1))
    with torch.no_grad():
        for network in model.networks.values():
            for value in network.parameters():
                value.add_(0.02 * torch.randn_like(value))
    return model


def test_a_deeper_model_restores_what_it_was_made_of(trained):
    deeper = trained.deepened(5, seed=1)
    task = patch_task(8, Scale(4.0, 1.0))
    planes = 200 * torch.randn(2, 7, 8, 16)
    with torch.no_grad():
        before, after = (model.inplane(planes, task) for model in (trained, deeper))
        plain = task.base @ planes[:, 3]
    assert (before - plain).abs().max() > 1
    assert torch.equal(before, after)
    assert deeper.inplane.config.blocks == 5
    assert len(deeper.inplane.body.blocks) == 5
    assert torch.equal(deeper.axial.body.enter.weight, trained.axial.body.enter.weight)


def test_a_deeper_model_is_the_same_for_a_seed_and_leaves_the_random_state_alone(trained):
    state = torch.get_rng_state()
    digests = [trained.deepened(3, seed=seed).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(state, torch.get_rng_state())


def test_blocks_cannot_be_taken_away(trained):
    assert trained.deepened(2, seed=0).digest == trained.digest
    with pytest.raises(UsageError, match="2 blocks; 1 were"):
        trained.deepened(1, seed=0)


def test_the_library_of_products_is_set_to_sum_in_one_order_before_it_is_loaded():
    code = "import os; from thinslice.networks.device import choose_device; print(os.environ['MKL_CBWR'])"
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == "AUTO,STRICT"


def test_the_gradient_of_the_axial_network_is_summed_in_one_order():
    """Several output slices share an interval; two threads once added up their gradients as they came."""
    network, task = AxialNetwork(AxialConfig(channels=16, blocks=1)), patch_task(4, Scale(5.0, 1.0))
    network.body = Echo()
    slices, seen = torch.randn(5, 8, 48, 48, requires_grad=True), set()
    weights, before = torch.randn(len(task.grid.output_mm), 48, 48), torch.get_num_threads()
    torch.set_num_threads(2)
    for _ in range(200):
        slices.grad = None
        (network.residual(slices, task.where, task.condition) * weights).sum().backward()
        seen.add(slices.grad.numpy().tobytes())
    torch.set_num_threads(before)
    assert len(seen) == 1


class Echo(nn.Module):
    """A body that gives what it is given."""

    def forward(self, x, condition):
        return x


def test_an_interval_is_given_with_two_slices_on_either_side_and_ends_repeated():
    assert [around(interval, 4) for interval in (0, 2, 4)] == [[0, 0, 0, 1], [0, 1, 2, 3], [2, 3, 3, 3]]


@pytest.mark.parametrize(
    ("overlap", "given", "weight"), [(1.0, 1.0, 1.0), (2.25, 2.0, 1.0), (2.5, 2.0, 0.5), (3, 2, 0)]
)
def test_networks_are_conditioned_on_no_more_overlap_than_they_learned(overlap, given, weight):
    grid = plan_grid(8, 4.0, 1.0, thickness_mm=4 * overlap)
    assert condition(grid).tolist() == [given, 0.25, 0.0]
    assert condition(replace(grid, flatness=0.4)).tolist() == pytest.approx([given, 0.25, 0.6 if given > 0.25 else 0.0])
    assert extrapolation_weight(grid) == pytest.approx(weight)
