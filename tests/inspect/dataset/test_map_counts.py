"""What `couloir data` says of masks and of other maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.data.degraded import Shrunk
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.inspect.dataset.facts import look_at
from couloir.inspect.dataset.map_counts import maps
from couloir.inspect.dataset.page import page_of
from couloir.inspect.dataset.pictures import as_picture, samples
from couloir.inspect.dataset.sentence import sentence_of
from couloir.inspect.dataset.terminal import told
from folders_of_masks import make_masks, mask_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COULOIR_CACHE", str(tmp_path / "cache"))


def look(root: Path, *words: str) -> Any:
    given = ["data=image_masks", f"data.root={root}", "data.image_size=24", *words]
    return look_at(*sentence_of(given))


def cases(facts: dict[str, Any]) -> dict[str, str]:
    return {finding["case"]: f"{finding['says']} {finding['next']}" for finding in facts["attention"]}


def test_pixels_and_images_of_each_class_are_counted_over_whole_masks(tmp_path: Path) -> None:
    make_masks(tmp_path, 12, values=(0, 1, 255))
    words = ("data.ignore_index=255", 'data.test_pattern="00[01]"')
    found = look(tmp_path, *words).facts
    expected = np.zeros(256, int)
    for number in (0, 1):
        width, height = (40, 32) if number else (47, 37)
        expected += np.bincount(mask_of(width, height, number, (0, 1, 255)).reshape(-1), minlength=256)
    assert found["classes"]["names"] == ["background", "foreground"]
    assert found["classes"]["counts"]["test"] == expected[:2].tolist()
    assert found["maps"]["images"]["test"] == [2, 2]
    assert found["maps"]["ignored"]["test"] == pytest.approx(expected[255] / expected.sum())
    assert found["photographs"]["whole"]
    assert found["doubles"]["contradicting"] == 0


def test_a_class_in_one_split_alone_rare_pixels_and_empty_masks_are_told(tmp_path: Path) -> None:
    make_masks(tmp_path, 12)
    for number in range(12):
        mask = np.zeros((32, 40) if number % 3 else (37, 47), np.uint8)
        mask[:3, :3] = 255 * (number > 1)
        Image.fromarray(mask).save(tmp_path / f"masks/{number:03}.png")
    seen = look(tmp_path, 'data.test_pattern="00[01]"')
    said = cases(seen.facts)
    assert "The test split has no pixel of class foreground" in said["absent_class"]
    assert "99" in said["pixel_imbalance"]
    assert "loss=dice_cross_entropy" in said["pixel_imbalance"]
    assert "2 of 2 test maps have one class alone" in said["empty_maps"]
    page = page_of(seen).as_html()
    assert "the class background is left clear" in page
    assert "images with each class" in page
    assert "They keep their sizes" in page
    assert "imbalance" not in said


def test_masks_that_training_refuses_are_told_and_the_others_looked_at(tmp_path: Path) -> None:
    make_masks(tmp_path, 12)
    Image.fromarray(mask_of(40, 32, 0, (0, 7))).save(tmp_path / "masks/001.png")
    found = look(tmp_path, "data.colours={a: 0, b: 255}").facts
    assert found["refused"]["message"].startswith("001.png has the value 7, which is in no class")
    assert found["samples"] == 11
    assert [Path(each["file"]).name for each in found["left_out"]["samples"]] == ["001.png"]
    assert "001.png" in "".join(str(line) for line in told(found))


def set_of(values: np.ndarray, holds: str, **keys: Any) -> Samples:
    images = np.full((len(values), 1, 8, 8), 100, np.uint8)
    raw = images if holds == "images" else np.concatenate([images, values[:, None]], axis=1)
    data = Samples(
        lambda: Loaded(ArraySource(raw, np.arange(len(raw))), classes=[]), task="any", channels=1, image_size=8,
        fields={"image": "image", "target": "map"}, num_classes=1, batch_size=4, standardize=False, **keys,
    )  # fmt: skip
    data.setup()
    return data


def test_maps_of_values_glow_and_black_ones_are_counted() -> None:
    planes = np.zeros((20, 8, 8), np.uint8)
    planes[1:, :4] = 255
    data = set_of(planes, "values", planes=1, maps="values")
    found = maps(data)
    assert found is not None
    assert sum(found["empty"].values()) == 1
    assert found["pixels"] == {}
    pictures = [picture for strip in samples(data) for picture in strip.pictures]
    glowing = next(picture for picture in pictures if picture[0, 0, 0] > 150)
    assert glowing[7, 7].tolist() == [100, 100, 100]


def test_a_restored_image_stands_beside_its_input() -> None:
    data = set_of(np.zeros((20, 8, 8)), "images", degrade=Shrunk(2))
    found = maps(data)
    assert found is not None
    assert found["holds"] == "images"
    (strip,) = samples(data)
    assert strip.pictures[0].shape == (8, 16)
    assert as_picture(torch.full((1, 2, 2), 0.5), torch.zeros(2, 2)).shape == (2, 2, 3)
