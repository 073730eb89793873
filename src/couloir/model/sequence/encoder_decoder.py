"""The transformer: an encoder reads one sequence, and a decoder writes another.

Vaswani et al., 2017, Attention Is All You Need, figure 1; table 3 has the sizes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.attention import check_heads
from couloir.model.sequence.network import opened, steps_there
from couloir.model.sequence.transformer import SINUSOIDAL, Layer, Layers, Positions, begin_by_xavier
from couloir.model.weights import loads_weights
from couloir.ragged import Padded


class Transformer(nn.Module):
    """One embedding for source, target and the last layer (section 3.4), an encoder, and a causal decoder.

    Args:
        vocabulary_size: different tokens of both sides.
        width: numbers of a step, D.
        encoder: its layers.
        decoder: its layers, which look across.
        dropout: share of the steps, with their positions, that is dropped in training.
        start: the token that a target begins behind.
    """

    causal = True
    """No step of the target sees a later one."""

    def __init__(
        self, vocabulary_size: int, width: int, encoder: Layers, decoder: Layers, dropout: float, start: int
    ) -> None:
        super().__init__()
        self.start = start
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.positions = Positions(SINUSOIDAL, width, None, dropout, math.sqrt(width))
        self.encoder, self.decoder = encoder, decoder

    def encode(self, source: Tensor | Padded) -> tuple[Tensor, Tensor | None]:
        """What the decoder looks at: the encoder's steps (B, S, D), and which of them are there, (B, S) bool."""
        values, lengths = opened(source)
        x = self.positions(self.embedding(values))
        there = steps_there(x, lengths)
        return self.encoder(x, there), there

    def decode(self, target: Tensor, memory: Tensor, there: Tensor | None) -> Tensor:
        """Scores of what follows each token of a target, (B, T, K).

        Args:
            target: tokens from the start token on, (B, T); what is not there stands at the ends, where no token that is
                there sees it.
            memory: of `encode`, (B, S, D).
            there: of `encode`.
        """
        x = self.decoder(self.positions(self.embedding(target)), None, memory, there)
        return F.linear(x, self.embedding.weight)

    def multiply_adds(self, source: Tensor, output: Tensor) -> int:
        """Those of the last layer, which is the embedding, for one sample."""
        return output.numel() * self.embedding.embedding_dim

    def forward(self, source: Tensor | Padded, target: Tensor | Padded | None = None) -> Tensor:
        """(B, S) and (B, T) int64, or `Padded` -> (B, T, K).

        Args:
            source: what is read.
            target: what was written, from the start token on; None: the start token alone.
        """
        memory, there = self.encode(source)
        values = torch.full((len(memory), 1), self.start, device=memory.device) if target is None else opened(target)[0]
        return self.decode(values, memory, there)


@loads_weights
def transformer(
    vocabulary_size: int,
    num_classes: int,
    width: int = 512,
    layers: int = 6,
    heads: int = 8,
    hidden: int = 2048,
    dropout: float = 0.1,
    norm_first: bool = False,
    activation: str = "relu",
    start: int = 0,
) -> Transformer:
    """The transformer of figure 1.

    Args:
        vocabulary_size: different tokens of both sides.
        num_classes: the same: the scores of a step are over the vocabulary.
        width: numbers of a step, D.
        layers: of the encoder, and as many of the decoder.
        heads: of each attention.
        hidden: units between the two linear layers of each layer.
        dropout: share that is dropped in training, at the paper's places (section 5.4): behind the positions, and of
            what each part of a layer gives.
        norm_first: each part of a layer normalises what it takes instead of the sum.
        activation: between the two linear layers, `relu` or `gelu`.
        start: the token that a target begins behind.
    """
    check_heads(width, heads)

    def stack(decodes: bool) -> Layers:
        made = [
            Layer(width, heads, hidden, dropout, norm_first, activation, causal=decodes, across=decodes)
            for _ in range(layers)
        ]
        return Layers(made, width, norm_first)

    net = Transformer(vocabulary_size, width, stack(False), stack(True), dropout, start)
    begin_by_xavier(net)
    return net
