"""What columns do, against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.image_maps import gradients, integrated_gradients
from couloir.inference.explain.where.tables import Column, by_column, columns_of, permutation, shuffled
from couloir.inference.explain.words import Wanted
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from finished_runs import FinishedRuns
from subjects import subject_of

WANTED = Wanted((), Path())


def test_a_linear_models_columns_matter_as_their_closed_form_says() -> None:
    """With y = Xw, shuffling column j raises the mean squared error to 2 w_j^2 Var(x_j) on average."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2000, 4)) * [1, 2, 0.5, 1], np.array([1.0, 0.5, -3.0, 0.0])
    weights = np.append(weights, [2.0, -2.0])
    x = np.concatenate([x, np.eye(2)[rng.integers(2, size=2000)]], axis=1)
    columns = [Column(f"x{place}", [place], [f"x{place}"]) for place in range(4)]
    columns.append(Column("kind", [4, 5], ["kind=a", "kind=b"]))
    y = x @ weights

    def measure(rows: torch.Tensor) -> dict[str, float]:
        return {"loss": float(((rows.numpy() @ weights - y) ** 2).mean())}

    found = shuffled(torch.from_numpy(x), columns, measure, 20, seed=0)["loss"]
    parts = np.stack([x[:, column.inputs] @ weights[column.inputs] for column in columns])
    np.testing.assert_allclose(found.mean(axis=1), 2 * parts.var(axis=1), rtol=0.05, atol=1e-12)
    again = shuffled(torch.from_numpy(x), columns, measure, 20, seed=0)["loss"]
    np.testing.assert_array_equal(found, again)


def test_the_inputs_of_a_category_are_one_column_whose_attributions_are_summed(finished: FinishedRuns) -> None:
    run = finished("values of a table")
    subject = Subject(Trained(run_config(run), run))
    columns = columns_of(subject)
    assert [column.name for column in columns] == ["size", "city", "built", "garden"]
    assert sorted(place for column in columns for place in column.inputs) == list(range(subject.data.channels))
    assert len(columns[1].inputs) == 3
    x = torch.randn(2, subject.data.channels)
    shown = Shown(subject.pixels(x), x, torch.zeros(2, dtype=torch.int64), ["a", "b"])
    first, _ = integrated_gradients(subject, shown, WANTED)
    values = first.numbers["values"]
    assert list(values) == [column.name for column in columns]
    scale = float(subject.data.target_scale)
    with torch.no_grad():
        difference = scale * (subject.net(x[:1]) - subject.net(torch.zeros_like(x[:1]))).item()
    assert sum(values.values()) == pytest.approx(difference, rel=0.05)
    assert first.numbers["difference"] == pytest.approx(difference, rel=1e-3)
    assert set(gradients(subject, shown, WANTED)[0].numbers["values"]) == {
        name for column in columns for name in column.labels
    }
    with pytest.raises(CouloirError, match="data of the run is not there"):
        permutation(subject, shown, WANTED)


def test_without_an_encoding_each_input_is_a_column() -> None:
    subject = subject_of(nn.Linear(3, 2), channels=3, size=None, classes=2)
    assert [column.inputs for column in columns_of(subject)] == [[0], [1], [2]]
    np.testing.assert_array_equal(by_column(torch.tensor([[1.0, 2, 4]]), columns_of(subject)).numpy(), [[1, 2, 4]])


def test_a_runs_own_loss_and_accuracy_worsen_when_a_column_is_shuffled(finished: FinishedRuns) -> None:
    run = finished("points")
    subject = Subject(Predictor(run_config(run), run))
    x, _, _ = next(subject.split("val", 2))
    shown = Shown(subject.pixels(x), x, torch.zeros(len(x), dtype=torch.int64), ["a", "b"])
    (found,) = permutation(subject, shown, WANTED)
    parts = [(x, y) for x, y, _ in subject.split("val", WANTED.most)]
    x, y = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts if part is not None])
    with torch.no_grad():
        accuracy = float((subject.net(x).argmax(dim=1) == y).float().mean())
    assert found.numbers["whole"]["accuracy"] == pytest.approx(accuracy)
    worse = {name: numbers["accuracy"]["mean"] for name, numbers in found.numbers["worse"].items()}
    changed = []
    for place in range(2):
        for repeat in range(found.numbers["repeats"]):
            order = np.random.default_rng([0, place, repeat]).permutation(len(x))
            other = x.clone()
            other[:, place] = x[torch.from_numpy(order), place]
            with torch.no_grad():
                changed.append(accuracy - float((subject.net(other).argmax(dim=1) == y).float().mean()))
    means = np.array(changed).reshape(2, -1).mean(axis=1)
    names = [column.name for column in columns_of(subject)]
    np.testing.assert_allclose([worse[name] for name in names], means, atol=1e-6)
    assert len(found.charts) == 2
    assert found.sample is None


def test_images_have_no_columns_to_shuffle() -> None:
    subject = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    with pytest.raises(CouloirError, match="needs a table"):
        permutation(subject, Shown(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), torch.zeros(1).long()), WANTED)
