"""Losses of predicted values against true values of the same shape: the mean over all of them."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.loss.targets import as_probabilities, check_same_shape, in_full_precision
from couloir.structural_similarity import structural_similarity

SMALLEST = 1e-7
"""What a logarithm is taken of where the value is smaller: Keras' epsilon."""


class MeanSquaredError(nn.Module):
    """Mean of (s - s')^2.

    Of classes it compares the network's outputs, whatever they are, with ones for the true class and zeros for others.
    """

    expects: ClassVar[str] = "values"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape, or of outputs (B, C) for labels (B,).

        Raises:
            CouloirError: the shapes do not belong together.
        """
        if target.ndim == 1 and prediction.ndim == 2 and not target.is_floating_point():
            target = as_probabilities(in_full_precision(prediction), target)
        predicted, true = _values(prediction, target)
        return F.mse_loss(predicted, true)


class MeanAbsoluteError(nn.Module):
    """Mean of |s - s'|."""

    expects: ClassVar[str] = "values"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        return F.l1_loss(predicted, true)


class MeanSquaredLogarithmicError(nn.Module):
    """Mean of (log(s + offset) - log(s' + offset))^2.

    Where s' + offset is below 1e-7 it counts as 1e-7, and its logarithm has the slope 1, so that a network that starts
    with negative predictions is led out of them.

    Args:
        offset: 0 compares relative errors alone; 1 is the log(1 + s) of Keras and scikit-learn.
    """

    expects: ClassVar[str] = "values"

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset
        self.target_range: tuple[float, float] = (0.0 - offset, math.inf)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        return (_log(true + self.offset) - _log(predicted + self.offset)).square().mean()


class Huber(nn.Module):
    """Mean of (s - s')^2 / 2 where |s - s'| <= delta, and of delta |s - s'| - delta^2 / 2 beyond.

    Source: Huber, 1964, Robust Estimation of a Location Parameter, section 2.

    Args:
        delta: the error at which the parabola goes over into a straight line, in units of the target.
    """

    expects: ClassVar[str] = "values"

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        return F.huber_loss(predicted, true, delta=self.delta)


class Charbonnier(nn.Module):
    """Mean of sqrt((s - s')^2 + epsilon^2): the absolute error, with a smooth bottom.

    Source: Lai et al., 2017, Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution, section 3.2.

    Args:
        epsilon: the error below which it is a parabola, in units of the target.
    """

    expects: ClassVar[str] = "values"

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        return ((true - predicted).square() + self.epsilon**2).sqrt().mean()


class StructuralSimilarity(nn.Module):
    """One minus the mean structural similarity of the images.

    Source: Zhao et al., 2017, Loss Functions for Image Restoration with Neural Networks, section III B.
    """

    expects: ClassVar[str] = "values"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of images (B, C, H, W) of one shape, whose true values lie in [0, 1].

        Raises:
            CouloirError: the shapes differ, or are not those of images.
        """
        predicted, true = _values(prediction, target)
        if true.ndim != 4:
            raise CouloirError(
                f"loss=ssim compares images (B, C, H, W); these have the shape {tuple(true.shape)}.",
                next_step="loss=mse or loss=mae takes values of any shape",
            )
        return 1 - structural_similarity(predicted, true).mean()


class ExponentialAbsoluteDifference(nn.Module):
    """Mean of exp(|s - s'|) - 1."""

    expects: ClassVar[str] = "values"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        return torch.expm1((true - predicted).abs()).mean()


class MLNet(nn.Module):
    """Mean of (s - s')^2 / (alpha - s), s the target: errors at salient places weigh more.

    The authors' own code divides each predicted map by its maximum first, so that its scale is free; the course, whose
    maps lie in [0, 1], does not.

    Source: Cornia et al., 2016, A Deep Multi-Level Network for Saliency Prediction, section III.

    Args:
        alpha: above every target; targets of 1 weigh 1 / (alpha - 1).
        normalize: whether predicted maps are divided by their maximum.
    """

    expects: ClassVar[str] = "values"

    def __init__(self, alpha: float = 1.1, normalize: bool = False) -> None:
        super().__init__()
        self.alpha, self.normalize = alpha, normalize
        self.target_range: tuple[float, float] = (-math.inf, alpha)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of two tensors of one shape.

        Raises:
            CouloirError: the shapes differ.
        """
        predicted, true = _values(prediction, target)
        if self.normalize:
            if predicted.ndim < 3:
                raise CouloirError(
                    "loss.normalize=true divides each predicted map by its maximum; predictions of the shape "
                    f"{tuple(predicted.shape)} are no maps.",
                    next_step="leave loss.normalize out",
                )
            predicted = predicted / predicted.flatten(1).amax(dim=1).clamp(min=SMALLEST).view(
                -1, *[1] * (true.ndim - 1)
            )
        return ((true - predicted).square() / (self.alpha - true)).mean()


def _values(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    check_same_shape(prediction, target)
    predicted = in_full_precision(prediction)
    return predicted, target.to(predicted.dtype)


def _log(x: Tensor) -> Tensor:
    led_out = torch.where(x < SMALLEST, x - x.detach(), 0.0)  # no value, the slope 1
    return x.clamp(min=SMALLEST).log() + led_out
