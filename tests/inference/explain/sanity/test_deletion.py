"""Whether the answer goes with what a map marks, against slow loops and a network that looks at one corner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.sanity.deletion import STEPS, area, curve, deletion, patch_order
from couloir.inference.explain.where.attribution import BLUR, without_detail
from couloir.inference.explain.words import Wanted
from subjects import shown_of, subject_of

WANTED = Wanted((), Path())


class Corner(nn.Module):
    """Answers by the contrast in the upper left corner alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2, stride=2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[[[1.0, -1], [-1, 1]]], [[[-1.0, 1], [1, -1]]]]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> (B, 2)."""
        maps = torch.relu(self.conv(x))
        return 3 * maps[:, :, :2, :2].flatten(2).sum(dim=2)


def test_deleting_the_corner_that_the_answer_comes_from_is_below_random_order() -> None:
    subject = subject_of(Corner(), size=16, classes=2)
    rows, columns = np.mgrid[:16, :16]
    pixels = torch.from_numpy(((rows + columns) % 2 == 0).astype(np.float32)).expand(2, 1, 16, 16).clone()
    (found,) = deletion(subject, shown_of(subject, pixels), WANTED)
    for kind in ("deletion", "insertion"):
        for method in ("gradients", "integrated_gradients", "guided_backprop"):
            assert found.numbers[kind][method]["better"] == 1.0, (kind, method)
    assert not found.warning
    assert len(found.charts) == 2
    (wrong,) = deletion(subject, shown_of(subject, pixels, [1, 1]), WANTED)
    assert wrong.warning, "deleting what speaks for a class that is not there does not lower its probability"


def test_a_curve_is_that_of_a_slow_loop() -> None:
    torch.manual_seed(0)
    subject = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), size=12, mean=0.3, std=0.2)
    begin, end, order = torch.rand(1, 12, 12), torch.rand(1, 12, 12), np.random.default_rng(0).permutation(16)
    got = curve(subject, begin, end, order, (4, 4), 2)
    for step in range(STEPS + 1):
        image = begin.clone()
        for patch in order[: round(16 * step / STEPS)]:
            top, left = 3 * (patch // 4), 3 * (patch % 4)
            image[:, top : top + 3, left : left + 3] = end[:, top : top + 3, left : left + 3]
        with torch.no_grad():
            p = subject.net((image[None] - 0.3) / 0.2).softmax(dim=1)[0, 2]
        assert got[step] == pytest.approx(float(p), abs=1e-5)
    assert area(got) == pytest.approx(np.trapezoid(got, dx=1 / STEPS))


def test_patches_are_ordered_by_their_means_and_the_blur_is_scipys() -> None:
    values = np.zeros((8, 8), np.float32)
    values[0:2, 6:8], values[4, 4] = 1, 3
    assert patch_order(values, (4, 4))[:2].tolist() == [3, 10]
    images = torch.randn(2, 3, 70, 80)
    expected = gaussian_filter(images.numpy(), BLUR * 70, mode="mirror", truncate=3, axes=(2, 3))
    np.testing.assert_allclose(without_detail(images).numpy(), expected, atol=2e-3)
    assert not without_detail(torch.ones(1, 1, 28, 28)).any(), "a blurred digit is still a digit"


def test_answers_without_probability_are_refused() -> None:
    subject = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), classes=1, kind="value")
    with pytest.raises(CouloirError, match="have none"):
        deletion(subject, shown_of(subject, torch.rand(1, 1, 4, 4)), WANTED)
