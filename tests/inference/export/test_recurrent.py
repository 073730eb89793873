"""Recurrent layers that are exported as a loop say what torch's own say, whatever the number of steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.inference.export.graph import traced
from couloir.inference.export.recurrent import Looped, looped

LAYERS = [
    nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
    nn.GRU(3, 4, bias=False),
    nn.RNN(3, 4, 2, batch_first=True, nonlinearity="relu"),
]


class Told(nn.Module):
    """What a recurrent layer gives, without its state."""

    def __init__(self, units: nn.RNNBase) -> None:
        super().__init__()
        self.units = units

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.units(x)[0]
        return out


@pytest.mark.parametrize("units", LAYERS, ids=[type(each).__name__ for each in LAYERS])
def test_a_loop_answers_as_the_layer_does_for_any_number_of_steps_and_samples(units: nn.RNNBase) -> None:
    net = Told(units).eval().requires_grad_(False)
    made = looped(net)
    assert isinstance(made.units, Looped)
    assert net.units is units, "the run's own network stays as it is"
    program = traced(made, (6, 3), torch.float32, any_length=True).module()
    loops = [node for node in program.graph.nodes if node.op == "call_function" and "scan" in str(node.target)]
    assert len(loops) == units.num_layers * (1 + units.bidirectional)
    for samples, steps in ((5, 9), (1, 1), (2, 2)):
        x = torch.randn(samples, steps, 3)
        assert torch.allclose(program(x), net(x), atol=1e-6)


def test_a_network_without_recurrent_layers_is_left_alone_and_a_projection_too() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    assert looped(net) is net
    projected = nn.Sequential(nn.LSTM(3, 4, proj_size=2))
    assert looped(projected) is projected
