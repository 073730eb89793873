"""Losses of class scores against labels or, after mixup, against class probabilities."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.loss.targets import are_labels, as_probabilities, check_bounds, in_full_precision


class CrossEntropy(nn.Module):
    """Mean of -sum_j y_j log softmax(z)_j over the batch.

    Source: Szegedy et al., 2016, Rethinking the Inception Architecture for Computer Vision, section 7 (smoothing).

    Args:
        label_smoothing: the share of the target that is spread evenly over all C classes, y (1 - s) + s / C.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,) or probabilities (B, C).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        target = target.long() if are_labels(logits, target) else target.to(logits.dtype)
        return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)


class NegativeLogLikelihood(nn.Module):
    """Mean of -sum_j y_j log p_j over the batch, of logarithms that the network has taken itself."""

    expects: ClassVar[str] = "log_probabilities"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities (B, C) for labels (B,) or probabilities (B, C).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        log_p = in_full_precision(prediction)
        if are_labels(log_p, target):
            return F.nll_loss(log_p, target.long())
        y = target.to(log_p.dtype)
        terms = torch.where(y > 0, y * log_p, 0.0)  # 0 log 0 is 0, not NaN
        return -terms.sum(dim=1).mean()


class MaximumAPosteriori(nn.Module):
    """Mean of d_y + log(exp(-C) + sum_i exp(-d_i)) over the batch, with d_i = -z_i the distance to class i.

    Source: LeCun et al., 1998, Gradient-Based Learning Applied to Document Recognition, equation 9 (where C is called
    j).

    Args:
        C: the distance of the class of everything else; wrong classes that are further away are left alone.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, C: float) -> None:
        super().__init__()
        self.C = C

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of scores (B, C) for labels (B,) or probabilities (B, C).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        scores = in_full_precision(prediction)
        y = as_probabilities(scores, target)
        rubbish = scores.new_full((len(scores), 1), -self.C)
        everything = torch.cat([scores, rubbish], dim=1).logsumexp(dim=1)
        return (everything - (y * scores).sum(dim=1)).mean()


class BinaryCrossEntropy(nn.Module):
    """Mean of -(y log p + (1 - y) log(1 - p)) over batch and classes.

    A probability that was rounded to 0 or 1 counts as the nearest number in between that its precision can tell apart
    (at least 1e-12), so that loss and gradient stay finite in half precision as well. Compared with `bce_with_logits`,
    which never rounds, a saturated sigmoid learns slowly.
    """

    expects: ClassVar[str] = "probabilities"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of probabilities (B, C) for labels (B,), or for targets in [0, 1] of the prediction's shape.

        Raises:
            CouloirError: the shapes do not belong together, or the prediction is not in [0, 1].
        """
        check_bounds("Predictions of bce", prediction, 0.0, 1.0, next_step="use loss=bce_with_logits for logits")
        precision = torch.finfo(prediction.dtype)
        p = in_full_precision(prediction)
        y = as_probabilities(p, target)
        inside = p.detach().clamp(max(precision.tiny, 1e-12), 1 - precision.eps / 2)
        p = p + (inside - p.detach())  # the value of `inside`, the gradient of p also where it was moved
        return -(y * p.log() + (1 - y) * torch.log1p(-p)).mean()


class BinaryCrossEntropyWithLogits(nn.Module):
    """Mean of -(y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))) over batch and classes, without rounding."""

    expects: ClassVar[str] = "logits"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,), or for targets in [0, 1] of the prediction's shape.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        return F.binary_cross_entropy_with_logits(logits, as_probabilities(logits, target))
