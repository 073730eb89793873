"""Causal dilated convolution: no step sees a later one, and each layer doubles how far back a step sees.

Van den Oord et al., 2016, WaveNet: A Generative Model for Raw Audio; Bai, Kolter and Koltun, 2018, An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling.

Zeros stand before the first step, and nothing behind the last: steps that fill up a batch at the ends of its shorter
sequences change no step before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm as normalised

from couloir.model.sequence.network import SEQUENCE, Inputs, SequenceNetwork, head
from couloir.model.weights import loads_weights


class CausalConv1d(nn.Conv1d):
    """A convolution whose step t is made of the steps t, t - dilation, t - 2 dilation, ...; zeros stand before the
    first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T)."""
        return super().forward(F.pad(x, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))


def seen_steps(kernel_size: int, dilations: Sequence[int]) -> int:
    """The receptive field of causal convolutions one after the other: the steps that the last step is made of.

    1 + (kernel_size - 1) x the sum of the dilations.
    """
    return 1 + (kernel_size - 1) * sum(dilations)


class ResidualBlock(nn.Module):
    """Two causal convolutions of one dilation, each with a ReLU and dropout of whole channels, added to what came in
    (Bai et al., figure 1 b).

    Args:
        before: channels that come in.
        after: channels that go out; where they are others, a 1x1 convolution takes the input to the sum.
        kernel_size: steps of a kernel.
        dilation: steps from one element of a kernel to the next.
        dropout: share of channels that is dropped in training.
        weight_norm: whether each kernel is a direction and a length, which are learned apart (Salimans and Kingma,
            2016, Weight Normalization).
    """

    def __init__(
        self, before: int, after: int, kernel_size: int, dilation: int, dropout: float, weight_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (before, after):
            convolution = CausalConv1d(width, after, kernel_size, dilation=dilation)
            layers += [normalised(convolution) if weight_norm else convolution, nn.ReLU(), nn.Dropout1d(dropout)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Conv1d(before, after, 1) if before != after else nn.Identity()
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', T)."""
        out: Tensor = self.activation(self.layers(x) + self.shortcut(x))
        return out


class TemporalConvolutions(nn.Module):
    """Residual blocks whose dilation doubles from one to the next.

    Args:
        inputs: numbers of a step.
        width: channels of the blocks.
        levels: blocks.
        kernel_size: steps of a kernel.
        dropout: share of channels that is dropped in training.
        weight_norm: as for `ResidualBlock`.
    """

    causal = True

    def __init__(
        self, inputs: int, width: int, levels: int, kernel_size: int, dropout: float, weight_norm: bool
    ) -> None:
        super().__init__()
        dilations = [2**level for level in range(levels)]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(width if level else inputs, width, kernel_size, dilation, dropout, weight_norm)
                for level, dilation in enumerate(dilations)
            )
        )
        self.width = width
        self.receptive_field = seen_steps(kernel_size, [dilation for dilation in dilations for _ in range(2)])
        """The steps that the last one is made of: 1 + 2 (kernel_size - 1) (2^levels - 1)."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, W)."""
        out: Tensor = self.blocks(x.transpose(1, 2)).transpose(1, 2)
        return out


