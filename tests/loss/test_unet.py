"""U-Net's boundary weights against the distances to each cell, computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, label
from scipy.special import log_softmax

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError
from couloir.loss.classification import CrossEntropy
from couloir.loss.unet import UNetCrossEntropy, gap_weights

RNG = np.random.default_rng(0)


def cells() -> np.ndarray:
    """A map with cells of two classes, some of which nearly touch, and a corner that is left out."""
    classes = np.zeros((40, 50), np.int64)
    for top, left in ((2, 3), (2, 12), (11, 3), (25, 30), (20, 8)):
        classes[top : top + 8, left : left + 8] = 1 + left % 2
    classes[:3, 44:] = IGNORED
    return classes


def test_a_gap_counts_by_the_distances_to_the_two_nearest_cells() -> None:
    classes = cells()
    parts, number = label((classes > 0) & (classes != IGNORED))
    assert number == 5
    nearest = np.sort([distance_transform_edt(parts != part) for part in range(1, 6)], axis=0)
    expected = np.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * 5**2)) * (classes == 0)
    np.testing.assert_allclose(gap_weights(classes, 0, 5.0), expected, atol=1e-8)
    assert gap_weights(classes, 0, 5.0)[5, 11] > 0.9, "one pixel between two cells"
    assert not gap_weights(np.zeros((4, 4), int), 0, 5.0).any(), "no cell, no gap"


def test_the_loss_is_the_papers_weighted_sum() -> None:
    target = np.stack([cells(), cells()[::-1]])
    logits, weights = RNG.normal(size=(2, 3, 40, 50)), np.array([1.0, 3.0, 0.5])
    own = -np.take_along_axis(log_softmax(logits, axis=1), np.where(target == IGNORED, 0, target)[:, None], 1)[:, 0]
    each = np.where(target == IGNORED, 0, weights[np.where(target == IGNORED, 0, target)])
    gaps = np.stack([gap_weights(each_map, 0, 4.0) for each_map in target])
    expected = ((each + 7 * gaps) * own).sum() / each.sum()
    pair = torch.tensor(logits), torch.tensor(target)
    assert float(UNetCrossEntropy(7.0, 4.0, 0, weights.tolist())(*pair)) == pytest.approx(expected, rel=1e-6)
    assert float(UNetCrossEntropy(0.0)(*pair)) == pytest.approx(float(CrossEntropy()(*pair)), rel=1e-9)


def test_the_gradient_is_that_of_the_value() -> None:
    logits = torch.tensor(RNG.normal(size=(1, 3, 2, 6)), requires_grad=True)
    target = torch.tensor(cells()[None, 4:6, 8:14])
    assert torch.autograd.gradcheck(lambda z: UNetCrossEntropy()(z, target), logits)


def test_a_background_that_is_no_class_is_refused() -> None:
    with pytest.raises(CouloirError, match=r"loss.background=2 is no class"):
        UNetCrossEntropy(background=2)(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.int64))
