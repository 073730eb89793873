"""Losses of class scores against labels or, after mixup, against class probabilities."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.fields import IGNORED
from couloir.loss.class_weights import SMALLEST, ClassWeights, WeightedMean, WeightedPresence
from couloir.loss.targets import are_labels, as_probabilities, check_bounds, counted, in_full_precision


class CrossEntropy(WeightedMean):
    """Mean of -sum_j y_j log softmax(z)_j over the batch.

    With class weights it is -sum_i sum_j w_j s_ij log softmax(z_i)_j / sum_i sum_j w_j y_ij, s being y with label
    smoothing: for labels what torch computes; for class probabilities torch divides by the number of samples instead.

    Source: Szegedy et al., 2016, Rethinking the Inception Architecture for Computer Vision, section 7 (smoothing).

    Args:
        label_smoothing: the share of the target that is spread evenly over all C classes, y (1 - s) + s / C.
        class_weights: C weights > 0, `balanced`, or None.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, label_smoothing: float = 0.0, class_weights: ClassWeights = None) -> None:
        super().__init__(class_weights)
        self.label_smoothing = label_smoothing

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,) or probabilities (B, C); of logits (B, C, H, W) for classes
        (B, H, W), the mean over the pixels that are not IGNORED.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        labels, weights = are_labels(logits, target), self.of_classes(logits)
        target = target.long() if labels else target.to(logits.dtype)
        if (there := counted(target)) is not None:
            smoothed: Any = {"ignore_index": IGNORED, "label_smoothing": self.label_smoothing, "reduction": "sum"}
            total = there.sum() if weights is None else cast(Tensor, self.total_weight(target))
            return F.cross_entropy(logits, target, weights, **smoothed) / total.clamp(min=SMALLEST)
        loss = F.cross_entropy(logits, target, weights, label_smoothing=self.label_smoothing)
        if weights is None or labels:
            return loss
        return loss * (target.numel() / target.shape[1]) / (target.movedim(1, -1) @ weights).sum()


class NegativeLogLikelihood(WeightedMean):
    """Mean of -sum_j y_j log p_j over the batch, of logarithms that the network has taken itself.

    With class weights it is -sum_i sum_j w_j y_ij log p_ij / sum_i sum_j w_j y_ij.

    Args:
        class_weights: C weights > 0, `balanced`, or None.
    """

    expects: ClassVar[str] = "log_probabilities"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities (B, C) for labels (B,) or probabilities (B, C).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        log_p = in_full_precision(prediction)
        return self.mean(-log_p, target)


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


class BinaryCrossEntropy(WeightedPresence):
    """Mean of -(w y log p + (1 - y) log(1 - p)) over batch and classes, w being 1 where there are no class weights.

    A probability that was rounded to 0 or 1 counts as the nearest number in between that its precision can tell apart
    (at least 1e-12), so that loss and gradient stay finite in half precision as well. Compared with `bce_with_logits`,
    which never rounds, a saturated sigmoid learns slowly.

    Args:
        class_weights: C weights > 0 of the classes' presence, `balanced`, or None.
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
        there, weights = y * p.log(), self.of_classes(p)
        return -((there if weights is None else weights * there) + (1 - y) * torch.log1p(-p)).mean()


class BinaryCrossEntropyWithLogits(WeightedPresence):
    """Mean of -(w y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))) over batch and classes, without rounding.

    Args:
        class_weights: C weights > 0 of the classes' presence, `balanced`, or None: w = 1.
    """

    expects: ClassVar[str] = "logits"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,), or for targets in [0, 1] of the prediction's shape.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        y = as_probabilities(logits, target)
        return F.binary_cross_entropy_with_logits(logits, y, pos_weight=self.of_classes(logits))
