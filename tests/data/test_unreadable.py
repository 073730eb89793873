"""Photographs that cannot be decoded: each is named, and left out before training where that is asked for."""

from __future__ import annotations

import csv
import json
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import couloir
from couloir.cli.main import run
from couloir.data import unreadable
from couloir.data.decode import Reading, decode
from couloir.data.images import image_folder, inspect
from couloir.data.listing import list_images
from couloir.data.samples import Samples
from couloir.data.unreadable import find_unreadable
from couloir.errors import CouloirError
from photographs import epochs, make_photographs, photograph_samples, smooth


def broken(kind: str, file: Path) -> Path:
    """A file with the name of a photograph that is none."""
    if kind == "torn":
        smooth(75, 50, seed=1).save(file, quality=95)
        file.write_bytes(file.read_bytes()[:300])
    elif kind == "text":
        file.write_text("<html>not found</html>")
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "folder":
        file.mkdir()
    elif kind == "dangling":
        file.symlink_to(file.with_name("gone"))
    elif kind == "bitmap":  # says that it is compressed; Pillow answers with a ValueError
        smooth(8, 8, seed=1).convert("P").save(file, "BMP")
        content = file.read_bytes()
        file.write_bytes(content[:30] + b"\1" + content[31:])
    return file


KINDS = ("torn", "text", "empty", "folder", "dangling", "bitmap")


def with_broken(root: Path) -> Path:
    """Photographs among which, in each split and at several places of the order, lie some that are none."""
    make_photographs(root)
    for number, kind in enumerate(KINDS):
        broken(kind, root / "train" / "ab"[number % 2] / f"00{number}-{kind}.jpg")
    broken("torn", root / "val/a/000-torn.jpg")
    broken("text", root / "test/b/zzz.jpg")
    return root


