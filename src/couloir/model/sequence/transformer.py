"""Transformers: layers of attention and of a small network for each step.

Vaswani et al., 2017, Attention Is All You Need: positions of section 3.5, layers of figure 1, dropout of section 5.4.
With `norm_first` a layer normalises what it takes instead of what it gives (Xiong et al., 2020, On Layer Normalization
in the Transformer Architecture).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from couloir.config.attention import check_heads, no_steps
from couloir.errors import CouloirError
from couloir.model.sequence.attention import Attention
from couloir.model.sequence.network import SEQUENCE, Inputs, SequenceNetwork, head, steps_there
from couloir.model.weights import loads_weights

SINUSOIDAL, LEARNED = "sinusoidal", "learned"
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


def sinusoidal(steps: int, width: int, device: torch.device | None = None) -> Tensor:
    """sin(t / 10000^(2i/D)) at the even numbers of a step, the cosine at the odd ones (section 3.5), (steps, width)."""
    t = torch.arange(steps, device=device, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / width))
    angles = t * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


class Positions(nn.Module):
    """Add to each step what says where it stands, and drop a share of the sum.

    Args:
        kind: `sinusoidal` or `learned`.
        width: numbers of a step, D.
        steps: steps at most; None, of sinusoidal ones alone: any number.
        dropout: share of the sum that is dropped in training.
        scale: what the steps are multiplied by before: D^0.5 where they are vectors of tokens (section 3.4).
    """

    def __init__(self, kind: str, width: int, steps: int | None, dropout: float, scale: float = 1.0) -> None:
        super().__init__()
        self.width, self.steps, self.scale, self.dropout = width, steps, scale, nn.Dropout(dropout)
        self.table: nn.Parameter | None = None
        if kind == LEARNED:
            if steps is None:
                raise no_steps()
            self.table = nn.Parameter(torch.empty(steps, width).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D).

        Raises:
            CouloirError: there are more steps than the network has positions for.
        """
        steps = x.shape[1]
        if self.steps is not None and steps > self.steps:
            raise CouloirError(
                f"The network has positions for {self.steps:,} steps, and a sequence has {steps:,}.",
                next_step="shorter sequences, or a network with positions for as many steps",
            )
        table = sinusoidal(steps, self.width, x.device).to(x.dtype) if self.table is None else self.table[:steps]
        out: Tensor = self.dropout((x if self.scale == 1.0 else x * self.scale) + table)
        return out


