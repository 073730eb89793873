"""The layer table: nothing is lost, nothing counted twice, and the multiply-adds are the papers'."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from couloir.artifacts.layer_table import as_dict, as_table, layers, layers_met, layers_of, memory, totals
from couloir.cli.main import run
from couloir.config.build import build_untrained
from couloir.config.check import checked
from couloir.config.given import Given, assumed_length, given_by
from couloir.errors import CouloirError
from couloir.log import rendered
from couloir.model.lenet import LeNet5
from couloir.model.resnet import resnet50
from couloir.model.sequence.recurrent import recurrent
from couloir.record.tested import memory_in_words
from networks import build


def test_lenet_row_by_row() -> None:
    net = LeNet5(1, 28, 10)
    rows = {row.name: row for row in layers(net, 1, 28)}
    # By hand: output pixels x kernel area x input channels.
    by_hand = {
        "c1": 28 * 28 * 6 * 25,
        "c3": 10 * 10 * 16 * 25 * 6,
        "c5": 120 * 25 * 16,
        "f6": 120 * 84,
        "output_layer": 840,
    }
    assert {name: row.multiply_adds for name, row in rows.items() if row.multiply_adds} == by_hand
    assert [row.parameters for row in rows.values() if row.parameters] == [156, 2416, 48120, 10164, 850]
    assert [row.output_shape for row in rows.values() if row.parameters] == [
        [6, 28, 28], [16, 10, 10], [120, 1, 1], [84], [10],
    ]  # fmt: skip
    assert totals(list(rows.values()), net)["parameters"] == 61_706


def test_resnet50_has_the_papers_multiply_adds_without_memory_for_its_weights() -> None:
    with torch.device("meta"):
        net = resnet50(channels=3, image_size=224, num_classes=1000)
        rows = layers(net, 3, 224)
    assert 3.8e9 < totals(rows, net)["multiply_adds"] < 4.1e9
    assert sum(row.parameters for row in rows) == 25_557_032


def test_grouped_and_transposed_convolutions_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), nn.ConvTranspose2d(8, 2, 2, stride=2, bias=False)
    )
    rows = layers(net, 4, 6)
    assert [row.multiply_adds for row in rows] == [6 * 6 * 8 * 2 * 9, 6 * 6 * 8 * 2 * 4]
    assert [row.output_shape for row in rows] == [[8, 6, 6], [2, 12, 12]]


def test_networks_of_maps_by_hand_at_odd_sizes() -> None:
    """A U-Net of one level sees 5x7 pixels as 6x8; sub-pixel convolution works at the size of the small image."""
    rows = layers(build("unet", 3, [5, 7], 2, depth=1, width=4), 3, [5, 7])
    whole, half = 6 * 8, 3 * 4
    down = whole * 9 * (3 * 4 + 4 * 4) + half * 9 * (4 * 8 + 8 * 8)
    up = half * 8 * 4 * 4 + whole * 9 * (8 * 4 + 4 * 4) + whole * 4 * 2  # 2x2 transposed, two 3x3, and the scores
    assert sum(row.multiply_adds for row in rows) == down + up
    rows = layers(build("unet", 3, [5, 7], 2, depth=1, width=4, upsampling="unpooling"), 3, [5, 7])
    assert all(row.output_shape for row in rows), "pooling that returns places has a shape as well"
    rows = layers(build("espcn", 3, 8, 3, factor=2, residual=True), 3, [5, 7])
    assert sum(row.multiply_adds for row in rows) == 5 * 7 * (25 * 3 * 64 + 9 * 64 * 32 + 9 * 32 * 12)
    rows = layers(build("srcnn", 1, 8, 1, factor=3), 1, [5, 7])
    assert sum(row.multiply_adds for row in rows) == 15 * 21 * 8_032


def test_a_summary_of_restored_images_counts_what_the_shrunk_ones_cost(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=super_resolution", "data.images=digits", "model=espcn"]
    assert run(["summary", *words, "data.image_size=8", "data.factor=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"][-1]["output_shape"] == [1, 8, 8]
    assert found["totals"]["multiply_adds"] == 4 * 4 * (25 * 64 + 9 * 64 * 32 + 9 * 32 * 4)


class Odd(nn.Module):
    """A parameter of its own, a layer used twice, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.twice = nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.twice.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(self.twice(self.twice(x))) * self.scale


