"""Indices of shards: what is found, kept beside the shards, and made again when a shard changes."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import Member, archive, make_shards, png, samples

import couloir.data.shards.rows as module
from couloir.data.shards.arrays import write_arrays
from couloir.data.shards.reading import Disk
from couloir.data.shards.rows import Rows, rows_of
from couloir.data.skipped import how_many, in_words
from couloir.errors import CouloirError

NAMES = ["cat", "ant", "bee"]


def rows(root: Path, skip: bool = False, pattern: str = "train-*.tar", like: Rows | None = None) -> Rows:
    shards = [str(file) for file in sorted(root.glob(pattern))]
    return rows_of(shards, Disk(), root / "cache", skip, like)


def contents(found: Rows) -> list[tuple[str, bytes, int]]:
    disk = Disk()
    places = [found.place(number) for number in range(len(found))]
    return [
        (found.name(number), disk.read(shard, offset, size), int(found.labels[number]))
        for number, (shard, offset, size) in enumerate(places)
    ]


def test_samples_are_found_with_their_bytes_and_labels(tmp_path: Path) -> None:
    found = rows(make_shards(tmp_path, 4, 3))
    assert contents(found) == [
        (f"train-00000{number > 3:d}.tar/{number:05}.png", png(number), number % 3) for number in range(7)
    ]
    assert (found.classes, found.num_labels) == (None, 3)
    again = rows(tmp_path)
    assert again.file == found.file
    assert contents(pickle.loads(pickle.dumps(again))) == contents(found)
    assert len(pickle.dumps(again)) < 2000  # a process of its own maps the file


def test_names_of_classes_are_sorted_or_as_stated(tmp_path: Path) -> None:
    make_shards(tmp_path, 4, 3, names=NAMES)
    assert rows(tmp_path).classes == ["ant", "bee", "cat"]
    assert rows(tmp_path).labels.tolist() == [2, 0, 1, 2, 0, 1, 2]
    (tmp_path / "classes.json").write_text(json.dumps(["dog", *NAMES]))
    assert rows(tmp_path).labels.tolist() == [1, 2, 3, 1, 2, 3, 1]
    make_shards(tmp_path, 4, split="val", names=NAMES)
    assert rows(tmp_path, pattern="val-*", like=rows(tmp_path)).labels.tolist() == [1, 2, 3, 1]


def test_labels_in_json_count_where_there_is_no_cls(tmp_path: Path) -> None:
    members = [
        ("a/x.JPG", b"1"), ("a/x.json", b'{"label": 4, "size": 3}'), ("a/y.json", b'{"label": 1}'), ("a/y.cls", b"2\n"),
        ("a/y.webp", b"2"), ("b/y.json", b'{"caption": "no label"}'), ("b/y.cls", b"0"), ("b/y.jpeg", b"3"),
        ("b/y.txt", b"a caption"), ("b/y.mask.png", b"4"), ("._y.jpg", b"of the system"),
    ]  # fmt: skip
    archive(tmp_path / "train-0.tar", members)
    found = rows(tmp_path)
    assert [(name.partition("/")[2], label) for name, _, label in contents(found)] == [
        ("a/x.JPG", 4), ("a/y.webp", 2), ("b/y.jpeg", 0),
    ]  # fmt: skip
    told = {entry.kind: entry.file.rpartition(".tar/")[2] for entry in found.skipped("train")}
    assert told == {".txt": "b/y.txt", ".mask.png": "b/y.mask.png", "hidden or made by the system": "._y.jpg"}


def test_what_is_left_out_is_counted_beyond_what_is_named(tmp_path: Path) -> None:
    lone: list[Member] = [(f"{number:04}.jpg", b"no label") for number in range(10, 260)]
    archive(tmp_path / "train-0.tar", [*FINE, *lone, ("0300.txt", b"a"), ("0301.txt", b"b")])
    skipped = rows(tmp_path, skip=True).skipped("train")
    assert how_many(skipped) == 252
    assert [line.partition(", ")[0] for line in in_words(skipped)] == [
        "250 photographs left out (data.on_error=skip)", "not used: .txt (2",
    ]  # fmt: skip


FINE: list[Member] = [("0.jpg", b"1"), ("0.cls", b"0"), ("1.jpg", b"2"), ("1.cls", b"1")]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("x.jpg", b"1")], "x.jpg has no label"),
        ([("x.cls", b"1")], "x.cls has a label and no image"),
        ([("x.jpg", b"1"), ("y.jpg", b"1"), ("y.cls", b"0"), ("x.cls", b"1")], "x.jpg has no label; 1 more mem"),
        ([FINE[0], FINE[1]], "0.jpg has the key 0 of a sample before it"),
        ([("x.jpg", b"1"), ("x.png", b"1"), ("x.cls", b"1")], "x.jpg has 2 images"),
        ([("x.jpg", b"1"), ("x.jpg", b"1"), ("x.cls", b"1")], "x.jpg has .jpg twice"),
        ([("x.jpg", b"1"), ("x.cls", b"-1")], "x.jpg has the label -1"),
        ([("x.jpg", b"1"), ("x.cls", b"")], "x.jpg has a label that is no integer and no name"),
        ([("x.jpg", b"1"), ("x.json", b'{"label": [1]}')], "x.jpg has a label that is no integer and no name"),
        ([("x.jpg", b"1"), ("x.json", b"{")], "x.jpg has a label that cannot be read"),
        ([("x.jpg", b"1"), ("x.cls", b"\xff\xfe")], "x.jpg has a label that cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_sample_is_refused_by_name_or_left_out(members: list[Member], said: str, tmp_path: Path) -> None:
    archive(tmp_path / "train-0.tar", [*FINE, *members])
    with pytest.raises(CouloirError, match=said) as refused:
        rows(tmp_path)
    assert refused.value.place == str(tmp_path / "train-0.tar")
    found = rows(tmp_path, skip=True)
    assert [name.rpartition("/")[2] for name, _, _ in contents(found)][:2] == ["0.jpg", "1.jpg"]
    assert any(said.startswith(entry.file.rpartition("/")[2]) for entry in found.skipped("train"))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("x.jpg", b"1"), ("x.cls", b"dog")], "is an integer, and that of x.jpg a name"),
        ([], None),
    ],
)
def test_labels_of_two_kinds_are_refused(members: list[Member], said: str | None, tmp_path: Path) -> None:
    archive(tmp_path / "train-0.tar", [*FINE, *members])
    if said is None:
        archive(tmp_path / "train-1.tar", [("x.jpg", b"1"), ("x.cls", b"dog")])
        said = "an integer, and that of samples in train-1.tar a name"
    with pytest.raises(CouloirError, match=said):
        rows(tmp_path, skip=True)


def test_a_cut_off_shard_is_refused_by_name(tmp_path: Path) -> None:
    make_shards(tmp_path, 4, 3)
    file = tmp_path / "train-000001.tar"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(CouloirError, match=r"train-000001\.tar is cut off after 2,000 bytes"):
        rows(tmp_path)


def test_shards_without_samples_and_classes_that_training_lacks_are_refused(tmp_path: Path) -> None:
    archive(tmp_path / "train-0.tar", [("readme.txt", b"nothing")])
    with pytest.raises(CouloirError, match=r"There is no sample in train-0.tar"):
        rows(tmp_path)
    make_shards(tmp_path / "b", 4, names=NAMES)
    make_shards(tmp_path / "b", 4, split="val", names=["dog", "ant", "bee"])
    with pytest.raises(CouloirError, match="The class 'dog' is in the shards and not among the 3"):
        rows(tmp_path / "b", pattern="val-*", like=rows(tmp_path / "b"))
    make_shards(tmp_path / "c", 4)
    make_shards(tmp_path / "c", 4, split="val", classes=4)
    with pytest.raises(CouloirError, match="There is a label 3, and the training shards have labels 0 to 2"):
        rows(tmp_path / "c", pattern="val-*", like=rows(tmp_path / "c"))
    (tmp_path / "c/classes.json").write_text('["a", "b"]')
    with pytest.raises(CouloirError, match=r"There is a label 2, and classes.json has 2 names"):
        rows(tmp_path / "c")
    (tmp_path / "c/classes.json").write_text('{"a": 0}')
    with pytest.raises(CouloirError, match=r"classes.json is no list of names"):
        rows(tmp_path / "c")


def test_an_index_is_used_again_and_made_again_when_the_shard_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []
    real = module.index_of

    def counted(place: str, *arguments: Any) -> Any:
        scanned.append(Path(place).name)
        return real(place, *arguments)

    monkeypatch.setattr(module, "index_of", counted)
    first = rows(make_shards(tmp_path, 4, 3))
    assert [len(contents(rows(tmp_path))), scanned] == [7, ["train-000000.tar", "train-000001.tar"]]
    index = tmp_path / "train-000000.tar.index"
    before = index.stat().st_mtime_ns
    archive(tmp_path / "train-000001.tar", samples(40, 5))
    assert len(rows(tmp_path)) == 9
    assert index.stat().st_mtime_ns == before  # that of the other shard was read
    assert rows(tmp_path).file != first.file
    index.write_bytes(index.read_bytes()[:-3])  # torn: as if it were not there
    os.utime(tmp_path / "train-000001.tar", ns=(1, 1))
    assert contents(rows(tmp_path))[:4] == contents(first)[:4]


def test_an_index_that_cannot_stand_beside_its_shard_stands_in_the_cache(tmp_path: Path) -> None:
    make_shards(tmp_path, 4)
    (tmp_path / "train-000000.tar.index").mkdir()
    assert len(rows(tmp_path)) == 4
    (index,) = (tmp_path / "cache/shards").glob("*.index")
    before = index.stat().st_mtime_ns
    for file in (tmp_path / "cache/shards").glob("*.rows"):
        file.unlink()
    assert len(rows(tmp_path)) == 4
    assert index.stat().st_mtime_ns == before


def test_where_nothing_can_be_written_rows_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = contents(rows(make_shards(tmp_path, 4, 3, names=NAMES)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for file in tmp_path.rglob("*.index"):
        file.unlink()
    monkeypatch.setattr(module, "write_arrays", full)
    monkeypatch.setattr("couloir.data.shards.index.write_arrays", full)
    found = rows_of([str(file) for file in sorted(tmp_path.glob("*.tar"))], Disk(), tmp_path / "other")
    assert found.file is None
    assert contents(found) == wanted
    assert not list(tmp_path.rglob("*.index"))


def test_a_table_of_another_length_than_stated_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 3 entries, not 4"):
        write_arrays(tmp_path / "a", {}, {"x": (np.int64, 4, [np.arange(3)])})
    assert not list(tmp_path.iterdir())
