"""Losses of how far a predicted region covers the true one, for maps of classes: Dice and Jaccard, made smooth."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.loss.class_weights import ClassWeights
from couloir.loss.classification import CrossEntropy
from couloir.loss.targets import are_labels, counted, in_full_precision

TINY = 1e-12
"""The least denominator, of a class that is neither there nor predicted."""


class Overlap(nn.Module):
    """One minus the overlap of softmax probabilities with the true classes, sums over all pixels of a batch.

    Pixels that are IGNORED have no part.

    Args:
        average: `macro`, the mean over the classes that the batch has in its truth; `weighted`, that mean by their
            pixels; `micro`, the overlap of all classes together.
        smooth: added to the overlap's numerator and denominator.
        background: whether class 0 takes part.
    """

    expects: ClassVar[str] = "logits"

    def __init__(self, average: str = "macro", smooth: float = 1.0, background: bool = True) -> None:
        super().__init__()
        self.average, self.smooth, self.background = average, smooth, background

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, K, H, W) for classes (B, H, W); 0 where none of the classes is in the truth.

        Raises:
            CouloirError: the shapes do not belong together.
        """
        logits = in_full_precision(prediction)
        there = counted(target)
        if not are_labels(logits, target) or there is None:
            raise CouloirError(
                f"An overlap is one of maps: logits (B, K, H, W) and classes (B, H, W), not {tuple(prediction.shape)} "
                f"and {tuple(target.shape)}.",
                next_step="loss=cross_entropy for one label a sample",
            )
        first = 0 if self.background else 1
        p = torch.where(there[:, None], torch.softmax(logits, dim=1)[:, first:], 0.0)
        classes = torch.arange(first, logits.shape[1], device=target.device)
        y = target[:, None] == classes.view(-1, 1, 1)
        over = (0, *range(2, p.ndim))
        common, predicted, true = torch.where(y, p, 0.0).sum(over), p.sum(over), y.sum(over).to(p.dtype)
        if self.average == "micro":
            loss = 1 - self.overlap(common.sum(), predicted.sum(), true.sum())
            return torch.where(true.sum() > 0, loss, 0.0)
        weights = true if self.average == "weighted" else (true > 0).to(p.dtype)
        return (weights * (1 - self.overlap(common, predicted, true))).sum() / weights.sum().clamp(min=1)

    def overlap(self, common: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """The overlap of regions, in [0, 1].

        Args:
            common: the predicted share of the true pixels, summed.
            predicted: the predicted shares of all pixels.
            true: the number of true pixels.
        """
        raise NotImplementedError


class Dice(Overlap):
    """1 - (2 sum p y + s) / (sum p + sum y + s).

    Source: Milletari, Navab and Ahmadi, 2016, V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation, section 3, with p and y in the denominator for their squares, as in Drozdzal et al., 2016.
    """

    def overlap(self, common: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """Twice the common part, divided by both."""
        return (2 * common + self.smooth) / (predicted + true + self.smooth).clamp(min=TINY)


class Jaccard(Overlap):
    """1 - (sum p y + s) / (sum p + sum y - sum p y + s): intersection over union.

    Source: Rahman and Wang, 2016, Optimizing Intersection-over-Union in Deep Neural Networks for Image Segmentation,
    equation 3.
    """

    def overlap(self, common: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """The common part, divided by the union."""
        return (common + self.smooth) / (predicted + true - common + self.smooth).clamp(min=TINY)


class DiceCrossEntropy(CrossEntropy):
    """Cross-entropy of each pixel, and `weight` times the Dice loss.

    Source: Isensee et al., 2021, nnU-Net: A Self-Configuring Method for Deep Learning-Based Biomedical Image
    Segmentation, methods.

    Args:
        weight: what the Dice loss counts beside the cross-entropy.
        average, smooth, background: of the Dice loss.
        label_smoothing, class_weights: of the cross-entropy.
    """

    def __init__(
        self,
        weight: float = 1.0,
        average: str = "macro",
        smooth: float = 1.0,
        background: bool = True,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(label_smoothing, class_weights)
        self.weight, self.average, self.smooth, self.background = weight, average, smooth, background
        self.dice = Dice(average, smooth, background)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, K, H, W) for classes (B, H, W).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        dice: Tensor = self.dice(prediction, target)
        return super().forward(prediction, target) + self.weight * dice