def test_odd_networks_add_up() -> None:
    net = Odd()
    rows = {row.name: row for row in layers(net, 3, None)}
    assert sum(row.parameters for row in rows.values()) == sum(p.numel() for p in net.parameters()) == 15
    assert rows["twice"].multiply_adds == 18
    assert rows["tied"].parameters == 0


class Heads(nn.Module):
    """Parameters that a sample does not pass through: a head for training, and those that attention reads itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.auxiliary = nn.Linear(4, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.attention(x[None], x[None], x[None])[0][0]
        return self.head(x) + self.auxiliary(x) if self.training else self.head(x)


def test_parameters_that_a_sample_does_not_pass_are_not_lost() -> None:
    net = Heads()
    rows = layers(net, 4, None)
    assert sum(row.parameters for row in rows) == totals(rows, net)["parameters"] == 100
    assert [(row.name, row.parameters, row.multiply_adds) for row in rows] == [
        ("attention", 60, 0),
        ("head", 10, 8),
        ("attention.out_proj", 20, 0),
        ("auxiliary", 10, 0),
    ]


class Steps(nn.Module):
    """A layer that sees the parts of a sample as a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.reshape(4, 3)).sum(dim=0, keepdim=True)


def test_a_network_that_only_its_parts_are_called_of_is_refused() -> None:
    with pytest.raises(CouloirError, match="ModuleDict has no method forward"):
        layers(nn.ModuleDict({"generator": nn.Linear(2, 3)}), 1, 8)


def test_a_layer_that_takes_a_sample_in_parts_counts_for_all_of_them() -> None:
    assert layers(Steps(), 12, None)[0].multiply_adds == 4 * 3 * 5


def test_a_network_in_double_precision_has_a_table_too() -> None:
    assert layers(nn.Sequential(nn.Linear(3, 2)).double(), 3, None)[0].multiply_adds == 6


def test_a_frozen_layer_stays_frozen() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    net[1].eval()
    layers(net, 1, 8)
    assert [module.training for module in net] == [True, False]


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train(training)
    before = net[1].running_mean.clone()
    layers(net, 1, 8)
    assert net.training is training
    assert torch.equal(net[1].running_mean, before)
    assert not net[0]._forward_hooks


def test_the_table_and_the_json_say_the_same() -> None:
    net = LeNet5(1, 28, 10)
    net.c1.requires_grad_(False)
    rows = layers(net, 1, 28)
    text = rendered(as_table(rows, net))
    assert "61,706" in text
    assert "61,550" in text
    parsed = json.loads(json.dumps(as_dict(rows, net, [Given((1, 28, 28))])))
    found = parsed["totals"]
    assert {name: found[name] for name in ("parameters", "trainable_parameters", "multiply_adds")} == {
        "parameters": 61_706, "trainable_parameters": 61_550, "multiply_adds": 416_520,
    }  # fmt: skip
    assert parsed["layers"][0]["output_shape"] == [6, 28, 28]
    by_layer = found["input_bytes"] + sum(layer["memory_bytes"] for layer in parsed["layers"])
    assert (
        by_layer
        == found["memory_bytes"]
        == sum(found[f"{part}_bytes"] for part in ("input", "activation", "parameter"))
    )


def test_the_lectures_memory_comes_out_to_the_last_digit() -> None:
    """Louppe's lecture, convolutional networks: what each network's table ends with, in MB of 2^20 bytes."""
    told = {
        "lenet5": ((1, 28, 28), 10, "input 0.00 + activations and gradients 0.11 + parameters 0.24 = 0.35"),
        "alexnet": ((3, 224, 224), 1000, "input 0.57 + activations and gradients 8.31 + parameters 233.08 = 241.96"),
        "vgg16": ((3, 224, 224), 1000, "input 0.57 + activations and gradients 218.59 + parameters 527.79 = 746.96"),
        "resnet50": ((3, 224, 224), 1000, "input 0.57 + activations and gradients 286.56 + parameters 97.49 = 384.62"),
    }
    for name, (sample, classes, words) in told.items():
        with torch.device("meta"):
            net = build(name, *sample[:2], classes)
            found = memory(layers(net, *sample[:2]), net, [Given(sample)])
        assert memory_in_words(found).endswith(words)


