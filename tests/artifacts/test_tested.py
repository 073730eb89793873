"""What a run leaves to be looked at is of this run, and can be found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import couloir
from couloir.artifacts.tested import first_filters
from couloir.config.build import build
from couloir.config.finished import run_config
from couloir.record.checkpoint import best_weights
from pairs import pair


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    words = ["data.subset=400", "trainer.max_epochs=1", "trainer=cpu", "logger=csv", f"output_dir={outputs}"]
    return couloir.train(couloir.compose(words)).dir


def tiles(run: Path, name: str) -> list[np.ndarray]:
    facts = json.loads((run / "pictures.json").read_text())[name]
    (width, height), columns = facts["tile"], facts["columns"]
    sheet = np.asarray(Image.open(run / f"{name}.png"))
    places = [divmod(number, columns) for number in range(facts["count"])]
    return [sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] for y, x in places]


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
