"""What a run leaves to be looked at is of this run, and can be found."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import couloir
from couloir.artifacts.sheet import Sheet
from couloir.artifacts.tested import first_filters
from couloir.config.build import build
from couloir.config.finished import run_config
from couloir.record.checkpoint import best_weights
from couloir.report.gallery import mistakes
from finished_runs import FinishedRuns, told
from pairs import pair


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, drawn_tiles: None) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    words = ["data.subset=400", "trainer.max_epochs=1", "trainer=cpu", "logger=csv", f"output_dir={outputs}"]
    return couloir.train(couloir.compose(words)).dir


def tiles(run: Path, name: str) -> list[np.ndarray]:
    """The tiles of a picture at their own size, found by what `pictures.json` says of them."""
    facts = json.loads((run / "pictures.json").read_text())[name]
    placed, columns = facts["tiles"], facts["columns"]
    (width, height), (left, top), (right, down) = placed["size"], placed["first"], placed["pitch"]
    sheet = np.asarray(Image.open(run / f"{name}.png").convert("RGB"))
    found = []
    for number in range(facts["count"]):
        y, x = top + number // columns * down, left + number % columns * right
        tile = sheet[y : y + height, x : x + width]
        own = tile[:: placed["scale"], :: placed["scale"]]
        again = own.repeat(placed["scale"], axis=0).repeat(placed["scale"], axis=1)
        assert np.array_equal(again, tile), "each pixel is a square, not smoothed"
        assert (tile[..., :1] == tile).all(), "a grey image stays grey, and no word stands in it"
        found.append(own[..., 0])
    assert max(width, height) >= 48, "large enough to be looked at"
    return found


def test_each_mistake_has_its_picture_and_adds_up_with_the_confusions(run: Path) -> None:
    rows = list(csv.DictReader((run / "mistakes.csv").open()))
    matrix = [[int(cell) for cell in row[1:]] for row in list(csv.reader((run / "confusion.csv").open()))[1:]]
    wrong = sum(map(sum, matrix)) - sum(matrix[i][i] for i in range(len(matrix)))
    assert len(rows) == min(100, wrong) > 3
    cfg = run_config(run)
    data = build(cfg, "data")
    data.setup()
    batches = list(data.test_dataloader())
    x, y = (torch.cat(parts) for parts in zip(*map(pair, batches), strict=True))
    net = build(cfg, "model")
    weights = torch.load(best_weights(run), weights_only=True)["state_dict"]
    net.load_state_dict({key.removeprefix("net."): value for key, value in weights.items() if key.startswith("net.")})
    with torch.no_grad():
        probabilities = net.eval()(x).softmax(1)
    for row, picture in zip(rows, tiles(run, "mistakes"), strict=True):
        number, label, prediction = int(row["index"]), int(row["label"]), int(row["prediction"])
        assert (int(y[number]), int(probabilities[number].argmax())) == (label, prediction)
        assert float(row["label_confidence"]) == pytest.approx(float(probabilities[number, label]), abs=1e-5)
        assert float(row["confidence"]) == pytest.approx(float(probabilities[number, prediction]), abs=1e-5)
        image = (x[number, 0] * data.std[0] + data.mean[0]).mul(255).round().numpy()
        assert np.abs(picture.astype(float) - image).max() <= 1


def test_the_filters_are_those_of_the_first_layer_each_over_the_full_range(run: Path) -> None:
    weight = torch.load(best_weights(run), weights_only=True)["state_dict"]["net.c1.weight"]
    shown = tiles(run, "filters")
    assert len(shown) == len(weight)
    for tile, kernel in zip(shown, weight[:, 0].numpy(), strict=True):
        assert (tile.min(), tile.max()) == (0, 255)
        assert np.unravel_index(tile.argmax(), tile.shape) == np.unravel_index(kernel.argmax(), kernel.shape)


def test_the_layers_are_those_of_the_summary(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from couloir.cli.main import run as couloir_run

    assert couloir_run(["summary", "--json"]) == 0
    assert json.loads((run / "layers.json").read_text()) == json.loads(capsys.readouterr().out)


def test_the_report_shows_the_same_tiles_without_the_words_around_them(run: Path) -> None:
    for name in ("mistakes", "filters"):
        own, sheet = tiles(run, name), Sheet.read(run, name)
        assert sheet is not None
        assert (sheet.count, sheet.tile) == (len(own), own[0].shape[::-1])
        shown = np.asarray(Image.open(io.BytesIO(sheet.content)))
        for place, tile in enumerate(own):
            row, column = divmod(place, sheet.columns)
            height, width = tile.shape
            assert np.array_equal(shown[row * height :][:height, column * width :][:, :width], tile)


def test_mistakes_name_the_files_of_the_test_images(finished: FinishedRuns) -> None:
    run = finished("photographs")
    files = [row["file"] for row in told(run)]
    rows = list(csv.DictReader((run / "mistakes.csv").open()))
    assert rows
    assert all(row["file"] == files[int(row["index"])] for row in rows)
    found = mistakes(run)
    assert found is not None
    assert all(row["file"] in found[0] for row in rows)


def test_what_would_be_no_picture_is_left_out(tmp_path: Path) -> None:
    assert first_filters(nn.Sequential(nn.Conv2d(3, 8, 1)), 3, 32)[1] is None
    assert first_filters(nn.Sequential(nn.Linear(64, 5)), 1, 8)[1].shape == (5, 1, 8, 8)  # type: ignore[union-attr]
    words = ["data=moons", "model=mlp", "trainer.max_epochs=1", "logger=csv", f"output_dir={tmp_path}"]
    moons = couloir.train(couloir.compose(words)).dir
    assert json.loads((moons / "pictures.json").read_text()) == {}
    assert (moons / "mistakes.csv").exists()
    line = couloir.train(couloir.compose(["data=line", "model=linear", *words[2:]])).dir
    assert not (line / "mistakes.csv").exists()
    assert json.loads((line / "layers.json").read_text())["totals"]["parameters"] == 2
