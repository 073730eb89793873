"""Focal losses: what a network already gets right counts less.

Source: Lin, Goyal, Girshick, He and Dollár, 2017, Focal Loss for Dense Object Detection, equations 4 and 5.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.loss.class_weights import ClassWeights, WeightedMean, WeightedPresence
from couloir.loss.targets import are_labels, as_probabilities, in_full_precision, of_own_class

LEAST = 1e-12
"""The least 1 - p: where gamma is below one, the slope of its power has no bound."""


class Focal(WeightedMean):
    """The mean of -w_y (1 - p_y)^gamma log p_y over the batch, with p = softmax(z), divided by the mean of w_y.

    Of class probabilities y (after mixup) each class has its share, -sum_c y_c w_c (1 - p_c)^gamma log p_c. Zero for
    gamma is the cross-entropy. What the paper calls alpha_t is here the weight of the class.

    Args:
        gamma: how much less samples count that are already right.
        class_weights: C weights > 0, `balanced`, or None.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, gamma: float = 2.0, class_weights: ClassWeights = None) -> None:
        super().__init__(class_weights)
        self.gamma = gamma

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,) or probabilities (B, C); of logits (B, C, H, W) for classes
        (B, H, W), the mean over the pixels that are not IGNORED.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        log_p = F.log_softmax(in_full_precision(prediction), dim=1)
        if are_labels(log_p, target):
            return self.mean_of_own(_focused(of_own_class(log_p, target), self.gamma), target)
        return self.mean(_focused(log_p, self.gamma), target)


class SigmoidFocal(WeightedPresence):
    """The mean of -(w y (1 - p)^gamma log p + (1 - y) p^gamma log(1 - p)) over batch and classes, with p = sigmoid(z).

    Zero for gamma is the binary cross-entropy. The paper's alpha and 1 - alpha, of presence and absence, are here
    w = alpha / (1 - alpha) and 1.

    Args:
        gamma: how much less counts what is already right.
        class_weights: C weights > 0 of the classes' presence, `balanced`, or None.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, gamma: float = 2.0, class_weights: ClassWeights = None) -> None:
        super().__init__(class_weights)
        self.gamma = gamma

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, C) for labels (B,), or for targets in [0, 1] of the prediction's shape.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        y, weights = as_probabilities(logits, target), self.of_classes(logits)
        there = y * _focused(F.logsigmoid(logits), self.gamma)
        absent = (1 - y) * _focused(F.logsigmoid(-logits), self.gamma)
        return (there + absent if weights is None else weights * there + absent).mean()


def _focused(log_p: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p."""
    return -((-torch.expm1(log_p)).clamp_min(LEAST) ** gamma) * log_p
