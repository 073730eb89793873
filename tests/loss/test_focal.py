"""Focal losses against the paper's equation 5, written with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import expit, softmax

from couloir.loss.focal import Focal, SigmoidFocal

RNG = np.random.default_rng(1)
LOGITS = RNG.normal(scale=2, size=(6, 3))
LABELS = np.array([0, 2, 1, 1, 0, 2])
WEIGHTS = np.array([0.25, 2.0, 1.0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_softmax_form_is_the_papers_equation_for_labels_and_for_mixed_targets(
    gamma: float, weights: np.ndarray | None
) -> None:
    p, w = softmax(LOGITS, axis=1), np.ones(3) if weights is None else weights
    loss = Focal(gamma, None if weights is None else weights.tolist())
    own = p[np.arange(6), LABELS]
    expected = (-w[LABELS] * (1 - own) ** gamma * np.log(own)).sum() / w[LABELS].sum()
    assert float(loss(torch.tensor(LOGITS), torch.tensor(LABELS))) == pytest.approx(expected, rel=1e-9)
    y = 0.8 * np.eye(3)[LABELS] + 0.2 * np.eye(3)[LABELS[::-1]]
    expected = -(y * w * (1 - p) ** gamma * np.log(p)).sum() / (y * w).sum()
    assert float(loss(torch.tensor(LOGITS), torch.tensor(y))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_sigmoid_form_is_the_papers_equation_up_to_the_weight_of_absence(gamma: float) -> None:
    y, p, alpha = (RNG.random((6, 3)) < 0.4) * 1.0, expit(LOGITS), 0.25
    p_t, alpha_t = np.where(y == 1, p, 1 - p), np.where(y == 1, alpha, 1 - alpha)
    expected = (-alpha_t * (1 - p_t) ** gamma * np.log(p_t)).mean() / (1 - alpha)
    loss = SigmoidFocal(gamma, [alpha / (1 - alpha)] * 3)
    assert float(loss(torch.tensor(LOGITS), torch.tensor(y))) == pytest.approx(expected, rel=1e-6)


def test_without_a_focus_they_are_the_cross_entropies() -> None:
    logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
    torch.testing.assert_close(Focal(0.0)(logits, labels), F.cross_entropy(logits, labels), rtol=1e-12, atol=0)
    y = F.one_hot(labels).double()
    expected = F.binary_cross_entropy_with_logits(logits, y)
    torch.testing.assert_close(SigmoidFocal(0.0)(logits, labels), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", [Focal, SigmoidFocal])
def test_a_saturated_network_keeps_finite_gradients(gamma: float, kind: type) -> None:
    logits = torch.tensor([[200.0, -200.0], [200.0, -200.0]], requires_grad=True)
    loss = kind(gamma)(logits, torch.tensor([0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
