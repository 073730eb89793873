"""The course's pattern: its layers, its geometry, and what is said when no pixel is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import couloir
from couloir.artifacts.layer_table import layers
from couloir.errors import CouloirError
from couloir.model.convnet import convnet
from couloir.model.linear import linear
from networks import build


def pattern(**keys: Any) -> nn.Sequential:
    settings: dict[str, Any] = {
        "channels": 3, "image_size": 32, "num_classes": 10, "N": 1, "M": 2, "K": 1, "widths": 8, "hidden": 16,
        "kernel_size": 3, "stride": 1, "padding": "same", "dilation": 1, "pool": "max", "activation": "relu",
        "norm": "none", "batch_norm": False, "dropout": 0.0, **keys,
    }  # fmt: skip
    return convnet(**settings)


def test_the_convnet_follows_the_pattern_of_the_course() -> None:
    names = [type(layer).__name__ for layer in pattern(N=2, M=2, K=2)]
    stage = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert names == [*stage, *stage, "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pool", ["max", "average", "none"])
def test_any_geometry_that_leaves_pixels_runs(
    kernel_size: int, stride: int, padding: int, dilation: int, pool: str
) -> None:
    keys = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "pool": pool}
    net = pattern(image_size=64, widths=[4, 6], **keys)
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_an_image_that_runs_out_of_pixels_is_explained() -> None:
    with pytest.raises(CouloirError, match="too small for this convnet: in stage 4"):
        pattern(image_size=8, M=4)
    with pytest.raises(CouloirError, match="in stage 2"):
        pattern(image_size=8, M=3, padding=0)
    with pytest.raises(CouloirError, match=r"stage 2 .* pooling windows of 3") as refused:
        pattern(image_size=8, M=2, pool_size=3)
    assert "a smaller model.pool_size" in str(refused.value.next_step)
    assert "same" not in str(refused.value.next_step), "the padding is the same already"


def test_a_list_of_the_wrong_length_is_explained() -> None:
    with pytest.raises(CouloirError, match=r"model\.widths has 3 entries, model\.M is 2"):
        pattern(widths=[1, 2, 3])
    with pytest.raises(CouloirError, match=r"model\.hidden has 1 entries, model\.K is 2"):
        pattern(hidden=[1], K=2)
    with pytest.raises(CouloirError, match=r"model\.stride=1"):
        pattern(stride=2)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"norm": "batch"}, nn.BatchNorm2d),
        ({"batch_norm": True}, nn.BatchNorm2d),
        ({"norm": "group"}, nn.GroupNorm),
        ({"norm": "instance"}, nn.InstanceNorm2d),
    ],
)
def test_normalisation_by_key(keys: dict, kind: type) -> None:
    assert sum(isinstance(layer, kind) for layer in pattern(**keys)) == 2


def positions(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """The places where a window fits into a padded row, counted one by one."""
    row = range(-padding, size + padding)
    return sum(start + dilation * (kernel_size - 1) in row for start in row[::stride])


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "dilation"),
    [(3, 1, 0, 1), (3, 2, 0, 1), (5, 2, 2, 1), (3, 3, 1, 2), (4, 1, 3, 1)],
)
def test_the_maps_have_the_size_that_is_counted_by_hand(
    kernel_size: int, stride: int, padding: int, dilation: int
) -> None:
    keys = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    side = positions(positions(45, **keys), kernel_size=2, stride=2, padding=0, dilation=1)
    net = pattern(image_size=45, M=1, widths=7, **keys)
    assert next(layer.in_features for layer in net if isinstance(layer, nn.Linear)) == 7 * side**2
    assert net(torch.zeros(1, 3, 45, 45)).shape == (1, 10)


def test_without_stages_and_hidden_layers_the_pattern_is_a_linear_classifier() -> None:
    net, plain = pattern(N=0, M=0, K=0), linear(3, 32, 10)
    plain.linear.load_state_dict(net[-1].state_dict())
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(net(x), plain(x))
    assert pattern(N=0, M=2)(x).shape == (2, 10)


def test_one_width_doubles_from_stage_to_stage_and_a_list_is_taken_as_it_is() -> None:
    for widths, expected in ((8, [8, 16, 32]), ([5, 5, 9], [5, 5, 9])):
        net = pattern(M=3, widths=widths)
        assert [layer.out_channels for layer in net if isinstance(layer, nn.Conv2d)] == expected
    for hidden, expected in ((16, [16, 16]), ([20, 12], [20, 12])):
        net = pattern(K=2, hidden=hidden)
        assert [layer.out_features for layer in net if isinstance(layer, nn.Linear)] == [*expected, 10]


def test_dropout_stands_before_each_fully_connected_layer() -> None:
    names = [type(layer).__name__ for layer in pattern(dropout=0.5)]
    assert names[names.index("Flatten") :] == ["Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_two_normalisations_at_once_are_refused() -> None:
    with pytest.raises(CouloirError, match=r"model\.norm is group"):
        pattern(norm="group", batch_norm=True)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in pattern(norm="batch", batch_norm=True)) == 2


def test_instance_normalisation_of_a_single_pixel_is_explained() -> None:
    with pytest.raises(CouloirError, match=r"stage 1 has one pixel"):
        pattern(image_size=8, kernel_size=8, M=1, padding=0, pool="none", norm="instance")


def decoding(decoder: str = "transposed", **keys: Any) -> nn.Module:
    return build("convnet", 3, 32, 4, decoder=decoder, **{"widths": [4, 6], "K": 0, **keys})


def kinds(layers: Any) -> list[str]:
    return [type(layer).__name__ for layer in layers]


def test_a_decoder_has_the_stages_in_reverse() -> None:
    net = decoding("unpool", N=2, K=1, hidden=9, norm="batch")
    conv = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert [kinds(stage) for stage in net.stages] == [conv * 2] * 2
    assert [kinds(stage) for stage in net.decoder] == [["Unpool", *conv * 2]] * 2
    assert kinds(net.middle) == ["Conv2d", "ReLU"] * 2
    widths = [(layer.in_channels, layer.out_channels) for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    down, middle, up = [(3, 4), (4, 4), (4, 6), (6, 6)], [(6, 9), (9, 6)], [(6, 4), (4, 4), (4, 4), (4, 4)]
    assert sorted(widths) == sorted([*down, *middle, *up, (4, 4)])


@pytest.mark.parametrize("keys", [{"kernel": 3}, {"kernel": 4}, {"kernel": 5}, {"K": 2, "hidden": 5, "dropout": 0.2}])
@pytest.mark.parametrize("decoder", ["transposed", "unpool", "upsample"])
def test_a_decoder_gives_a_map_as_large_as_the_image(decoder: str, keys: dict[str, Any]) -> None:
    keys = {"decoder_kernel_size" if key == "kernel" else key: value for key, value in keys.items()}
    if decoder != "transposed" and keys.get("decoder_kernel_size") == 4:
        with pytest.raises(CouloirError, match="Kernels of 4 pixels have no middle"):
            decoding(decoder, **keys)
        return
    net = decoding(decoder, **keys)
    for size in ((1, 1), (17, 30)):
        assert net(torch.randn(2, 3, *size)).shape == (2, 4, *size)
    net(torch.randn(2, 3, 16, 16)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_decoder_that_cannot_follow_the_stages_in_reverse_is_explained() -> None:
    for keys, said in (
        ({"padding": 1}, "needs convolutions that keep the size"),
        ({"pool": "none"}, r"model\.pool=none halves nothing"),
        ({"decoder": "unpool", "pool": "average"}, "model.pool=average has none"),
        ({"kernel_size": 2}, "Kernels of 2 pixels have no middle"),
        ({"M": 0, "widths": 4}, "there is none"),
        (
            {"upsample_mode": "bilinear"},
            r"model\.upsample_mode=bilinear would be ignored: model\.decoder is transposed",
        ),
    ):
        with pytest.raises(CouloirError, match=said):
            decoding(**keys)
    with pytest.raises(CouloirError, match=r"model\.decoder_kernel_size=3 would be ignored: model\.decoder is none"):
        pattern(decoder_kernel_size=3)


def test_rows_of_scores_and_maps_are_not_taken_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/data").mkdir(parents=True)
    facts = "task: segmentation\nfields: {x: image, y: map}\nchannels: 3\nimage_size: 64\nnum_classes: 2\n"
    Path("conf/data/maps.yaml").write_text(f"# Maps.\n# Source: none.\n_target_: maps_of_rows.Data\n{facts}")
    Path("maps_of_rows.py").write_text("class Data: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        CouloirError, match=r"model=convnet needs maps, and data=digits has images and classes"
    ) as caught:
        couloir.compose(["model=convnet", "model.decoder=unpool"])
    assert str(caught.value.next_step).startswith("model.decoder=none, or leave model=convnet out")
    with pytest.raises(
        CouloirError, match="gives a row of numbers for an image, and task=segmentation learns"
    ) as caught:
        couloir.compose(["data=maps", "model=convnet"])
    assert str(caught.value.next_step).startswith(
        "model.decoder=transposed or model.decoder=unpool or model.decoder=upsample, or leave model=convnet out"
    )
    assert couloir.compose(["data=maps", "model=convnet", "model.decoder=unpool"])


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, None), (2, 1), (4, 3)])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_overlapping_pooling_has_the_places_that_are_counted_by_hand(size: int, stride: int | None, pool: str) -> None:
    net = pattern(image_size=33, M=1, widths=5, pool=pool, pool_size=size, pool_stride=stride)
    side = positions(33, kernel_size=size, stride=stride or size, padding=0, dilation=1)
    assert next(layer.in_features for layer in net if isinstance(layer, nn.Linear)) == 5 * side**2
    assert net(torch.zeros(1, 3, 33, 33)).shape == (1, 10)


@pytest.mark.parametrize("way", ["average", "max"])
def test_with_global_pooling_images_have_any_size(way: str) -> None:
    torch.manual_seed(0)
    net = pattern(global_pool=way, K=0, widths=[4, 8])
    assert [type(layer).__name__ for layer in net][-3:] == [
        "AdaptiveAvgPool2d" if way == "average" else "GlobalMax", "Flatten", "Linear",
    ]  # fmt: skip
    assert net[-1].in_features == 8  # the lecture: a 15x15x8 tensor gives 8 numbers
    x = torch.randn(2, 3, 45, 61)
    maps = net[:-3](x).flatten(2)
    pooled = maps.mean(dim=2) if way == "average" else maps.amax(dim=2)
    torch.testing.assert_close(net(x), pooled @ net[-1].weight.T + net[-1].bias)


def test_mirror_padding_is_numpys_reflection() -> None:
    torch.manual_seed(0)
    net = pattern(padding_mode="mirror", kernel_size=5, N=1, M=1, pool="none").double()
    x = torch.randn(2, 3, 32, 32).double()
    mirrored = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    expected = nn.functional.conv2d(torch.tensor(mirrored), net[1].weight, net[1].bias)
    torch.testing.assert_close(net[1](net[0](x)), expected)
    with pytest.raises(CouloirError, match=r"needs 4 pixels beyond the border, and a map of 4x4 pixels has 3"):
        pattern(image_size=8, M=2, kernel_size=9, padding_mode="mirror")


def test_separable_convolutions_have_the_lectures_products() -> None:
    """A 5x5 kernel over 3 channels: 75 products an output, or 75 for all three channels once and 3 an output."""
    keys = {"kernel_size": 5, "widths": 256, "M": 1, "K": 0, "pool": "none", "bias": False}
    with torch.device("meta"):
        rows = {way: layers(pattern(connection=way, **keys), 3, 32) for way in ("shared", "separable")}
    pixels = 32 * 32
    assert rows["shared"][0].multiply_adds == 75 * 256 * pixels
    assert [row.multiply_adds for row in rows["separable"][:2]] == [75 * pixels, 3 * 256 * pixels]
    assert [row.parameters for row in rows["separable"][:2]] == [75, 3 * 256]
    assert rows["shared"][0].parameters == 75 * 256


def test_local_contrast_stands_behind_the_activation() -> None:
    names = [type(layer).__name__ for layer in pattern(norm="local_contrast", M=1)]
    assert names[:4] == ["Conv2d", "ReLU", "LocalContrastNorm", "MaxPool2d"]
    net = decoding("transposed", norm="local_contrast", K=1, hidden=5)
    assert kinds(net.middle) == ["Conv2d", "ReLU"] * 2
    assert net(torch.randn(2, 3, 17, 30)).isfinite().all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.pool=none", "model.pool_size=3"], r"model\.pool_size=3 would be ignored: model\.pool is none"),
        (["model.pool=none", "model.pool_stride=1"], r"model\.pool_stride=1 would be ignored: model\.pool is none"),
        (
            ["model.padding=0", "model.padding_mode=mirror"],
            r"model\.padding_mode=mirror would be ignored: model\.padding",
        ),
        (["model.M=0", "model.connection=local"], r"model\.connection=local would be ignored: there is no convolution"),
        (["model.N=0", "model.bias=false"], r"model\.bias=false would be ignored: there is no convolution"),
        (["model.connection=sparse"], r"model\.connection takes one of shared, local, separable"),
        (["model.padding_mode=reflect"], r"model\.padding_mode takes one of zeros, mirror"),
    ],
)
def test_keys_that_nothing_would_read_are_refused_before_torch_is_needed(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        couloir.compose(["model=convnet", *words])


def test_a_decoder_refuses_what_it_does_not_read() -> None:
    for keys in (
        {"connection": "local"}, {"bias": False}, {"padding_mode": "mirror"}, {"pool_size": 3}, {"pool_stride": 1},
        {"global_pool": "average"},
    ):  # fmt: skip
        with pytest.raises(CouloirError, match=r"would be ignored: model\.decoder=transposed has its own way"):
            decoding(**keys)
    with pytest.raises(CouloirError, match="the last 1x1 convolution alone would learn"):
        decoding(activation="step")