def skipping(root: Path, folder: Path, **keys: Any) -> Samples:
    return photograph_samples(root, on_error="skip", cache_dir=str(folder), **keys)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_wrong_with_a_photograph_its_file_is_named(kind: str, tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    file = broken(kind, root / "train/a/005.jpg")

    def go(memory_budget: float) -> None:
        list(photograph_samples(root, memory_budget=memory_budget).train_dataloader())

    for memory_budget in (0.0, 1.0):  # one by one, and by the threads that fill the memory
        with pytest.raises(CouloirError) as caught:
            go(memory_budget)
        assert str(caught.value).startswith("005.jpg cannot be decoded: ")
        assert caught.value.place == str(file)
        assert "0x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "empty", "folder", "dangling"])
def test_before_torch_is_imported_a_file_that_is_no_image_is_named_unless_it_may_be_skipped(
    kind: str, tmp_path: Path
) -> None:
    root = make_photographs(tmp_path / "photos")
    broken(kind, root / "train/a/005.jpg")
    with pytest.raises(CouloirError, match=r"^005\.jpg ") as caught:
        inspect("image_folder", {"root": str(root)})
    assert "on_error=skip" in str(caught.value.next_step)
    assert inspect("image_folder", {"root": str(root), "on_error": "skip"})["num_classes"] == 2


def test_a_photograph_that_may_not_be_read_or_has_vanished_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_photographs(tmp_path / "photos")
    samples = photograph_samples(root)
    file = samples.splits["train"].source.paths[3]
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(CouloirError, match=rf"{file.name} cannot be read: No such file"):
        samples.fingerprint()
    file.write_bytes(content)

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(CouloirError, match=r"cannot be decoded: Permission denied"):
        list(samples.train_dataloader())


def test_no_bytes_make_the_decoder_fail_in_another_way() -> None:
    rng, picture = random.Random(0), smooth(60, 45, seed=3)
    for format_, mode in (("JPEG", "RGB"), ("PNG", "P"), ("BMP", "P"), ("WEBP", "RGB"), ("JPEG", "CMYK")):
        stream = BytesIO()
        picture.convert(mode).save(stream, format_)
        for _ in range(60):
            content = bytearray(stream.getvalue())
            for _ in range(rng.randrange(1, 12)):
                content[rng.randrange(len(content) if rng.random() < 0.5 else 64)] = rng.randrange(256)
            try:
                decode(_Bytes(bytes(content[: rng.randrange(len(content)) if rng.random() < 0.2 else None])), 20)  # type: ignore[arg-type]
            except CouloirError as error:
                said = ("x.jpg cannot be decoded: ", "x.jpg has ")  # more pixels than are decoded
                assert error.fact.startswith(said)  # noqa: PT017  most are decoded after all


class _Bytes:
    """A file's content without the file."""

    name = "x.jpg"

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __fspath__(self) -> str:
        return __file__

    def read_bytes(self) -> bytes:
        return self.content


@pytest.mark.parametrize("keys", [{}, {"workers": 2}, {"memory_budget": 1.0}, {"cache": True}], ids=str)
def test_skipping_is_the_same_as_deleting_the_files(keys: dict[str, Any], tmp_path: Path) -> None:
    kept = {"memory_budget": keys.get("memory_budget", 0.0)}  # which decides about the bytes that are hashed
    expected = photograph_samples(make_photographs(tmp_path / "whole"), **kept)
    samples = skipping(with_broken(tmp_path / "photos"), tmp_path / "kept", **keys)
    assert samples.sizes() == expected.sizes()
    assert torch.equal(epochs(samples), epochs(expected))
    assert samples.fingerprint() == expected.fingerprint()


def test_what_was_skipped_is_listed_with_split_class_and_reason(tmp_path: Path) -> None:
    root = with_broken(tmp_path / "photos")
    skipped = skipping(root, tmp_path / "kept").skipped
    assert [(entry.split, entry.label, Path(entry.file).name) for entry in skipped] == [
        ("train", "a", "000-torn.jpg"), ("train", "a", "002-empty.jpg"), ("train", "a", "004-dangling.jpg"),
        ("train", "b", "001-text.jpg"), ("train", "b", "003-folder.jpg"), ("train", "b", "005-bitmap.jpg"),
        ("val", "a", "000-torn.jpg"), ("test", "b", "zzz.jpg"),
    ]  # fmt: skip
    reasons = {Path(entry.file).name: entry.reason for entry in skipped}
    assert reasons["002-empty.jpg"] == "cannot be decoded: it is empty or not an image"
    assert reasons["003-folder.jpg"] == "is not a file"
    assert reasons["004-dangling.jpg"] == "cannot be decoded: No such file or directory"
    assert reasons["005-bitmap.jpg"] == "cannot be decoded: not enough image data"


def test_a_second_run_does_not_decode_everything_again_but_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = with_broken(tmp_path / "photos")
    looked: list[str] = []

    def counted(path: Path, least: int, reading: Reading) -> Any:
        looked.append(path.name)
        return decode(path, least, reading)

    monkeypatch.setattr(unreadable, "decode", counted)
    first = skipping(root, tmp_path / "kept").skipped
    assert len(looked) == 18 + 8 - 1, "all of them, except for the folder"
    looked.clear()
    assert skipping(root, tmp_path / "kept").skipped == first
    assert len(looked) == 8 - 1, "those that could not be decoded: they may have been mended"
    (root / "train/a/000-torn.jpg").write_bytes((root / "train/a/000.jpg").read_bytes())
    broken("torn", root / "train/a/002.jpg")
    names = [Path(entry.file).name for entry in skipping(root, tmp_path / "kept").skipped]
    assert "002.jpg" in names
    assert names.count("000-torn.jpg") == 1, "the one in val"
    (file,) = (tmp_path / "kept").glob("*.npy")
    file.write_bytes(file.read_bytes()[:-5])
    assert [Path(entry.file).name for entry in skipping(root, tmp_path / "kept").skipped] == names


def test_without_a_place_to_remember_it_photographs_are_left_out_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    samples = skipping(with_broken(tmp_path / "photos"), tmp_path / "kept")
    assert len(samples.skipped) == 8


def test_a_look_that_is_broken_off_keeps_what_it_has_seen(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=3, other=2)
    paths = [path for samples in list_images(root).splits.values() for path, _ in samples]
    looked: list[Path] = []

    def why_not(path: Path) -> str | None:
        looked.append(path)
        if len(looked) == 4:
            raise KeyboardInterrupt
        return None

    pytest.MonkeyPatch().setattr(unreadable, "AT_A_TIME", 1)
    with pytest.raises(KeyboardInterrupt):
        find_unreadable(paths, root, why_not, tmp_path / "readable.npy")
    assert find_unreadable(paths, root, why_not, tmp_path / "readable.npy") == {}
    assert looked[4:] == paths[3:]


def test_a_class_or_a_split_of_which_nothing_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=6)
    for file in (root / "val").rglob("*.jpg"):
        broken("text", file)
    with pytest.raises(CouloirError, match=r"None of the 4 photographs in val can be decoded"):
        skipping(root, tmp_path / "kept")
    for file in (root / "train/b").iterdir():
        broken("empty", file)
    with pytest.raises(CouloirError, match=r"None of the 3 photographs of the class 'b' can be decoded"):
        skipping(root, tmp_path / "kept")


