"""Labels from a table: which photograph has which, what several mean, and what is refused with its line."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.cli.main import run
from couloir.config.check import checked
from couloir.data.images import image_folder, inspect, listed
from couloir.errors import CouloirError


def pictures(root: Path, *names: str) -> Path:
    """Photographs whose red says which they are."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 10, 30, 10)).save(root / name)
    return root


def four(root: Path, table: str, name: str = "labels.csv") -> Path:
    pictures(root, "images/a.png", "images/b.png", "images/c.png", "images/d.png")
    (root / name).write_text(table)
    return root


def labelled(root: Path, **keys: Any) -> dict[str, str]:
    """Each photograph with its label in words, in their order."""
    listing = listed(str(root), **keys)
    (samples,) = listing.splits.values()
    return {path.name: listing.name_of(target) for path, target in samples}


def test_a_folder_beside_a_table_of_labels_is_recognised(tmp_path: Path) -> None:
    root = four(tmp_path, "filename,label\nb.png,dog\na.png,cat\nd.png,cat\nc.png,dog\n")
    assert labelled(root) == {"b.png": "dog", "a.png": "cat", "d.png": "cat", "c.png": "dog"}
    facts = inspect("image_folder", {"root": str(root)})
    assert facts == {
        "task": "classification", "fields": {"image": "image", "label": "label"}, "num_classes": 2,
        "classes": ["cat", "dog"],
    }  # fmt: skip


def test_the_pixels_of_a_sample_are_those_of_its_row(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"images/{number:02}.png" for number in range(20)))
    rows = [f"{number:02},{'cat' if number % 3 else 'dog'}" for number in reversed(range(20))]
    (tmp_path / "labels.csv").write_text("id,breed\n" + "\n".join(rows))
    samples = image_folder(
        str(tmp_path), 0.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4,
        standardize=False, seed=3,
    )  # fmt: skip
    samples.setup()
    for batches in (samples.train_dataloader(), samples.val_dataloader(), samples.test_dataloader()):
        for batch in batches:
            numbers = (batch["image"][:, 0, 0, 0] * 25.5).round().long()
            assert torch.equal(batch["label"], (numbers % 3 == 0).long())


@pytest.mark.parametrize(
    "table",
    [
        "image_id,breed\na,cat\nb,dog\nc,dog\nd,cat\n",  # the only other column
        "x;path;class\n1;images/a.png;cat\n2;images/b.png;dog\n3;images/c.png;dog\n4;images/d.png;cat\n",
        "path,label\nC:\\sets\\images\\a.png,cat\nC:\\sets\\images\\b.png,dog\n/x/images/c.png,dog\n./images/d.png,cat\n",
        "label\tfile\ncat\ta.png\ndog\tb.png\ndog\tc.png\ncat\td.png\n",
        "Class Name,File Name,note\ncat,a.png,x\ndog,b.png,y\ndog,c.png,z\ncat,d.png,w\n",
    ],
)
def test_usual_columns_are_recognised_and_files_found_with_or_without_folder_and_ending(
    table: str, tmp_path: Path
) -> None:
    assert labelled(four(tmp_path, table)) == {"a.png": "cat", "b.png": "dog", "c.png": "dog", "d.png": "cat"}


def test_columns_are_chosen_by_key_and_wrong_ones_named(tmp_path: Path) -> None:
    root = four(tmp_path, "f,u,v\na.png,1,x\nb.png,2,y\nc.png,1,y\nd.png,2,x\n", "t.csv")
    with pytest.raises(CouloirError, match=r"which column of t\.csv holds the files"):
        listed(str(root), "t.csv")
    with pytest.raises(CouloirError, match=r"which column of t\.csv holds the labels"):
        listed(str(root), "t.csv", {"file": "f"})
    assert labelled(root, labels="t.csv", columns={"file": "f", "label": "u"})["b.png"] == "2"
    with pytest.raises(CouloirError, match="has no column 'w'"):
        listed(str(root), "t.csv", {"file": "f", "label": "w"})
    with pytest.raises(CouloirError, match="has no 'files'"):
        listed(str(root), "t.csv", {"files": "f"})
    with pytest.raises(CouloirError, match=r"There is no table s\.csv") as caught:
        listed(str(root), "s.csv")
    assert caught.value.next_step == "data.labels=t.csv"
    with pytest.raises(CouloirError, match="for a table of labels"):
        listed(str(pictures(tmp_path / "p", "x/0.png", "y/0.png")), columns={"file": "f"})


def test_a_column_of_splits_is_used(tmp_path: Path) -> None:
    root = four(tmp_path, "file,label,split\na.png,cat,Train\nb.png,dog,training\nc.png,cat,valid\nd.png,dog,TEST\n")
    splits = listed(str(root)).splits
    assert {name: [path.name for path, _ in samples] for name, samples in splits.items()} == {
        "train": ["a.png", "b.png"], "val": ["c.png"], "test": ["d.png"],
    }  # fmt: skip
    four(tmp_path, "file,label,split\na.png,cat,Train\nb.png,dog,7\nc.png,cat,valid\nd.png,dog,TEST\n")
    with pytest.raises(CouloirError, match="The split '7' is not one of") as caught:
        listed(str(root))
    assert str(caught.value.place).endswith("line 3")
    four(tmp_path, "file,label,split\na.png,cat,train\nb.png,cat,train\nc.png,dog,val\nd.png,cat,test\n")
    with pytest.raises(CouloirError, match="'dog' is in val but not in train"):
        listed(str(root))


