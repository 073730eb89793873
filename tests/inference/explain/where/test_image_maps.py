"""What the methods show of each sample, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.explain.heat import BAR, GAP, laid_over, photograph
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where import image_maps as where
from couloir.inference.explain.where.occlusion import occlusion, squares_of
from couloir.inference.explain.words import FULL, Wanted
from couloir.inference.trained import Trained
from finished_runs import FinishedRuns
from subjects import shown_of, subject_of

METHODS = ("grad_cam", "grad_cam_plus_plus", "gradients", "guided_backprop", "integrated_gradients", "smoothgrad")
WANTED = Wanted((), Path())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, 3),
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_each_sample_has_its_map_beside_its_photograph_and_many_the_map_alone(method: str) -> None:
    subject = subject_of(network(), size=8, mean=0.5, std=0.5)
    for count, panels in ((2, 2), (FULL + 1, 1)):
        shown = shown_of(subject, torch.rand(count, 1, 8, 8))
        exhibits = getattr(where, method)(subject, shown, WANTED)
        assert [exhibit.sample for exhibit in exhibits] == list(range(count))
        names = [panel.name for exhibit in exhibits for panel in exhibit.panels]
        assert len(names) == len(set(names)) == panels * count
        assert all(len(exhibit.panels) == panels and exhibit.method == method for exhibit in exhibits)
        values = exhibits[1].panels[-1].values
        assert values is not None
        assert values.shape[-2:] == (8, 8)
        assert np.isfinite(values).all()
        assert subject.name_of(int(shown.target[1])) in exhibits[1].title


def test_grad_cam_shows_every_layer_that_is_named_and_refuses_one_that_is_not_there() -> None:
    subject = subject_of(network(), size=8)
    shown = shown_of(subject, torch.rand(1, 1, 8, 8))
    (found,) = where.grad_cam(subject, shown, Wanted((), Path(), layers=("0", "3")))
    assert [panel.name for panel in found.panels] == ["grad_cam_0_image", "grad_cam_0_0", "grad_cam_0_3"]
    with pytest.raises(CouloirError, match="no layer '7'"):
        where.grad_cam(subject, shown, Wanted((), Path(), layers=("7",)))


def test_a_sum_that_is_missed_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    with torch.no_grad():
        net[0].weight.mul_(30)
    subject = subject_of(net, size=8)
    monkeypatch.setattr(where, "NODES", 1)
    monkeypatch.setattr(where, "MOST_NODES", 1)
    (found,) = where.integrated_gradients(subject, shown_of(subject, torch.rand(1, 1, 8, 8)), WANTED)
    assert found.numbers["missed_percent"] > 5
    assert "missed, more than 5%" in found.warning
    monkeypatch.setattr(where, "MOST_NODES", 128)
    (found,) = where.integrated_gradients(subject, shown_of(subject, torch.rand(1, 1, 8, 8)), WANTED)
    assert found.numbers["missed_percent"] <= 5
    assert not found.warning
    assert found.numbers["nodes"] > 1


def test_networks_and_inputs_that_a_method_does_not_fit_are_refused() -> None:
    tanh = subject_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)))
    with pytest.raises(CouloirError, match=r"Guided backpropagation does not fit .* tanh"):
        where.guided_backprop(tanh, shown_of(tanh, torch.rand(1, 1, 4, 4)), WANTED)
    flat = subject_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    with pytest.raises(CouloirError, match="No layer of the network has maps"):
        where.grad_cam(flat, shown_of(flat, torch.rand(1, 1, 4, 4)), WANTED)
    rows = subject_of(nn.Linear(4, 2), channels=4, size=None, classes=2)
    for method in ("grad_cam", "guided_backprop", "smoothgrad"):
        with pytest.raises(CouloirError, match="needs images"):
            getattr(where, method)(rows, shown_of(rows, torch.rand(1, 4)), WANTED)


def test_colours_are_where_the_map_is_and_small_images_are_enlarged() -> None:
    pixels, values = torch.full((1, 10, 20), 0.5), torch.zeros(10, 20)
    values[2, 3], values[7, 11] = 2.0, -2.0
    picture, ends = laid_over(pixels, values, signed=True)
    factor = photograph(pixels).shape[0] // 10
    assert picture.shape == (10 * factor + GAP + BAR, 20 * factor, 3)
    assert ends == "-2 to 2"
    red, blue = picture[2 * factor, 3 * factor].astype(int), picture[7 * factor, 11 * factor].astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert len(set(picture[0, 0].tolist())) == 1, "no colour where the map is zero"
    flat, ends = laid_over(pixels, torch.zeros(10, 20))
    assert ends == "0 to 0"
    assert np.ptp(flat[: 10 * factor]) == 0


def test_a_class_of_a_map_is_explained_by_its_mean_score_and_covered_as_by_a_slow_loop(finished: FinishedRuns) -> None:
    run = finished("masks")
    subject = Subject(Trained(run_config(run), run))
    pixels, target = torch.rand(1, 3, 24, 24), torch.tensor([2])
    shown = Shown(pixels, subject.standardised(pixels), target, ["one.png"])
    given = shown.x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(subject.net(given)[0, 2].mean(), given)
    std = torch.tensor(subject.data.std).view(1, 3, 1, 1)
    (found,) = where.gradients(subject, shown, WANTED)
    assert found.panels[-1].values is not None
    np.testing.assert_allclose(found.panels[-1].values, (slope / std).abs().amax(dim=1)[0].numpy(), rtol=1e-3)
    assert "mean over the pixels" in found.note
    assert where.grad_cam(subject, shown, WANTED)[0].panels[-1].values is not None
    (covered,) = occlusion(subject, shown, WANTED)
    places = squares_of((24, 24))
    with torch.no_grad():
        frames = places.covered(shown.x[0])
        shares = [float((subject.net(frame[None]).argmax(dim=1) == 2).float().mean()) for frame in frames]
    answer = next(panel.values for panel in covered.panels if panel.name == "occlusion_0_answer")
    assert answer is not None
    np.testing.assert_allclose(answer.ravel(), shares, atol=1e-6)


def test_maps_of_values_show_where_they_change(finished: FinishedRuns) -> None:
    run = finished("twice as large")
    subject = Subject(Trained(run_config(run), run))
    pixels = torch.rand(1, 1, 4, 4)
    shown = Shown(pixels, subject.standardised(pixels), torch.tensor([0]), ["one.png"])
    (found,) = occlusion(subject, shown, WANTED)
    assert found.numbers["whole"] == 0
    assert found.numbers["least"] >= 0
    assert where.gradients(subject, shown, WANTED)[0].panels[-1].values.shape == (4, 4)  # type: ignore[union-attr]
