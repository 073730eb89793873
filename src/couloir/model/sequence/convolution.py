"""One-dimensional convolution over steps: a stack with pooling, which sees steps on both sides of each.

The course, one-dimensional convolution; Kiranyaz et al., 2021, 1D Convolutional Neural Networks and Applications.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.model.activation import activation as activation_layer
from couloir.model.sequence.network import SEQUENCE, STEPS, Inputs, head, opened, steps_there
from couloir.model.weights import loads_weights
from couloir.ragged import Padded


class PaddedConv1d(nn.Conv1d):
    """A convolution that adds zeros at both ends, so that T steps become ceil(T / stride)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T')."""
        around = self.kernel_size[0] - 1
        return super().forward(F.pad(x, (around // 2, around - around // 2)))


class Stage(nn.Module):
    """A convolution, its activation, and a maximum pooling.

    A last window of the pooling that is
    not full counts as well: T steps become ceil(T / pool_size), and one step at least is left of every sequence.

    Args:
        before: numbers of a step.
        after: kernels, numbers of a step behind them.
        kernel_size: steps of a kernel.
        stride: steps from one place of the kernel to the next.
        pool_size: steps of the pooling's windows, and between two of them; 1: there is no pooling.
        activation: what follows the convolution.
    """

    def __init__(
        self, before: int, after: int, kernel_size: int, stride: int, pool_size: int, activation: nn.Module
    ) -> None:
        super().__init__()
        self.stride, self.pool_size = stride, pool_size
        self.convolution = PaddedConv1d(before, after, kernel_size, stride)
        self.activation = activation
        self.pooling = nn.MaxPool1d(pool_size, ceil_mode=True) if pool_size > 1 else None

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, D, T) and the lengths -> (B, W, T') and theirs; steps that are not there are zeros, before and after."""
        x = self.activation(self.convolution(x))
        x, lengths = self._cut(x, lengths, self.stride, 0.0 if self.pooling is None else -float("inf"))
        if self.pooling is not None:
            x, lengths = self._cut(self.pooling(x), lengths, self.pool_size, 0.0)
        return x, lengths

    @staticmethod
    def _cut(x: Tensor, lengths: Tensor | None, by: int, value: float) -> tuple[Tensor, Tensor | None]:
        """A value in the steps that are not there, now that there are ceil(T / by) of them."""
        if lengths is None:
            return x, None
        lengths = (lengths + by - 1) // by
        there = steps_there(x.transpose(1, 2), lengths)
        assert there is not None
        return x.masked_fill(~there[:, None], value), lengths


class Convolutions(nn.Module):
    """Inputs, stages of convolution and pooling, and a head.

    Args:
        inputs: (B, T) or (B, T, F) -> (B, T, D).
        stages: in their order.
        head: (B, T', W) and the lengths -> the answer.
    """

    causal = False

    def __init__(self, inputs: Inputs, stages: list[Stage], head: nn.Module) -> None:
        super().__init__()
        self.inputs, self.stages, self.head = inputs, nn.ModuleList(stages), head

    def forward(self, x: Tensor | Padded) -> Tensor:
        """(B, T) int64 or (B, T, F), or `Padded` -> (B, K) or (B, H, K)."""
        values, lengths = opened(x)
        hidden = self.inputs(values)
        there = steps_there(hidden, lengths)
        if there is not None:
            hidden = hidden * there[..., None]
        hidden = hidden.transpose(1, 2)
        for stage in self.stages:
            hidden, lengths = stage(hidden, lengths)
        out: Tensor = self.head(hidden.transpose(1, 2), lengths)
        return out


@loads_weights
def conv1d(
    channels: int | None,
    vocabulary_size: int | None,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    embedding: int | None = None,
    widths: list[int] | None = None,
    kernel_size: int = 5,
    stride: int = 1,
    pool_size: int = 2,
    activation: str = "relu",
    pool: str = "mean",
    dropout: float = 0.0,
) -> Convolutions:
    """A stack of one-dimensional convolutions.

    Args:
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        num_classes: outputs of an answer.
        answers: `sequence` or `horizon`: what is answered, (B, K) or (B, H, K).
        horizon: steps to come, H.
        embedding: numbers of a token's vector, None: as many as the first stage has kernels; of numbers, the width of a
            linear layer before the first convolution, None: there is none.
        widths: kernels of each stage; None: 64 and 64.
        kernel_size: steps of a kernel.
        stride: steps from one place of a kernel to the next.
        pool_size: steps of the windows of the maximum pooling behind each convolution; 1: there is none.
        activation: by name.
        pool: of which steps a sequence is answered: `last`, `mean` or `max`.
        dropout: share of the pooled numbers that is dropped in training.

    Raises:
        CouloirError: each step is to be answered, which the convolutions see steps behind of; or there is no stage.
    """
    if answers == STEPS:
        raise CouloirError(
            "model=conv1d sees the steps on both sides of each, so it cannot predict what follows a step.",
            next_step="model=tcn, or model=wavenet",
        )
    widths = widths or [64, 64]
    inputs = Inputs(channels, vocabulary_size, (embedding or widths[0]) if vocabulary_size is not None else embedding)
    stages = [
        Stage(before, after, kernel_size, stride, pool_size, activation_layer(activation))
        for before, after in zip([inputs.width, *widths], widths, strict=False)
    ]
    return Convolutions(inputs, stages, head(answers, widths[-1], num_classes, horizon, inputs, pool, dropout=dropout))
