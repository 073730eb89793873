"""Recurrent networks: a state that is read and written at each step.

Elman, 1990, Finding Structure in Time; Hochreiter and Schmidhuber, 1997, Long Short-Term Memory, with the forget gate
of Gers et al., 2000; Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from couloir.model.sequence.network import SEQUENCE, Inputs, SequenceNetwork, head
from couloir.model.weights import loads_weights

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """Layers of recurrent units over the steps, dropout between them.

    Args:
        kind: `rnn`, `lstm` or `gru`.
        inputs: numbers of a step.
        width: units of a layer, of each direction.
        layers: how many.
        bidirectional: whether each layer reads the steps from the end as well.
        dropout: share of what goes from layer to layer that is dropped in training.
    """

    def __init__(self, kind: str, inputs: int, width: int, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.units = KINDS[kind](
            inputs, width, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout if layers > 1 else 0.0
        )
        self.width, self.causal = width * (1 + bidirectional), not bidirectional

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, W)."""
        return self.carried(x, lengths, None)[0]

    def carried(self, x: Tensor, lengths: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The same behind a state, and the state behind the last step of each sequence."""
        if lengths is None:
            out, state = self.units(x, state)
            return out, state
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, state = self.units(packed, state)
        padded, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        return padded, state


@loads_weights
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
        width: units of a layer.
        layers: how many.
        bidirectional: whether each layer reads the steps from the end as well.
        dropout: share of what leaves each layer that is dropped in training.
        pool: of which steps a sequence is answered: `last`, `mean` or `max`.
        tied: whether the embedding is the last layer as well.
    """
    inputs = Inputs(channels, vocabulary_size, (embedding or width) if vocabulary_size is not None else embedding)
    body = Recurrent(kind, inputs.width, width, layers, bidirectional, dropout)
    return SequenceNetwork(inputs, body, head(answers, body.width, num_classes, horizon, inputs, pool, tied, dropout))
