"""Did you mean: the word that a person most likely meant comes first."""

from __future__ import annotations

import pytest

from couloir.errors import did_you_mean, nearest


@pytest.mark.parametrize(
    ("typed", "meant", "words"),
    [
        ("resnet5", "resnet50", ["lenet5", "resnet18", "resnet50", "resnet152"]),
        ("Adam", "adam", ["adagrad", "adam", "sgd"]),
        ("depht", "depth", ["width", "depth"]),
        ("lrr", "lr", ["lr", "momentum"]),
        ("crossentropy", "cross_entropy", ["mse", "cross_entropy"]),
    ],
)
def test_the_nearest_word_is_the_one_that_was_meant(typed: str, meant: str, words: list[str]) -> None:
    assert nearest(typed, words)[0] == meant


def test_nothing_near_gives_no_hint() -> None:
    assert did_you_mean("zzz", ["adam", "sgd"]) is None
