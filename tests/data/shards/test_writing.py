"""Shards that Couloir writes hold the bytes of the files, whole or not at all, and are read as they were."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import couloir
import couloir.data.shards.writing as module
from couloir.cli.main import run
from couloir.run.assemble import load_data
from photographs import make_photographs


def members(root: Path, split: str) -> list[tuple[str, bytes]]:
    found = []
    for file in sorted(root.glob(f"{split}-*.tar")):
        with tarfile.open(file) as archive:
            found += [(each.name, archive.extractfile(each).read()) for each in archive]  # type: ignore[union-attr]
    return found


def written(words: list[str], root: Path, *flags: str) -> Path:
    assert run(["data", *words, "--to-shards", str(root / "shards"), *flags]) == 0
    return root / "shards"


def test_files_are_copied_to_the_byte_and_keep_their_names_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = make_photographs(tmp_path / "photos")
    (photographs / "train/a/000.jpg").rename(photographs / "train/a/0.0.0.JPG")
    words = ["data=image_folder", f"data.root={photographs}", "data.image_size=24"]
    shards = written(words, tmp_path, "--shard-size", "0.01", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["samples"] == {"train": 10, "val": 4, "test": 4}
    assert told["shards"]["train"] == len(list(shards.glob("train-*.tar"))) > 1
    assert told["bytes"] == sum(file.stat().st_size for file in shards.glob("*.tar"))
    assert json.loads((shards / "classes.json").read_text()) == ["a", "b"]
    names = {"train/a/0_0_0.jpg": "train/a/0.0.0.JPG"}
    found = members(shards, "train")
    assert len(found) == 20
    for (image, content), (label, number) in zip(found[::2], found[1::2], strict=True):
        assert content == (photographs / names.get(image, image)).read_bytes()
        assert label == image.replace(".jpg", ".cls")
        assert int(number) == "ab".index(image.split("/")[1])
    order = [image for image, _ in found[::2]]
    assert order != sorted(order)  # shuffled
    assert [image for image, _ in members(shards, "val")[::2]] == [
        f"val/{label}/{number:03}.jpg" for label in "ab" for number in range("ab".index(label), 4, 2)
    ]
    again = written(words, tmp_path / "again", "--shard-size", "0.01")
    assert [file.read_bytes() for file in sorted(again.glob("*.tar"))] == [
        file.read_bytes() for file in sorted(shards.glob("*.tar"))
    ]
    copied = written(["data=shards", f"data.path={shards}"], tmp_path / "copied")
    assert sorted(members(copied, "train")) == sorted(found)


def test_training_on_the_shards_sees_the_pictures_of_the_folder(tmp_path: Path) -> None:
    words = ["data.image_size=24", "data.workers=0"]
    photographs = make_photographs(tmp_path / "photos")
    shards = written(["data=image_folder", f"data.root={photographs}"], tmp_path)

    def seen(*more: str) -> dict[str, set[tuple[bytes, int]]]:
        data = load_data(couloir.compose([*words, *more]).cfg)
        found = {}
        for split in ("train", "val", "test"):
            batches = list(data.in_order(split))
            found[split] = {
                (x.numpy().tobytes(), int(y))
                for batch in batches
                for x, y in zip(batch["image"], batch["label"], strict=True)
            }
        return found

    plain = "data.standardize=false"
    assert seen("data=image_folder", f"data.root={photographs}", plain) == seen(
        "data=shards", f"data.path={shards}", plain
    )


def test_images_in_memory_become_png_without_loss(tmp_path: Path) -> None:
    shards = written(["data=digits", "data.subset=40"], tmp_path)
    data = load_data(couloir.compose(["data=digits", "data.subset=40"]).cfg)
    split = data.splits["test"]
    found = members(shards, "test")
    for number, (name, content) in enumerate(found[::2]):
        pixels = np.array(Image.open(io.BytesIO(content)))
        assert np.array_equal(pixels, split.source.inputs[split.indices[number], 0].numpy())
        assert (name, int(found[2 * number + 1][1])) == (f"{split.indices[number]:08}.png", split.targets[number])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=iris"], "this data has rows of a table and classes"),
        (["data=line"], "this data has"),
        (["data=digits", "data.label_noise=0.1"], "shards hold the true labels"),
        (["data=digits", "--no-page"], "makes no page anyway"),
        (["data=digits", "--shard-size", "0"], "--shard-size takes"),
    ],
)
def test_what_cannot_be_written_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", *words, "--to-shards", str(tmp_path / "shards")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "shards").exists()


def test_a_folder_that_is_not_empty_and_a_size_without_shards_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert run(["data", "data=digits", "--to-shards", str(tmp_path)]) == 2
    assert "is not empty: it holds notes.txt" in capsys.readouterr().err
    assert run(["data", "data=digits", "--to-shards", str(tmp_path / "notes.txt")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert run(["data", "data=digits", "--shard-size", "3"]) == 2
    assert "is for shards that are written" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = module._add

    def full(stream: Any, name: str, content: bytes) -> None:
        if name.endswith(".cls") and stream.tell() > 20_000:
            raise OSError(28, "No space left on device")
        real(stream, name, content)

    monkeypatch.setattr(module, "_add", full)
    assert run(["data", "data=digits", "--to-shards", str(tmp_path / "shards")]) == 2
    assert "The shards cannot be written: No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
