"""Recurrent layers as a loop over any number of steps, for exporters: they would write out each step of torch's own.

The equations are those of torch.nn.RNN, LSTM and GRU, and what they give is compared with the run's own answers.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from couloir.torch_private import scanned


class Looped(nn.Module):
    """The same answers as a recurrent layer of torch's, which begins with a state of zeros.

    Args:
        units: the layer, without projection.
    """

    def __init__(self, units: nn.RNNBase) -> None:
        super().__init__()
        self.units = units

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """(B, T, D), or (T, B, D) where the layer has it so -> (B, T, W); no state is handed out."""
        steps = x.transpose(0, 1) if self.units.batch_first else x
        for layer in range(self.units.num_layers):
            ways = [self._pass(steps, f"_l{layer}")]
            if self.units.bidirectional:
                ways.append(self._pass(steps.flip(0), f"_l{layer}_reverse").flip(0))
            steps = torch.cat(ways, dim=2)
        return (steps.transpose(0, 1) if self.units.batch_first else steps), None

    def _pass(self, steps: Tensor, name: str) -> Tensor:
        """One direction of one layer: (T, B, D) -> (T, B, W)."""
        units = self.units
        of_input, of_state = getattr(units, f"weight_ih{name}"), getattr(units, f"weight_hh{name}")
        zeros = steps.new_zeros(2, of_state.shape[0])
        input_bias, state_bias = (getattr(units, f"bias_{way}{name}") for way in ("ih", "hh")) if units.bias else zeros
        given = steps @ of_input.t() + input_bias  # of all steps at once
        empty = steps.new_zeros(steps.shape[1], units.hidden_size)

        def lstm(state: tuple[Tensor, Tensor], x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            i, f, g, o = (x + state[0] @ of_state.t() + state_bias).chunk(4, dim=1)
            cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            return (hidden, cell), hidden.clone()

        def gru(state: tuple[Tensor], x: Tensor) -> tuple[tuple[Tensor], Tensor]:
            (r, z, n), (hr, hz, hn) = x.chunk(3, dim=1), (state[0] @ of_state.t() + state_bias).chunk(3, dim=1)
            z = (z + hz).sigmoid()
            hidden = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * state[0]
            return (hidden,), hidden.clone()

        rectified = getattr(units, "nonlinearity", "tanh") == "relu"

        def rnn(state: tuple[Tensor], x: Tensor) -> tuple[tuple[Tensor], Tensor]:
            summed = x + state[0] @ of_state.t() + state_bias
            hidden = summed.relu() if rectified else summed.tanh()
            return (hidden,), hidden.clone()

        if isinstance(units, nn.LSTM):
            return scanned(lstm, (empty, empty.clone()), given)
        return scanned(gru if isinstance(units, nn.GRU) else rnn, (empty,), given)


def looped(net: nn.Module) -> nn.Module:
    """A network whose recurrent layers are `Looped`; the network itself where it has none."""
    if not any(_can_loop(module) for module in net.modules()):
        return net
    made = copy.deepcopy(net)
    for parent in list(made.modules()):
        for name, child in parent.named_children():
            if _can_loop(child):
                setattr(parent, name, Looped(child))  # type: ignore[arg-type]
    return made


def _can_loop(module: nn.Module) -> bool:
    return isinstance(module, nn.RNNBase) and not module.proj_size