class GatedUnit(nn.Module):
    """tanh(W_f * x) sigmoid(W_g * x), and what goes from it to the next unit and to the output (van den Oord et al.,
    equation 2 and figure 4).

    Args:
        width: channels that pass from unit to unit.
        skip: channels of what goes to the output.
        kernel_size: steps of a kernel.
        dilation: steps from one element of a kernel to the next.
        last: whether no unit follows, so that nothing is passed on.
    """

    def __init__(self, width: int, skip: int, kernel_size: int, dilation: int, last: bool) -> None:
        super().__init__()
        self.filter = CausalConv1d(width, width, kernel_size, dilation=dilation)
        self.gate = CausalConv1d(width, width, kernel_size, dilation=dilation)
        self.skip = nn.Conv1d(width, skip, 1)
        self.residual = None if last else nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) -> what the next unit is given, (B, C, T), and what goes to the output, (B, S, T)."""
        z = torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x))
        return x if self.residual is None else x + self.residual(z), self.skip(z)


class WaveNet(nn.Module):
    """A causal convolution, gated units whose dilations double up to a limit and begin again, and the sum of what each
    unit gives, behind ReLU, a 1x1 convolution and ReLU. The 1x1 convolution that follows is the head's.

    Args:
        inputs: numbers of a step.
        width: channels that pass from unit to unit.
        skip: channels of the sum.
        kernel_size: steps of a kernel.
        max_dilation: dilations are 1, 2, 4, ... up to this.
        repeats: how often they begin at 1.
    """

    causal = True

    def __init__(self, inputs: int, width: int, skip: int, kernel_size: int, max_dilation: int, repeats: int) -> None:
        super().__init__()
        dilations = [2**power for power in range(max_dilation.bit_length())] * repeats
        self.first = CausalConv1d(inputs, width, kernel_size)
        self.units = nn.ModuleList(
            GatedUnit(width, skip, kernel_size, dilation, last=number == len(dilations))
            for number, dilation in enumerate(dilations, 1)
        )
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU())
        self.width = skip
        self.receptive_field = seen_steps(kernel_size, [1, *dilations])
        """The steps that the last one is made of."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, S)."""
        x, skips = self.first(x.transpose(1, 2)), []
        for unit in self.units:
            x, skip = unit(x)
            skips.append(skip)
        out: Tensor = self.last(torch.stack(skips).sum(dim=0)).transpose(1, 2)
        return out


@loads_weights
def tcn(
    channels: int | None,
    vocabulary_size: int | None,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    embedding: int | None = None,
    width: int = 64,
    levels: int = 6,
    kernel_size: int = 3,
    dropout: float = 0.0,
    weight_norm: bool = True,
    pool: str = "last",
    tied: bool = False,
) -> SequenceNetwork:
    """A temporal convolutional network.

    Args:
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        num_classes: outputs of an answer.
        answers: `sequence`, `steps` or `horizon`: what is answered, (B, K), (B, T, K) or (B, H, K).
        horizon: steps to come, H.
        embedding: numbers of a token's vector, None: `width`; of numbers, the width of a linear layer before the first
            block, None: there is none.
        width: channels of the blocks.
        levels: blocks; the dilation is 1 in the first, and doubles.
        kernel_size: steps of a kernel.
        dropout: share of channels that is dropped in training, behind each convolution.
        weight_norm: whether direction and length of each kernel are learned apart.
        pool: of which steps a sequence is answered: `last`, `mean` or `max`.
        tied: whether the embedding is the last layer as well.
    """
    inputs = Inputs(channels, vocabulary_size, (embedding or width) if vocabulary_size is not None else embedding)
    body = TemporalConvolutions(inputs.width, width, levels, kernel_size, dropout, weight_norm)
    return SequenceNetwork(inputs, body, head(answers, width, num_classes, horizon, inputs, pool, tied))


@loads_weights
def wavenet(
    channels: int | None,
    vocabulary_size: int | None,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    embedding: int | None = None,
    width: int = 32,
    skip: int = 128,
    kernel_size: int = 2,
    max_dilation: int = 64,
    repeats: int = 2,
    pool: str = "last",
) -> SequenceNetwork:
    """A WaveNet.

    Args:
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        num_classes: outputs of an answer.
        answers: `sequence`, `steps` or `horizon`: what is answered, (B, K), (B, T, K) or (B, H, K).
        horizon: steps to come, H.
        embedding: numbers of a token's vector, None: `width`; of numbers, the width of a linear layer before the first
            convolution, None: there is none.
        width: channels that pass from unit to unit.
        skip: channels of what all units give to the output.
        kernel_size: steps of a kernel.
        max_dilation: dilations double from 1 up to this.
        repeats: how often they begin at 1.
        pool: of which steps a sequence is answered: `last`, `mean` or `max`.
    """
    inputs = Inputs(channels, vocabulary_size, (embedding or width) if vocabulary_size is not None else embedding)
    body = WaveNet(inputs.width, width, skip, kernel_size, max_dilation, repeats)
    return SequenceNetwork(inputs, body, head(answers, skip, num_classes, horizon, inputs, pool))
