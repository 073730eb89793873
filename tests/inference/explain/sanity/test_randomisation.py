"""Whether maps are checked as the papers say, and failing ones are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.stats import spearmanr
from torch import Tensor, nn

from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.explain.sanity import randomisation as sanity
from couloir.inference.explain.sanity.randomisation import random_labels, randomisation
from couloir.inference.explain.sanity.randomised import correlation, drawn_networks, stages, survival
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.where.attribution import Made, makers
from couloir.inference.explain.words import Wanted
from couloir.inference.trained import Trained
from finished_runs import FinishedRuns
from subjects import shown_of, subject_of

WANTED = Wanted((), Path())


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), block, nn.Flatten(),
                         nn.Linear(256, 3))  # fmt: skip


def test_rank_correlations_are_scipys_and_a_constant_map_has_none() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 6, 7)).astype(float)
    assert correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert correlation(first, first) == pytest.approx(1)
    assert np.isnan(correlation(first, np.ones_like(first)))


def test_weights_are_drawn_from_the_answer_down_with_blocks_together() -> None:
    net, x = network(), torch.zeros(1, 1, 8, 8)
    assert stages(net, x, most=4) == [["5"], ["3.2", "3.0"], ["1"], ["0"]]
    assert stages(net, x, most=3) == [["5"], ["3.2", "3.0", "1"], ["0"]]
    assert stages(net, x, most=9) == [["5"], ["3.2"], ["3.0"], ["1"], ["0"]]


def drawn(subject: Subject, seed: int = 5) -> Callable[[int], nn.Module]:
    return lambda number: network(seed + number)


def test_each_stage_is_the_network_with_these_layers_drawn_and_the_weights_come_back() -> None:
    subject = subject_of(network(), size=8)
    subject.net[1].running_mean.uniform_()  # type: ignore[index, operator, union-attr]
    shown = shown_of(subject, torch.rand(2, 1, 8, 8))
    before = {name: value.clone() for name, value in subject.net.state_dict().items()}
    seen: list[dict[str, Tensor]] = []

    def spy(subject: Subject, x: Tensor, target: Tensor) -> Tensor:
        seen.append({name: value.clone() for name, value in subject.net.state_dict().items()})
        return makers(subject, 2)["gradients"](subject, x, target)

    parts = stages(subject.net, subject.empty())
    found = survival(subject, shown.x, shown.target, {"gradients": spy}, parts, drawn(subject))
    fresh = network(5).state_dict()
    for number, state in enumerate(seen[: len(parts) + 1]):
        done = [name for part in parts[:number] for name in part]
        for name, value in state.items():
            expected = fresh if name.rpartition(".")[0] in done else before
            assert torch.equal(value, expected[name]), (number, name)
    assert all(torch.equal(before[name], value) for name, value in subject.net.state_dict().items())
    assert len(found.by_stage["gradients"]) == len(parts)
    assert found.drawn == 2


def test_a_map_of_the_image_alone_fails_and_a_constant_one_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(network(), size=8)
    shown = shown_of(subject, torch.rand(3, 1, 8, 8))
    made: dict[str, Made] = {
        "gradients": lambda subject, x, target: x,  # nothing of the network is in it
        "grad_cam": lambda subject, x, target: torch.ones(len(x), 4, 4),
    }
    monkeypatch.setattr(sanity, "makers", lambda subject, nodes: made)
    monkeypatch.setattr(sanity, "drawn_networks", drawn)
    (found,) = randomisation(subject, shown, WANTED)
    assert found.numbers["fails"] == {"gradients": pytest.approx(1)}
    assert found.numbers["correlation"]["grad_cam"] == {"absolute": None, "signed": None}
    assert found.numbers["constant"] == {"grad_cam": 18, "gradients": 0}
    assert "18 of 18 maps" in found.note
    assert found.html.count("cannot tell") == 1


def test_a_runs_own_initialisation_is_drawn_by_the_seed_and_moves_no_generator(finished: FinishedRuns) -> None:
    run = finished("photographs")
    subject = Subject(Trained(run_config(run), run))
    state = torch.get_rng_state()
    fresh = drawn_networks(subject, 1)
    first, again, other = (fresh(number).state_dict() for number in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    shown = shown_of(subject, torch.rand(2, 3, 16, 16))
    (found,) = randomisation(subject, shown, WANTED)
    assert set(found.numbers["correlation"]) == set(sanity.USUAL)
    names = [panel.name for panel in found.panels]
    assert len(set(names)) == len(names) == 8


def test_a_second_run_with_random_labels_is_compared_and_any_other_refused(
    finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, second = finished("photographs"), finished("photographs again")
    subject = Subject(Trained(run_config(run), run))
    shown = shown_of(subject, torch.rand(2, 3, 16, 16))
    with pytest.raises(CouloirError, match="none is named"):
        random_labels(subject, shown, WANTED)
    against = Wanted((), Path(), against=second)
    with pytest.raises(CouloirError, match="were not random"):
        random_labels(subject, shown, against)
    with pytest.raises(CouloirError, match="cannot be compared"):
        random_labels(subject, shown, Wanted((), Path(), against=finished("digits")))

    def noisy(folder: Path) -> Any:
        cfg = run_config(folder)
        cfg.data.label_noise = 1.0
        return cfg

    monkeypatch.setattr(sanity, "run_config", noisy)
    (found,) = random_labels(subject, shown, against)
    other = Subject(Trained(run_config(second), second))
    x = other.standardised(shown.pixels)
    own = subject.gradients(shown.x, shown.target).abs() / torch.tensor(subject.data.std).view(3, 1, 1)
    theirs = other.gradients(x, shown.target).abs() / torch.tensor(other.data.std).view(3, 1, 1)
    each = [spearmanr(a.amax(0).ravel(), b.amax(0).ravel()) for a, b in zip(own, theirs, strict=True)]
    expected = np.mean([one.statistic for one in each])
    assert found.numbers["correlation"]["gradients"]["absolute"] == pytest.approx(expected, abs=1e-3)
    assert "drawn at random" in found.note


def test_what_has_no_label_noise_is_said_to_be_unknown() -> None:
    one, other = subject_of(network(), size=8), subject_of(network(1), size=8)
    other.trained = cast(Trained, SimpleNamespace(cfg=OmegaConf.create({"data": {"_target_": "mine.Data"}})))
    assert "nobody says" in sanity._check_second(one, other, Path("second"))