@pytest.mark.parametrize("each", [True, False])
def test_the_folders_of_splits_decide_where_no_column_does(each: bool, tmp_path: Path) -> None:
    names = [f"{split}/{number}.jpg" for split in ("train", "valid") for number in range(4)]
    pictures(tmp_path, *names)
    for folder in ("train", "valid"):
        rows = [f"{'' if each else folder + '/'}{number}.jpg,{'cat' if number % 2 else 'dog'}\n" for number in range(4)]
        if each:
            (tmp_path / folder / "labels.csv").write_text("file,label\n" + "".join(rows))
        else:
            with (tmp_path / "labels.csv").open("a") as stream:
                stream.write(("" if stream.tell() else "file,label\n") + "".join(rows))
    splits = listed(str(tmp_path), "labels.csv").splits
    assert {name: len(samples) for name, samples in splits.items()} == {"train": 4, "val": 4}
    assert all(path.parent.name == "valid" for path, _ in splits["val"])


def test_rows_without_a_file_and_files_without_a_row(tmp_path: Path) -> None:
    root = four(tmp_path, "file,label\na.png,cat\nx.png,dog\nb.png,dog\nc.png,\nb.png,dog\n")
    with pytest.raises(CouloirError, match=r"The row names 'x\.png', and there is no such photograph") as caught:
        listed(str(root))
    assert str(caught.value.place).endswith("line 3")
    assert "on_error=skip" in str(caught.value.next_step)
    listing = listed(str(root), on_error="skip")
    assert [path.name for path, _ in listing.splits["train"]] == ["a.png", "b.png"]
    assert [(Path(entry.file).name, entry.line, entry.kind) for entry in listing.left_out] == [
        ("labels.csv", 3, "a row without its file"), ("labels.csv", 5, "a row without a label"),
        ("labels.csv", 6, "a row twice"), ("c.png", None, "without a row of labels"),
        ("d.png", None, "without a row of labels"),
    ]  # fmt: skip


def test_a_name_that_two_photographs_have_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "one/a.png", "two/a.png", "b.png")
    (tmp_path / "l.csv").write_text("file,label\na.png,cat\nb.png,dog\n")
    with pytest.raises(CouloirError, match=r"'a\.png', which may be"):
        listed(str(tmp_path), "l.csv")
    (tmp_path / "l.csv").write_text("file,label\none/a.png,cat\nb.png,dog\ntwo/a,dog\n")
    assert [target for _, target in listed(str(tmp_path), "l.csv").splits["train"]] == [0, 1, 1]


@pytest.mark.parametrize(
    "table",
    [
        "file,labels\na.png,cat;dog\nb.png,dog\nc.png,\nd.png,cow; cat\n",
        "file,labels\na.png,cat|dog\nb.png,dog\nc.png,\nd.png,cow|cat\n",
        "file,cow,cat,dog\na.png,0,1,1\nb.png,0,0,1\nc.png,0,0,0\nd.png,1,1,0\n",
    ],
)
def test_several_labels_a_photograph_are_a_task_of_their_own(table: str, tmp_path: Path) -> None:
    facts = inspect("image_folder", {"root": str(four(tmp_path, table))})
    assert facts["task"] == "multi_label"
    assert facts["fields"] == {"image": "image", "labels": "labels"}
    assert sorted(facts["classes"]) == ["cat", "cow", "dog"]
    found = {name: set(words.split(";")) - {""} for name, words in labelled(tmp_path).items()}
    assert found == {"a.png": {"cat", "dog"}, "b.png": {"dog"}, "c.png": set(), "d.png": {"cow", "cat"}}


def test_several_rows_a_photograph_are_several_labels(tmp_path: Path) -> None:
    table = "file,label\na.png,cat\na.png,dog\nb.png,dog\nc.png,cat\nd.png,cow\nd.png,cow\n"
    assert labelled(four(tmp_path, table)) == {"a.png": "cat;dog", "b.png": "dog", "c.png": "cat", "d.png": "cow"}
    with pytest.raises(CouloirError, match=r"a\.png has several labels, cat, dog") as caught:
        listed(str(tmp_path), task="classification")
    assert str(caught.value.place).endswith("line 3")


def test_one_photograph_of_many_that_has_two_labels_is_a_mistake_unless_the_task_is_stated(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"images/{number}.png" for number in range(25)))
    rows = "".join(f"{number}.png,{'cat' if number % 2 else 'dog'}\n" for number in range(25))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}7.png,dog\n")
    with pytest.raises(CouloirError, match=r"7\.png has several labels, cat, dog, and 1 of 25 photographs have"):
        listed(str(tmp_path))
    assert listed(str(tmp_path), task="multi_label").kind == "labels"