def test_recurrent_layers_count_each_step_each_gate_and_each_direction() -> None:
    """A step of a layer multiplies its inputs and its state with the matrices of each gate."""
    for kind, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
        net = recurrent(kind, channels=5, vocabulary_size=None, num_classes=3, width=7, layers=2, bidirectional=True)
        rows = {row.name: row for row in layers_met(net, [Given((11, 5))])}
        step = 2 * gates * 7 * (5 + 7) + 2 * gates * 7 * (14 + 7)
        assert rows["body.units"].multiply_adds == 11 * step
        assert rows["body.units"].output_shape == [11, 14]
        assert totals(list(rows.values()), net)["multiply_adds"] == 11 * step + 14 * 3
        assert "inputs" not in rows, "it hands on the numbers of the steps"


def test_tokens_are_counted_as_they_come_and_a_length_that_nobody_states_is_told() -> None:
    net = recurrent("gru", channels=None, vocabulary_size=9, num_classes=2, width=4)
    data = {"fields": {"text": "tokens", "label": "label"}, "channels": None, "length": None, "image_size": None}
    given = given_by(data)
    rows = layers_met(net, given)
    assert rows[0].name == "inputs.embedding"
    assert rows[0].output_shape == [32, 4]
    assert memory(rows, net, given)["input_bytes"] == 32 * 8
    assert "32 steps" in assumed_length(data)
    assert not assumed_length({**data, "length": 32})


class Reshaped(nn.Module):
    """A view, and of numbers that are new."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1).view(-1, 2, 3)


class Between(nn.Module):
    """Views, a sum, a layer in place and used twice, and dropout: what is made, and what only looks so."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 6)
        self.relu, self.flatten, self.dropout, self.none = (
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Dropout(0),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x * 2))
        y = self.none(self.dropout(self.flatten(self.second(x))))
        return self.relu(x + y).view(-1, 2, 3)[:, 0]


def test_memory_counts_each_number_that_is_computed_between_layers_too_and_no_view() -> None:
    rows = {row.name: row.activations for row in layers(nn.Sequential(Between()), 4, None)}
    assert rows == {
        "0.first": 6, "0.relu": 12, "0.second": 6, "0.flatten": 0, "0.dropout": 6, "0": 6,
    }, "what is done before the first layer is the input in another form, and no dropout is no layer"  # fmt: skip
    assert layers(nn.Sequential(nn.Linear(4, 6), Reshaped()), 4, None)[1].activations == 6


def test_a_table_ends_with_what_the_loss_takes_of_the_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=digits", "data.image_size=28", "model=lenet5", "model.dropout=0"]
    assert run(["summary", *words, "--json"]) == 0
    rows = [(layer["type"], layer["output_shape"]) for layer in json.loads(capsys.readouterr().out)["layers"]]
    assert [name for name, _ in rows] == [
        "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Linear", "ReLU", "Linear",
        "LogSoftmax",
    ]  # fmt: skip
    assert rows[-1] == ("LogSoftmax", [10])
    assert run(["summary", "data=line", "--memory"]) == 0
    shown = capsys.readouterr().out
    assert "oftmax" not in shown, "values are compared as they are"
    assert max(map(len, shown.splitlines()[:-1])) <= 80


def test_a_network_that_does_not_fit_its_images_is_refused_and_not_built_for_ever(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["summary", "data=digits", "model=hog_linear", "model.cell_size=8"]) == 2
    assert "2 x 2 cells of 8 pixels does not fit into images of 8x8" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mlp"])
def test_a_small_network_that_is_there_has_the_same_table_and_leaves_random_numbers_alone(name: str) -> None:
    cfg = checked([f"model={name}", "data=digits"]).cfg
    net = build_untrained(cfg)
    random = torch.get_rng_state()
    found, built, _ = layers_of(cfg, net)
    assert next(built.parameters()).device.type == "cpu", "built with its weights"
    assert torch.equal(torch.get_rng_state(), random)
    assert built is not net
    assert found == layers_of(cfg)[0]
