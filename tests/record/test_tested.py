"""What a test leaves to be looked at comes back as it was written, and nothing comes of what is torn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from couloir.record.folder import RunFolder
from couloir.record.tested import (
    Confusion,
    Grid,
    read_confusion,
    read_grid,
    read_layers,
    read_mistakes,
    write_confusion,
    write_layers,
    write_mistakes,
    write_pictures,
)


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    confusion = Confusion(["cat, black", "dog"], [[3, 1], [0, 2]])
    placed = Grid(10, (84, 84), 40, "c1", first=(8, 32), pitch=(92, 130), scale=3)
    grids = {"mistakes": placed, "filters": Grid(16, (5, 5), 6, "c1"), "samples": Grid(4, (49, 49), 9, gap=2)}
    layers = {"layers": [{"name": "c1"}], "totals": {"parameters": 156}}
    write_confusion(folder, confusion)
    write_pictures(folder, grids)
    write_layers(folder, layers)
    write_mistakes(folder, [(0, 17, "cat, black", "dog", "0.9", "0.1")])
    assert read_confusion(tmp_path) == confusion
    assert {name: read_grid(tmp_path, name) for name in grids} == grids
    assert read_layers(tmp_path) == layers
    assert read_mistakes(tmp_path) == [
        {"place": "0", "index": "17", "label": "cat, black", "prediction": "dog", "confidence": "0.9",
         "label_confidence": "0.1"}
    ]  # fmt: skip


def test_a_tile_is_where_the_picture_has_it() -> None:
    assert Grid(10, (28, 28), 40).box(13) == (84, 28, 112, 56), "edge to edge, as runs of earlier versions have them"
    assert Grid(2, (4, 6), 4, gap=2).box(3) == (6, 8, 10, 14)
    assert Grid(10, (84, 84), 40, first=(8, 32), pitch=(92, 130)).box(11) == (100, 162, 184, 246)


def test_mistakes_may_have_files(tmp_path: Path) -> None:
    rows = [(0, 17, "cat", "dog", "0.9", "0.1"), (1, 3, "dog", "cat", "0.8", "0.2")]
    write_mistakes(RunFolder(tmp_path), rows, ["a/x.jpg", "b/y.jpg"])
    assert [(row["index"], row["file"]) for row in read_mistakes(tmp_path)] == [("17", "a/x.jpg"), ("3", "b/y.jpg")]


def test_where_there_is_nothing_there_is_nothing_to_show(tmp_path: Path) -> None:
    assert read_confusion(tmp_path) is None
    assert read_grid(tmp_path, "mistakes") is None
    assert read_layers(tmp_path) == {}
    assert read_mistakes(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["true\\predicted,a,b\na,1,2\n", "true\\predicted,a,b\na,1,2\nb,1\n", ",a\na,many\n", ",a\na,inf\n", "a\n"]
)
def test_a_matrix_that_is_not_square_or_not_of_numbers_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "confusion.csv").write_text(text)
    assert read_confusion(tmp_path) is None


@pytest.mark.parametrize(
    "entry",
    [
        None, [], {"columns": 10, "count": 3}, {"columns": 0, "tile": [1, 1], "count": 3},
        {"columns": 1, "tile": [1], "count": 3}, {"columns": "x", "tile": [1, 1], "count": 3},
        {"columns": 1, "count": 3, "tiles": {"size": [1, 1], "first": [0, 0], "pitch": [1, 1], "scale": 0}},
    ],
)  # fmt: skip
def test_a_picture_whose_tiles_are_not_told_is_none(entry: object, tmp_path: Path) -> None:
    (tmp_path / "pictures.json").write_text(json.dumps({"mistakes": entry}))
    assert read_grid(tmp_path, "mistakes") is None