def test_one_hot_columns_are_one_label(tmp_path: Path) -> None:
    root = four(tmp_path, "image,MEL,NV,BCC\na,1.0,0.0,0.0\nb,0,1,0\nc,0,0,1\nd,0,1,0\n")
    assert listed(str(root)).kind == "label"
    assert labelled(root) == {"a.png": "MEL", "b.png": "NV", "c.png": "BCC", "d.png": "NV"}
    assert listed(str(root)).classes == ["MEL", "NV", "BCC"]


def test_numbers_are_classes_in_their_order_or_values(tmp_path: Path) -> None:
    root = four(tmp_path, "file,label\na.png,10\nb.png,2\nc.png,10\nd.png,2\n")
    assert listed(str(root)).classes == ["2", "10"]
    assert inspect("image_folder", {"root": str(root), "task": "regression"})["task"] == "regression"
    four(tmp_path, "file,age\na.png,10.5\nb.png,2\nc.png,-3\nd.png,2e2\n")
    facts = inspect("image_folder", {"root": str(root)})
    assert facts == {
        "task": "regression",
        "fields": {"image": "image", "value": "value"},
        "num_classes": 1,
        "classes": [],
    }
    assert labelled(root) == {"a.png": "10.5", "b.png": "2", "c.png": "-3", "d.png": "200"}
    four(tmp_path, "file,age\na.png,ten\nb.png,2\nc.png,-3\nd.png,2e2\n")
    with pytest.raises(CouloirError, match="The label 'ten' is not a number"):
        listed(str(root), task="regression")


def test_one_label_for_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="have the one label 'cat'"):
        listed(str(four(tmp_path, "file,label\na.png,cat\nb.png,cat\n")))


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_a_run_learns_what_the_table_says(kind: str, tmp_path: Path) -> None:
    pictures(tmp_path / "p", *(f"images/{number}.png" for number in range(16)))
    cells = ["x;y" if number % 3 else "x" for number in range(16)] if kind == "multi_label" else np.linspace(0, 1, 16)
    rows = "".join(f"{number}.png,{cell}\n" for number, cell in enumerate(cells))
    (tmp_path / "p/labels.csv").write_text(f"file,label\n{rows}")
    words = [
        "data=image_folder", f"data.root={tmp_path / 'p'}", "data.image_size=8", "data.workers=0", "model=linear",
        "trainer.max_epochs=1", "trainer=cpu", "logger=csv", f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    sentence = checked(words)
    assert sentence.choices["task"] == kind
    assert sentence.cfg.data.num_classes == (2 if kind == "multi_label" else 1)
    assert run(["train", *words]) == 0


def test_labels_that_are_neither_classes_nor_values_are_refused_unless_the_task_is_stated(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"images/{number}.png" for number in range(25)))

    def write(cells: list[str]) -> None:
        (tmp_path / "labels.csv").write_text(
            "file,age\n" + "".join(f"{n}.png,{cell}\n" for n, cell in enumerate(cells))
        )

    write([*(str(number / 2) for number in range(24)), "ten"])
    with pytest.raises(CouloirError, match="The column 'age' holds numbers, but also 'ten'") as caught:
        listed(str(tmp_path))
    assert str(caught.value.place).endswith("line 26")
    write([f"a photograph of {number}" for number in range(25)])
    with pytest.raises(CouloirError, match="'age' has 25 different texts in 25 rows"):
        listed(str(tmp_path))
    assert len(listed(str(tmp_path), task="classification").classes) == 25
    write([*(str(number / 2) for number in range(24)), "NA"])
    with pytest.raises(CouloirError, match=r"The row '24\.png' has no label") as caught:
        listed(str(tmp_path))
    assert str(caught.value.place).endswith("line 26")


def test_a_name_without_its_ending_that_two_photographs_have_is_refused_beside_the_table_too(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg", "a.png", "b.png", "c/b.png")
    (tmp_path / "labels.csv").write_text("id,label\na.png,cat\nb,dog\n")
    assert labelled(tmp_path) == {"a.png": "cat", "b.png": "dog"}
    (tmp_path / "labels.csv").write_text("id,label\nb,dog\na,cat\n")
    with pytest.raises(CouloirError, match=r"names 'a', which may be .*a\.jpg or .*a\.png") as caught:
        listed(str(tmp_path))
    assert str(caught.value.place).endswith("line 3")


def test_a_photograph_is_found_in_whatever_form_its_accents_are(tmp_path: Path) -> None:
    pictures(tmp_path, unicodedata.normalize("NFD", "images/Käfer.png"), "images/b.png")
    (tmp_path / "labels.csv").write_text(unicodedata.normalize("NFC", "file,label\nKäfer.png,cat\nb.png,dog\n"))
    assert list(labelled(tmp_path).values()) == ["cat", "dog"]


def test_values_have_no_classes_to_choose_from(tmp_path: Path) -> None:
    root = four(tmp_path, "file,age\na.png,1.5\nb.png,2\nc.png,3\nd.png,4\n")
    with pytest.raises(CouloirError, match="here a picture has values to predict"):
        inspect("image_folder", {"root": str(root), "classes": [1, 2]})