def feed_forward(width: int, hidden: int, activation: str, bias: bool = True) -> nn.Sequential:
    """Two linear layers with an activation between them, the same for each step (section 3.3)."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=bias), ACTIVATIONS[activation](), nn.Linear(hidden, width, bias=bias)
    )


class Layer(nn.Module):
    """Attention to the own sequence, in a decoder also to the encoder's, and a network for each step (figure 1).

    Each is added to what it was given. The sum is normalised, or with `norm_first` what is given.

    Args:
        width: numbers of a step, D.
        heads: of the attention.
        hidden: units between the two linear layers.
        dropout: share of what attention and network give that is dropped in training.
        norm_first: normalise what is given instead of the sum.
        activation: `relu` or `gelu`.
        causal: no step sees a later one.
        across: whether the layer looks at an encoder's steps as well.
        bias: whether the linear layers have biases.
        attention_dropout: share of the attention's weights that is dropped in training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: str = "relu",
        causal: bool = False,
        across: bool = False,
        bias: bool = True,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_first, self.causal = norm_first, causal
        self.attention = Attention(width, heads, attention_dropout, bias)
        self.attention_norm = nn.LayerNorm(width)
        self.across = Attention(width, heads, attention_dropout, bias, across=True) if across else None
        self.across_norm = nn.LayerNorm(width) if across else None
        self.network = feed_forward(width, hidden, activation, bias)
        self.network_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, there: Tensor | None = None, memory: Tensor | None = None, memory_there: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        Args:
            x: the steps.
            there: which of them are there, (B, T) bool; None: all.
            memory: the encoder's steps, (B, S, D), of a layer that looks at them.
            memory_there: which of these are there, (B, S) bool; None: all.
        """
        x = self._added(x, self.attention_norm, lambda y: self.attention(y, None, there, self.causal))
        if self.across is not None and self.across_norm is not None:
            across = self.across
            x = self._added(x, self.across_norm, lambda y: across(y, memory, memory_there))
        return self._added(x, self.network_norm, self.network)

    def _added(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        out: Tensor = x + self.dropout(part(norm(x))) if self.norm_first else norm(x + self.dropout(part(x)))
        return out


class Layers(nn.Module):
    """Layers one behind the other; where they normalise first, the last sum is normalised at the end.

    Args:
        layers: the layers.
        width: numbers of a step.
        norm_first: whether they normalise what they take.
    """

    def __init__(self, layers: list[Layer], width: int, norm_first: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width) if norm_first else None

    def forward(
        self, x: Tensor, there: Tensor | None = None, memory: Tensor | None = None, memory_there: Tensor | None = None
    ) -> Tensor:
        """As `Layer`."""
        for layer in self.layers:
            x = layer(x, there, memory, memory_there)
        return x if self.norm is None else self.norm(x)


def begin_by_xavier(net: nn.Module) -> None:
    """Weights of linear layers uniform by fan-in and fan-out (Glorot and Bengio, 2010), biases zero, vectors of tokens
    normal with deviation D^-0.5, as in the implementation that the paper names.

    Projections that are one product begin as if each were a layer of its own.
    """
    for module in net.modules():
        if isinstance(module, Attention):
            width = module.project.in_features
            for part in torch.split(module.project.weight, width):
                nn.init.xavier_uniform_(part)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    projections = {module.project for module in net.modules() if isinstance(module, Attention)}
    for module in net.modules():
        if isinstance(module, nn.Linear):
            if module not in projections:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Encoder(nn.Module):
    """A body over the steps: positions and layers, each step of which sees all others.

    Args:
        positions: what says where a step stands.
        layers: the layers.
    """

    causal = False

    def __init__(self, positions: Positions, layers: Layers) -> None:
        super().__init__()
        self.positions, self.layers, self.width = positions, layers, positions.width

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        out: Tensor = self.layers(self.positions(x), steps_there(x, lengths))
        return out


@loads_weights
def transformer_encoder(
    channels: int | None,
    vocabulary_size: int | None,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    hidden: int = 256,
    dropout: float = 0.1,
    norm_first: bool = False,
    activation: str = "relu",
    positions: str = SINUSOIDAL,
    steps: int | None = None,
    pool: str = "mean",
) -> SequenceNetwork:
    """The encoder of figure 1 as a network of its own.

    Args:
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        num_classes: outputs of an answer.
        answers: `sequence`, `steps` or `horizon`: what is answered, (B, K), (B, T, K) or (B, H, K).
        horizon: steps to come, H.
        width: numbers of a step, D.
        layers: how many.
        heads: of each layer's attention.
        hidden: units between the two linear layers of each layer.
        dropout: share that is dropped in training, at the paper's places: behind the positions, and of what each part
            of a layer gives.
        norm_first: each part of a layer normalises what it takes instead of the sum.
        activation: between the two linear layers, `relu` or `gelu`.
        positions: `sinusoidal` or `learned`.
        steps: steps at most, for learned positions.
        pool: which steps an answer for a whole sequence, or for steps to come, is made of: `mean` or `first`.
    """
    check_heads(width, heads)
    inputs = Inputs(channels, vocabulary_size, width)
    scale = 1.0 if vocabulary_size is None else math.sqrt(width)
    where = Positions(positions, width, steps if positions == LEARNED else None, dropout, scale)
    stack = [Layer(width, heads, hidden, dropout, norm_first, activation) for _ in range(layers)]
    body = Encoder(where, Layers(stack, width, norm_first))
    net = SequenceNetwork(inputs, body, head(answers, width, num_classes, horizon, inputs, pool))
    begin_by_xavier(net)
    return net
