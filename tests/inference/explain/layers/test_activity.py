"""Units that are dead, or never change: networks in which it is known which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.layers.activity import dead_units
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.words import Wanted
from couloir.model.activation import Step
from subjects import shown_of, subject_of


class Calls(nn.Module):
    """A network that calls its activations, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Linear(16, 5)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.first.bias[:] = 1.0
            self.first.bias[1] = -100.0  # dead
            self.first.weight[2], self.first.bias[2] = 0.0, 3.0  # another constant
            self.second.bias[4] = -1e4

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.relu(self.first(x)))
        return F.relu(self.second(x.flatten(1)))


def over(subject: Subject, x: Tensor) -> Subject:
    """The same with a split of its own, in batches of four."""

    def split(name: str, most: int | None = None) -> Iterator[tuple[Tensor, None, list[int]]]:
        assert (name, most) == ("val", 9)
        for place in range(0, 9, 4):
            yield x[place : min(place + 4, 9)], None, []

    subject.split = split  # type: ignore[method-assign]
    return subject


def test_dead_and_constant_units_are_counted_layer_by_layer() -> None:
    torch.manual_seed(0)
    net, x = Calls(), torch.rand(12, 1, 4, 4)
    subject = over(subject_of(net, classes=5), x)
    (exhibit,) = dead_units(subject, shown_of(subject, x[:1]), Wanted((), Path(), most=9))
    layers = exhibit.numbers["layers"]
    assert [(each["layer"], each["units"]) for each in layers] == [("relu (1)", 4), ("relu (2)", 4), ("network", 5)]
    assert layers[0]["dead_units"] == [1]
    assert layers[0]["dead"] == 1
    assert layers[0]["other_constant"] == 1
    assert 4 in layers[2]["dead_units"]
    assert exhibit.numbers["samples"] == 9
    maps = torch.relu(net.first(x[:9]))
    assert layers[0]["zeros"] == pytest.approx(float((maps == 0).float().mean()))
    assert "zero always" in exhibit.html
    assert len(exhibit.charts[0].data[0]["y"]) == 3


def test_rows_have_dead_units_as_images_have() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight[2] = 0.0
    subject = over(subject_of(net, 3, None, 2), torch.rand(9, 3))
    (exhibit,) = dead_units(subject, shown_of(subject, torch.rand(1, 3)), Wanted((), Path(), most=9))
    (layer,) = exhibit.numbers["layers"]
    assert (layer["layer"], layer["dead"], layer["other_constant"]) == ("1", 0, 1)


def test_steps_are_dead_where_they_are_never_taken() -> None:
    net = nn.Sequential(nn.Linear(3, 4), Step(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].bias.copy_(torch.tensor([-9.0, 9.0, 9.0, 9.0]))
    subject = over(subject_of(net, 3, None, 2), torch.rand(9, 3))
    (exhibit,) = dead_units(subject, shown_of(subject, torch.rand(1, 3)), Wanted((), Path(), most=9))
    (layer,) = exhibit.numbers["layers"]
    assert (layer["layer"], layer["activation"], layer["dead_units"], layer["other_constant"]) == ("1", "step", [0], 3)


def test_a_network_without_activations_is_refused() -> None:
    subject = over(subject_of(nn.Linear(3, 2), 3, None, 2), torch.rand(9, 3))
    with pytest.raises(CouloirError, match="no activation functions"):
        dead_units(subject, shown_of(subject, torch.rand(1, 3)), Wanted((), Path(), most=9))
