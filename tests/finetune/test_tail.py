"""A network cut in two: the tail of its features gives its own output, or it is not cut."""

from __future__ import annotations

import pytest
import torch
from small_network import Small
from torch import Tensor, nn

from couloir.finetune.division import head, last_n
from couloir.finetune.layers import passed
from couloir.finetune.parts import Learning, Part
from couloir.finetune.tail import features_of, tail_alone, tail_of
from couloir.model.googlenet import googlenet
from couloir.model.lenet import LeNet5
from couloir.model.mlp import mlp
from couloir.model.resnet import resnet18
from couloir.model.squeezenet import SqueezeNet


def cut(net: nn.Module, x: Tensor, parts: list[Part] | None = None) -> list[str] | None:
    order = passed(net, x)
    learns = Learning(net.train(), parts or head(net, order), order)
    learns.begin(net, 0)
    return tail_of(net, order, learns.learning(0), x)


CASES = {
    "squeezenet": (lambda: SqueezeNet(3, 40, 4), 40, ["classifier"], (512, 2, 2)),
    "resnet": (lambda: resnet18(3, 32, 4), 32, ["fc"], (512,)),
    "mlp": (lambda: mlp(3, 8, 4, [9, 7], dropout=0.5), 8, ["6", "7"], (7,)),
    "lenet5": (lambda: LeNet5(3, 28, 4, dropout=0.2), 28, ["drop6", "output_layer"], (84,)),
    "small": (lambda: Small(4, 3), 12, ["before_head", "head"], (8,)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_tail_of_the_features_is_the_network(name: str) -> None:
    make, size, expected, shape = CASES[name]
    torch.manual_seed(0)
    net, x = make(), torch.randn(3, 3, size, size)
    tail = cut(net, x)
    assert tail == expected
    features = features_of(net, tail, x)
    assert features.shape == (3, *shape)
    net.eval()
    with torch.no_grad():
        whole = net(x)
        with tail_alone(net, tail):
            part = net(features.clone())
        torch.testing.assert_close(part, whole)
        assert torch.equal(net(x), whole), "afterwards the network is itself again"


def test_features_are_those_of_evaluation_and_change_neither_modes_nor_buffers_nor_random_numbers() -> None:
    net, x = Small(4, 3), torch.randn(3, 3, 12, 12)
    tail = cut(net, x)
    assert tail is not None
    modes = [module.training for module in net.modules()]
    buffers = [buffer.clone() for buffer in net.buffers()]
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    features = features_of(net, tail, x)
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(one, other) for one, other in zip(net.buffers(), buffers, strict=True))
    net.eval()
    by_hand = net.blocks(torch.relu(net.norm(net.stem(x)))).mean(dim=(2, 3))
    torch.testing.assert_close(features, by_hand)


class Around(nn.Module):
    """What is behind the head is no module, and doubles its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.head(self.body(x))


class Beside(Around):
    """The input goes around the features."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x)) + x[:, :2]
        return out


class Together(Around):
    """Features depend on the other samples of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        out: Tensor = self.head(y - y.mean(dim=0))
        return out


class Drawing(Around):
    """Features are drawn in training, outside of any module."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(nn.functional.dropout(self.body(x), 0.5, self.training))
        return out


@pytest.mark.parametrize("kind", [Around, Beside, Together, Drawing])
def test_a_network_that_cannot_be_cut_is_not(kind: type[nn.Module]) -> None:
    assert cut(kind(), torch.randn(3, 4)) is None


def test_auxiliary_heads_that_learn_in_the_middle_are_no_tail() -> None:
    assert cut(googlenet(3, 64, 4, dropout=0.4), torch.randn(2, 3, 64, 64)) is None


def test_several_last_layers_are_a_tail_as_well() -> None:
    net, x = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5))), torch.randn(3, 4)
    order = passed(net, x)
    assert cut(net, x, last_n(net, order, n=2)) == ["3", "4"]
