"""The pictures of a page are the samples' own pixels, and augmented ones take no random number from the run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from couloir.augmentation.mixing import Mixup
from couloir.data.digits import digits
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.inspect.dataset.pictures import DRAWS, EACH, as_picture, augmented, of_batch, samples
from couloir.palette import palette
from photographs import make_photographs, photograph_samples


class Flip(torch.nn.Module):
    """Mirrors the images that a coin chooses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = torch.rand(len(x)) < 0.5
        return torch.where(chosen[:, None, None, None], x.flip(3), x)


def small_digits(**keys: Any) -> Samples:
    data = digits(
        task="classification", channels=1, image_size=8, num_classes=10, batch_size=4, subset=200, **keys
    )  # fmt: skip
    data.setup()
    return data


def test_the_samples_of_a_class_are_its_own_to_the_pixel() -> None:
    data = small_digits()
    strips = samples(data)
    assert [strip.title for strip in strips] == [str(label) for label in range(10)]
    split = data.splits["train"]
    for label, strip in enumerate(strips):
        assert len(strip.pictures) == EACH
        for picture, told in zip(strip.pictures, strip.told, strict=True):
            number = int(told.removeprefix("no. "))
            assert split.targets[number] == label
            raw = split.source.fetch(torch.from_numpy(split.indices[[number]]))[0, 0].numpy()
            assert np.array_equal(picture, raw)


def test_photographs_are_shown_as_they_are_cut_and_augmented_by_random_windows_of_their_own(tmp_path: Path) -> None:
    data = photograph_samples(make_photographs(tmp_path / "photos"))
    (strip, _) = samples(data)
    split = data.splits["train"]
    names = [split.source.paths[at].name for at in split.indices.tolist()]
    number = names.index(strip.told[0])
    raw = split.source.fetch(torch.from_numpy(split.indices[[number]]))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(strip.pictures[0], raw)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    drawn, again, other = augmented(data, 0), augmented(data, 0), augmented(data, 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]
    assert all(len(each.pictures) == 1 + DRAWS for each in drawn)
    one, same, different = (np.stack(each[0].pictures) for each in (drawn, again, other))
    assert np.array_equal(one, same)
    assert not np.array_equal(one[1], different[1]) or not np.array_equal(one[2], different[2])
    assert len({picture.tobytes() for picture in one}) == 1 + DRAWS, "each draw is another window"


def test_an_augmentation_that_mirrors_shows_the_sample_or_its_mirror_image() -> None:
    strips = augmented(small_digits(augmentation=Flip()), 0)
    turned = 0
    for strip in strips:
        first, *drawn = strip.pictures
        for picture in drawn:
            is_turned = np.array_equal(picture, first[:, ::-1])
            assert is_turned or np.array_equal(picture, first)
            turned += is_turned
    assert 0 < turned < len(strips) * DRAWS
    assert augmented(small_digits(), 0) == []
    assert augmented(small_digits(augmentation=torch.nn.Identity()), 0) == []


def test_samples_that_are_mixed_are_mixed_with_each_other() -> None:
    strips = augmented(small_digits(augmentation=Mixup(10, 0.4)), 0)
    assert any(not np.array_equal(strip.pictures[0], strip.pictures[1]) for strip in strips)


def test_grey_colour_other_channels_and_large_images_have_a_picture() -> None:
    assert as_picture(torch.zeros(1, 5, 9)).shape == (5, 9)
    assert as_picture(torch.ones(3, 5, 9)).shape == (5, 9, 3)
    five = torch.arange(5.0).view(5, 1, 1).expand(5, 4, 4) / 5
    assert as_picture(five).tolist() == np.full((4, 4), round(0.4 * 255)).tolist(), "their mean"
    assert as_picture(torch.rand(3, 300, 150)).shape == (112, 56, 3)
    assert as_picture(torch.tensor([[[-1.0, 2.0]]])).tolist() == [[0, 255]]


def test_a_map_is_laid_over_its_image() -> None:
    inputs = np.full((12, 1, 4, 4), 100, dtype=np.uint8)
    maps = np.zeros((12, 4, 4), dtype=np.int64)
    maps[:, :2] = 1
    data = Samples(
        lambda: Loaded(ArraySource(inputs, maps), classes=["ground", "wall"]), task="segmentation",
        fields={"image": "image", "wall": "map"}, channels=1, image_size=4, num_classes=2, batch_size=4,
        standardize=False,
    )  # fmt: skip
    data.setup()
    picture = samples(data)[0].pictures[0]
    assert picture.shape == (4, 4, 3)
    assert picture[3].tolist() == [[100, 100, 100]] * 4
    assert picture[0, 0].tolist() == pytest.approx([(100 + each) / 2 for each in palette()[1].tolist()], abs=1)


def test_the_images_of_a_module_of_ones_own_are_scaled_from_least_to_greatest() -> None:
    class Own:
        fields = {"x": "image", "y": "label"}  # noqa: RUF012
        augmentation = Flip()

        def example_batch(self, count: int) -> dict[str, Any]:
            return {"x": torch.linspace(-2, 2, 2 * 4).view(2, 1, 2, 2), "y": torch.tensor([0, 1])}

    plain, drawn = of_batch(Own(), 0)
    assert plain[0].pictures[0].tolist() == [[0, 36], [73, 109]]
    assert [len(strip.pictures) for strip in drawn] == [1 + DRAWS] * 2
    Own.fields = {"x": "row"}
    assert of_batch(Own(), 0) == ([], [])
