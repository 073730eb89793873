"""Recurrent networks: a state that is read and written at each step.

Elman, 1990, Finding Structure in Time; Hochreiter and Schmidhuber, 1997, Long Short-Term Memory, with the forget gate
of Gers et al., 2000; Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder. The equations are
those of `torch.nn.RNN`, `LSTM` and `GRU`; the cells have no peepholes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from couloir.errors import CouloirError
from couloir.layer_kinds import set_forget_bias
from couloir.model.sequence.network import SEQUENCE, STEPS, Inputs, SequenceNetwork, at_last, head
from couloir.model.weights import loads_weights

RNN, LSTM, GRU = "rnn", "lstm", "gru"
KINDS = {RNN: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}


class Recurrent(nn.Module):
    """Layers of recurrent units over the steps, and dropout behind each.

    Args:
        kind: `rnn`, `lstm` or `gru`.
        inputs: numbers of a step.
        width: units of a layer, of each direction.
        layers: how many.
        bidirectional: whether each layer reads the steps from the end as well.
        dropout: share of what leaves each layer that is dropped in training.
        nonlinearity: of `rnn`: `tanh` or `relu`.
        forget_bias: of `lstm`: what the forget gates' biases begin with; None: as torch draws them.
    """

    def __init__(
        self,
        kind: str,
        inputs: int,
        width: int,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        nonlinearity: str | None = None,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__()
        _check_keys(kind, nonlinearity, forget_bias)
        own = {"nonlinearity": nonlinearity or "tanh"} if kind == RNN else {}
        between = dropout if layers > 1 else 0.0
        self.units: nn.RNNBase = KINDS[kind](
            inputs, width, layers, batch_first=True, bidirectional=bidirectional, dropout=between, **own
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.width, self.causal = width * (1 + bidirectional), not bidirectional
        if forget_bias is not None:
            self.units.forget_bias = forget_bias  # for initializers, which set all other biases to zero
            set_forget_bias(self.units, forget_bias)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, W); behind the end of a sequence stands anything.

        What is filled up at the ends does not reach the steps before where steps are read from the front alone; so to
        leave it out, which takes two to three times as long on a CPU, is needed in both directions alone.
        """
        if self.causal or lengths is None:
            out: Tensor = self.dropout(self.units(x)[0])
            return out
        return self.carried(x, lengths, None)[0]

    def carried(self, x: Tensor, lengths: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The same behind a state, and the state behind the last step of each sequence.

        Args:
            x: (B, T, D).
            lengths: (B,); None: all have all steps.
            state: of these sequences, and perhaps of further ones behind them: (layers, B, width), of an LSTM a pair
                of such; None: there are no steps before.

        Raises:
            CouloirError: there are more sequences than the state is of.
        """
        state = _first(state, len(x))
        if lengths is None:
            out, state = self.units(x, state)
            return self.dropout(out), state
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, state = self.units(packed, state)
        padded, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        return self.dropout(padded), state


def _check_keys(kind: str, nonlinearity: str | None, forget_bias: float | None) -> None:
    for key, value, of in (("nonlinearity", nonlinearity, RNN), ("forget_bias", forget_bias, LSTM)):
        if value is not None and kind != of:
            raise CouloirError(
                f"model.{key}={value} is a key of model={of}, and this is model={kind}.", next_step=f"leave {key} out"
            )


def _first(state: Any, count: int) -> Any:
    """The part of a state that is of the first sequences.

    Raises:
        CouloirError: it is of fewer.
    """
    if state is None:
        return None
    if not isinstance(state, Tensor):
        return tuple(_first(part, count) for part in state)
    if state.shape[1] < count:
        raise CouloirError(
            f"A batch of {count} sequences cannot go on from a state of {state.shape[1]}.",
            next_step="batches of the same streams, of which the last may have fewer",
        )
    return state[:, :count].contiguous()


class BothEnds(nn.Module):
    """A head behind units of both directions that answers by where each ends: the forward units' last step, and the
    backward units' first.

    Args:
        head: (B, 1, W) -> the answer.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, W), the forward units' numbers first -> the answer."""
        forward, backward = x.chunk(2, dim=2)
        ends = torch.cat([at_last(forward, lengths), backward[:, 0]], dim=1)
        out: Tensor = self.head(ends[:, None])
        return out


def recurrent(
    kind: str,
    channels: int | None,
    vocabulary_size: int | None,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    embedding: int | None = None,
    width: int = 128,
    layers: int = 1,
    bidirectional: bool = False,
    nonlinearity: str | None = None,
    forget_bias: float | None = None,
    dropout: float = 0.0,
    pool: str = "last",
    tied: bool = False,
) -> SequenceNetwork:
    """A recurrent network.

    Args:
        kind: `rnn`, `lstm` or `gru`.
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        num_classes: outputs of an answer.
        answers: `sequence`, `steps` or `horizon`: what is answered, (B, K), (B, T, K) or (B, H, K).
        horizon: steps to come, H.
        embedding: numbers of a token's vector, None: `width`; of numbers, the width of a linear layer before the first
            recurrent one, None: there is none.
        width: units of a layer, of each direction.
        layers: how many.
        bidirectional: whether each layer reads the steps from the end as well.
        nonlinearity: of `rnn`: `tanh` or `relu`.
        forget_bias: of `lstm`: what the forget gates' biases begin with (Jozefowicz et al., 2015: 1); None: as torch
            draws them.
        dropout: share of what leaves each layer that is dropped in training.
        pool: of which steps a sequence is answered: `last`, `mean` or `max`; `last` of both directions is where each
            ends.
        tied: whether the embedding is the last layer as well.

    Raises:
        CouloirError: a key is of another kind of units, or weights cannot be tied.
    """
    inputs = Inputs(channels, vocabulary_size, (embedding or width) if vocabulary_size is not None else embedding)
    body = Recurrent(kind, inputs.width, width, layers, bidirectional, dropout, nonlinearity, forget_bias)
    answer = head(answers, body.width, num_classes, horizon, inputs, pool, tied)
    ends = bidirectional and answers != STEPS and pool == "last"
    return SequenceNetwork(inputs, body, BothEnds(answer) if ends else answer)


@loads_weights
def rnn(nonlinearity: str = "tanh", **keys: Any) -> SequenceNetwork:
    """Units without gates, of `tanh` or `relu`; all other keys are those of `recurrent`."""
    return recurrent(RNN, nonlinearity=nonlinearity, **keys)


@loads_weights
def lstm(forget_bias: float | None = None, **keys: Any) -> SequenceNetwork:
    """Long short-term memory; all other keys are those of `recurrent`."""
    return recurrent(LSTM, forget_bias=forget_bias, **keys)


@loads_weights
def gru(**keys: Any) -> SequenceNetwork:
    """Gated recurrent units; the keys are those of `recurrent`."""
    return recurrent(GRU, **keys)
