"""GoogLeNet row by row, its auxiliary classifiers, and Inception's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.model.googlenet import TABLE, on_unit_scale
from networks import build

# Table 1's column "params", in units of 1024.
PUBLISHED = {
    "3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840, "5a": 1072, "5b": 1388,
}  # fmt: skip
# The rows whose printed count does not follow from the kernels that the same row prints: counted from these.
FROM_THE_ROW = {"4a": 367, "4c": 498, "4d": 591, "4e": 847, "5a": 1018, "5b": 1409}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return build("googlenet", 3, 224, 1000)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


@pytest.mark.parametrize("row", TABLE)
def test_a_row_of_the_table_has_its_parameters(net: nn.Module, row: str) -> None:
    in_channels = {"3a": 192, "3b": 256, "4a": 480, "4b": 512, "4c": 512, "4d": 512, "4e": 528, "5a": 832, "5b": 832}
    one, reduce3, three, reduce5, five, pool = TABLE[row]
    by_hand = in_channels[row] * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 25 * reduce5 * five
    counted = weights(getattr(net, f"inception{row}"))
    assert counted == by_hand
    assert abs(counted / 1024 - FROM_THE_ROW.get(row, PUBLISHED[row])) <= 1
    assert abs(counted / 1024 / PUBLISHED[row] - 1) < 0.08


def test_the_rows_before_and_behind_the_modules(net: nn.Module) -> None:
    assert weights(net.conv2) + weights(net.conv3) == 112 * 1024
    assert weights(net.conv1) == 3 * 49 * 64  # the table prints 2.7K, which no 7x7 convolution to 64 maps has
    assert weights(net.fc) == 1000 * 1024


def test_every_map_has_the_size_of_the_table() -> None:
    with torch.device("meta"):
        net = build("googlenet", 3, 224, 1000).eval()
        shapes = {}
        for name, module in net.named_children():
            module.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
        net(torch.zeros(1, 3, 224, 224))
    assert shapes["conv1"] == (64, 112, 112)
    assert shapes["maxpool2"] == (192, 28, 28)
    widths = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}
    for row, width in widths.items():
        side = {"3": 28, "4": 14, "5": 7}[row[0]]
        assert shapes[f"inception{row}"] == (width, side, side)


def test_auxiliary_classifiers_are_there_in_training_and_gone_at_inference(net: nn.Module) -> None:
    x = torch.randn(2, 3, 224, 224)
    net.train()
    outputs = net(x)
    assert [tuple(scores.shape) for scores in outputs] == [(2, 1000)] * 3
    assert isinstance(net.eval()(x), torch.Tensor)
    assert net.auxiliary_weight == 0.3
    assert weights(net.aux1) == 512 * 128 + 2048 * 1024 + 1024 * 1000
    assert weights(net.aux2) == 528 * 128 + 2048 * 1024 + 1024 * 1000
    assert net.aux1.dropout.p == 0.7


def test_the_auxiliary_pooling_is_five_by_five_of_stride_three(net: nn.Module) -> None:
    seen = []
    hook = net.aux1.conv.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    x = torch.randn(1, 512, 14, 14)
    net.aux1(x)
    hook.remove()
    assert seen[0].shape == (1, 512, 4, 4)
    assert torch.allclose(seen[0][0, :, 1, 2], x[0, :, 3:8, 6:11].mean(dim=(1, 2)), atol=1e-6)


def test_images_standardised_by_imagenet_come_back_on_the_unit_scale() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (pixels - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(on_unit_scale(x), pixels * 2 - 1, atol=1e-6)


def test_the_auxiliary_loss_counts_with_its_weight() -> None:
    from couloir.loss.classification import CrossEntropy
    from couloir.task.forms import total_loss

    torch.manual_seed(0)
    small = build("googlenet", 3, 32, 10, dropout=0.0, aux_dropout=0.0).train()
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    main, first, second = small(x)
    loss = CrossEntropy()
    expected = loss(main, y) + 0.3 * (loss(first, y) + loss(second, y))
    assert torch.allclose(total_loss((main, first, second), y, small, loss), expected)
