"""The moving average of weights."""

from thinslice.fitting.average import Average
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig
from thinslice.networks.model import Model


def test_it_keeps_no_history():
    """A graph of all steps would grow without end."""
    average = Average(Model.new(InplaneConfig(16, 1), AxialConfig(16, 1)).inplane, time_constant=20)
    average.update()
    assert not any(value.requires_grad for value in average.network.parameters())
