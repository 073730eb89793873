"""The pictures of what a run has learned show its own network, in the data's own units."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.artifacts.learned import answers, curve_points, has_curve, has_regions, rows_of
from couloir.artifacts.learned_pictures import class_colours, predictions_picture, regions_scene, shaded
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor
from couloir.layer_kinds import looking
from couloir.palette import FIRST
from finished_runs import FinishedRuns


@pytest.fixture(scope="module")
def line(finished: FinishedRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with one column and a value of thousands."""
    file = tmp_path_factory.mktemp("table") / "table.csv"
    x = np.random.default_rng(0).uniform(1900, 2000, 60)
    file.write_text("year,price\n" + "".join(f"{a:.3f},{5000 + 30 * (a - 1950):.3f}\n" for a in x))
    return finished.train("data=csv", f"data.path={file}", "data.target=price", "model=linear", "optimizer.lr=0.1")


def test_the_curve_is_the_networks_in_the_units_of_the_table(line: Path) -> None:
    predictor = Predictor(run_config(line), line)
    task, data = predictor.task, predictor.data
    assert has_curve(task, data)
    assert not has_regions(task, data)
    rows = rows_of(data, ("train", "val", "test"))
    assert rows is not None
    assert (rows.inputs, rows.target) == (["year"], "price")
    assert {name: len(x) for name, x in rows.x.items()} == data.sizes()
    for name, x in rows.x.items():
        assert rows.y[name] == pytest.approx(5000 + 30 * (x[:, 0] - 1950), abs=0.05)
    x = curve_points(rows, 5)
    with looking(task.net):
        y = answers(task, data, x, rows.offsets)[:, 0].numpy()
    weights = torch.load(line / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    slope, bias = (value.item() for value in weights.values())
    assert isinstance(data.target_scale, float)
    scaled = slope * (x[:, 0] - data.mean[0]) / data.std[0] + bias
    assert y == pytest.approx(scaled * data.target_scale + data.target_offset, rel=1e-4)


def test_a_run_draws_what_applies_to_it_and_nothing_else(line: Path, finished: FinishedRuns) -> None:
    names = ("fit.png", "predictions.png", "regions.png")

    def drawn(run: Path) -> list[str]:
        return [name for name in names if (run / name).exists()]

    assert drawn(line) == ["fit.png", "predictions.png"]
    assert drawn(finished("points")) == ["regions.png"]
    assert drawn(finished("several values")) == ["predictions.png"]
    assert drawn(finished("digits")) == []


def test_each_value_has_a_panel_of_its_own(finished: FinishedRuns) -> None:
    run = finished("several values")
    head = next(csv.reader((run / "predictions.csv").open()))
    values = sum(name.startswith("truth(") for name in head)
    width, height = Image.open(run / "predictions.png").size
    one = predictions_picture({"": (np.arange(3.0), np.arange(3.0))}).shape
    assert height == one[0]
    assert width == pytest.approx(one[1] + (values - 1) * 310, abs=1)


def test_values_that_are_not_finite_or_all_alike_are_no_reason_to_fail() -> None:
    same, wild = np.zeros(4), np.array([0.0, np.nan, np.inf, 1.0])
    assert predictions_picture({"a $x": (same, same), "b": (same, wild), "c": (wild[:0], wild[:0])}).ndim == 3


def test_regions_have_the_likeliest_classs_colour_the_deeper_the_surer() -> None:
    colours = class_colours(3)
    assert np.array_equal((255 * colours).round(), FIRST[1:4])
    p = np.array([[[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.2, 0.6, 0.2], [np.nan] * 3]])
    shown = shaded(p, colours)[0]
    assert shown[0] == pytest.approx(0.4 + 0.6 * colours[0])
    assert shown[1] == pytest.approx(0.88 + 0.12 * colours[0])
    assert shown[2] == pytest.approx(1 - 0.312 + 0.312 * colours[1])
    assert np.isfinite(shown).all()
    assert class_colours(300).shape == (300, 3)


def test_wrong_test_samples_are_crossed(finished: FinishedRuns) -> None:
    run = finished("points")
    predictor = Predictor(run_config(run), run)
    assert has_regions(predictor.task, predictor.data)
    rows = rows_of(predictor.data, ("train", "test"))
    assert rows is not None
    count, plane = len(rows.y["test"]), np.ones((2, 2, 2))
    none, some = np.zeros(count, bool), np.arange(count) == 0
    without, crossed = (regions_scene(rows, {"test": wrong}).picture(plane, "") for wrong in (none, some))
    assert ((crossed == 0).all(axis=2).sum()) > ((without == 0).all(axis=2).sum()) + 20
