"""The sets that are made: points, curves, noise, and the embedded digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
from hydra.utils import instantiate

import couloir
from couloir.data.toy import spiral_points
from couloir.errors import CouloirError
from couloir.inference.predictor import Predictor, evaluate
from pairs import pair


def samples(*words: str) -> Any:
    data = instantiate(couloir.compose(list(words)).cfg.data, _convert_="all")
    data.setup()
    return data


def everything(loader: Any) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(loader)
    return torch.cat([x for x, _ in map(pair, batches)]), torch.cat([y for _, y in map(pair, batches)])


def test_the_digits_are_scikit_learns_in_three_stratified_parts() -> None:
    from sklearn.datasets import load_digits

    data = samples("data=digits", "data.standardize=false")
    sizes = data.sizes()
    assert sum(sizes.values()) == 1797
    parts = [everything(loader) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]
    pixels = torch.cat([x for x, _ in parts])
    assert len(pixels) == sum(sizes.values()) - (sizes["train"] % 64 == 1)
    reference = load_digits().images / 16
    assert float(pixels.mean()) == pytest.approx(reference.mean(), rel=2e-3)
    for _, y in parts:
        assert np.bincount(y.numpy()).min() / len(y) > 0.09


@pytest.mark.parametrize(("name", "classes"), [("moons", 2), ("circles", 2), ("spirals", 3), ("blobs", 4)])
def test_toy_points_have_two_columns_and_balanced_classes(name: str, classes: int) -> None:
    data = samples(f"data={name}", "data.samples=240")
    x, y = everything(data.train_dataloader())
    assert x.shape[1] == 2
    assert len(torch.bincount(y)) == classes
    assert torch.bincount(y).min() > 0.8 * len(y) / classes


def test_spirals_lie_on_their_arms_when_there_is_no_noise() -> None:
    points, arms = spiral_points(300, noise=0.0, turns=1.5, arms=3, seed=0)
    radius = np.linalg.norm(points, axis=1)
    angle = 2 * np.pi * (1.5 * radius + arms / 3)
    np.testing.assert_allclose(points, radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-9)


def test_the_line_is_the_line_asked_for() -> None:
    data = samples("data=line", "data.slope=3", "data.intercept=-2", "data.noise=0", "data.standardize=false")
    x, y = everything(data.train_dataloader())
    assert torch.allclose(y, 3 * x - 2, atol=1e-5)


def test_the_noise_has_its_deviation() -> None:
    data = samples("data=line", "data.samples=5000", "data.noise=0.3", "data.standardize=false")
    x, y = everything(data.train_dataloader())
    assert float((y - 2 * x - 1).std()) == pytest.approx(0.3, rel=0.05)


def test_the_polynomial_is_numpys() -> None:
    words = ["data=polynomial", "data.degree=2", "data.coefficients=[1,-2,0.5]", "data.noise=0", "data.range=[2,3]"]
    data = samples(*words, "data.standardize=false")
    x, y = everything(data.train_dataloader())
    np.testing.assert_allclose(y.numpy(), np.polyval([0.5, -2, 1], x.numpy()), rtol=1e-5)
    assert 2 <= float(x.min()) < float(x.max()) <= 3


def test_coefficients_that_do_not_go_with_the_degree_are_explained() -> None:
    from couloir.config.build import build

    with pytest.raises(CouloirError, match="degree 3 has 4 coefficients, not 1"):
        build(couloir.compose(["data=polynomial", "data.coefficients=[1.0]"]).cfg, "data")
    with pytest.raises(CouloirError, match="is not a range"):
        build(couloir.compose(["data=line", "data.range=[1.0,0.0]"]).cfg, "data")


def test_synthetic_images_have_any_size_and_all_classes() -> None:
    data = samples("data=synthetic", "data.image_size=17", "data.channels=2", "data.num_classes=5", "data.samples=60")
    x, y = everything(data.train_dataloader())
    assert x.shape[1:] == (2, 17, 17)
    assert len(y.unique()) == 5


@pytest.mark.parametrize("name", ["digits", "moons", "line", "synthetic"])
def test_the_seed_makes_the_set(name: str) -> None:
    prints = [samples(f"data={name}", f"seed={seed}").fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "linnerud"])
def test_the_bundled_tables_are_scikit_learns(name: str) -> None:
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    cfg = couloir.compose([f"data={name}"]).cfg
    assert cfg.model._target_ == "couloir.model.mlp.mlp", "a table's usual model follows"
    assert cfg.data.channels == bunch.data.shape[1]
    data = samples(f"data={name}")
    source = data.splits["train"].source
    np.testing.assert_array_equal(source.inputs.numpy(), bunch.data.astype(np.float32))
    np.testing.assert_array_equal(source.targets.reshape(bunch.target.shape), bunch.target.astype(source.targets.dtype))
    assert sum(data.sizes().values()) == len(bunch.data)
    if cfg.data.task == "classification":
        assert data.classes == [str(each) for each in bunch.target_names]
        assert cfg.data.num_classes == len(data.classes)
    else:
        assert cfg.data.num_classes == bunch.target.reshape(len(bunch.data), -1).shape[1]


def test_each_of_several_targets_is_scaled_on_its_own_and_measured_in_its_own_units(tmp_path: Path) -> None:
    data = samples("data=linnerud")
    train = sklearn.datasets.load_linnerud().target[data.splits["train"].indices]
    assert data.target_offset == pytest.approx(train.mean(axis=0))
    assert data.target_scale == pytest.approx(train.std(axis=0))
    assert data.targets == ["weight", "waist", "pulse"]
    words = ["data=linnerud", "trainer.max_epochs=2", "trainer=cpu", "logger=csv", f"output_dir={tmp_path}"]
    result = couloir.train(couloir.compose(words))
    assert evaluate([couloir.compose(words).cfg], [result.dir]).numbers["mae"] == pytest.approx(
        result.metrics["test/mae"]
    )
    predictor = Predictor(couloir.compose(words).cfg, result.dir)
    truth, answers = zip(
        *((predictor.task.truth(batch), predictor.answer(batch)) for batch in predictor.batches()), strict=True
    )
    expected = sklearn.datasets.load_linnerud().target[predictor.data.splits["test"].indices]
    np.testing.assert_allclose(torch.cat(truth).numpy(), expected, rtol=1e-5)
    assert result.metrics["test/mae"] == pytest.approx(np.abs(torch.cat(answers).numpy() - expected).mean(), rel=1e-5)
