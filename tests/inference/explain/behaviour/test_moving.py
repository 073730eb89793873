"""Whether layers move along with a picture, and answers stay, against layers of which it is known."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from couloir.inference.explain.behaviour.moving import MOVES, along, distances, jumps, measure, moved, shifts
from couloir.inference.explain.subject import Subject
from looked_into import looked_into

SIDE = 16


def subject(*layers: nn.Module) -> Subject:
    """A network that says one of ten classes of grey images."""
    return looked_into(nn.Sequential(*layers), SIDE)


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def convolutional() -> Subject:
    torch.manual_seed(0)
    return subject(
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Conv2d(4, 6, 4, stride=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip


def shifted(subject: Subject, pixels: Tensor, name: str, by: float, jump: tuple[float, float]) -> Tensor:
    """How far a layer's maps are from having been shifted along."""
    before, after = (subject.outputs(subject.standardised(x), name) for x in (pixels, moved(pixels, "shift", by)))
    return distances(after, *along(before, "shift", by, jump))


def test_a_convolution_is_said_to_move_along_exactly_by_whole_steps_of_its_stride(convolutional: Subject) -> None:
    far = jumps(convolutional, ["0", "2"])
    assert far == {"0": (1.0, 1.0), "2": (2.0, 2.0)}
    for name, steps in (("0", (1, 3)), ("2", (2, 4))):
        for by in steps:
            assert shifted(convolutional, images(), name, by, far[name]).max() < 1e-6
    assert shifted(convolutional, images(), "2", 1, far["2"]).min() > 0.01


def test_global_average_pooling_behind_circular_padding_is_said_to_make_the_answer_stay() -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    found = measure(subject(*layers), images(), torch.tensor([0, 3, 5]), ["0", "2"])
    assert all(at.apart["0"] < 1e-6 and at.apart["2"] < 1e-6 for at in found["shift"].values())
    assert all(at.unchanged == 1 for at in found["shift"].values())
    assert len({round(at.said, 6) for at in found["shift"].values()}) == 1
    assert found["brightness"][0.5].apart["2"] > 0.1


def test_a_fully_connected_layer_is_not_said_to_move_along_or_stay() -> None:
    torch.manual_seed(0)
    found = measure(subject(nn.Flatten(), nn.Linear(SIDE * SIDE, 10)), images(), torch.tensor([0, 1, 2]), ["1"])
    for kind in MOVES:
        for strength, at in found[kind].items():
            neutral = strength == (1.0 if kind in ("scale", "brightness") else 0.0) and kind != "mirror"
            assert (at.apart["1"] < 1e-6) if neutral else (at.apart["1"] > 0.03), (kind, strength)


def test_pictures_are_turned_and_scaled_as_scipy_does() -> None:
    pixels = images(1).double()
    one = pixels[0, 0].numpy()
    inner = slice(5, -5)
    turned = scipy.ndimage.rotate(one, 15, reshape=False, order=1)
    assert np.allclose(moved(pixels, "rotation", 15)[0, 0, inner, inner], turned[inner, inner])
    centre = (SIDE - 1) / 2
    larger = scipy.ndimage.affine_transform(one, [1 / 1.5, 1 / 1.5], centre - centre / 1.5, order=1)
    assert np.allclose(moved(pixels, "scale", 1.5)[0, 0], larger)
    assert torch.allclose(moved(pixels, "rotation", 90), pixels.rot90(1, (2, 3)))


@pytest.mark.parametrize(
    ("kind", "strength", "whole"), [("rotation", 180, True), ("rotation", 90, True), ("scale", 0.5, False)]
)
def test_maps_are_compared_only_where_they_come_from_inside(kind: str, strength: float, whole: bool) -> None:
    maps = images().double()
    after, inside = along(maps, kind, strength, (1.0, 1.0))
    assert bool(inside.all()) is whole
    assert torch.allclose(after * inside, moved(maps, kind, strength) * inside)
    assert inside.mean() > 0.2


def test_shifts_are_within_a_quarter_of_the_image() -> None:
    assert shifts(8) == (0, 1, 2)
    assert shifts(224) == (0, 1, 2, 3, 4, 8, 16, 56)
