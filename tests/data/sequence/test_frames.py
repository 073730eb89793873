"""Folders of pictures as videos: their order, their clips, their splits, and folders that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from couloir import compose
from couloir.config.build import build
from couloir.config.check import checked
from couloir.data.sequence.clips import by_folder, chosen_frames
from couloir.errors import CouloirError
from videos import make_videos

WORDS = [
    "data=frames",
    "data.channels=1",
    "data.image_size=8",
    "data.frames=4",
    "data.batch_size=3",
    "model.widths=[4,4]",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_videos(tmp_path_factory.mktemp("videos") / "v", frames=12)


def test_frames_are_sorted_by_their_numbers() -> None:
    files = [Path(f"a/f{number}.png") for number in (10, 9, 100, 1)] + [Path("b/x2.png"), Path("b/X1.png")]
    found = by_folder(files)
    assert [(folder.name, [frame.name for frame in frames]) for folder, frames in found] == [
        ("a", ["f1.png", "f9.png", "f10.png", "f100.png"]),
        ("b", ["X1.png", "x2.png"]),
    ]


@pytest.mark.parametrize(
    ("count", "frames", "take", "chosen"),
    [
        (9, 3, "even", [0, 4, 8]),
        (10, 4, "even", [0, 3, 6, 9]),
        (4, 4, "even", [0, 1, 2, 3]),
        (9, 3, "first", [0, 1, 2]),
        (9, 3, "middle", [3, 4, 5]),
        (2, 4, "even", [0, 1, 1, 1]),
    ],
)
def test_a_clip_has_the_frames_that_its_words_say(count: int, frames: int, take: str, chosen: list[int]) -> None:
    assert chosen_frames(count, frames, take, "repeat") == chosen


def test_a_clip_is_the_same_in_memory_and_decoded_batch_by_batch(folder: Path) -> None:
    batches, told = [], []
    for budget in (1.0, 1e-7):
        words = [*WORDS, f"data.root={folder}", f"data.memory_budget={budget}"]
        data = build(compose(words).cfg, "data")
        data.setup()
        batches.append(data.example_batch(3))
        told.append(data.fingerprint())
        assert any("batch by batch" in note for note in data.notes) == (budget < 1)
        assert (data.classes, sum(data.sizes().values())) == (["bright", "dark"], 12)
    assert torch.equal(batches[0]["video"], batches[1]["video"])
    assert told[0] == told[1]
    split = data.splits["train"]
    video = split.source.paths[split.indices[0]]
    raw = np.stack([np.asarray(Image.open(video / f"f{frame}.png")) for frame in (0, 4, 7, 11)]) / 255
    expected = (raw - data.mean[0]) / data.std[0]
    np.testing.assert_allclose(data.example_batch(1, first=True)["video"][0, 0], expected, atol=1e-5)


def test_folders_say_the_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        make_videos(tmp_path / split, each=3)
    data = build(compose([*WORDS, f"data.root={tmp_path}"]).cfg, "data")
    data.setup()
    assert data.sizes() == {"train": 5, "val": 1, "test": 6}
    assert {path.parent.parent.name for path in data.splits["test"].source.paths} == {"test"}


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["data.frames=20"], "12 of 12 videos have fewer than data.frames=20"),
        (["data.num_classes=3"], "There are 2 class folders, not 3"),
        (["data.length=5"], "data.length=5 would be ignored"),
        (["data.classes=[bright,blue]"], "blue"),
        (["data.root={root}/bright"], "itself; a video is a folder of its own"),
        (["data.root={root}/none"], "is not a folder"),
        (["data.image_size=3"], "leaves nothing"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused_before_torch(folder: Path, words: list[str], fact: str) -> None:
    with pytest.raises(CouloirError) as error:
        checked([*WORDS, f"data.root={folder}", *(word.format(root=folder) for word in words)])
    assert fact in str(error.value)


def test_one_class_and_no_pictures_are_refused(tmp_path: Path) -> None:
    make_videos(tmp_path / "one", classes=("bright",))
    (tmp_path / "none/a/v").mkdir(parents=True)
    (tmp_path / "none/b/v").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name, fact in (
        ("one", "a video is a folder of its own"), ("none", "image"), ("empty", "pictures of a video into .*<video>/"),
    ):  # fmt: skip
        with pytest.raises(CouloirError, match=fact):
            checked([*WORDS, f"data.root={tmp_path / name}"])
