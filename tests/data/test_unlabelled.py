"""Pictures without classes: whatever folders they stand in, each is a sample, and nothing is learned of its place."""

from __future__ import annotations

from pathlib import Path

import pytest

import couloir
from couloir.config.fields import SAMPLE
from couloir.data.unlabelled import list_pictures
from couloir.errors import CouloirError
from couloir.run.assemble import load_data
from photographs import smooth


def make(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        smooth(40, 30, number).save(root / name)


def test_pictures_anywhere_below_a_folder_are_samples_without_a_class(tmp_path: Path) -> None:
    make(tmp_path / "faces", *(f"{folder}/{number}.png" for folder in (".", "a", "a/b") for number in range(4)))
    cfg = couloir.compose(["data=pictures", f"data.root={tmp_path / 'faces'}", "data.image_size=16"]).cfg
    assert cfg.task._target_.endswith("Reconstruction")
    assert cfg.model._target_.endswith("conv_autoencoder")
    data = load_data(cfg)
    assert sum(data.sizes().values()) == 12
    assert min(data.sizes().values()) > 0
    assert data.classes == []
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"image", SAMPLE}
    assert batch["image"].shape[1:] == (3, 16, 16)
    data.end_workers()


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    make(tmp_path, "train/x/0.png", "train/1.png", "test/0.png")
    listing, _ = list_pictures(tmp_path)
    assert {split: len(files) for split, files in listing.splits.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    ("names", "words", "said"),
    [
        (["test/0.png"], [], "no pictures to train on"),
        (["notes.txt/0.png"], ["data.num_classes=3"], "these pictures have no classes"),
        (["0.png"], ["task=classification", "model=lenet5"], "task=classification needs classes"),
        (["0.png"], ["model=resnet18"], "needs a network that is made for it"),
    ],
)
def test_what_pictures_without_classes_cannot_do_is_said_before_training(
    names: list[str], words: list[str], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "faces", *names)
    with pytest.raises(CouloirError, match=said):
        couloir.compose(["data=pictures", f"data.root={tmp_path / 'faces'}", *words])


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    with pytest.raises(CouloirError, match="There are no pictures in"):
        couloir.compose(["data=pictures", f"data.root={tmp_path / 'faces'}"])
