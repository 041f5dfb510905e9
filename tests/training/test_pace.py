"""Steps a second, what was waited for, and the share of what the device can do."""

import re
import time

import pytest
import torch

from thinslice.fitting.inplane_pairs import Patches
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model
from thinslice.networks.task import patch_task
from thinslice.physics.grid import Scale
from thinslice.training.pace import Pace


def _slow_pairs():
    """Pairs that take 100 ms each to draw."""
    task = patch_task(8, Scale(4.0, 4.0, 1.0))
    while True:
        time.sleep(0.1)
        yield Patches(torch.zeros(4, 7, 8, 32), torch.zeros(4, len(task.grid.output_mm), 32), task)


def test_what_it_says_of_slow_pairs():
    pace, pairs = Pace(torch.device("cpu"), step=5), _slow_pairs()
    network = Model.new(InplaneConfig(16, 1), AxialConfig(16, 1)).inplane
    for _ in range(10):
        assert pace.next(pairs, network).thick.shape == (4, 7, 8, 32)
    said = pace.describe(15)
    form = r"([\d.]+) steps/s, (\d+)% of the time waiting for pairs, (\d+)% of (\d+) GFLOP/s"
    steps, waiting, share, rate = map(float, re.fullmatch(form, said).groups())
    assert 1 < steps <= 10
    assert waiting > 60
    assert share < 5
    assert rate > 1
    assert float(re.match(r"[\d.]+", pace.describe(15))[0]) == pytest.approx(0)
