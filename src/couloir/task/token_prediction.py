"""A token predicted at each step: what next tokens and translations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.loss.classification import CrossEntropy
from couloir.metric.tokens import TokenMetrics, token_sums
from couloir.ragged import Field, Padded
from couloir.task.forms import converted
from couloir.task.task import Column, Step, Task


class TokenPrediction(Task):
    """Scores (B, T, V) of the tokens (B, T) that are to be predicted.

    The loss is the mean over all tokens that are there, and a batch counts as many, so that an epoch's loss is exact
    whatever its batches are. With `loss.label_smoothing` it is the smoothed one in every split; token accuracy,
    perplexity and bits a character are of the plain -ln p.
    """

    def predicted(self, logits: Tensor, batch: Batch) -> Step:
        """The loss of the scores of a batch, and what its metrics take.

        In training these are sums over the batch, (1,), else over each sample, (B,).
        """
        target: Tensor | Padded = batch[self.target]
        loss = self.criterion(logits, target)
        y = target.values if isinstance(target, Padded) else target
        tensors: tuple[Tensor, ...]
        if self.training and self.is_plain and not isinstance(target, Padded):
            right = (logits.detach().argmax(dim=-1) == y).sum()
            tokens = torch.full((1,), y.numel(), device=y.device)
            tensors = (loss.detach() * y.numel()).view(1), right.view(1), tokens
        else:
            tensors = tuple(token_sums(logits.detach(), target))
            tensors = tuple(each.sum(dim=0, keepdim=True) for each in tensors) if self.training else tensors
        return Step({"loss": loss}, tensors, self.weight(target))

    @property
    def is_plain(self) -> bool:
        """Whether the loss is the mean of -ln p itself."""
        loss = self.loss
        return (
            type(loss) is CrossEntropy and loss.label_smoothing == 0 and loss.weights is None
            and getattr(self.net, "output", "logits") == "logits"
        )  # fmt: skip

    def criterion(self, outputs: Any, y: Field) -> Tensor:
        """The loss of scores (B, T, V) for tokens (B, T): the mean over those that are there."""
        assert self.loss is not None
        logits, tokens = flat(outputs, y)
        loss: Tensor = self.loss(converted(logits, self.net, self.loss), tokens)
        return loss

    def weight(self, target: Tensor | Padded) -> Tensor:
        """What a batch counts among others: its tokens, or the sum of the weights of their classes."""
        weigh = getattr(self.loss, "total_weight", None)
        y = target.values if isinstance(target, Padded) else target
        if getattr(self.loss, "weights", None) is not None and weigh is not None:
            total: Tensor = weigh(y[target.mask()] if isinstance(target, Padded) else y.flatten())
            return total
        if isinstance(target, Padded):
            return target.lengths.sum().to(torch.get_default_dtype())
        return torch.tensor(float(y.numel()), device=y.device)

    def measures(self) -> dict[str, Metric]:
        """Token accuracy and perplexity."""
        return {"tokens": TokenMetrics()}

    def answer(self, output: Tensor) -> Tensor:
        """The probabilities of the tokens, (B, T, V)."""
        if getattr(self.net, "output", "logits") == "probabilities":
            return output.float() / output.float().sum(dim=-1, keepdim=True)
        return torch.softmax(output.float(), dim=-1)

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The loss and the metrics' tensors of probabilities (B, T, V)."""
        return self.predicted(answer.clamp_min(torch.finfo(answer.dtype).tiny).log(), batch)

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> Mapping[str, Column]:
        """Of each sample, (B,): its tokens, the mean of their -ln p in nats, and the share of them that is right."""
        nats, right, tokens = step.tensors[:3]
        return {"tokens": tokens, "nats_per_token": nats / tokens, "token_accuracy": right / tokens}

    def columns(self, answer: Any, output: Any = None) -> Mapping[str, Column]:
        """Nothing: without the truth, a table has no room for the probabilities of all tokens."""
        return {}


def flat(logits: Tensor, y: Field) -> tuple[Tensor, Tensor]:
    """Scores (N, V) and tokens (N,) of all N tokens of a batch that are there."""
    if isinstance(y, Padded):
        there = y.mask()
        return logits[there], y.values[there]
    assert isinstance(y, Tensor)
    return logits.flatten(0, 1), y.flatten()
