"""Random windows of images with maps: both show the same pixels, whatever way they take to the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from couloir.augmentation.geometry import Dihedral, RandomResizedCrop
from couloir.augmentation.transform import in_turn
from couloir.augmentation.windows import RandomWindow
from couloir.config.fields import IGNORED
from couloir.data.decode import Reading
from couloir.data.pairs import Pair, load_pairs
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from pairs import pair

SIDE = 24
AUGMENTATIONS = {
    "random_window": lambda: RandomWindow(SIDE, [1.0, 1.0], 0.5),
    "zoomed": lambda: in_turn(window=RandomWindow(SIDE, [0.5, 1.2], 0.5), turn=Dihedral(0.5, 0.5, 0.5)),
    "imagenet": lambda: RandomResizedCrop([0.2, 1.0], [0.75, 1.333], 0.5),
}

TOLERANCES = {"random_window": 1e-3, "zoomed": 3.0, "imagenet": 3.5}
"""Of row plus column in pixels of the file: half a pixel of the window each way, and two roundings to bytes."""


def coordinates(height: int, width: int, number: int) -> NDArray[np.uint8]:
    """An image whose red is the row, green the column and blue its number, all one or more; (H, W, 3)."""
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.stack([rows, columns, np.full_like(rows, number + 1)], axis=2).astype(np.uint8)


class SumOfPlaces:
    """The map of such an image: row plus column, as a class."""

    planes, classes = 1, True

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        with Image.open(path) as image:
            return np.asarray(image)[..., :2].sum(axis=2, keepdims=True, dtype=np.uint8)

    def __str__(self) -> str:
        return "row plus column"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    folder = tmp_path_factory.mktemp("coordinates")
    sizes = [(60, 90), (70, 40), (33, 80), (50, 50), (24, 24), (90, 61), (40, 70), (48, 48)]
    for number, size in enumerate(sizes):
        Image.fromarray(coordinates(*size, number)).save(folder / f"{number}.png")
    return [Pair(folder / f"{number}.png", folder / f"{number}.png") for number in range(len(sizes))]


def samples_of(load: Any, augmentation: Any, workers: int = 0) -> Samples:
    samples = Samples(
        load, task="segmentation", fields={"image": "image", "mask": "map"}, channels=3, image_size=SIDE,
        num_classes=IGNORED, batch_size=3, workers=workers, standardize=False, planes=1, maps="classes",
        augmentation=augmentation,
    )  # fmt: skip
    samples.setup()
    return samples


def from_files(
    files: list[Pair], name: str, memory: float = 0.0, workers: int = 0, cache: Path | None = None
) -> Samples:
    def load() -> Loaded:
        split = {"train": files[:6], "val": files[6:7], "test": files[7:]}
        kept = None if cache is None else (cache, float(2**30))
        return load_pairs(split, SIDE, memory, Reading(3), SumOfPlaces(), cache=kept)

    return samples_of(load, AUGMENTATIONS[name](), workers)


def batches(samples: Samples, position: int = 0, epochs: int = 2) -> list[tuple[Tensor, Tensor]]:
    """The training batches of some epochs, from a position in the first on: images 0..255 and maps."""
    loader = samples.train_dataloader()
    loader.load_state_dict({"epoch": 0, "position": position})
    found = []
    torch.manual_seed(0)
    for _ in range(epochs):
        found += [(x * 255, y.clone()) for x, y in map(pair, loader)]
    samples.teardown("fit")
    return found


def assert_together(x: Tensor, y: Tensor, tolerance: float) -> None:
    """An image and its map show the same places; outside, black and no class."""
    assert x.shape[1:] == (3, SIDE, SIDE)
    assert y.shape[1:] == (SIDE, SIDE)
    there = (y != IGNORED)[:, None].float()
    outside = F.max_pool2d(there, 3, 1, 1)[:, 0] == 0
    inside = -F.max_pool2d(-there, 3, 1, 1)[:, 0] == 1
    assert inside.float().mean() > 0.3
    assert (x.amax(dim=1)[outside] == 0).all()
    assert ((x[:, 0] + x[:, 1] - y).abs()[inside] <= tolerance).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_image_and_map_are_cut_mirrored_and_zoomed_together_from_files_and_from_memory(
    name: str, files: list[Pair]
) -> None:
    found = batches(from_files(files, name), epochs=4)
    mirrored = set()
    for x, y in found:
        assert_together(x, y, TOLERANCES[name])
        mirrored |= set((x[:, 1, 12, 10] > x[:, 1, 12, 14]).tolist())
    assert mirrored == {False, True}
    assert any((y == IGNORED).any() for _, y in found) == (name == "zoomed")
    for (x, y), (again, mask) in zip(batches(from_files(files, name, memory=1.0), epochs=4), found, strict=True):
        assert torch.equal(x, again)
        assert torch.equal(y, mask)


def test_workers_and_the_cache_and_a_start_within_an_epoch_do_not_change_a_bit(
    files: list[Pair], tmp_path: Path
) -> None:
    expected = batches(from_files(files, "random_window"))
    cache = tmp_path / "cache"
    for keys in ({"workers": 2}, {"cache": cache}, {"cache": cache, "memory": 1.0}):
        for (x, y), (again, mask) in zip(batches(from_files(files, "random_window", **keys)), expected, strict=True):
            assert torch.equal(x, again), keys
            assert torch.equal(y, mask), keys
    for keys in ({}, {"workers": 2, "cache": cache}):
        later = batches(from_files(files, "random_window", **keys), position=1)
        assert len(later) == len(expected) - 1
        assert all(torch.equal(y, mask) for (_, y), (_, mask) in zip(later, expected[1:], strict=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_image_and_map_of_samples_in_memory_are_cut_together_out_of_the_batch(name: str) -> None:
    side = SIDE if name == "imagenet" else 40

    def load() -> Loaded:
        images = np.stack([coordinates(side, side, number) for number in range(8)]).transpose(0, 3, 1, 2)
        stacked = np.concatenate([images, images[:, :1] + images[:, 1:2]], axis=1)
        return Loaded(ArraySource(stacked, np.arange(8)))

    seen = batches(samples_of(load, AUGMENTATIONS[name]()), epochs=4)
    for x, y in seen:
        assert_together(x, y, TOLERANCES[name])
    assert len({tuple(y.flatten().tolist()) for _, masks in seen for y in masks}) > 12
