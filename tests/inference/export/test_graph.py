"""Graphs: every family of networks becomes a program and an ONNX file; rows of a table are prepared within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from couloir.config import tree
from couloir.data.encoding import Encoding
from couloir.data.features import Feature
from couloir.errors import CouloirError
from couloir.inference.export.agreement import LIMIT
from couloir.inference.export.graph import Graph, PreparedImages, PreparedRows
from couloir.inference.export.writers import write_onnx, write_torch
from couloir.record.files import read_yaml
from networks import build, make_heads_small, networks_of_steps, weights_for
from repeats import few

NAMES = {"input": {"name": "image"}, "output": {"name": "logits"}}
# One network of each file in `src/couloir/model`, and what is special in others. The first ones run in `make test`.
FAMILIES: list[tuple[str, dict[str, Any], tuple[int, int, int]]] = [
    ("linear", {}, (1, 8, 3)),
    ("mlp", {"activation": "maxout", "hidden": [8]}, (1, 8, 3)),
    ("squeezenet", {}, (3, 32, 3)),
    ("lenet5", {"border": "paper", "activation": "prelu"}, (1, 20, 3)),
    ("lenet1", {"original": True}, (1, 28, 3)),
    ("lenet5_1998", {}, (1, 32, 10)),
    ("kernels", {}, (1, 14, 3)),
    ("hog_linear", {}, (3, 16, 3)),
    ("resnet20", {"stochastic_depth": 0.5}, (3, 16, 3)),
    ("unet", {"depth": 1, "width": 4, "upsampling": "unpooling"}, (1, 7, 3)),
    ("polynomial", {}, (1, 8, 3)),
    ("perceptron", {}, (1, 8, 3)),
    ("highway", {}, (1, 8, 3)),
    ("convnet", {}, (1, 28, 3)),
    ("vgg_like", {}, (3, 32, 3)),
    ("all_cnn", {}, (3, 32, 3)),
    ("network_in_network", {}, (3, 32, 3)),
    ("resnet9", {}, (3, 32, 3)),
    ("alexnet", {}, (3, 64, 3)),
    ("alexnet_2012", {}, (3, 64, 3)),
    ("zfnet", {}, (3, 64, 3)),
    ("vgg11", {"batch_norm": True}, (3, 32, 3)),
    ("vgg11_lrn", {}, (3, 32, 3)),
    ("resnet18", {"shortcut": "A", "stem": "cifar"}, (3, 16, 3)),
    ("resnet50", {"gradient_checkpointing": True}, (3, 32, 3)),
    ("preact_resnet164", {}, (3, 16, 3)),
    ("wide_resnet", {"depth": 16, "width": 1, "dropout": 0.3}, (3, 16, 3)),
    ("densenet_cifar", {}, (3, 16, 3)),
    ("densenet121", {}, (3, 32, 3)),
    ("fractalnet", {}, (3, 32, 3)),
    ("googlenet", {}, (3, 32, 3)),
    ("googlenet_bn", {}, (3, 32, 3)),
    ("inception_v3", {}, (3, 96, 3)),
    ("xception", {}, (3, 71, 3)),
    ("mobilenet", {}, (3, 32, 3)),
    ("mobilenet_v2", {}, (3, 32, 3)),
    ("saliency_net", {"width": 0.1, "prior": "learned", "dilation": 2}, (3, 33, 1)),
    ("encoder_decoder", {"encoder": "squeezenet"}, (3, 33, 3)),
    ("espcn", {"depth": 1, "residual": True}, (3, 13, 3)),
    ("srcnn", {"residual": True}, (1, 13, 1)),
    ("fcn_resnet50", {}, (3, 33, 3)),
    ("deeplabv3_resnet50", {}, (3, 33, 3)),
    ("unet", {"depth": 2, "width": 4, "padding": "none"}, (1, 48, 3)),
    ("convnet", {"decoder": "transposed", "decoder_kernel_size": 3}, (1, 13, 3)),
    ("convnet", {"connection": "local", "padding_mode": "mirror", "norm": "local_contrast"}, (1, 12, 3)),
    ("convnet", {"activation": "leaky_relu", "slope": 0.1, "pool_size": 3, "pool_stride": 2}, (1, 12, 3)),
    ("convnet", {"connection": "separable", "activation": "step", "global_pool": "max"}, (1, 12, 3)),
    ("autoencoder", {"tied": True}, (1, 8, 3)),
    ("conv_vae", {"width": 4}, (3, 12, 3)),
    ("segnet", {"depth": 2, "width": 4}, (3, 13, 3)),
    ("fcn8s", {"width": 0.05, "padding": "paper"}, (3, 13, 3)),
]


OF_OTHERS = {"couloir.model.timm", "couloir.model.gan"}
"""Networks of a library that is an extra, and those that answer to codes."""


def file_of(choice: str) -> str:
    """The module that a choice of the group model is built from."""
    return str(read_yaml(tree.choices("model")[choice])["_target_"]).rpartition(".")[0]


def test_every_family_of_the_zoo_is_exported() -> None:
    own = {file_of(name) for name in tree.choices("model") if name not in networks_of_steps()} - OF_OTHERS
    assert {file_of(name) for name, _, _ in FAMILIES} == own


@pytest.mark.parametrize(("name", "keys", "sizes"), few(FAMILIES, 2))
def test_a_family_answers_from_its_files_as_it_does_here(
    name: str, keys: dict[str, Any], sizes: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_heads_small(monkeypatch)
    channels, size, classes = sizes
    net = build(name, channels, size, classes, **keys).eval()
    net.load_state_dict(weights_for(net.state_dict()))
    x = torch.randn(5, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = net(x)
    assert float(own.max() - own.min()) > 0.01, "answers that are all the same show nothing"
    for write, file in ((write_torch, "net.pt2"), (write_onnx, "net.onnx")):
        answers = write(Graph(net).eval(), tmp_path / file, (channels, size, size), torch.float32, NAMES)
        for part in ((0, 1), (1, 5)):  # neither of them the two samples of the trace
            found = answers(x[slice(*part)])
            limit = LIMIT * float(own.max() - own.min())
            np.testing.assert_allclose(found, own[slice(*part)], atol=limit, rtol=0)
        assert b"couloir/model/" not in (tmp_path / file).read_bytes(), "it names files of this machine"
    example, _ = torch.export.load(tmp_path / "net.pt2").example_inputs
    assert not example[0].any(), "a program keeps the samples of its trace, which are nobody's"


def test_images_are_standardised_within_the_graph() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(2, 3, 4, 5), dtype=np.uint8)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    expected = (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    found = PreparedImages(mean, std, torch.uint8)(torch.from_numpy(pixels))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    found = PreparedImages(mean, std, torch.float32)(torch.from_numpy(pixels / 255).float())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rows_are_filled_encoded_and_standardised_within_the_graph(tmp_path: Path) -> None:
    features = [
        Feature("year", "number", offset=2000.0, indicator=True),
        Feature("city", "category", categories=["Bern", "Chur"]),
        Feature("day", "date", offset=9000.0, cycles=["month"]),
    ]
    encoding = Encoding(features, fills=[3.0, 1.0, 10.0, 4.0])
    # Inputs: year, year.missing, city=Bern, city=Chur, day, day.month.sin, day.month.cos
    mean, std = [1.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0], [2.0, 1.0, 1.0, 1.0, 4.0, 1.0, 1.0]
    nan = float("nan")
    rows = np.array([[7, 0, 13, 3], [nan, 1, 1, 0], [5, -1, 5, 6], [1, nan, nan, nan]], dtype=np.float32)

    def wave(month: int) -> list[float]:
        return [np.sin(2 * np.pi * month / 12), np.cos(2 * np.pi * month / 12)]

    expected = [
        [3, 0, 1, 0, 2, *wave(3)],
        [1, 1, 0, 1, -1, *wave(0)],
        [2, 0, 0, 0, 0, *wave(6)],
        [0, 0, 0, 1, 1.25, *wave(4)],
    ]
    graph = Graph(nn.Identity(), PreparedRows(mean, std, encoding)).eval()
    for write, file in ((write_torch, "rows.pt2"), (write_onnx, "rows.onnx")):
        answers = write(graph, tmp_path / file, (4,), torch.float32, {**NAMES, "output": {"name": "row"}})
        np.testing.assert_allclose(answers(torch.from_numpy(rows)), expected, atol=1e-6)


class Choosy(nn.Module):
    """What it does depends on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_layer_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    net = nn.Sequential()
    net.add_module("first", nn.Linear(3, 3))
    net.add_module("choosy", Choosy())
    with pytest.raises(CouloirError, match=r"torch.export does not take this network: its layer choosy"):
        write_torch(Graph(net).eval(), tmp_path / "net.pt2", (3,), torch.float32, NAMES)


class Counting(nn.Module):
    """The number of samples becomes a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), -1)


def test_a_network_for_one_number_of_samples_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=r"one number of samples alone(?s:.)*x.shape\[0\]"):
        write_torch(Graph(Counting()).eval(), tmp_path / "net.pt2", (1, 3), torch.float32, NAMES)


class Bessel(nn.Module):
    """A function that ONNX does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


@pytest.mark.slow
def test_a_layer_that_onnx_does_not_know_is_named(tmp_path: Path) -> None:
    net = nn.Sequential()
    net.add_module("first", nn.Linear(3, 3))
    net.add_module("waves", Bessel())
    with pytest.raises(CouloirError, match=r"torch.onnx does not take this network: its layer waves .*bessel_j0"):
        write_onnx(Graph(net).eval(), tmp_path / "net.onnx", (3,), torch.float32, NAMES)
