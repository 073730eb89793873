"""Patterns and folders say which shards there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from couloir.data.shards.naming import beside, expanded, name_of, shards_of
from couloir.errors import CouloirError

URL = "http://host/a/train-{000000..000002}.tar?key=1"


def test_braces_count_and_list() -> None:
    assert list(expanded("a-{08..11}.tar")) == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert list(expanded("a-{8..11}.tar")) == ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]
    assert list(expanded("{a,b}/{0..1}")) == ["a/0", "a/1", "b/0", "b/1"]
    assert list(expanded("plain.tar")) == ["plain.tar"]


@pytest.mark.parametrize("pattern", ["a{0..", "a}b", "{}", "{a}", "{3..1}", "{0..99999999}", "{{0..1}}", "{a,}"])
def test_braces_without_sense_are_refused(pattern: str) -> None:
    with pytest.raises(CouloirError):
        list(expanded(pattern))


def test_urls_are_counted_and_have_names() -> None:
    found = shards_of({"train": URL, "val": ["http://host/a/val-0.tar"]})
    assert found["train"][2] == "http://host/a/train-000002.tar?key=1"
    assert name_of(found["train"][2]) == "train-000002.tar"
    assert beside(found["train"][2], "classes.json") == "http://host/a/classes.json"
    assert found["val"] == ["http://host/a/val-0.tar"]


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (["train-1.tar", "train-0.tar", "val-0.tar"], {"train": ["train-0.tar", "train-1.tar"], "val": ["val-0.tar"]}),
        (["b.tar", "a.tar", "classes.json", "a.tar.index"], {"train": ["a.tar", "b.tar"]}),
        (["in-train-0.tar", "in-validation-0.tar"], {"train": ["in-train-0.tar"], "val": ["in-validation-0.tar"]}),
        (["train/0.tar", "test/0.tar"], {"train": ["train/0.tar"], "test": ["test/0.tar"]}),
    ],
)  # fmt: skip
def test_shards_in_a_folder_say_their_split(there: list[str], wanted: dict[str, list[str]], tmp_path: Path) -> None:
    files(tmp_path, *there)
    found = shards_of({"path": str(tmp_path)})
    assert found == {split: [str(tmp_path / name) for name in names] for split, names in wanted.items()}
    pattern = shards_of({"train": f"{tmp_path}/{'train/' if 'train/0.tar' in there else ''}*.tar"})
    assert set(found["train"]) <= set(pattern["train"])


@pytest.mark.parametrize(
    ("there", "keys", "said"),
    [
        ([], {}, "The shards are missing"),
        ([], {"path": "{root}"}, "There is no tar file"),
        ([], {"path": "{root}/nowhere"}, "is not a folder"),
        (["a.tar"], {"path": "{root}", "train": "{root}/a.tar"}, "both say where"),
        (["val-0.tar"], {"path": "{root}"}, "none to train on"),
        (["val-0.tar"], {"val": "{root}/val-0.tar"}, "none to train on"),
        (["train-0.tar", "more.tar"], {"path": "{root}"}, "does not say which split"),
        (["train-0.tar", "train/0.tar"], {"path": "{root}"}, "in two places"),
        (["train-0.tar.gz"], {"path": "{root}"}, "is compressed"),
        (["a.tar"], {"train": "{root}/b*.tar"}, "No file is called"),
        (["a.tar"], {"train": "{root}/b.tar"}, "There is no shard"),
        (["a.tar"], {"train": "{root}"}, "is a folder"),
        (["a.tar"], {"train": "{root}/a.tar", "val": "{root}/a.tar"}, "both have the shard a.tar"),
        (["a.tar"], {"train": ["{root}/a.tar", "{root}/*.tar"]}, "has twice the shard a.tar"),
        ([], {"path": "http://host/a"}, "no server lists its files"),
        ([], {"train": "http://host/*.tar"}, "has a star"),
    ],
)
def test_what_names_no_shards_is_refused(there: list[str], keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    files(tmp_path, *there)

    def placed(value: Any) -> Any:
        return [placed(each) for each in value] if isinstance(value, list) else value.replace("{root}", str(tmp_path))

    with pytest.raises(CouloirError, match=said):
        shards_of({key: placed(value) for key, value in keys.items()})
