"""Distances between distributions: class probabilities, or dense maps such as saliency.

Both losses divide each sample's prediction and target by their sum over everything but the batch, so a map may come in
any unit. Zeros are where the formulas have poles, and maps are full of zeros: below FLOOR a logarithm keeps its value
and a square root becomes a straight line, both with a finite slope, and a map whose sum lies below FLOOR is left as
it is.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.loss.targets import as_probabilities, check_bounds, in_full_precision

FLOOR = 1e-12
"""The share of a map below which a value counts as zero."""


class KullbackLeibler(nn.Module):
    """Mean over the batch of sum_j S_j log(S_j / S'_j), with S the target and S' the prediction.

    Source: Kullback and Leibler, 1951, On Information and Sufficiency, section 2.
    """

    expects: ClassVar[str] = "distribution"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The divergence of non-negative maps (B, ...) from maps of the same shape, or of (B, C) from labels (B,).

        Raises:
            CouloirError: the shapes do not belong together, or a value is negative.
        """
        predicted, wanted = _distributions(prediction, target)
        return (wanted * (_log(wanted) - _log(predicted))).sum(dim=1).mean()


class Bhattacharyya(nn.Module):
    """Mean over the batch of -ln sum_j sqrt(S_j S'_j).

    Source: Bhattacharyya, 1943, On a measure of divergence between two statistical populations defined by their
    probability distributions.
    """

    expects: ClassVar[str] = "distribution"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The distance of non-negative maps (B, ...) from maps of the same shape, or of (B, C) from labels (B,).

        Raises:
            CouloirError: the shapes do not belong together, or a value is negative.
        """
        predicted, wanted = _distributions(prediction, target)
        overlap = (_root(wanted) * _root(predicted)).sum(dim=1)
        return -_log(overlap).mean()


class Brier(nn.Module):
    """Mean over the batch of sum_j (S_j - S'_j)^2: the squared error of class probabilities.

    Its gradient vanishes where a softmax is wrong and sure of it; that of the cross-entropy does not.

    Source: Brier, 1950, Verification of Forecasts Expressed in Terms of Probability, equation 2.
    """

    expects: ClassVar[str] = "distribution"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The score of probabilities (B, C) for labels (B,), or for class probabilities (B, C).

        Raises:
            CouloirError: the shapes do not belong together, or a value is negative.
        """
        predicted, wanted = _distributions(prediction, target)
        return (wanted - predicted).square().sum(dim=1).mean()


def _distributions(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Prediction and target as (B, M), each row with the sum of one."""
    if prediction.ndim < 2:
        raise CouloirError(
            f"The prediction has shape {tuple(prediction.shape)}; a distribution needs (B, C) or a map (B, ...).",
            next_step="let the model end in one number for each class or pixel",
        )
    predicted = in_full_precision(prediction)
    wanted = as_probabilities(predicted, target)
    hint = "let the model end in softmax, sigmoid or relu"
    check_bounds("The predicted shares of a distribution", predicted, 0.0, torch.inf, next_step=hint)
    check_bounds("The target's shares of a distribution", wanted, 0.0, torch.inf, next_step="shift the maps to zero")
    return _normalised(predicted), _normalised(wanted)


def _normalised(maps: Tensor) -> Tensor:
    rows = maps.flatten(start_dim=1)
    total = rows.sum(dim=1, keepdim=True)
    return rows / torch.where(total < FLOOR, 1.0, total)


def _log(x: Tensor) -> Tensor:
    """log(max(x, FLOOR)), with the slope 1 / FLOOR below it: a share of zero can still grow."""
    return (x + (x.detach().clamp(min=FLOOR) - x.detach())).log()


def _root(x: Tensor) -> Tensor:
    """sqrt(x), and the straight line from zero to sqrt(FLOOR) below FLOOR."""
    return torch.where(x > FLOOR, x.clamp(min=FLOOR).sqrt(), x / FLOOR**0.5)
