"""What `couloir data` says of photographs that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from couloir.inspect.dataset.facts import look_at
from couloir.inspect.dataset.sentence import sentence_of


def photographs(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(256, size=(16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


def facts(root: Path, *words: str) -> dict[str, Any]:
    given = ["data=image_folder", f"data.root={root}", "data.image_size=16", "model=linear", *words]
    return look_at(*sentence_of(given)).facts


def test_a_pipe_among_photographs_is_told_and_not_waited_for(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(8)))
    os.mkfifo(tmp_path / "cat/p.png")
    found = facts(tmp_path)
    assert found["refused"]["message"] == "p.png is not a file."
    (broken,) = found["broken"]["files"]
    assert (Path(broken["file"]).name, broken["reason"]) == ("p.png", "Not a file")


def test_rows_that_cannot_be_used_are_left_out_with_their_lines_and_are_no_other_files(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"images/{number}.png" for number in range(13)))
    rows = [f"{number}.png,{'ab'[number % 2]}\n" for number in range(12)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join([*rows, "x.png,a\n", "0.png,a\n"]))
    found = facts(tmp_path, "data.on_error=skip")
    told = found["left_out"]
    assert [(row["line"], row["reason"]) for row in told["samples"]] == [
        (14, "names 'x.png', and there is no such photograph"), (15, "repeats an earlier row"),
    ]  # fmt: skip
    assert [(each["kind"], each["number"]) for each in found["other_files"]] == [("without a row of labels", 1)]
    assert any(finding["case"] == "left_out" and "line 14" in finding["says"] for finding in found["attention"])


def test_of_photographs_that_are_all_refused_no_pixel_is_told(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(8)))
    found = facts(tmp_path, "data.max_pixels=100")
    assert found["images"]["measured"] == 0
    assert not [finding for finding in found["attention"] if finding["case"] == "constant_channel"]
    reason = found["broken"]["files"][0]["reason"]
    assert reason.endswith("the limit is data.max_pixels=100")
