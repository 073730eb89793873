"""The cross-entropy of U-Net, in which the pixels between two cells that nearly touch count more."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError
from couloir.loss.class_weights import SMALLEST, ClassWeights, WeightedMean
from couloir.loss.targets import are_labels, counted, in_full_precision, of_own_class

REACH = 6.0
"""Deviations beyond which a weight is left out: exp(-18) is less than what float32 can add to one."""


class UNetCrossEntropy(WeightedMean):
    """Mean of w(x) (-log p_y(x)) with w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) over the pixels that count.

    d1 and d2 are the distances to the two nearest cells. A cell is a connected part of all classes but the background;
    only pixels of the background, which lie between cells, have the second term. The sum is divided by that of the
    class weights w_c, so that a batch without narrow gaps has the plain cross-entropy.

    The weights are computed on the CPU from each batch of targets.

    Source: Ronneberger, Fischer and Brox, 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation,
    section 3, equation 2.

    Args:
        w0: the weight of a gap without any width.
        sigma: the width at which it has become smaller, in pixels.
        background: the class between the cells.
        class_weights: C weights w_c > 0, `balanced`, or None: 1.
    """

    expects: ClassVar[str] = "logits"

    def __init__(
        self, w0: float = 10.0, sigma: float = 5.0, background: int = 0, class_weights: ClassWeights = None
    ) -> None:
        super().__init__(class_weights)
        self.w0, self.sigma, self.background = w0, sigma, background

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, K, H, W) for classes (B, H, W).

        Raises:
            CouloirError: the shapes do not belong together, or there is no such class as the background.
        """
        log_p = F.log_softmax(in_full_precision(prediction), dim=1)
        there = counted(target)
        if not are_labels(log_p, target) or there is None:
            raise CouloirError(
                f"Boundary weights are those of maps: logits (B, K, H, W) and classes (B, H, W), not "
                f"{tuple(prediction.shape)} and {tuple(target.shape)}.",
                next_step="loss=cross_entropy for one label a sample",
            )
        if self.background >= log_p.shape[1]:
            raise CouloirError(
                f"loss.background={self.background} is no class: the network tells {log_p.shape[1]} classes apart.",
                next_step=f"loss.background=0, or another number below {log_p.shape[1]}",
            )
        terms = -of_own_class(log_p, target)
        gaps = torch.from_numpy(
            np.stack([self.w0 * gap_weights(map, self.background, self.sigma) for map in target.cpu().numpy()])
        ).to(terms)
        weights = self.of_classes(terms)
        own = there.to(terms.dtype) if weights is None else self._each(target, weights)
        return ((own + torch.where(there, gaps, 0.0)) * terms).sum() / own.sum().clamp(min=SMALLEST)


def gap_weights(classes: np.ndarray[Any, Any], background: int, sigma: float) -> np.ndarray[Any, Any]:
    """exp(-(d1 + d2)^2 / (2 sigma^2)) at the pixels of the background, 0 elsewhere, (H, W) float64.

    Args:
        classes: a map of classes (H, W); IGNORED pixels belong to no cell.
        background: the class between the cells.
        sigma: in pixels.
    """
    cells, number = ndimage.label((classes != background) & (classes != IGNORED))
    if number < 2:
        return np.zeros(classes.shape)
    nearest = np.full((2, *classes.shape), np.inf)
    margin = int(np.ceil(REACH * sigma))
    for cell, box in enumerate(ndimage.find_objects(cells), start=1):
        # What lies further away than this margin has no weight.
        window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        first, second = nearest[0][window], nearest[1][window]
        distance = ndimage.distance_transform_edt(cells[window] != cell)
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    weights = np.exp(-(nearest.sum(axis=0) ** 2) / (2 * sigma**2))
    return np.where(classes == background, weights, 0.0)
