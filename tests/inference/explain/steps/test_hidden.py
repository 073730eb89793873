"""Gates that are written out are those of torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.inference.explain.steps.hidden import _unrolled, by_variance, gates_of


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_lead_to_the_states_that_torch_computes(kind: type[nn.LSTM | nn.GRU]) -> None:
    torch.manual_seed(0)
    layer = kind(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(2, 5, 3)
    whole = layer(x)[0].detach()
    parts = dict(gates_of(layer, x))
    assert list(parts) == ["layer 0", "layer 0 backwards", "layer 1", "layer 1 backwards"]
    first = kind(3, 4, num_layers=1, bidirectional=True, batch_first=True)
    first.load_state_dict({name: value for name, value in layer.state_dict().items() if "_l0" in name})
    given = first(x)[0].detach()
    forwards, backwards = _unrolled(layer, given, "l1")[1], _unrolled(layer, given.flip(1), "l1_reverse")[1].flip(1)
    torch.testing.assert_close(torch.cat([forwards, backwards], dim=2), whole)
    assert all((each > 0).all() and (each < 1).all() for gates in parts.values() for each in gates.values())


def test_units_are_ordered_by_how_much_they_vary() -> None:
    values = torch.tensor([[0.0, 5.0, 1.0], [0.0, -5.0, 2.0]]).numpy()
    assert by_variance(values).tolist() == [1, 2, 0]
