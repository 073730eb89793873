"""The momentum of each step, by the course's formula and by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import couloir
from couloir.errors import CouloirError
from couloir.momentum_schedule.rules import Linear, Sutskever, check_momentum


@pytest.mark.parametrize("mu_max", [0.0, 0.9, 0.99, 0.995, 0.999])
def test_the_rise_is_the_formula_of_the_course(mu_max: float) -> None:
    rule = Sutskever(mu_max, every=250)
    for k in (0, 1, 249, 250, 499, 500, 1250, 10_000, 200_000):
        expected = min(1 - 2 ** (-1 - math.log2(k // 250 + 1)), mu_max)
        assert rule(k) == pytest.approx(expected, abs=1e-12)


def test_it_begins_at_a_half_and_rises_every_250_steps() -> None:
    rule = Sutskever(0.999, every=250)
    assert [rule(k) for k in (0, 249, 250, 500, 750)] == pytest.approx([0.5, 0.5, 0.75, 1 - 1 / 6, 0.875])


def test_a_straight_line_by_hand() -> None:
    rule = Linear(0.5, 0.9, 4)
    assert [rule(k) for k in (0, 1, 2, 4, 9)] == pytest.approx([0.5, 0.6, 0.7, 0.9, 0.9])


def test_an_optimizer_without_momentum_is_explained() -> None:
    with pytest.raises(CouloirError, match="needs an optimizer with momentum"):
        check_momentum([{"lr": 0.1}])


def test_the_optimizer_has_the_momentum_of_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from couloir.optimizer.gradient_descent import Nesterov

    seen: list[float] = []
    step = Nesterov.step

    def recording(self: Nesterov, *arguments: object, **keys: object) -> object:
        seen.append(self.param_groups[0]["momentum"])
        assert self.param_groups[0]["ahead"] == seen[-1], "the gradient was taken where this step leads to"
        return step(self, *arguments, **keys)

    monkeypatch.setattr(Nesterov, "step", recording)
    words = ["data=moons", "optimizer=nesterov", "trainer.max_epochs=2", "logger=csv", "trainer=cpu"]
    rule = ["momentum_schedule=sutskever", "momentum_schedule.every=3", "momentum_schedule.mu_max=0.95"]
    couloir.train(couloir.compose([*words, *rule, f"output_dir={tmp_path}"]))
    assert len(seen) > 20
    assert seen == pytest.approx([min(1 - 0.5 / (k // 3 + 1), 0.95) for k in range(len(seen))])
