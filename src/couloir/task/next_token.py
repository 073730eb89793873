"""The next token at each step of a text: language modelling.

Bengio et al., 2003, A Neural Probabilistic Language Model; Mikolov et al., 2010, Recurrent Neural Network Based
Language Model, for the state that goes on from one stretch of the text to the next.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.data.sequence.characters import characters
from couloir.errors import CouloirError
from couloir.metric.tokens import TokenMetrics
from couloir.ragged import Padded
from couloir.task.task import Step, try_network
from couloir.task.token_prediction import TokenPrediction

SAME = 1e-4
"""How far scores of a step may move with later tokens, by the order of sums alone."""


class NextToken(TokenPrediction):
    """Scores (B, T, V) of the tokens that follow each step, (B, T)."""

    characters: Tensor | None

    def __init__(self, data: Any, **keys: Any) -> None:
        vocabulary = getattr(data, "vocabulary", None)
        self.per_character = vocabulary is not None  # before `measures` is asked
        super().__init__(data=data, **keys)
        counts = None if vocabulary is None else torch.tensor(characters(vocabulary))
        self.register_buffer("characters", counts, persistent=False)

    def measures(self) -> dict[str, Metric]:
        """Token accuracy, perplexity and, where the data says what its tokens stand for, bits a character."""
        return {"tokens": TokenMetrics(self.per_character)}

    def compute(self, batch: Batch) -> Step:
        """The loss and the sums of a batch that nothing stands before."""
        return self.predicted(self.net(batch[self.input]), batch)

    def predicted(self, logits: Tensor, batch: Batch) -> Step:
        """The same; and how many characters the tokens stand for."""
        step = super().predicted(logits, batch)
        if self.characters is None:
            return step
        target = batch[self.target]
        y = target.values if isinstance(target, Padded) else target
        counts = self.characters[y]
        counts = (counts * target.mask() if isinstance(target, Padded) else counts).sum(dim=1)
        return step._replace(tensors=(*step.tensors, counts.sum(dim=0, keepdim=True) if self.training else counts))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network, and two whose last tokens are others.

        Raises:
            CouloirError: it does not take them, does not return a score of each token at each step, or sees the tokens
                that it is to predict.
        """
        output, count = try_network(net, data)
        batch = data.example_batch(count)
        x = batch[next(iter(batch))]
        values = x.values if isinstance(x, Padded) else x
        expected = (count, values.shape[1], data.num_classes)
        if tuple(getattr(output, "shape", ())) != expected:
            raise CouloirError(
                f"The network returns shape {tuple(getattr(output, 'shape', ()))} for {count} samples; the next token "
                f"at each step needs {expected}.",
                next_step="a model over steps, with answers: ${oc.select:task.answers,sequence} in its YAML",
            )
        if sees_ahead(net, values):
            raise CouloirError(
                "The network sees the tokens that it is to predict: the scores of a step change with later tokens.",
                next_step="a causal model, such as model=lstm with model.bidirectional=false",
            )


def sees_ahead(net: nn.Module, tokens: Tensor) -> bool:
    """Whether the scores of a network at some steps change with the tokens behind them.

    Args:
        net: (B, T) -> (B, T, V).
        tokens: (B, T), T of two or more, or there is nothing to be seen.
    """
    steps = tokens.shape[1]
    middle = steps // 2
    if middle == 0:
        return False
    changed = tokens.clone()
    changed[:, middle:] = torch.where(tokens[:, middle:] == 0, 1, 0)
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            before, after = net(tokens)[:, :middle], net(changed)[:, :middle]
    finally:
        net.train(training)
    return bool((before - after).abs().max() > SAME * (1 + before.abs().max()))
