"""A film shows what the weights that were validated have learned, and the run is trained as if nobody had looked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import couloir
from couloir.artifacts.shots import shots_of
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor
from couloir.record.film import frames, read_values
from interruption import assert_same, stopped

FILM = "callbacks.film=true"
POINTS = ["data=moons", "data.samples=60", "data.batch_size=16", "model.hidden=[8]", "model.dropout=0.3", "seed=3"]
LINE = ["data=line", "data.samples=40", "data.batch_size=8", "trainer.max_epochs=3", "trainer=cpu", FILM]


def trained(folder: Path, *words: str) -> Path:
    told = ["trainer.max_epochs=2", "trainer=cpu", f"hydra.run.dir={folder}", *words]
    return couloir.train(couloir.compose(told)).dir


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("points") / "run", *POINTS, FILM, "averaging=ema")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["data=digits", "data.subset=40", "model=convnet", "model.batch_norm=true", "logger=csv", "test=false"]
    return trained(tmp_path_factory.mktemp("digits") / "run", *words, FILM)


def shown(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def validated(run: Path) -> Any:
    """The run with the weights of its last validation."""
    return Predictor(run_config(run), run / "checkpoints/last.ckpt")


def state(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return found


def test_the_regions_are_those_of_the_weights_that_were_validated(points: Path) -> None:
    measured = read_values(points, "regions")
    assert [epoch for epoch, _ in measured] == [0, 1, 2] == [epoch for epoch, _ in frames(points, "regions")]
    predictor = validated(points)  # whose network is the mean of the weights
    data = predictor.data
    x = np.concatenate([data.splits[name].source.inputs[data.splits[name].indices] for name in ("train", "val")])
    low, high = x.min(axis=0), x.max(axis=0)
    room = 0.06 * (high - low)
    p = measured[-1][1]["p"]
    side = len(p)
    row, column = side // 3, side // 5
    at = low - room + (high - low + 2 * room) * np.array([column, row]) / (side - 1)
    standardised = torch.tensor((at - data.mean) / data.std, dtype=torch.float32)[None]
    with torch.no_grad():
        expected = predictor.task.net(standardised).softmax(1)[0].numpy()
    assert p[row, column] == pytest.approx(expected, abs=2e-3), "half precision"
    assert not np.allclose(measured[1][1]["p"], p, atol=1e-3)


def test_all_pictures_have_the_same_axes_and_the_film_has_them_all(points: Path) -> None:
    pictures = [shown(file) for _, file in frames(points, "regions")]
    height, width = pictures[0].shape[:2]
    assert {picture.shape for picture in pictures} == {(height, width, 3)}
    below = [picture[int(0.9 * height) :] for picture in pictures]
    assert all(np.array_equal(part, below[0]) for part in below[1:]), "numbers and name of the axis"
    assert not np.array_equal(pictures[0], pictures[2])
    with Image.open(points / "regions/film.gif") as film:
        assert (getattr(film, "n_frames", 1), film.size) == (3, (width, height))
    assert shown(points / "regions/film.png").shape == (height, 3 * width, 3)


def test_the_board_shows_the_film_step_by_step(points: Path) -> None:
    events = EventAccumulator(str(points / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    steps = [int(numbers["step"]) for _, numbers in read_values(points, "regions")]
    assert steps[0] == 0 < steps[1] < steps[2]
    assert [event.step for event in events.Images("regions")] == steps


def test_a_run_without_a_film_has_the_same_weights_and_no_pictures(points: Path, tmp_path: Path) -> None:
    blind = trained(
        tmp_path / "blind", *POINTS, "averaging=ema", "callbacks.pictures=false", "logger=csv", "test=false"
    )
    assert not (blind / "regions").exists()
    assert not (blind / "regions.png").exists()
    assert (points / "regions.png").exists()
    seen, unseen = state(points), state(blind)
    assert all(torch.equal(seen[name], unseen[name]) for name in unseen)


def test_features_and_filters_are_those_of_a_fixed_validation_sample_and_of_the_first_layer(digits: Path) -> None:
    predictor = validated(digits)
    task, data = predictor.task, predictor.data
    name, first = next((name, layer) for name, layer in task.net.named_modules() if isinstance(layer, torch.nn.Conv2d))
    weight = state(digits)[f"net.{name}.weight"]
    kept = read_values(digits, "filters")
    assert np.array_equal(kept[-1][1][f"map:{name}"], weight.numpy())
    x = data.splits["val"].source.inputs[data.splits["val"].indices[:1]].float() / 255
    x = (x - torch.tensor(data.mean).view(1, -1, 1, 1)) / torch.tensor(data.std).view(1, -1, 1, 1)
    expected = F.conv2d(x, weight, first.bias, first.stride, first.padding)[0, :16].detach().numpy()
    maps = read_values(digits, "features")[-1][1]
    assert maps[f"map:{name}"] == pytest.approx(expected, abs=0.02), "half precision"
    assert len(maps) > 2, "of several layers, and the step"
    for kind in ("features", "filters"):
        assert [epoch for epoch, _ in frames(digits, kind)] == [0, 1, 2]
        pictures = [shown(file) for _, file in frames(digits, kind)]
        assert len({picture.shape for picture in pictures}) == 1
    edge = max(np.quantile(np.abs(numbers[f"map:{name}"]), 0.995) for _, numbers in kept)
    grey = (np.clip(weight[0, 0, 0, 0].item() / edge, -1, 1) * 127.5 + 127.5).round()
    assert (pictures[-1] == grey).all(axis=2).any(), "the scale is that of all epochs"


def test_looking_changes_no_mode_no_running_mean_and_no_generator(digits: Path) -> None:
    predictor = validated(digits)
    task = predictor.task
    task.train()
    norm = next(module for module in task.net.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.eval()  # as one that is fixed
    before = {name: value.clone() for name, value in task.net.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for shot in shots_of(task, predictor.data):
        shot.measure(task)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in task.net.state_dict().items())
    assert (task.training, task.net.training, norm.training) == (True, True, False)


def test_a_network_that_sees_features_and_no_samples_is_not_filmed(digits: Path) -> None:
    predictor = validated(digits)
    assert [shot.kind for shot in shots_of(predictor.task, predictor.data)] == ["features", "filters"]
    predictor.data.stand_ins = {"train": None, "val": None}
    assert shots_of(predictor.task, predictor.data) == []


def test_a_run_that_was_stopped_leaves_the_film_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = couloir.train(couloir.compose([*LINE, f"output_dir={tmp_path / 'whole'}"])).dir
    run = stopped([*LINE, f"output_dir={tmp_path / 'stopped'}"], "val", 2, monkeypatch)
    assert frames(run, "fit") == []
    assert couloir.cli.main.run(["resume", str(run)]) == 0
    assert_same(run, whole)
    files = sorted(file.name for file in (whole / "fit").iterdir())
    assert sorted(file.name for file in (run / "fit").iterdir()) == files
    assert len(files) == 2 * 4 + 2
    assert all((run / "fit" / name).read_bytes() == (whole / "fit" / name).read_bytes() for name in files)
