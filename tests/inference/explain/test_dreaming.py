"""Images that a network answers to: each part against a closed form, and the whole on networks of two layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain import dreaming
from couloir.inference.explain.dreaming import (
    blurred,
    deep_dream,
    maximisation,
    maximised,
    of_length_one,
    total_variation,
    up_to,
)
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from looked_into import looked_into

SIDE = 32


def subject(*layers: nn.Module, side: int = SIDE) -> Subject:
    """A network that says one of three classes of grey images."""
    return looked_into(nn.Sequential(*layers), side, classes=["ant", "bee", "fly"])


def with_fixed_head() -> Subject:
    """Two convolutions, and a fully-connected layer that takes one size alone."""
    torch.manual_seed(0)
    return subject(
        nn.Conv2d(1, 5, 5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 3)
    )


def samples(subject: Subject, count: int, side: int = SIDE) -> Shown:
    pixels = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1))
    x = subject.standardised(pixels)
    return Shown(pixels, x, torch.arange(count) % 3, [f"{place}.png" for place in range(count)])


def test_regularisers_and_blur_are_what_they_are_called() -> None:
    x = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    numbers = x.numpy()
    expected = (np.diff(numbers, axis=2) ** 2).sum(axis=(1, 2, 3)) + (np.diff(numbers, axis=3) ** 2).sum(axis=(1, 2, 3))
    assert total_variation(x).numpy() == pytest.approx(expected)
    smooth = scipy.ndimage.gaussian_filter(numbers, 0.8, axes=(2, 3), mode="mirror", truncate=2 / 0.8)
    assert np.allclose(blurred(x, 0.8).numpy(), smooth, atol=1e-9)
    assert of_length_one(x).square().mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1])
    assert of_length_one(torch.zeros(1, 1, 2, 2)).abs().max() == 0


def test_an_image_that_maximises_a_template_looks_like_it_and_stays_an_image() -> None:
    rows = torch.linspace(0, 3.1416, SIDE, dtype=torch.float32).sin()
    template = (rows[:, None] * rows - 0.3)[None, None]

    def answer(x: Tensor) -> Tensor:
        # The best place counts: a random shift of the image then changes nothing.
        return (torch.fft.ifft2(torch.fft.fft2(x) * torch.fft.fft2(template).conj()).real).flatten(1).amax(dim=1)

    start = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found = maximised(answer, lambda pixels: pixels, start, seed=0, steps=40)
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, maximised(answer, lambda pixels: pixels, start, seed=0, steps=40))

    def alike(x: Tensor) -> float:
        return float(
            answer(of_length_one(x - x.mean())).max() / answer(of_length_one(template - template.mean())).max()
        )

    assert alike(start) < 0.3
    assert alike(found) > 0.75
    assert answer(found) > answer(start)


def test_a_layer_before_a_fixed_head_is_asked_at_any_size() -> None:
    net = with_fixed_head().net
    x = torch.rand(2, 1, 20, 23)
    assert torch.equal(up_to(net, "2", x), net[:3](x))
    with pytest.raises(RuntimeError):
        net(x)
    assert not any(module._forward_hooks for module in net.modules())


def test_dreams_make_the_layer_answer_more_over_octaves_that_its_network_allows(tmp_path: Path) -> None:
    wanted = Wanted(("deep_dream",), tmp_path)
    network = with_fixed_head()
    dreams = deep_dream(network, samples(network, 3), wanted)
    assert [exhibit.sample for exhibit in dreams] == [0, 1]
    assert dreams[0].numbers["octaves"] == [[16, 16], [23, 23], [32, 32]]
    for exhibit in dreams:
        assert exhibit.numbers["mean_square_after"] > 1.5 * exhibit.numbers["mean_square_before"]
        values = exhibit.panels[1].values
        assert values is not None
        assert values.min() >= 0
        assert values.max() <= 1
    tiny = subject(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3), side=8)
    assert "too few pixels" in deep_dream(tiny, samples(tiny, 1, 8), wanted)[0].note


def test_classes_maps_and_units_are_answered_to_more_than_noise_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dreaming, "STEPS", 15)
    network, wanted = with_fixed_head(), Wanted(("maximisation",), tmp_path)
    state = torch.get_rng_state()
    (classes,) = maximisation(network, samples(network, 2), wanted)
    (alone,) = maximisation(network, samples(network, 1), wanted)
    maps, units = maximisation(network, samples(network, 1), Wanted(("x",), tmp_path, layers=("2", "6")))
    (unit,) = maximisation(network, samples(network, 1), Wanted(("x",), tmp_path, layers=("2",), unit=3))
    assert torch.equal(torch.get_rng_state(), state)
    assert [row["name"] for row in classes.numbers["images"]] == ["ant", "bee"]
    assert len(alone.panels) == len(unit.panels) == 4
    assert {row["number"] for row in unit.numbers["images"]} == {3}
    for exhibit in (classes, alone, maps, units, unit):
        assert len({panel.name for panel in exhibit.panels}) == len(exhibit.panels)
        for panel, row in zip(exhibit.panels, exhibit.numbers["images"], strict=True):
            assert row["after"] > row["before"] or exhibit in (classes, alone, units)  # drawn weights like noise
            assert panel.values is not None
            x = network.standardised(torch.from_numpy(panel.values)[None])
            given = network.net(x)[0] if row["of"] in ("class", "6") else network.net[:3](x)[0].flatten(1).norm(dim=1)
            assert float(given[row["number"]]) == pytest.approx(row["after"], rel=1e-4)
    with pytest.raises(CouloirError, match="numbered from 0; there is no 9"):
        maximisation(network, samples(network, 1), Wanted(("x",), tmp_path, layers=("2",), unit=9))
