"""The arithmetic of `benchmarks/bench_remedies.py`, and its sentences: nothing is trained here."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("bench_remedies")


@pytest.fixture(scope="module")
def sentences() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((BENCHMARKS / "remedies.yaml").read_text(encoding="utf-8"))
    return found


def spoilt(bench: ModuleType, bad: float, *scores: float, good: float = 0.9) -> Any:
    rounds = [bench.Round("a case", "a=1", score) for score in scores]
    return bench.Measured("a name", "development", "a fault", [good] * 3, [bad] * 3, True, "", rounds)


def test_a_remedy_counts_as_better_or_worse_beyond_the_noise_alone(bench: ModuleType) -> None:
    scores = [
        spoilt(bench, 0.5, 0.89),
        spoilt(bench, 0.5, 0.505),
        spoilt(bench, 0.5, 0.48),
        spoilt(bench, 0.5, 0.6, 0.88),
    ]
    found = bench.shares(scores)
    assert found["first remedy made it better"] == {"count": 2, "of": 4, "share": 0.5}
    assert found["first remedy made it worse by more than noise"]["count"] == 1
    assert found["half of the way after one round"]["count"] == 1
    assert found["near the good run after one round"]["count"] == 1
    assert found["near the good run after three rounds"]["count"] == 2


def test_no_number_is_nan_where_there_is_nothing_to_divide_by(bench: ModuleType) -> None:
    assert bench.share_of_way(0.5, 0.5, 0.7) is None
    assert bench.share_of_way(0.9, 0.5, 0.7) == pytest.approx(0.5)
    assert bench.noise([0.9], [0.5]) == bench.LEAST_NOISE
    numbers = [bench.shares([]), bench.shares([spoilt(bench, 0.9, 0.95)]), bench.shares([spoilt(bench, 0.5)])]
    assert "NaN" not in json.dumps(numbers)


def test_a_remedy_takes_the_place_of_the_word_of_the_same_key(bench: ModuleType) -> None:
    sentence = ["data=moons", "optimizer.lr=3", "model=mlp"]
    assert bench.with_words(sentence, ["optimizer.lr=0.3", "+a.b=1"]) == [
        "data=moons", "model=mlp", "optimizer.lr=0.3", "+a.b=1",
    ]  # fmt: skip


def test_each_half_has_sentences_of_every_fault_and_enough_healthy_ones(sentences: dict[str, dict[str, str]]) -> None:
    halves = {
        name: [entry for entry in sentences.values() if entry["set"] == name] for name in ("development", "held_out")
    }
    assert sum(map(len, halves.values())) == len(sentences)
    for half in halves.values():
        assert len([entry for entry in half if "spoilt" in entry]) >= 22
        assert len([entry for entry in half if "flawed" not in entry]) >= 20
    faults = [{entry["fault"] for entry in half if "fault" in entry} for half in halves.values()]
    assert faults[0] == faults[1]
