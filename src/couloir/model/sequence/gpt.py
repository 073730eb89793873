"""GPT: a decoder alone, which says at each step what comes next.

Radford et al., 2018, Improving Language Understanding by Generative Pre-Training; 2019, Language Models are
Unsupervised Multitask Learners (GPT-2): layers that normalise first, learned positions, GELU, the embedding as the last
layer too.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from couloir.config.attention import check_heads
from couloir.model.sequence.network import SEQUENCE, STEPS, Inputs, SequenceNetwork, head, opened
from couloir.model.sequence.transformer import LEARNED, Layer, Layers, Positions
from couloir.model.weights import loads_weights
from couloir.ragged import Padded


class Decoder(nn.Module):
    """A body over the steps: positions and layers, no step of which sees a later one.

    Args:
        positions: what says where a step stands.
        layers: the layers, each causal.
    """

    causal = True

    def __init__(self, positions: Positions, layers: Layers) -> None:
        super().__init__()
        self.positions, self.layers, self.width = positions, layers, positions.width

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D). What is not there stands at the ends, where no step that is there sees it."""
        out: Tensor = self.layers(self.positions(x))
        return out


class GPT(SequenceNetwork):
    """A decoder that sees as many steps as it has positions for: of a longer sequence the last ones.

    Args:
        inputs: tokens (B, T) -> (B, T, D).
        body: the decoder.
        head: called with (B, T, D) and the lengths -> the answer.
        context: steps that it sees at most.
    """

    def __init__(self, inputs: nn.Module, body: Decoder, head: nn.Module, context: int) -> None:
        super().__init__(inputs, body, head)
        self.context = context

    def forward(self, x: Tensor | Padded) -> Tensor:
        """(B, T) int64, or `Padded` -> (B, K) or (B, T, K), T at most the context."""
        values, _ = opened(x)
        if values.shape[1] > self.context:
            if isinstance(x, Padded):
                x = Padded.of([row[-self.context :] for row in x.samples()])
                x = Padded(x.values, x.lengths.to(values.device))
            else:
                x = values[:, -self.context :]
        return super().forward(x)


@loads_weights
def gpt(
    vocabulary_size: int,
    num_classes: int,
    context: int,
    answers: str = SEQUENCE,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    hidden: int | None = None,
    dropout: float = 0.0,
    activation: str = "gelu",
    bias: bool = True,
    tied: bool | None = None,
) -> GPT:
    """A decoder over tokens. GPT-2's smallest: width 768, 12 layers, 12 heads, context 1024, vocabulary 50,257.

    Args:
        vocabulary_size: different tokens.
        num_classes: outputs of an answer: of the next token the size of its vocabulary.
        context: steps that the network sees at most; of longer sequences it sees the last ones.
        answers: `steps`, the next token of each step, or `sequence`, a row of numbers for the whole sequence, made of
            its last step.
        width: numbers of a step, D.
        layers: how many.
        heads: of each layer's attention.
        hidden: units between the two linear layers of each layer; None: 4 D.
        dropout: share that is dropped in training: behind the positions, of the attention's weights, and of what each
            part of a layer gives.
        activation: between the two linear layers, `gelu` or `relu`.
        bias: whether the linear layers have biases.
        tied: whether the embedding is the last layer as well; None: where each step is answered.
    """
    check_heads(width, heads)
    inputs = Inputs(None, vocabulary_size, width)
    stack = [
        Layer(width, heads, hidden or 4 * width, dropout, True, activation, causal=True, bias=bias,
              attention_dropout=dropout)
        for _ in range(layers)
    ]  # fmt: skip
    body = Decoder(Positions(LEARNED, width, context, dropout), Layers(stack, width, norm_first=True))
    tied = answers == STEPS if tied is None else tied
    net = GPT(inputs, body, head(answers, width, num_classes, None, inputs, "last", tied), context)
    begin(net, layers)
    return net


def begin(net: GPT, layers: int) -> None:
    """Weights normal with deviation 0.02, divided by the root of the number of sums where a layer's output is added
    (GPT-2, section 2.3); biases zero.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            is_added = name.endswith(("attention.out", "network.2"))
            nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * layers) if is_added else 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
