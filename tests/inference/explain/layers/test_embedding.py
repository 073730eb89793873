"""Samples in two dimensions: against scikit-learn and closed forms, groups that are apart, and readable files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.layers.embedding import embedding, own_class_nearest, principal_components, tsne
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from subjects import shown_of, subject_of


def test_principal_components_are_scikit_learns_up_to_their_signs() -> None:
    values = np.random.default_rng(0).normal(size=(30, 8)) * np.arange(1, 9)
    points, shares = principal_components(values)
    reference = PCA(2).fit(values)
    np.testing.assert_allclose(np.abs(points), np.abs(reference.transform(values)), rtol=1e-8)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_, rtol=1e-8)
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()


def test_groups_that_are_apart_stay_apart_and_the_seed_decides() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0.0, 1.0], 8)
    values = rng.normal(size=(16, 5)) + 20 * truth[:, None]
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    points = tsne(values, seed=3)
    np.testing.assert_array_equal(points, tsne(values, seed=3))
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
    assert own_class_nearest(points, truth) == own_class_nearest(values, truth) == 1.0
    assert own_class_nearest(values, np.arange(16) % 2) == pytest.approx(
        np.mean([_nearest(values, at) % 2 == at % 2 for at in range(16)])
    )


def _nearest(values: Any, at: int) -> int:
    distances = np.linalg.norm(values - values[at], axis=1)
    distances[at] = np.inf
    return int(distances.argmin())


def made(kind: str, size: int | None, tmp_path: Path) -> tuple[Subject, Shown, Wanted, Tensor]:
    """A network, twelve samples of a split, and two that are shown."""
    torch.manual_seed(0)
    layers = [nn.Flatten()] if size else []
    net = nn.Sequential(*layers, nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 2))
    subject = subject_of(net, 1 if size else 16, size, 2, kind)
    x = torch.rand(12, 1, 4, 4) if size else torch.rand(12, 16)
    target = torch.arange(12) % 2 if kind == "label" else torch.arange(12.0)[:, None].expand(-1, 2)

    def split(name: str, most: int | None = None) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
        for part in torch.arange(12).split(5):
            yield x[part], target[part], part.tolist()

    subject.split = split  # type: ignore[method-assign]
    shown = shown_of(subject, x[:2] + 0.01)
    shown.truth = [1, -1] if kind == "label" else None
    return subject, shown, Wanted((), tmp_path / "out"), x


def test_the_last_hidden_layer_is_laid_out_with_truth_answer_and_shown_samples(tmp_path: Path) -> None:
    subject, shown, wanted, x = made("label", 4, tmp_path)
    (exhibit,) = embedding(subject, shown, wanted)
    hidden = torch.relu(subject.net[1](torch.cat([x, shown.x]).flatten(1))).double().numpy()
    points, _ = principal_components(hidden)
    values = exhibit.panels[0].values
    assert values is not None
    np.testing.assert_allclose(values[:, :2], points, atol=1e-5)
    with (tmp_path / "out/embedding_hidden.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["sample"] for row in rows] == [*(f"val sample {at}" for at in range(12)), "image0.png", "image1.png"]
    assert [row["truth"] for row in rows[10:]] == ["class0", "class1", "class1", ""]
    answers = subject.answers(torch.cat([x, shown.x])).argmax(dim=1)
    assert [row["answer"] for row in rows] == [f"class{answer}" for answer in answers]
    np.testing.assert_allclose([float(row["tsne_2"]) for row in rows], values[:, 3], rtol=1e-4, atol=1e-4)
    assert [trace["name"] for trace in exhibit.charts[1].data] == ["class0", "class1", "shown"]
    symbols = [symbol for trace in exhibit.charts[0].data[:2] for symbol in trace["marker"]["symbol"]]
    assert symbols.count("x") == int((answers[:12] != torch.arange(12) % 2).sum())
    assert exhibit.numbers["own_class_nearest"] == own_class_nearest(hidden[:12], np.arange(12) % 2)


def test_rows_and_values_are_laid_out_too_by_any_layer(tmp_path: Path) -> None:
    subject, shown, wanted, _ = made("value", None, tmp_path)
    (exhibit,) = embedding(subject, shown, Wanted((), wanted.output, layers=("0",)))
    assert exhibit.charts[0].data[0]["marker"]["color"] == list(range(12))
    assert exhibit.numbers["layer"] == "0"
    assert (tmp_path / "out/embedding_0.csv").is_file()


def test_what_cannot_be_laid_out_is_refused(tmp_path: Path) -> None:
    subject, shown, wanted, x = made("label", 4, tmp_path)
    subject.split = lambda name, most=None: iter([(x[:4], None, [0, 1, 2, 3])])  # type: ignore[method-assign]
    with pytest.raises(CouloirError, match="needs 5 samples, and the split has 4"):
        embedding(subject, shown, wanted)
    subject, shown, wanted, x = made("label", 4, tmp_path)
    subject.net[1].weight.data.zero_()
    with pytest.raises(CouloirError, match="the same values for all samples"):
        embedding(subject, shown, wanted)
