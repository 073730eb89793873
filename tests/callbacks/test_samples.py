"""A run that makes things leaves pictures of its own weights, and is trained as if nobody had looked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import couloir
from couloir.artifacts.made_pictures import makes_pictures, picture_columns
from couloir.artifacts.sample_grid import GAP, below, grid
from couloir.config.finished import run_config
from couloir.diagnosis import diagnose
from couloir.inference.predictor import Predictor
from couloir.record.film import frames
from couloir.task.generative import Generative

TINY = ["data=digits", "data.subset=80", "trainer.max_epochs=2", "trainer=cpu", "model.hidden=[16]", "seed=3"]


def trained(folder: Path, *words: str) -> Path:
    return couloir.train(couloir.compose([*TINY, f"hydra.run.dir={folder}", *words])).dir


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["task=vae", "model.code_size=4", "callbacks.samples.count=10", "averaging=ema"]
    return trained(tmp_path_factory.mktemp("vae") / "run", *words)


def shown(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def of(run: Path, checkpoint: str) -> Generative:
    task = Predictor(run_config(run), run / "checkpoints" / checkpoint).task
    assert isinstance(task, Generative)
    return task


def test_each_epoch_shows_the_same_codes_as_the_weights_that_were_validated_make_them(vae: Path) -> None:
    assert [epoch for epoch, _ in frames(vae)] == [1, 2]
    task = of(vae, "last.ckpt")  # whose network is the mean of the weights
    expected = grid(task.make(task.draw(torch.arange(10), seed=3)), columns=4)
    assert np.array_equal(shown(vae / "samples/epoch_0002.png"), expected)
    assert not np.array_equal(shown(vae / "samples/epoch_0001.png"), expected)
    best = of(vae, "best.ckpt")
    assert np.array_equal(shown(vae / "samples.png"), grid(best.make(best.draw(torch.arange(10), seed=3)), columns=4))
    told = json.loads((vae / "pictures.json").read_text())["samples"]
    assert told == {"columns": 4, "tile": [48, 48], "count": 10, "gap": GAP}


def test_the_board_shows_the_film_step_by_step(vae: Path) -> None:
    events = EventAccumulator(str(vae / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    steps = [int(row["step"]) for row in csv.DictReader((vae / "metrics.csv").open())]
    assert [event.step for event in events.Images("samples")] == steps


def test_the_nearest_training_images_are_those_of_the_run_and_so_is_their_ratio(vae: Path) -> None:
    predictor = Predictor(run_config(vae), vae)
    task, data = predictor.task, predictor.data
    assert isinstance(task, Generative)

    def pixels(split: str) -> np.ndarray:
        x = data.seen(split, np.arange(len(data.splits[split].indices)))[task.input]
        return task.pixels(x).flatten(1).double().numpy()

    made = task.make(task.draw(torch.arange(1000), seed=3)).flatten(1).double().numpy()
    distances = cdist(made, pixels("train"))
    rows = list(csv.DictReader((vae / "neighbours.csv").open()))
    assert [int(row["index"]) for row in rows] == np.argsort(distances[:16], axis=1)[:, :5].ravel().tolist()
    labels = [data.classes[label] for label in data.splits["train"].targets.tolist()]
    assert all(row["label"] == labels[int(row["index"])] for row in rows)
    nearest = np.sort(distances[:16], axis=1)[:, :5].ravel()
    assert [float(row["distance"]) for row in rows] == pytest.approx(nearest, rel=1e-4)
    expected = np.median(distances.min(axis=1)) / np.median(cdist(pixels("test"), pixels("train")).min(axis=1))
    assert json.loads((vae / "result.json").read_text())["test/neighbour_ratio"] == pytest.approx(expected, rel=1e-3)


def test_a_run_without_a_film_has_the_same_weights_and_no_pictures(vae: Path, tmp_path: Path) -> None:
    words = ["task=vae", "model.code_size=4", "averaging=ema", "callbacks.samples.every_n_epochs=null", "logger=csv"]
    blind = trained(tmp_path / "blind", *words, "test=false")
    assert not (blind / "samples").exists()
    assert not (blind / "samples.png").exists()
    seen, unseen = (torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (vae, blind))
    assert all(torch.equal(seen[name], unseen[name]) for name in unseen)


def test_a_conditional_gan_shows_a_class_a_column_only_where_it_was_validated(tmp_path: Path) -> None:
    words = ["task=gan", "task.conditional=true", "model.code_size=4", "callbacks.samples.count=25", "logger=csv"]
    run = trained(tmp_path / "gan", *words, "trainer.check_val_every_n_epoch=2")
    assert [epoch for epoch, _ in frames(run)] == [2]
    task = of(run, "last.ckpt")
    assert picture_columns(task, 25) == 10
    numbers = torch.arange(25)
    expected = grid(task.make(task.draw(numbers, seed=3), numbers % 10), columns=10)
    assert np.array_equal(shown(run / "samples/epoch_0002.png"), expected)
    rows = list(csv.DictReader((run / "neighbours.csv").open()))
    assert [row["class"] for row in rows[::5]] == [str(number % 10) for number in range(16)]
    assert "too few" in diagnose(run).note


def test_an_autoencoder_shows_what_it_was_given_between_a_sample_and_what_it_rebuilt(tmp_path: Path) -> None:
    words = ["task=reconstruction", "task.corruption=masking", "callbacks.samples.count=12", "logger=csv"]
    run = trained(tmp_path / "denoising", *words, "trainer.max_epochs=1")
    predictor = Predictor(run_config(run), run / "checkpoints/last.ckpt")
    (batch,) = predictor.data.spread("val", 6)
    task = predictor.task
    assert isinstance(task, Generative)
    with torch.no_grad():
        seen = task.outputs(batch)
    kinds = [task.pixels(batch[task.input])[:4], seen.given[:4], task.answer(seen)[:4]]
    assert np.array_equal(shown(run / "samples/epoch_0001.png"), below(kinds, columns=4))
    assert not torch.equal(kinds[0], kinds[1])
    assert not (run / "neighbours.png").exists()
    assert "test/neighbour_ratio" not in json.loads((run / "result.json").read_text())
    task.makes_images = False
    assert not makes_pictures(task), "the rows of a table"
