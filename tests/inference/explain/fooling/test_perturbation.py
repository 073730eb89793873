"""Changes that fool: closed forms on linear networks, and bounds that hold to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from couloir.inference.explain.fooling.perturbation import (
    Scores,
    added,
    ball,
    deep_fool,
    fgsm,
    likeliest,
    pgd,
    towards_others,
    universal,
)

SHAPE = (2, 3, 4)


def linear(classes: int, seed: int = 0, scale: float = 1.0) -> tuple[Scores, Tensor]:
    """Scores W x of images of `SHAPE`, and W, (K, 24)."""
    weight = torch.randn(classes, 24, generator=torch.Generator().manual_seed(seed)) * scale
    return (lambda pixels: pixels.flatten(1) @ weight.T.to(pixels.dtype)), weight


def images(count: int, low: float = 0.0, high: float = 1.0, seed: int = 1) -> Tensor:
    drawn = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * drawn


def test_fgsm_raises_the_loss_as_much_as_an_epsilon_can() -> None:
    scores, weight = linear(2)
    x, labels, epsilon = images(5, 0.3, 0.7), torch.tensor([0, 1, 0, 1, 1]), 0.1
    changed = fgsm(scores, x, labels, epsilon)
    margin = [scores(each).diff(dim=1)[:, 0] * (1 - 2 * labels) for each in (x, changed)]
    expected = epsilon * (weight[1] - weight[0]).abs().sum()
    torch.testing.assert_close(margin[1] - margin[0], expected.expand(5))


def test_the_direction_is_that_of_the_cross_entropy_and_is_there_where_the_answer_is_sure() -> None:
    scores, _ = linear(4)
    x, labels = images(6), torch.tensor([0, 1, 2, 3, 0, 1])
    given = x.double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(scores(given), labels, reduction="sum")
    expected = torch.autograd.grad(loss, given)[0].sign()
    torch.testing.assert_close(towards_others(scores, labels)(x).sign().double(), expected)
    sure, _ = linear(4, scale=300.0)  # p rounds to 1, where the gradient of the cross-entropy is 0
    assert (towards_others(sure, likeliest(sure, x))(x) != 0).all()


@pytest.mark.parametrize("epsilon", [2 / 255, 0.1, 10 / 255, 1.5])
def test_no_change_leaves_the_ball_or_the_image_by_a_single_bit(epsilon: float) -> None:
    scores, _ = linear(3)
    x = images(40)
    x[0], x[1] = 0, 1
    own = likeliest(scores, x)
    found = [
        fgsm(scores, x, own, epsilon),
        pgd(scores, x, own, epsilon, steps=7, step=epsilon / 2, seed=3),
        added(x, universal(scores, x[:8], epsilon, seed=0, passes=2), epsilon),
        added(x, torch.full(SHAPE, epsilon), epsilon),
        *ball(x, epsilon),
    ]
    for changed in found:
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert (changed.numpy().astype(np.float64) - x.numpy().astype(np.float64)).__abs__().max() <= epsilon
    change = universal(scores, x[:8], epsilon, seed=0, passes=2)
    assert change.double().abs().max() <= epsilon


def test_pgd_starts_anywhere_in_the_ball_by_its_seed_and_ends_at_the_corner_that_fgsm_finds_of_a_plane() -> None:
    scores, _ = linear(2)
    x, labels = images(4, 0.3, 0.7), torch.zeros(4, dtype=torch.long)
    starts = [pgd(scores, x, labels, 0.1, steps=0, step=0.1, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert (starts[0] - x).abs().max() > 0.09
    corner = pgd(scores, x, labels, 0.1, steps=20, step=0.02, seed=0)
    torch.testing.assert_close(corner, fgsm(scores, x, labels, 0.1))


def test_deep_fool_goes_to_the_nearest_plane_and_no_further() -> None:
    scores, weight = linear(5)
    x = images(8, 0.4, 0.6)
    changed = deep_fool(scores, x, overshoot=0.02)
    assert (likeliest(scores, changed) != likeliest(scores, x)).all()
    given, w = scores(x).numpy().astype(np.float64), weight.numpy().astype(np.float64)
    for place, own in enumerate(given.argmax(axis=1)):
        others = [other for other in range(5) if other != own]
        distance = min(
            (given[place, own] - given[place, other]) / np.linalg.norm(w[own] - w[other]) for other in others
        )
        assert (changed[place] - x[place]).norm().item() == pytest.approx(1.02 * distance, rel=1e-4)


def test_deep_fool_keeps_an_image_at_the_edge_of_what_pixels_may_be() -> None:
    scores, _ = linear(3)
    x = images(20).round()  # every pixel is 0 or 1
    changed = deep_fool(scores, x)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (likeliest(scores, changed) != likeliest(scores, x)).double().mean() > 0.9


def test_a_universal_change_fools_images_that_it_was_not_made_of() -> None:
    scores, _ = linear(3, seed=4)
    x = images(80, seed=5)
    change = universal(scores, x[:40], 0.2, seed=0)
    kept = likeliest(scores, x[40:])
    assert (likeliest(scores, added(x[40:], change, 0.2)) != kept).double().mean() >= 0.5
    noise = torch.rand(SHAPE, generator=torch.Generator().manual_seed(9)).sub(0.5).sign() * 0.2
    assert (likeliest(scores, added(x[40:], noise, 0.2)) != kept).double().mean() < 0.5
