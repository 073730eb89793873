"""The views of a test image: where they are cut, how many there are, and that sliding is cutting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf

from couloir.config import tree
from couloir.config.needs import fitting, lacking
from couloir.errors import CouloirError
from couloir.tta.views import Dense, corners_and_middle, fully_convolutional
from networks import build


def views(name: str) -> Any:
    return instantiate(OmegaConf.load(tree.choices("tta")[name]), _convert_="all")


def test_ten_crops_are_corners_middle_and_mirrors_of_224_in_256() -> None:
    ten = views("ten_crop")
    assert ten.load_size(224) == 256
    x = torch.randn(2, 3, 256, 256)
    crops = list(ten(x, 224))
    assert len(crops) == 10
    expected = [x[..., :224, :224], x[..., :224, 32:], x[..., 32:, :224], x[..., 32:, 32:], x[..., 16:240, 16:240]]
    for number, window in enumerate(expected):
        assert torch.equal(crops[2 * number], window)
        assert torch.equal(crops[2 * number + 1], window.flip(3))


@pytest.mark.parametrize(("name", "count"), [("mirror", 2), ("dihedral", 8)])
def test_maps_are_turned_back_so_that_views_change_nothing_for_a_network_that_turns_with_its_images(
    name: str, count: int
) -> None:
    kernel = torch.tensor([[1.0, 2, 1], [2, -5, 2], [1, 2, 1]]).expand(2, 3, 3, 3)
    x = torch.randn(2, 3, 17, 17)
    looked = list(views(name)(x, 17))
    assert len(looked) == count
    assert len({tuple(view.flatten().tolist()) for view in looked}) == count
    expected = F.conv2d(x, kernel, padding=1)
    for number, view in enumerate(looked):
        found = views(name).back(F.conv2d(view, kernel, padding=1), number)
        torch.testing.assert_close(found, expected)
        row = torch.randn(2, 5)
        assert views(name).back(row, number) is row, "a row of numbers has no left and right"
    wide = torch.randn(1, 1, 4, 6)
    assert [view.shape for view in views(name)(wide, [4, 6])] == [wide.shape] * min(count, 4)


@pytest.mark.parametrize("name", ["ten_crop", "multi_crop", "dense"])
def test_windows_are_refused_for_maps_before_anything_is_read(name: str) -> None:
    maps = {"fields": {"image": "image", "mask": "map"}}
    assert lacking(tree.choices("tta")[name], maps) is not None
    assert lacking(tree.choices("tta")[name], {"fields": {"image": "image", "label": "label"}}) is None
    assert set(fitting("tta", maps)) == {"none", "mirror", "dihedral"}
    with pytest.raises(CouloirError, match="the answers are maps, which have no mean"):
        views(name).back(torch.zeros(1, 2, 4, 4), 0)


def test_ten_crops_of_rectangles_lie_in_their_corners() -> None:
    ten = views("ten_crop")
    assert ten.load_size([112, 224]) == [128, 256]
    x = torch.randn(2, 3, 128, 256)
    crops = list(ten(x, [112, 224]))
    ends = [x[..., :112, :224], x[..., :112, 32:], x[..., 16:, :224], x[..., 16:, 32:], x[..., 8:120, 16:240]]
    for number, window in enumerate(ends):
        assert torch.equal(crops[2 * number], window)
        assert torch.equal(crops[2 * number + 1], window.flip(3))
    multi = views("multi_crop")
    assert multi.load_size([28, 56]) == [44, 88]
    assert len(list(multi(torch.randn(1, 3, 3, 44, 88), [28, 56]))) == 144
    assert all(view.shape == (1, 3, 28, 56) for view in multi(torch.randn(1, 3, 44, 88), [28, 56]))


def test_there_are_144_views_of_a_photograph_and_48_of_a_square() -> None:
    multi = views("multi_crop")
    assert multi.load_size(224) == 352
    assert len(list(multi(torch.randn(1, 3, 3, 44, 44), 28))) == 144
    assert len(list(multi(torch.randn(1, 3, 44, 44), 28))) == 48
    assert all(view.shape == (1, 3, 28, 28) for view in multi(torch.randn(1, 3, 3, 44, 44), 28))


def test_the_scales_of_googlenet_are_256_288_320_and_352() -> None:
    assert [round(224 * margin) for margin in views("multi_crop").margins] == [256, 288, 320, 352]


def test_the_three_squares_of_a_photograph_are_its_ends_and_its_middle(tmp_path: object) -> None:
    import numpy as np
    from PIL import Image

    from couloir.data.folder import FileSource

    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, :20], pixels[:, 20:40], pixels[:, 40:] = 10, 100, 200
    path = tmp_path / "wide.png"  # type: ignore[operator]
    Image.fromarray(pixels).save(path)
    source = FileSource([(path, 0)], 20, 3)
    assert source.fetch(torch.tensor([0])).shape == (1, 3, 20, 20)
    source.squares = 3
    squares = source.fetch(torch.tensor([0]))
    assert squares.shape == (1, 3, 3, 20, 20)
    assert [int(square.float().mean()) for square in squares[0]] == [10, 100, 200]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("alexnet", 224, marks=pytest.mark.slow),
        pytest.param("vgg11", 64, marks=pytest.mark.slow),
        pytest.param("zfnet", 224, marks=pytest.mark.slow),
    ],
)
def test_a_sliding_classifier_at_the_size_of_training_is_the_network_itself(name: str, size: int) -> None:
    torch.manual_seed(0)
    net = build(name, image_size=size).eval()
    sliding = fully_convolutional(net)
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(sliding(x), net(x), rtol=1e-3, atol=1e-4)


def test_a_sliding_classifier_averages_over_all_places() -> None:
    """AlexNet's last map grows by one place for every 32 pixels: 256 gives 7x7, four windows of 6x6."""
    torch.manual_seed(0)
    net = build("alexnet", image_size=224).eval()
    x = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        features = net.features(x)
        assert features.shape[2:] == (7, 7)
        windows = [features[..., t : t + 6, s : s + 6].flatten(1) for t in (0, 1) for s in (0, 1)]
        expected = torch.stack([net.classifier(window) for window in windows]).mean(dim=0)
        assert torch.allclose(Dense(256 / 224).adapt(net)(x), expected, rtol=1e-3, atol=1e-4)


def test_fully_connected_layers_do_not_slide_over_rectangles() -> None:
    with torch.device("meta"):
        net = build("alexnet", image_size=[224, 256]).eval()
        with pytest.raises(CouloirError, match="slides fully-connected layers over square images alone"):
            Dense(256 / 224).adapt(net)(torch.zeros(1, 3, 256, 293))


def test_networks_that_average_their_last_map_slide_as_they_are() -> None:
    net = build("resnet20")
    assert fully_convolutional(net) is net
    squeezenet = build("squeezenet")
    assert fully_convolutional(squeezenet) is squeezenet


def test_windows_larger_than_the_image_are_explained() -> None:
    with pytest.raises(CouloirError, match="Windows of 30 pixels do not fit"):
        list(corners_and_middle(torch.zeros(1, 1, 20, 20), 30))
