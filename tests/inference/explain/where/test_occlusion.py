"""A square that covers parts of an image, against a slow loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from couloir.errors import CouloirError
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.where.occlusion import MOST, occluded, occlusion, projection, squares_of, strongest_map
from couloir.inference.explain.words import Wanted
from subjects import shown_of, subject_of

WANTED = Wanted((), Path())


def small() -> Subject:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9 * 12, 5))
    subject = subject_of(net, channels=3, classes=5, mean=[0.4] * 3, std=[0.2] * 3)
    subject.data.image_size = [20, 26]
    return subject


def test_each_place_is_answered_as_by_a_slow_loop() -> None:
    subject = small()
    pixels = torch.rand(1, 3, 20, 26)
    x, squares = subject.standardised(pixels)[0], squares_of((20, 26), 20)
    got = occluded(subject, x, 2, squares, "1", 3)
    assert got.activation is not None
    assert got.likeliest is not None
    assert got.answer.shape == (len(squares.tops), len(squares.lefts))
    assert got.answer.size > 10
    for row, top in enumerate(squares.tops):
        for column, left in enumerate(squares.lefts):
            covered = pixels.clone()
            covered[:, :, top : top + squares.side, left : left + squares.side] = 0.4
            with torch.no_grad():
                given = (covered - 0.4) / 0.2
                p, maps = subject.net(given).softmax(dim=1)[0], F.relu(subject.net[0](given))  # type: ignore[index]
            assert got.answer[row, column] == pytest.approx(float(p[2]), abs=1e-5)
            assert got.activation[row, column] == pytest.approx(float(maps[0, 3].sum()), rel=1e-4)
            assert got.likeliest[row, column] == int(p.argmax())


@pytest.mark.parametrize("size", [(227, 227), (8, 8), (28, 28), (300, 40), (1, 5), (64, 500)])
def test_squares_reach_all_borders_and_are_few_enough(size: tuple[int, int]) -> None:
    squares = squares_of(size)
    assert 1 <= len(squares.tops) * len(squares.lefts) <= MOST
    assert (squares.tops[0], squares.lefts[0]) == (0, 0)
    assert squares.tops[-1] + squares.side == size[0]
    assert squares.lefts[-1] + squares.side == size[1]
    assert squares.over(np.zeros((len(squares.tops), len(squares.lefts)))).shape == size


def test_a_map_by_place_lies_over_the_pixels_that_the_square_has_covered() -> None:
    squares = squares_of((40, 40), 100)
    values = np.zeros((len(squares.tops), len(squares.lefts)))
    values[3, 6] = 1
    row, column = np.unravel_index(int(squares.over(values).argmax()), (40, 40))
    assert squares.tops[3] <= row < squares.tops[3] + squares.side
    assert squares.lefts[6] <= column < squares.lefts[6] + squares.side


def test_the_strongest_map_is_projected_by_transposed_filters_and_rectified_on_the_way() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    subject = subject_of(net, size=8, classes=2)
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        top = net[:4](x)
        unit = int(top[0].flatten(1).sum(dim=1).argmax())
        above = torch.zeros_like(top)
        above[:, unit] = top[:, unit]
        down = F.conv_transpose2d(F.relu(above), net[2].weight)
        down = F.conv_transpose2d(F.relu(down), net[0].weight)
    assert strongest_map(subject, x, "3") == unit
    np.testing.assert_allclose(projection(subject, x, "3", unit).numpy(), down[0].numpy(), rtol=1e-4, atol=1e-6)


def test_what_is_shown_says_where_the_answer_falls_most_and_leaves_out_a_projection_that_has_no_rule() -> None:
    subject = small()
    shown = shown_of(subject, torch.rand(2, 3, 20, 26))
    first, second = occlusion(subject, shown, WANTED)
    assert [panel.name for panel in first.panels] == [
        f"occlusion_0_{name}" for name in ("image", "activation", "projection", "answer", "likeliest")
    ]
    answer = first.panels[3].values
    assert answer is not None
    assert first.numbers["least"] == pytest.approx(float(answer.min()))
    assert second.sample == 1
    assert sum(second.numbers["likeliest"].values()) == answer.size
    subject.net[1] = nn.Tanh()  # type: ignore[operator]
    without = occlusion(subject, shown, WANTED)[0]
    assert "occlusion_0_projection" not in [panel.name for panel in without.panels]
    assert "projection is left out" in without.note
    assert "tanh" in without.note


def test_tables_are_refused() -> None:
    subject = subject_of(nn.Linear(4, 2), channels=4, size=None, classes=2)
    with pytest.raises(CouloirError, match="needs images"):
        occlusion(subject, shown_of(subject, torch.rand(1, 4)), WANTED)


def test_a_map_that_the_layer_does_not_have_is_refused() -> None:
    subject = small()
    shown = shown_of(subject, torch.rand(1, 3, 20, 26))
    with pytest.raises(CouloirError, match="has 4 maps, with the numbers 0 to 3, and no 4"):
        occlusion(subject, shown, replace(WANTED, unit=4))
    with pytest.raises(CouloirError, match="the layer 4 has none"):
        occlusion(subject, shown, replace(WANTED, unit=1, layers=("4",)))
