"""The picture of the course's five losses, by the numbers that are drawn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from couloir.artifacts import loss_surfaces
from couloir.artifacts.loss_surfaces import COURSE, surface, surfaces_figure
from couloir.callbacks.loss_surfaces import LossSurfaces
from couloir.loss.classification import BinaryCrossEntropy
from couloir.loss.regression import MLNet

FORMULAS: dict[str, Any] = {
    "MSE": lambda s, p: (s - p) ** 2,
    "EAD": lambda s, p: np.exp(abs(s - p)) - 1,
    "MLNET": lambda s, p: (s - p) ** 2 / (1.1 - s),
    "Bhattacharyya": lambda s, p: -np.log(np.sqrt(s * p) + np.sqrt((1 - s) * (1 - p))),
    "KL": lambda s, p: s * np.log(s / p) + (1 - s) * np.log((1 - s) / (1 - p)),
}


@pytest.mark.parametrize("name", COURSE)
def test_a_surface_has_the_values_of_the_courses_formula(name: str) -> None:
    axis, values = surface(COURSE[name](), points=5)
    true, predicted = np.meshgrid(axis.numpy(), axis.numpy(), indexing="ij")
    np.testing.assert_allclose(values.numpy(), FORMULAS[name](true, predicted), atol=1e-6)


def test_the_runs_own_loss_is_marked_and_drawn_with_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(loss_surfaces, "POINTS", 3)
    monkeypatch.setattr(loss_surfaces, "surface", lambda loss: drawn.append(loss) or surface(loss, 3))
    titles = [panel.get_title() for panel in surfaces_figure(MLNet(1.5, normalize=True)).axes]
    assert titles == ["MSE", "EAD", "MLNET (this run)", "Bhattacharyya", "KL"]
    assert (drawn[2].alpha, drawn[2].normalize) == (1.5, False)
    assert [panel.get_title() for panel in surfaces_figure(BinaryCrossEntropy(), "bce").axes][5] == "bce (this run)"


def test_a_run_that_asks_for_it_has_the_picture_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_surfaces, "POINTS", 3)
    trainer: Any = SimpleNamespace(is_global_zero=True, default_root_dir=str(tmp_path))
    LossSurfaces().on_train_end(trainer, SimpleNamespace(loss=MLNet()))  # type: ignore[arg-type]
    assert Image.open(tmp_path / "losses.png").size == (1152, 744)
    assert [file.name for file in tmp_path.iterdir()] == ["losses.png"]
