"""Maps and filters: against convolutions by SciPy, and the weights themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import as_picture
from couloir.inference.explain.layers.seen import feature_maps, filters, spread
from couloir.inference.explain.plates import boxed, coloured_filters, numbered, plate, resized, shaded
from couloir.inference.explain.words import Wanted
from subjects import shown_of, subject_of


def wanted(*layers: str, unit: int | None = None) -> Wanted:
    return Wanted((), Path(), layers=layers, unit=unit)


def small(channels: int = 1, width: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, 3, 2),
        nn.ReLU(), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip


def test_maps_are_those_that_a_convolution_by_hand_gives() -> None:
    net, pixels = small(), torch.rand(2, 1, 8, 8)
    subject = subject_of(net, size=8)
    exhibits = feature_maps(subject, shown_of(subject, pixels), wanted("0"))
    assert [exhibit.sample for exhibit in exhibits] == [0, 1]
    for sample, exhibit in enumerate(exhibits):
        given, maps = exhibit.panels  # the image is tiny: it stands beside its maps, with its numbers
        np.testing.assert_array_equal(given.values, pixels[sample].numpy())
        weight, bias = net[0].weight.numpy(), net[0].bias.numpy()
        for unit in range(2):
            by_hand = correlate2d(pixels[sample, 0].numpy(), weight[unit, 0], mode="valid") + bias[unit]
            np.testing.assert_allclose(maps.values[unit], by_hand, atol=1e-6)
        assert maps.picture.shape[1] > 8 * 30, "the numbers do not fit"


def test_of_many_samples_the_first_are_shown_and_that_is_told() -> None:
    subject = subject_of(small(), size=8)
    exhibits = feature_maps(subject, shown_of(subject, torch.rand(9, 1, 8, 8)), wanted("3"))
    assert len(exhibits) == 8
    assert "Of 9 samples the first 8 are shown." in exhibits[0].note


def test_some_layers_from_the_first_to_the_last_are_shown_where_nobody_names_one() -> None:
    subject = subject_of(small(), size=8)
    assert [met.name for met in spread(subject)] == ["2", "3", "5"]  # behind normalisation and activation
    assert [met.name for met in spread(subject, 2)] == ["2", "5"]


def test_of_many_maps_the_strongest_are_shown_in_their_order_and_constant_ones_are_told() -> None:
    net = nn.Sequential(nn.Conv2d(1, 70, 1), nn.Flatten(), nn.Linear(70 * 256, 3))
    with torch.no_grad():
        net[0].weight[:, 0, 0, 0] = torch.arange(70.0)
        net[0].bias.zero_()
    subject = subject_of(net, size=16)
    shown = shown_of(subject, torch.rand(1, 1, 16, 16))
    (exhibit,) = feature_maps(subject, shown, wanted("0"))
    (panel,) = exhibit.panels
    assert "those 64 with the largest values" in panel.told
    assert panel.values is not None
    assert len(panel.values) == 70
    assert exhibit.numbers["layers"] == [{"layer": "0", "maps": 70, "constant": 1, "strongest": 69}]
    (alone,) = feature_maps(subject, shown, wanted("0", unit=3))[0].panels
    assert "map 3 of 70" in alone.told
    with pytest.raises(CouloirError, match="has 70 maps, with the numbers 0 to 69, and no 70"):
        feature_maps(subject, shown, wanted("0", unit=70))
    with pytest.raises(CouloirError, match="gives 3 numbers, and no maps"):
        feature_maps(subject, shown, wanted("2"))


def test_filters_are_the_weights_and_a_fully_connected_layer_has_them_as_images() -> None:
    subject = subject_of(small(3, 4), 3, 8)
    shown = shown_of(subject, torch.rand(1, 3, 8, 8))
    (first,) = filters(subject, shown, wanted())[0].panels
    assert first.name == "filters_0"
    assert "4 filters of 3 x 3 over 3 channels" in first.told
    assert first.picture.shape[2] == 3
    np.testing.assert_array_equal(first.values, subject.net[0].weight.numpy())
    (deeper,) = filters(subject, shown, wanted("4"))[0].panels
    assert "a row is a filter of the first 3" in deeper.told
    assert deeper.picture.ndim == 2
    with pytest.raises(CouloirError, match="The layer 5 has no filters: it is a ReLU"):
        filters(subject, shown, wanted("5"))
    with pytest.raises(CouloirError, match="no filters"):  # it does not see the image
        filters(subject, shown, wanted("7"))

    dense = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), size=8)
    (images,) = filters(dense, shown_of(dense, torch.rand(1, 1, 8, 8)), wanted())[0].panels
    assert images.values is not None
    assert images.values.shape == (5, 1, 8, 8)
    np.testing.assert_array_equal(images.values.reshape(5, 64), dense.net[1].weight.numpy())


def test_transposed_and_pointwise_filters_have_their_own_forms() -> None:
    net = nn.Sequential(nn.Conv2d(1, 6, 1), nn.ConvTranspose2d(6, 2, 2, 2), nn.Conv2d(2, 4, 1), nn.Flatten(),
                        nn.Linear(4 * 64, 3))  # fmt: skip
    subject = subject_of(net)
    up, point = filters(subject, shown_of(subject, torch.rand(1, 1, 4, 4)), wanted("1", "2"))[0].panels
    assert up.values is not None
    assert up.values.shape == (2, 6, 2, 2)
    assert "a row is a filter, a column a channel" in point.told
    assert point.picture.shape[0] == 2 * point.picture.shape[1]


def test_pictures_are_enlarged_without_smoothing_and_scaled_each_by_itself() -> None:
    values = np.array([[[0.0, 1.0], [2.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]])
    grey = shaded(values)
    np.testing.assert_array_equal(grey, [[[0, 64], [128, 255]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(shaded(np.array([[-1.0, 0.0, 2.0]]), signed=True), [[64, 128, 255]])
    sheet = plate(list(grey), ["0", "1"], columns=2, side=10)
    np.testing.assert_array_equal(sheet[:10, :10], grey[0].repeat(5, 0).repeat(5, 1))
    assert (sheet[:, 10:14] == 255).all()
    assert (sheet[10:, :10] < 255).any()
    np.testing.assert_array_equal(resized(np.full((200, 100), 7, np.uint8), 50), np.full((50, 25), 7))

    colours = coloured_filters(np.array([[[[1.0]], [[0.0]], [[-2.0]]]]))
    assert colours.tolist() == [[[[191, 128, 0]]]]
    assert as_picture(torch.tensor([[[0.0, 2.0]]])).tolist() == [[0, 255]]
    box = boxed(np.zeros((4, 4), np.uint8), (1, 9, -3, 2), (9, 8, 7))
    assert box[..., 0].tolist() == [[0, 0, 0, 0], [9, 9, 9, 0], [0, 0, 9, 0], [0, 0, 9, 0]]


def test_numbers_stand_in_their_squares() -> None:
    picture = numbered(np.array([[0.0, 1.0]]))
    left, right = picture[1:-1, 1 : picture.shape[1] // 2 - 1], picture[1:-1, picture.shape[1] // 2 + 1 : -1]
    assert left.min() == 0 < left.max()
    assert right.max() == 255 > right.min()


def test_what_is_kept_of_a_layer_does_not_change_the_network() -> None:
    net, pixels = small(), torch.rand(1, 1, 8, 8)
    subject = subject_of(net, size=8)
    before: Tensor = net(pixels)
    shown = shown_of(subject, pixels)
    feature_maps(subject, shown, wanted())
    filters(subject, shown, wanted())
    assert torch.equal(net(pixels), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
