"""Maps out of gradients, against the papers' formulas worked by hand and closed forms."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.where.attribution import (
    MISSED,
    attributed,
    grad_cam_maps,
    grad_cam_plus_plus_maps,
    guided_gradients,
    integrated,
    pixel_gradients,
    smooth_gradients,
    strongest_channel,
)
from subjects import subject_of


class Quadratic(nn.Module):
    """x' A x / 2 + b' x, for two outputs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        a = torch.randn(2, size, size, generator=generator)
        self.a, self.b = nn.Parameter(a + a.transpose(1, 2)), nn.Parameter(torch.randn(2, size, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, 2)."""
        return torch.einsum("bi,kij,bj->bk", x, self.a, x) / 2 + x @ self.b.T


def two_layers() -> tuple[nn.Sequential, Subject]:
    """A convolution, ReLU, the mean of each map, and a linear layer: all of Grad-CAM can be worked by hand."""
    torch.manual_seed(3)
    net = nn.Sequential(OrderedDict(
        conv=nn.Conv2d(2, 3, 3), relu=nn.ReLU(inplace=True), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        fc=nn.Linear(3, 4),
    ))  # fmt: skip
    return net, subject_of(net, channels=2, size=6, classes=4, mean=[0.4, 0.5], std=[0.25, 0.5])


def test_grad_cam_of_a_network_of_two_layers_is_that_worked_by_hand() -> None:
    net, subject = two_layers()
    x, target = subject.standardised(torch.rand(5, 2, 6, 6)), torch.tensor([0, 1, 2, 3, 1])
    maps = F.relu(net.conv(x)).detach().numpy()
    weight = net.fc.weight.detach().numpy()[target]  # d score / d A_kij = w_ck / 16, the mean of which is itself
    expected = np.maximum((weight[:, :, None, None] / 16 * maps).sum(axis=1), 0)
    np.testing.assert_allclose(grad_cam_maps(subject, x, target, "relu").numpy(), expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_plus_plus_weighs_each_place_as_the_paper_says() -> None:
    net, subject = two_layers()
    x, target = subject.standardised(torch.rand(5, 2, 6, 6)), torch.tensor([0, 1, 2, 3, 1])
    maps = F.relu(net.conv(x)).detach().numpy().astype(np.float64)
    expected = np.zeros((5, 4, 4))
    for number, label in enumerate(target.tolist()):
        for k in range(3):
            g = float(net.fc.weight[label, k]) / 16  # the same at each place
            alpha = g**2 / (2 * g**2 + g**3 * maps[number, k].sum())
            expected[number] += 16 * alpha * max(g, 0) * maps[number, k]
    got = grad_cam_plus_plus_maps(subject, x, target, "relu").numpy()
    np.testing.assert_allclose(got, np.maximum(expected, 0), rtol=1e-4, atol=1e-7)


def test_grad_cam_asks_for_maps_that_the_score_depends_on() -> None:
    _, subject = two_layers()
    x, target = subject.standardised(torch.rand(1, 2, 6, 6)), torch.tensor([0])
    with pytest.raises(CouloirError, match=r"layer fc gives shape \(1, 4\).*needs maps"):
        grad_cam_maps(subject, x, target, "fc")


def test_gradients_are_those_for_pixels_before_they_are_standardised() -> None:
    net, subject = two_layers()
    pixels, target = torch.rand(2, 2, 6, 6), torch.tensor([2, 0])
    got, step = pixel_gradients(subject, subject.standardised(pixels), target), 1e-2
    for place in ((0, 0, 1, 1), (0, 1, 3, 4), (1, 0, 5, 5)):
        moved = pixels.clone()
        moved[place] += step
        score = subject.score(subject.standardised(moved), target) - subject.score(subject.standardised(pixels), target)
        assert float(got[place]) == pytest.approx(float(score[place[0]]) / step, abs=2e-3)
    largest = np.abs(got.numpy()).max(axis=1)
    np.testing.assert_array_equal(strongest_channel(got).numpy(), largest)
    assert net.training is False


def test_guided_backpropagation_keeps_what_raises_the_score_alone() -> None:
    net, subject = two_layers()
    x, target = subject.standardised(torch.rand(1, 2, 6, 6)), torch.tensor([1])
    maps = net.conv(x).detach()
    above = (net.fc.weight[1].detach().clamp_min(0) / 16)[None, :, None, None] * (maps > 0)
    down = F.conv_transpose2d(above, net.conv.weight.detach()) / torch.tensor([0.25, 0.5])[:, None, None]
    np.testing.assert_allclose(guided_gradients(subject, x, target).numpy(), down.numpy(), rtol=1e-4, atol=1e-7)


def test_integrated_gradients_of_linear_and_quadratic_functions_are_their_closed_forms() -> None:
    net = Quadratic(5)
    subject = subject_of(net, channels=5, size=None, classes=2)
    x, baseline, target = torch.randn(3, 5), torch.randn(3, 5), torch.tensor([0, 1, 1])
    a, b = net.a.detach()[target], net.b.detach()[target]
    expected = (x - baseline) * (torch.einsum("bij,bj->bi", a, (x + baseline) / 2) + b)
    got = integrated(subject, x, target, baseline, nodes=2)
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        net.a.zero_()  # linear
    linear = integrated(subject, x, target, baseline, nodes=1)
    np.testing.assert_allclose(linear.numpy(), ((x - baseline) * b).numpy(), rtol=1e-4, atol=1e-5)


def test_attributions_sum_to_the_difference_of_scores_with_more_points_where_few_miss_it() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    with torch.no_grad():
        net[0].weight.mul_(20)
    subject = subject_of(net, channels=4, size=None, classes=2)
    x, target = torch.randn(40, 4), torch.arange(40) % 2
    found = attributed(subject, x, target, torch.zeros(1, 4), nodes=2, most=256)
    with torch.no_grad():
        scores = net(x).gather(1, target[:, None])[:, 0] - net(torch.zeros(1, 4))[0][target]
    np.testing.assert_allclose(found.difference.numpy(), scores.numpy(), rtol=1e-4, atol=1e-5)
    apart = 100 * np.abs(found.values.sum(dim=1).numpy() - scores.numpy()) / np.abs(scores.numpy())
    np.testing.assert_allclose(found.missed.numpy(), apart, rtol=1e-2, atol=1e-2)
    assert max(found.nodes) > 2
    assert float(found.missed.max()) <= MISSED
    few = attributed(subject, x, target, torch.zeros(1, 4), nodes=2, most=2)
    assert float(few.missed.max()) > MISSED
    assert set(few.nodes) == {2}


def test_smoothgrad_of_a_linear_score_is_its_gradient_and_its_noise_follows_from_the_number() -> None:
    torch.manual_seed(0)
    linear = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), size=3, classes=2)
    x, target = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    np.testing.assert_allclose(
        smooth_gradients(linear, x, target, 4).numpy(), pixel_gradients(linear, x, target).numpy(), rtol=1e-5
    )
    deep = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 2)), size=3, classes=2)
    state = torch.get_rng_state()
    both = smooth_gradients(deep, x, target, 4, seed=1)
    second = smooth_gradients(deep, x[1:], target[1:], 4, seed=1, places=[1])
    assert torch.equal(torch.get_rng_state(), state), "a picture has moved the generator"
    np.testing.assert_allclose(both[1].numpy(), second[0].numpy(), rtol=1e-6)
    assert not torch.allclose(both, smooth_gradients(deep, x, target, 4, seed=2))
