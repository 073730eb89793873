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
    grids = {"mistakes": Grid(10, (28, 28), 40), "filters": Grid(16, (5, 5), 6, "c1")}
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
    ],
)  # fmt: skip
def test_a_picture_whose_tiles_are_not_told_is_none(entry: object, tmp_path: Path) -> None:
    (tmp_path / "pictures.json").write_text(json.dumps({"mistakes": entry}))
    assert read_grid(tmp_path, "mistakes") is None
