"""A convolutional network for sentences: kernels over several words each, and the largest answer of each kernel.

Kim, 2014, Convolutional Neural Networks for Sentence Classification, figure 1 and section 3.1 (CNN-rand): kernels over
3, 4 and 5 words, 100 of each, dropout 0.5, and rows of the last layer's weights that are no longer than 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.model.sequence.network import opened, steps_there
from couloir.model.weights import loads_weights
from couloir.ragged import Padded


class ShortRows(nn.Linear):
    """A linear layer whose rows of weights have at most a given length (section 2.1).

    A row that a step of the optimizer has made longer is scaled back to that length before it is used again.

    Args:
        inputs: numbers that come in.
        outputs: numbers that go out.
        longest: the length.
    """

    def __init__(self, inputs: int, outputs: int, longest: float) -> None:
        super().__init__(inputs, outputs)
        self.longest = longest

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K)."""
        with torch.no_grad():
            scale = (self.longest / self.weight.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
            if self.training:
                self.weight.mul_(scale)
        return super().forward(x) if self.training else F.linear(x, self.weight * scale, self.bias)


class TextCnn(nn.Module):
    """Vectors of tokens, convolutions of several widths beside each other, their maximum over the text, and a linear
    layer.

    Zeros stand at both ends of a text, so that a kernel begins with the first word at its end, and a text may be
    shorter than a kernel.

    Args:
        vocabulary_size: different tokens.
        num_classes: K.
        embedding: numbers of a token's vector.
        kernel_sizes: words that a kernel sees, for each convolution.
        maps: kernels of each.
        dropout: share of the largest answers that is dropped in training.
        max_norm: the length that rows of the last layer's weights have at most; None: any.
    """

    causal = False

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        embedding: int,
        kernel_sizes: list[int],
        maps: int,
        dropout: float,
        max_norm: float | None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding)
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)  # the variance of pre-trained vectors (section 3.3)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, maps, size, padding=size - 1) for size in kernel_sizes)
        self.dropout = nn.Dropout(dropout)
        width = maps * len(kernel_sizes)
        self.linear = nn.Linear(width, num_classes) if max_norm is None else ShortRows(width, num_classes, max_norm)

    def forward(self, x: Tensor | Padded) -> Tensor:
        """(B, T) int64 or `Padded` -> (B, K)."""
        values, lengths = opened(x)
        vectors: Tensor = self.embedding(values)
        there = steps_there(vectors, lengths)
        if there is not None:
            vectors = vectors * there[..., None]
        vectors = vectors.transpose(1, 2)
        found = []
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            answers = convolution(vectors)  # (B, M, T + size - 1)
            if lengths is not None:
                # Behind the last word of the text a kernel would see zeros alone.
                seen = steps_there(answers.transpose(1, 2), lengths + convolution.kernel_size[0] - 1)
                assert seen is not None
                answers = answers.masked_fill(~seen[:, None], -torch.inf)
            found.append(F.relu(answers.amax(dim=2)))
        out: Tensor = self.linear(self.dropout(torch.cat(found, dim=1)))
        return out


@loads_weights
def text_cnn(
    vocabulary_size: int,
    num_classes: int,
    answers: str = "sequence",
    embedding: int = 300,
    kernel_sizes: list[int] | None = None,
    maps: int = 100,
    dropout: float = 0.5,
    max_norm: float | None = 3.0,
) -> TextCnn:
    """The network of Kim, 2014; random vectors in the beginning.

    Args:
        vocabulary_size: different tokens.
        num_classes: outputs.
        answers: `sequence`: it answers for a whole text.
        embedding: numbers of a token's vector.
        kernel_sizes: words that a kernel sees, for each convolution; None: 3, 4 and 5.
        maps: kernels of each.
        dropout: share of the largest answers that is dropped in training.
        max_norm: the length that rows of the last layer's weights have at most; None: any.
    """
    return TextCnn(vocabulary_size, num_classes, embedding, kernel_sizes or [3, 4, 5], maps, dropout, max_norm)
