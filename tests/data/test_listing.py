"""What a folder is taken for: its splits, its classes, and what of it is not used."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from couloir.cli.main import run
from couloir.data.images import image_folder, inspect, listed
from couloir.data.listing import Listing, list_images
from couloir.data.skipped import as_csv, in_words
from couloir.errors import CouloirError


def put(root: Path, *names: str) -> Path:
    """Photographs, no two of the same bytes; what does not end like one is a text."""
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in (".png", ".jpg", ".tif"):
            Image.new("RGB", (8, 8), (200, number % 256, number // 256)).save(file)
        else:
            file.write_text(name)
    return root


def shown(listing: Listing, root: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        split: [(path.relative_to(root).as_posix(), listing.classes[label]) for path, label in samples]
        for split, samples in listing.splits.items()
    }


@pytest.mark.parametrize("train", ["train", "Train", "training", "TRAIN"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation", "dev"])
@pytest.mark.parametrize("test", ["test", "TESTING"])
def test_splits_have_several_names(train: str, val: str, test: str, tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/0.png" for split in (train, val, test) for name in ("cat", "dog")))
    assert shown(list_images(tmp_path), tmp_path) == {
        split: [(f"{folder}/cat/0.png", "cat"), (f"{folder}/dog/0.png", "dog")]
        for split, folder in (("train", train), ("val", val), ("test", test))
    }


def test_classes_beside_the_folders_of_other_splits_are_the_training(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/1.png", "Valid/cat/2.png", "Valid/dog/3.png")
    listing = list_images(tmp_path)
    assert shown(listing, tmp_path) == {
        "train": [("cat/0.png", "cat"), ("dog/1.png", "dog")],
        "val": [("Valid/cat/2.png", "cat"), ("Valid/dog/3.png", "dog")],
    }


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/0.png" for split in ("train", "val", "valid") for name in ("cat", "dog")))
    with pytest.raises(CouloirError, match="'val' and 'valid' both mean the split val"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    "name", ["eval", "holdout", "hold-out", "train2", "fold1", "Test_set", "testing images", "unlabeled", "val-data"]
)
@pytest.mark.parametrize("beside", ["train", "."])
def test_a_folder_that_may_be_a_split_is_refused_by_name(name: str, beside: str, tmp_path: Path) -> None:
    put(tmp_path, f"{beside}/cat/0.png", f"{beside}/dog/0.png", f"{name}/cat/1.png")
    with pytest.raises(CouloirError, match=f"The folder '{name}' looks like a split") as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert caught.value.place == str(tmp_path / name)
    assert "rename to train, val or test" in str(caught.value.next_step)


@pytest.mark.parametrize("name", ["tester", "valley", "folder", "devil", "training_shoes", "evaluator"])
def test_classes_whose_names_begin_like_splits_are_classes(name: str, tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", f"{name}/0.png")
    assert list_images(tmp_path).classes == ["cat", name]
    put(tmp_path / "below", "train/eval/0.png", "train/test/0.png")
    assert list_images(tmp_path / "below").classes == ["eval", "test"]


def test_a_folder_that_a_zip_wraps_is_followed_and_said(tmp_path: Path) -> None:
    put(
        tmp_path,
        "pets-v2/data/train/cat/0.png",
        "pets-v2/data/train/dog/0.png",
        "__MACOSX/pets-v2/._x.png",
        "README.md",
    )
    listing = list_images(tmp_path)
    assert listing.classes == ["cat", "dog"]
    (note,) = listing.notes
    assert str(tmp_path / "pets-v2/data") in note
    put(tmp_path / "classes", "archive/cat/0.png", "archive/dog/0.png")
    assert list_images(tmp_path / "classes").classes == ["cat", "dog"]


def test_one_class_alone_is_refused_before_torch_and_its_folder_named(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "cat/1.png")
    with pytest.raises(CouloirError, match="one class folder alone, 'cat'") as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert caught.value.place == str(tmp_path / "cat")
    assert inspect("image_folder", {"root": str(tmp_path), "fields": {"image": "image"}})["classes"] == ["cat"]
    put(tmp_path, "train.csv")
    with pytest.raises(CouloirError) as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert "data.labels=train.csv" in str(caught.value.next_step)


def test_files_without_class_folders_are_refused_with_the_way_to_label_them(tmp_path: Path) -> None:
    put(tmp_path, "cat_0.png", "dog_1.png")
    with pytest.raises(CouloirError, match=r"no class folders, but 2 images such as cat_0\.png") as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert "data.labels=labels.csv" in str(caught.value.next_step)
    put(tmp_path, "train.csv")
    with pytest.raises(CouloirError) as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert "data.labels=train.csv" in str(caught.value.next_step)


def test_files_come_in_the_order_of_their_names_folder_by_folder(tmp_path: Path) -> None:
    names = [
        "cat/b.png",
        "cat/a/z.png",
        "cat/a.png",
        "cat/a-b.png",
        "cat/B.png",
        "cat/10.png",
        "cat/9.png",
        "dog/x.png",
    ]
    put(tmp_path, *names)
    listing = list_images(tmp_path)
    expected = sorted(tmp_path / name for name in names if name.startswith("cat"))
    assert [path for path, label in listing.splits["train"] if label == 0] == expected
    assert "1 folder lies below class folders" in listing.notes[0]


def test_everything_that_is_not_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    put(
        tmp_path, "train/cat/0.png", "train/dog/0.png", "train/cat/._0.png", "train/cat/.ipynb_checkpoints/0.png",
        "train/cat/Thumbs.db", "train/dog/notes.txt", "train/dog/a.xml", "train/dog/b.XML", "train/readme.md",
        "docs/x.png", ".DS_Store", "train/dog/LICENSE", "val/cat/1.png",
    )  # fmt: skip
    (tmp_path / "val/dog").mkdir()
    (tmp_path / "train/cat/back").symlink_to(tmp_path / "train")
    listing = list_images(tmp_path)
    assert [path.name for path, _ in listing.splits["train"]] == ["0.png", "0.png"]
    left = {Path(entry.file).relative_to(tmp_path).as_posix(): entry for entry in listing.left_out}
    assert {name: entry.kind for name, entry in left.items()} == {
        "train/cat/._0.png": "hidden or made by the system",
        "train/cat/.ipynb_checkpoints": "hidden or made by the system",
        "train/cat/Thumbs.db": "hidden or made by the system",
        ".DS_Store": "hidden or made by the system",
        "train/dog/notes.txt": ".txt", "train/dog/a.xml": ".xml", "train/dog/b.XML": ".xml",
        "train/dog/LICENSE": "no suffix",
        "train/readme.md": "beside the class folders", "docs": "beside the class folders",
        "train/cat/back": "a link in a circle", "val/dog": "an empty class folder",
    }  # fmt: skip
    assert left["train/dog/notes.txt"][:1] + left["train/dog/notes.txt"][3:5] == (
        "train",
        "dog",
        "not a photograph: .txt",
    )
    (line,) = in_words(listing.left_out)
    for part in (
        "hidden or made by the system (4, such as",
        ".xml (2, such as dog/a.xml)",
        "an empty class folder (1,",
    ):
        assert part in line
    assert len(as_csv(listing.left_out).splitlines()) == 1 + 12


def test_linked_folders_are_followed_and_none_is_followed_for_ever(tmp_path: Path) -> None:
    root, elsewhere = (
        put(tmp_path / "root", "cat/0.png", "dog/0.png"),
        put(tmp_path / "else", "more/1.png", "other/2.png"),
    )
    for link, target in (
        (root / "cat/linked", elsewhere / "more"), (elsewhere / "more/over", elsewhere / "other"),
        (elsewhere / "other/back", elsewhere / "more"), (root / "cat/self", root / "cat"), (root / "cat/up", root),
    ):  # fmt: skip
        link.symlink_to(target)
    listing = list_images(root)
    names = [path.relative_to(root).as_posix() for path, label in listing.splits["train"] if label == 0]
    assert names == ["cat/0.png", "cat/linked/1.png", "cat/linked/over/2.png"]
    assert [Path(entry.file).name for entry in listing.left_out] == ["back", "self", "up"]


def test_a_link_that_leads_nowhere_and_a_folder_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "cat/more").symlink_to(tmp_path / "gone")
    with pytest.raises(CouloirError, match="The link 'more' leads nowhere") as caught:
        list_images(tmp_path)
    assert caught.value.place == str(tmp_path / "cat/more")
    assert [entry.kind for entry in list_images(tmp_path, skip=True).left_out] == ["a link that leads nowhere"]
    scandir = os.scandir

    def refused(path: str) -> object:
        if path.endswith("dog"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(CouloirError, match=r"dog cannot be read: Permission denied"):
        list_images(tmp_path, skip=True)


def test_pictures_of_formats_that_are_not_read_are_refused_or_left_out(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/0.png", "cat/IMG_1.HEIC", "dog/1.cr2")
    with pytest.raises(CouloirError, match=r"IMG_1\.HEIC is a picture in the format HEIC") as caught:
        inspect("image_folder", {"root": str(tmp_path)})
    assert "on_error=skip" in str(caught.value.next_step)
    left = list_images(tmp_path, skip=True).left_out
    assert [(Path(entry.file).name, entry.reason) for entry in left] == [
        ("IMG_1.HEIC", "is a picture in the format HEIC"), ("1.cr2", "is a picture in the format RAW"),
    ]  # fmt: skip
    Image.new("RGB", (8, 8)).save(tmp_path / "cat/IMG_1.HEIC", "JPEG")  # its content is that of a photograph
    (tmp_path / "dog/1.cr2").unlink()
    assert len(list_images(tmp_path).splits["train"]) == 3


def test_a_class_folder_without_photographs_says_what_it_holds(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/0.mp4")
    with pytest.raises(CouloirError, match=r"'dog' has no images, only files such as 0\.mp4"):
        list_images(tmp_path)


def test_a_run_says_and_lists_what_it_does_not_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "pets", *(f"{name}/{number}{name}.png" for name in ("cat", "dog") for number in range(6)))
    put(tmp_path / "pets", "cat/._0.png", "dog/a.txt", "readme.md")
    words = [
        "data=image_folder", f"data.root={tmp_path / 'pets'}", "data.image_size=8", "data.workers=0", "model=linear",
        "trainer.max_epochs=1", "trainer=cpu", "logger=csv", f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    assert run(["train", *words]) == 0
    shown_line = "not used: beside the class folders (1, such as pets/readme.md), hidden or made by the system (1, such"
    assert shown_line in capsys.readouterr().out
    (folder,) = (tmp_path / "out/train").iterdir()
    assert len((folder / "skipped.csv").read_text().splitlines()) == 1 + 3


def test_listing_many_files_asks_the_system_once_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(20)))
    asked: list[str] = []
    for name in ("stat", "lstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, *a, real=real, **k: asked.append(str(path)) or real(path, *a, **k))
    assert len(list_images(tmp_path).splits["train"]) == 40
    assert not any(path.endswith(".png") for path in asked)


def test_samples_are_those_of_the_listing(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(6)))
    samples = image_folder(
        str(tmp_path), 0.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4
    )
    samples.setup()
    held = [samples.splits[name].source.paths[i] for name in samples.splits for i in samples.splits[name].indices]
    assert sorted(held) == sorted(path for path, _ in list_images(tmp_path).splits["train"])


def test_splits_below_classes_are_refused(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{split}/0.png" for name in ("cat", "dog") for split in ("Train", "test")))
    with pytest.raises(CouloirError, match="class folder 'cat' holds the folder 'Train', which looks like a split"):
        list_images(tmp_path)


def test_masks_are_not_taken_for_a_class(tmp_path: Path) -> None:
    put(tmp_path, "images/0.png", "masks/0.png")
    with pytest.raises(CouloirError, match="'images' and 'masks' look like photographs and their masks"):
        list_images(tmp_path)
    put(tmp_path / "in", "cat/a 1.png", "cat/a 1_mask.png", "cat/b.png", "dog/a.png", "dog/b_mask.png")
    (note,) = list_images(tmp_path / "in").notes
    assert "trained on as photographs: 1, such as" in note
    assert "a 1_mask.png" in note


def test_a_class_is_the_same_in_all_splits_in_whatever_form_its_accents_are(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    put(tmp_path, f"train/{one}/0.png", "train/dog/1.png", "val/dog/2.png", f"val/{other}/3.png")
    listing = list_images(tmp_path)
    assert listing.classes == [one, "dog"]
    assert shown(listing, tmp_path)["val"] == [(f"val/{other}/3.png", one), ("val/dog/2.png", "dog")]
    put(tmp_path, f"train/{other}/4.png")
    with pytest.raises(CouloirError, match="Two class folders are called 'Käfer'"):
        list_images(tmp_path)


def test_classes_that_differ_in_case_alone_are_two_and_said(tmp_path: Path) -> None:
    put(tmp_path, "Cat/0.png", "cat/1.png", "dog/2.png")
    listing = listed(str(tmp_path))
    assert listing.classes == ["Cat", "cat", "dog"]
    assert listing.notes == ["warning: the classes Cat and cat differ only in the case of their letters"]


def test_only_files_are_pictures_of_formats_that_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, "cat/trip.raw/0.png", "cat/1.png", "dog/2.png")
    os.mkfifo(tmp_path / "dog/p.heic")
    listing = list_images(tmp_path)
    assert [path.name for path, _ in listing.splits["train"]] == ["1.png", "0.png", "2.png"]
    assert [Path(entry.file).name for entry in listing.left_out] == ["p.heic"]


def test_the_table_of_the_training_is_proposed(tmp_path: Path) -> None:
    put(tmp_path, "train/0.png", "sample_submission.csv", "train.csv")
    with pytest.raises(CouloirError) as caught:
        list_images(tmp_path)
    assert str(caught.value.next_step).endswith("data.labels=train.csv")
