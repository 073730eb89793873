"""Losses in which classes count differently: weights that are stated, or that follow from the training split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from couloir.loss.targets import are_labels, counted, of_own_class

ClassWeights = Sequence[float] | str | None
"""A weight for each class; `balanced`, they follow from how many samples each class has; None: all count the same."""
SMALLEST = 1e-30
"""The least sum of weights that is divided by: of a batch of pixels that are all left out it is 0."""


class Weighted(nn.Module):
    """A loss with a weight for each class.

    Args:
        class_weights: C weights > 0, `balanced`, or None.
    """

    weights: Tensor | None

    def __init__(self, class_weights: ClassWeights = None) -> None:
        super().__init__()
        self.class_weights = class_weights
        stated = None if class_weights is None or isinstance(class_weights, str) else torch.tensor(class_weights)
        # A checkpoint does not hold them: they follow from the configuration, and from the data that it describes.
        self.register_buffer("weights", stated, persistent=False)

    def balance(self, counts: Sequence[int], samples: int) -> None:
        """Set the weights of `balanced`.

        Args:
            counts: the training samples of each class; of maps of classes, their pixels.
            samples: all training samples, or pixels.
        """
        self.weights = torch.tensor(self.balanced(counts, samples))

    @staticmethod
    def balanced(counts: Sequence[int], samples: int) -> list[float]:
        """Weights under which every class counts the same. A class without samples counts as if it had one."""
        raise NotImplementedError

    def of_classes(self, like: Tensor) -> Tensor | None:
        """The weights (C,) in the precision of a prediction; None where all classes count the same."""
        return None if self.weights is None else self.weights.to(like.dtype)


class WeightedMean(Weighted):
    """A mean over samples in which each counts what its class does, so that the weights of a batch are divided out.

    A batch whose targets are class probabilities y counts sum_i sum_c w_c y_ic, which for labels is sum_i w_{y_i}.
    """

    @staticmethod
    def balanced(counts: Sequence[int], samples: int) -> list[float]:
        """N / (C n_c), with n_c samples of a class among N.

        Source: King and Zeng, 2001, Logistic Regression in Rare Events Data.
        """
        return [samples / (len(counts) * max(1, count)) for count in counts]

    def total_weight(self, target: Tensor) -> Tensor | None:
        """What a batch counts among others; None: its samples.

        The mean over several batches is that of their samples, or of their pixels, if each is weighted so.

        Args:
            target: labels (B,), classes (B, H, W), whose pixels count each, or probabilities (B, C, ...).
        """
        there = counted(target)
        if self.weights is None:
            return None if there is None else there.sum().to(torch.get_default_dtype())
        if target.is_floating_point():
            return (target.movedim(1, -1) @ self.weights.to(target.dtype)).sum()
        return self._each(target, self.weights).sum()

    def mean(self, terms: Tensor, target: Tensor) -> Tensor:
        """The mean of terms that have a class each.

        Args:
            terms: -log p_c, or another loss of class c, (B, C, ...).
            target: labels (B,) or classes (B, H, W), or probabilities of the terms' shape.
        """
        if are_labels(terms, target):
            return self.mean_of_own(of_own_class(terms, target), target)
        weights = self.of_classes(terms)
        y = target.to(terms.dtype)
        terms = torch.where(y > 0, y * terms, 0.0)  # 0 log 0 is 0, not NaN
        if weights is None:
            return terms.sum(dim=1).mean()
        return (terms.movedim(1, -1) @ weights).sum() / (y.movedim(1, -1) @ weights).sum()

    def mean_of_own(self, terms: Tensor, target: Tensor) -> Tensor:
        """The mean of terms of samples or pixels, by the weights of their classes; 0 where all pixels are left out.

        Args:
            terms: (B,) or (B, H, W).
            target: labels or classes of that shape.
        """
        weights, there = self.of_classes(terms), counted(target)
        if weights is not None:
            each = self._each(target, weights)
            return (each * terms).sum() / each.sum().clamp(min=SMALLEST)
        if there is None:
            return terms.mean()
        return torch.where(there, terms, 0.0).sum() / there.sum().clamp(min=1)

    @staticmethod
    def _each(target: Tensor, weights: Tensor) -> Tensor:
        """The weight of each sample's or pixel's class, 0 where it is left out."""
        there = counted(target)
        if there is None:
            return weights[target.long()]
        return torch.where(there, weights[torch.where(there, target.long(), 0)], 0.0)


class WeightedPresence(Weighted):
    """A mean over samples and classes in which the presence of a class counts its weight, and its absence one."""

    @staticmethod
    def balanced(counts: Sequence[int], samples: int) -> list[float]:
        """(N - n_c) / n_c, with n_c samples that have a class among N: presence and absence count the same."""
        return [max(1, samples - count) / max(1, count) for count in counts]


def in_words(loss: nn.Module | None, classes: Sequence[str], named: int = 8) -> str:
    """The weights of a loss by class, the extremes where there are many; "" where all classes count the same."""
    weights = getattr(loss, "weights", None)
    if not isinstance(loss, Weighted) or weights is None:
        return ""
    values = weights.tolist()
    order = list(range(len(values)))
    if len(values) > named:
        ranked = sorted(order, key=values.__getitem__)
        order = [*ranked[: named // 2], *ranked[-(named // 2) :]]
    told = [f"{classes[place] if place < len(classes) else place} {values[place]:.4g}" for place in order]
    if len(values) > named:
        told.insert(named // 2, "...")
    how = ", balanced by the training split" if loss.class_weights == "balanced" else ""
    return f"class weights{how}: {', '.join(told)}"
