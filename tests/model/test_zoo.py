"""Every network of the course: parameters, output shapes and multiply-adds, against its paper."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from couloir.artifacts.layer_table import layers, totals
from couloir.cli.main import run
from couloir.config import tree
from couloir.config.needs import lacking
from couloir.errors import CouloirError
from couloir.loss.classification import CrossEntropy
from couloir.task.forms import total_loss
from networks import build, one_of_each, packaged_networks

IMAGENET, CIFAR = (3, 224, 1000), (3, 32, 10)

# name, keys, (channels, pixels, classes), parameters, multiply-adds in 10^9 (None: none published)
EXACT: list[tuple[str, dict[str, Any], tuple[int, int, int], int, tuple[float, float] | None]] = [
    ("lenet1", {}, (1, 28, 10), 3_246, None),
    ("lenet1", {"original": True}, (1, 28, 10), 2_578, None),
    ("lenet5", {}, (1, 28, 10), 61_706, None),
    ("lenet5_1998", {}, (1, 32, 10), 60_000, None),
    ("alexnet", {}, IMAGENET, 61_100_840, (0.71, 0.72)),
    ("alexnet_2012", {}, IMAGENET, 60_965_224, (0.71, 0.73)),
    ("alexnet_2012", {"extra_convolution": True}, IMAGENET, 60_965_224 + 256 * (9 * 128 + 1), (0.72, 0.74)),
    ("zfnet", {}, IMAGENET, 62_357_608, None),
    ("vgg11", {}, IMAGENET, 132_863_336, (7.6, 7.7)),
    ("vgg11", {"batch_norm": True}, IMAGENET, 132_863_336 + 2 * 2_752, None),
    ("vgg11_lrn", {}, IMAGENET, 132_863_336, None),
    ("vgg13", {}, IMAGENET, 133_047_848, (11.3, 11.4)),
    ("vgg16_1x1", {}, IMAGENET, 138_357_544 - 8 * (256**2 + 2 * 512**2), None),
    ("vgg16", {}, IMAGENET, 138_357_544, (15.3, 15.5)),
    ("vgg16", {"batch_norm": True}, IMAGENET, 138_365_992, None),
    ("vgg19", {}, IMAGENET, 143_667_240, (19.6, 19.7)),
    ("googlenet_bn", {}, IMAGENET, 13_004_888, (1.49, 1.51)),
    ("googlenet_bn", {"aux_logits": False}, IMAGENET, 6_624_904, (1.49, 1.51)),
    # Fewer than 25 million without the auxiliary classifier (the paper's section 8).
    ("inception_v2", {"aux_logits": False}, (3, 299, 1000), 24_027_240, (5.5, 5.6)),
    ("inception_v3", {}, (3, 299, 1000), 27_161_264, (5.7, 5.8)),
    ("xception", {}, (3, 299, 1000), 22_855_952, (8.3, 8.5)),
    ("mobilenet", {}, IMAGENET, 4_231_976, (0.56, 0.58)),
    ("mobilenet", {"width": 0.5}, IMAGENET, 1_331_592, (0.148, 0.152)),
    ("mobilenet_v2", {}, IMAGENET, 3_504_872, (0.3, 0.31)),
    ("resnet18", {}, IMAGENET, 11_689_512, (1.8, 1.82)),
    ("resnet34", {}, IMAGENET, 21_797_672, (3.6, 3.7)),
    ("resnet34", {"shortcut": "A"}, IMAGENET, 21_797_672 - 172_032 - 1_792, (3.6, 3.7)),
    ("resnet50", {}, IMAGENET, 25_557_032, (3.8, 4.1)),
    ("resnet101", {}, IMAGENET, 44_549_160, (7.6, 7.9)),
    ("resnet152", {}, IMAGENET, 60_192_808, (11.3, 11.6)),
    ("densenet121", {}, IMAGENET, 7_978_856, (2.8, 2.9)),
    ("densenet161", {}, IMAGENET, 28_681_000, (7.7, 7.8)),
    ("densenet169", {}, IMAGENET, 14_149_480, (3.3, 3.4)),
    ("densenet201", {}, IMAGENET, 20_013_928, (4.2, 4.4)),
    ("squeezenet", {}, IMAGENET, 1_248_424, (0.81, 0.85)),
    # 9 (3 * 64 + 64 * 128 + 2 * 128² + 128 * 256 + 256 * 512 + 2 * 512²) + 2 (64 + 3 * 128 + 256 + 3 * 512) + 10 * 512
    ("resnet9", {}, CIFAR, 6_573_120, None),
    # ten kernels of 5x5 that never learn, maps of 24x24, halved: 10 (10 * 12² + 1)
    ("kernels", {}, (1, 28, 10), 14_410, None),
    ("kernels", {"learn": True}, (1, 28, 10), 14_410 + 250, None),
    ("network_in_network", {}, CIFAR, 966_986, None),
    # Two companions, of 96 maps of 16x16 and 192 of 8x8, on Network in Network.
    ("deeply_supervised", {}, CIFAR, 966_986 + 10 * (96 * 256 + 1) + 10 * (192 * 64 + 1), None),
    ("all_cnn", {}, CIFAR, 1_369_738, None),
    # 32 (9 * 3 + 1), 32 (9 * 32 + 1), 64 (9 * 32 + 1), 64 (9 * 64 + 1), 256 (64 * 22² + 1), 10 * 257
    ("vgg_like", {}, (3, 100, 10), 896 + 9_248 + 18_496 + 36_928 + 7_930_112 + 2_570, None),
]

# name, keys, parameters in millions as the paper rounds them
ROUNDED: list[tuple[str, dict[str, Any], str]] = [
    ("resnet20", {}, "0.27"),
    ("resnet56", {"shortcut": "none"}, "0.85"),  # the plain network has as many parameters
    ("wide_resnet", {"depth": 16, "width": 8}, "11.0"),
    ("wide_resnet", {"depth": 16, "width": 4, "dropout": 0.4}, "2.7"),
    ("densenet_cifar", {}, "1.0"),
    ("densenet_cifar", {"depth": 100, "bottleneck": True, "compression": 0.5}, "0.8"),
    ("fractalnet", {}, "38.6"),
    ("highway", {}, "2.3"),
    ("resnet32", {}, "0.46"),
    ("resnet44", {}, "0.66"),
    ("resnet56", {}, "0.85"),
    ("resnet110", {}, "1.7"),
    ("resnet110", {"stochastic_depth": 0.5}, "1.7"),
    ("preact_resnet164", {}, "1.7"),
    ("wide_resnet", {"depth": 28, "width": 10}, "36.5"),
    ("densenet_cifar", {"depth": 100}, "7.0"),
    ("densenet_cifar", {"depth": 100, "growth_rate": 24}, "27.2"),
    ("densenet_cifar", {"depth": 250, "growth_rate": 24, "bottleneck": True, "compression": 0.5}, "15.3"),
    ("densenet_cifar", {"depth": 190, "growth_rate": 40, "bottleneck": True, "compression": 0.5}, "25.6"),
]
"""The first eight have one of each kind; the deeper ones of the same families run in `make faults`."""


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def row_id(row: tuple[Any, ...]) -> str:
    return row[0] + "".join(f"-{key}={value}" for key, value in row[1].items())


@pytest.mark.parametrize("row", EXACT, ids=row_id)
def test_a_network_has_its_papers_parameters_output_and_multiply_adds(row: Any) -> None:
    name, keys, (channels, size, classes), count, published = row
    with torch.device("meta"):
        net = build(name, channels, size, classes, **keys).eval()
        assert net(torch.zeros(2, channels, size, size)).shape == (2, classes)
        assert parameters(net) == count
        if published is None:
            return
        found = totals(layers(net, channels, size), net)
    assert found["parameters"] == count
    assert published[0] <= found["multiply_adds"] / 1e9 <= published[1]


@pytest.mark.parametrize(
    "row", [*ROUNDED[:8], *(pytest.param(row, marks=pytest.mark.slow) for row in ROUNDED[8:])], ids=row_id
)
def test_a_network_for_cifar_has_the_parameters_of_the_tables(row: Any) -> None:
    name, keys, millions = row
    with torch.device("meta"):
        net = build(name, 3, 32, 10, **keys).eval()
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    unit = 10 ** -len(millions.partition(".")[2])
    # The papers round some numbers down (wide_resnet 16-4: 2.749 is printed as 2.7).
    assert float(millions) - unit / 2 <= parameters(net) / 1e6 < float(millions) + unit


def test_the_deepest_network_is_within_two_hundredths_of_the_published_count() -> None:
    with torch.device("meta"):
        net = build("preact_resnet1001", 3, 32, 10)
    assert parameters(net) / 10.2e6 == pytest.approx(1.0, abs=0.02)
    assert sum(isinstance(module, nn.Conv2d) for module in net.modules()) == 1000 + 3, "the projections come on top"


def test_the_residual_network_of_1202_layers_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        net = build("resnet1202", 3, 32, 10, stochastic_depth=0.5)
    assert f"{parameters(net) / 1e6:.1f}" == "19.4"
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == 1202
    assert [net.layer1[0].survival, net.layer3[-1].survival] == [1 - 0.5 / 600, 0.5], "from the first block to the last"


def test_densenet_264_counts_up_from_its_table() -> None:
    """Worked from table 1: per layer BN, 1x1 to 128, BN, 3x3 to 32; transitions halve."""
    width, total = 64, 3 * 49 * 64 + 2 * 64
    for number, depth in enumerate((6, 12, 64, 48)):
        for _ in range(depth):
            total += 2 * width + width * 128 + 2 * 128 + 128 * 32 * 9
            width += 32
        if number < 3:
            total += 2 * width + width * (width // 2)
            width //= 2
    total += 2 * width + width * 1000 + 1000
    with torch.device("meta"):
        assert parameters(build("densenet264", *IMAGENET)) == total


def test_zfnet_variant_b_is_the_table_with_wider_layers() -> None:
    with torch.device("meta"):
        net = build("zfnet", *IMAGENET, widths=[512, 1024, 512])
    convolutions = 14_208 + 614_656 + 512 * (9 * 256 + 1) + 1024 * (9 * 512 + 1) + 512 * (9 * 1024 + 1)
    linear = 4096 * (512 * 36 + 1) + 4096 * 4097 + 1000 * 4097
    assert parameters(net) == convolutions + linear


# lenet5_1998 takes ten digits only, which is an error of its own.
@pytest.mark.parametrize("name", one_of_each(name for name in packaged_networks() if name != "lenet5_1998"))
def test_other_channels_and_classes_are_taken(name: str) -> None:
    with torch.device("meta"):
        size = 96
        assert build(name, 1, size, 7).eval()(torch.zeros(2, 1, size, size)).shape == (2, 7)


RECTANGLES = dict.fromkeys(["lenet1", "lenet5", "lenet5_1998"], "square images")
"""Networks that take squares alone, and what they are refused with."""


@pytest.mark.parametrize("name", one_of_each(packaged_networks()))
def test_every_network_takes_images_that_are_not_square_or_says_that_it_cannot(name: str) -> None:
    data = {"fields": {"x": "image", "y": "label"}, "channels": 3, "image_size": [96, 128], "num_classes": 10}
    missing = lacking(tree.choices("model")[name], data)
    assert (None if missing is None else missing[0]) == RECTANGLES.get(name)
    if missing is not None:
        with pytest.raises(CouloirError, match=f"model={name} needs square images, not 96x128"):
            build(name, 3, [96, 128], 10)
        return
    with torch.device("meta"):
        net = build(name, 3, [96, 128], 10)
        outputs = net.train()(torch.zeros(2, 3, 96, 128))
    assert all(out.shape == (2, 10) for out in (outputs if isinstance(outputs, tuple) else [outputs]))


@pytest.mark.parametrize("name", ["convnet", "resnet20", "mobilenet", "squeezenet", "vgg_like", "network_in_network"])
def test_upright_and_across_a_network_has_the_same_cost_between_those_of_two_squares(name: str) -> None:
    def cost(height: int, width: int) -> int:
        with torch.device("meta"):
            net = build(name, 3, [height, width], 10)
            return totals(layers(net, 3, [height, width]), net)["multiply_adds"]

    assert cost(64, 64) < cost(64, 96) == cost(96, 64) < cost(96, 96)


def test_a_rectangle_has_an_input_for_each_of_its_pixels() -> None:
    """Worked by hand: 3 channels of 20x30 pixels are 1,800 inputs; vgg_like leaves 2x4 of them for 64 maps."""
    assert [parameters(build(name, 3, [20, 30], 10)) for name in ("linear", "perceptron")] == [18_010] * 2
    assert parameters(build("mlp", 3, [20, 30], 10, hidden=[7])) == 1801 * 7 + 8 * 10
    convolutions = 896 + 9_248 + 18_496 + 36_928
    assert parameters(build("vgg_like", 3, [20, 30], 10)) == convolutions + 256 * (64 * 2 * 4 + 1) + 2_570
    rows = layers(build("vgg_like", 3, [20, 30], 10), 3, [20, 30])
    assert rows[0].output_shape == [32, 18, 28]
    assert rows[0].multiply_adds == 32 * 18 * 28 * 27


@pytest.mark.parametrize(("name", "count"), [("vgg16", 138_357_544), ("googlenet_bn", 13_004_888)])
def test_couloir_summary_counts_what_the_table_says(name: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"model={name}", "data=synthetic", "data.image_size=224", "data.num_classes=1000", "data.channels=3"]
    assert run(["summary", *words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["totals"]["parameters"] == count == sum(layer["parameters"] for layer in content["layers"])


def test_a_companion_classifier_counts_its_weight_beside_the_output_in_training_alone() -> None:
    torch.manual_seed(0)
    net = build("deeply_supervised", 1, 8, 10, dropout=0.0, companion_weight=0.7)
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([3, 1, 4, 1])
    own, *companions = net(x)
    assert [scores.shape for scores in companions] == [(4, 10), (4, 10)]
    expected = nn.functional.cross_entropy(own, y)
    expected = expected + 0.7 * sum(nn.functional.cross_entropy(scores, y) for scores in companions)
    torch.testing.assert_close(total_loss(net(x), y, net, CrossEntropy()), expected)
    assert torch.equal(net.eval()(x), own)
