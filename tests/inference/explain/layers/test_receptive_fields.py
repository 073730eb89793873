"""Receptive fields: their tables, and the effective ones against gradients and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from couloir.inference.explain.layers.receptive_fields import (
    effective,
    fields_of,
    gaussian_width,
    held_in,
    receptive_fields,
)
from couloir.inference.explain.words import Wanted
from subjects import shown_of, subject_of


class Flipped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(3)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def test_the_table_says_size_step_start_and_share() -> None:
    subject = subject_of(chain(), size=16)
    exhibits = receptive_fields(subject, shown_of(subject, torch.rand(1, 1, 16, 16)), Wanted((), Path()))
    rows = {row["layer"]: row for row in exhibits[0].numbers["layers"]}
    assert list(rows) == ["0", "1", "2", "3", "4"]
    assert (rows["3"]["size"], rows["3"]["step"], rows["3"]["start"]) == ([12, 12], [2, 2], [-5, -5])
    assert rows["3"]["share"] == 12 * 12 / 256
    assert not rows["3"]["measured"]
    assert exhibits[0].panels[0].picture.ndim == 3
    assert [panel.values.shape for panel in exhibits[1].panels if panel.values is not None] == [(16, 16)] * 3


def test_a_layer_behind_a_call_without_a_rule_is_measured_and_said_to_be() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), Flipped(), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(2 * 16 * 9, 3))
    net[4] = nn.Linear(2 * 4 * 4, 3)
    subject = subject_of(net, size=8)
    (field,) = fields_of(subject, [subject.layer("2")])
    assert field.is_measured
    assert field.size == (5, 5)
    assert field.box((0, 0)) == (0, 4, 3, 7)  # mirrored
    (exhibit, _) = receptive_fields(subject, shown_of(subject, torch.rand(1, 1, 8, 8)), Wanted((), Path()))
    assert "~5" in exhibit.html
    assert "no rule describes" in exhibit.note


def test_of_many_layers_without_a_rule_some_are_measured_and_the_others_are_told() -> None:
    net = nn.Sequential(Flipped(), *[nn.Conv2d(1, 1, 3, padding=1) for _ in range(20)], nn.Flatten(), nn.Linear(64, 3))
    subject = subject_of(net, size=8)
    shown = shown_of(subject, torch.rand(1, 1, 8, 8))
    (exhibit, _) = receptive_fields(subject, shown, Wanted((), Path(), layers=("3",)))
    rows = [row["layer"] for row in exhibit.numbers["layers"]]
    assert "3" in rows
    assert 12 <= len(rows) <= 13
    assert f"{21 - len(rows)} more of these layers are left out" in exhibit.note


def test_the_effective_field_of_a_chain_without_activations_is_its_kernels_convolved() -> None:
    kernel = np.array([1.0, 2.0, 1.0])
    plane = np.outer(kernel, kernel)
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(3)]
    for layer in layers:
        layer.weight.data[0, 0] = torch.tensor(plane)
    subject = subject_of(nn.Sequential(*layers, nn.Flatten(), nn.Linear(15 * 15, 3)), size=15)
    (values,) = effective(subject, torch.rand(2, 1, 15, 15), [subject.layer("2")])
    line = np.convolve(np.convolve(kernel, kernel), kernel)
    expected = np.zeros((15, 15))
    expected[4:11, 4:11] = np.outer(line, line)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert gaussian_width(values) == pytest.approx((np.sqrt(1.5), np.sqrt(1.5)), rel=1e-5)  # variances of 1/2 add up


def test_an_effective_field_is_within_the_theoretical_one_and_smaller() -> None:
    subject = subject_of(chain(), size=16)
    met = subject.layer("4")
    (values,) = effective(subject, torch.randn(4, 1, 16, 16), [met])
    top, bottom, left, right = fields_of(subject, [met])[0].box((4, 4), inside=True)
    inside = values[top : bottom + 1, left : right + 1]
    assert inside.sum() == pytest.approx(values.sum())
    assert 0 < held_in(values) < inside.size


def test_the_least_pixels_that_hold_a_share_are_counted() -> None:
    assert held_in(np.array([[5.0, 3.0], [1.0, 1.0]]), 0.8) == 2
    assert held_in(np.array([[5.0, 3.0], [1.0, 1.0]]), 0.81) == 3
    assert held_in(np.zeros((2, 2))) == 0
    assert held_in(np.ones((10, 10))) == 95