def test_a_folder_of_a_split_without_images_is_named(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    for file in (root / "val").rglob("*.jpg"):
        file.unlink()
    with pytest.raises(CouloirError, match=r"val has no images"):
        list_images(root)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photograph_that_vanishes_while_training_goes_on_ends_it_with_its_name(workers: int, tmp_path: Path) -> None:
    root = with_broken(tmp_path / "photos")
    samples = skipping(root, tmp_path / "kept", workers=workers)
    loader = samples.train_dataloader()
    list(loader)
    (root / "train/b/003.jpg").unlink()
    with pytest.raises(CouloirError, match=r"^003\.jpg cannot be decoded: No such file") as caught:
        list(loader)
    assert "at the start" in str(caught.value.next_step)


def test_names_that_are_no_text_can_be_read_and_listed(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    try:
        (root / "train/a/ok-\udcff.jpg").write_bytes((root / "train/a/000.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    broken("text", root / "train/a/bad-\udcff.jpg")
    samples = skipping(root, tmp_path / "kept")
    assert samples.sizes()["train"] == 11
    assert samples.fingerprint().startswith("sha256:")
    from couloir.data.skipped import as_csv, in_words

    assert "bad-\\udcff.jpg" in as_csv(samples.skipped).encode().decode()
    (line,) = in_words(samples.skipped)
    assert "bad-\\udcff.jpg" in line.encode().decode()


def test_a_run_tells_and_lists_what_it_skipped_and_evaluates_on_the_same_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = with_broken(tmp_path / "photos")
    words = [
        "data=image_folder", f"data.root={root}", "data.on_error=skip", f"data.cache_dir={tmp_path / 'kept'}",
        "data.image_size=16", "data.workers=0", "data.batch_size=4", "model=linear", "trainer.max_epochs=1",
        "trainer=cpu", "logger=csv", f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    result = couloir.train(couloir.compose(words))
    rows = list(csv.reader((result.dir / "skipped.csv").read_text().splitlines()))
    assert rows[0] == ["split", "file", "line", "class", "reason"]
    assert rows[1][:4] == ["train", str(root / "train/a/000-torn.jpg"), "", "a"]
    assert len(rows) == 1 + 8
    data = json.loads((result.dir / "provenance.json").read_text())["data"]
    assert data["skipped"] == 8
    assert data["sizes"] == {"train": 10, "val": 4, "test": 4}
    log = (result.dir / "train.log").read_text()
    line = f"warning: 8 photographs left out (data.on_error=skip), first {root / 'train/a/000-torn.jpg'}"
    assert log.count(line) == 1
    assert line in capsys.readouterr().out
    assert run(["evaluate", str(result.dir), f"output_dir={tmp_path / 'out'}"]) == 0
    shown = capsys.readouterr().out
    assert line in shown
    (folder,) = (tmp_path / "out/evaluate").iterdir()
    assert json.loads((folder / "result.json").read_text())["test/loss"] == pytest.approx(result.metrics["test/loss"])


def test_an_image_larger_than_its_neighbours_is_no_reason_to_skip_it(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=4, other=2)
    Image.fromarray(np.zeros((3, 400, 3), np.uint8)).save(root / "train/a/panorama.png")
    samples = image_folder(
        str(root), 0.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4,
        on_error="skip", cache_dir=str(tmp_path / "kept"),
    )  # fmt: skip
    samples.setup()
    assert samples.skipped == []
    assert samples.sizes()["train"] == 5
