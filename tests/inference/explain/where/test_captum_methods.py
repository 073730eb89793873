"""Captum's values and those computed here are the same, where both exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.inference.explain.where.captum_methods import both, captum, shapley_values
from couloir.inference.explain.words import Wanted, chosen_methods
from subjects import shown_of, subject_of

WANTED = Wanted((), Path())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(8 * 5 * 5, 4),
    )  # fmt: skip


def test_all_methods_of_images_agree_within_a_ten_thousandth() -> None:
    pytest.importorskip("captum")
    subject = subject_of(network(), channels=3, size=16, classes=4, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.25])
    shown = shown_of(subject, torch.rand(3, 3, 16, 16))
    found = {each.method: each for each in both(subject, shown)}
    assert set(found) == {"integrated_gradients", "gradients", "guided_backprop", "grad_cam"}
    for method, each in found.items():
        for number in range(3):
            difference, most = each.apart(number)
            assert difference <= 1e-4 * max(1, most), method
            assert most > 0
    first, *_ = captum(subject, shown, WANTED)
    assert set(first.numbers["methods"]) == set(found)
    assert len({panel.name for panel in first.panels}) == 4
    assert all(parameter.grad is None for parameter in subject.net.parameters())
    assert not any(module._backward_hooks or module._forward_hooks for module in subject.net.modules())


def test_rows_agree_and_shapley_values_of_a_linear_model_are_their_closed_form() -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    linear = subject_of(nn.Linear(5, 2), channels=5, size=None, classes=2, mean=[1.0] * 5, std=[2.0] * 5)
    shown = shown_of(linear, torch.randn(3, 5))
    state = torch.get_rng_state()
    values = shapley_values(linear, shown, seed=0)
    assert torch.equal(torch.get_rng_state(), state), "captum has moved the generator"
    weight = linear.net.weight.detach()[shown.target]  # type: ignore[operator, union-attr]
    torch.testing.assert_close(values, weight * shown.x, rtol=1e-4, atol=1e-5)
    deep = subject_of(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)), channels=5, size=None, classes=2)
    shown = shown_of(deep, torch.randn(3, 5))
    for each in both(deep, shown):
        assert max(each.apart(number)[0] for number in range(3)) < 1e-4
    (first, *_) = captum(deep, shown, WANTED)
    assert set(first.numbers["shapley"]) == {f"input {place}" for place in range(5)}
    assert sum(first.numbers["shapley"].values()) == pytest.approx(
        float(deep.score(shown.x, shown.target)[0] - deep.score(torch.zeros_like(shown.x), shown.target)[0]), abs=1e-4
    )


def test_without_captum_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    subject = subject_of(network(), channels=3, size=16, classes=4)
    with pytest.raises(CouloirError, match="needs the package captum") as told:
        captum(subject, shown_of(subject, torch.rand(1, 3, 16, 16)), WANTED)
    assert "couloir[explain]" in str(told.value.next_step)
    with pytest.raises(CouloirError, match="needs the package captum"):
        chosen_methods("captum", "image")  # before torch is imported
    assert "grad_cam" in chosen_methods("where", "image")
