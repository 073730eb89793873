"""Did you mean: the word that a person most likely meant comes first; and paths as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import did_you_mean, display, is_shortage, nearest


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


def test_a_link_is_shown_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "wolf").symlink_to(tmp_path / "dog")
    assert display(tmp_path / "wolf/0.png") == str(Path("wolf/0.png"))
    assert display(tmp_path / "dog/../0.png") == "0.png"
    assert display(tmp_path.parent / "0.png") == str(tmp_path.parent / "0.png")


def test_errors_that_came_of_each_other_are_looked_through_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert not is_shortage(first), "and not for ever"
    second.__cause__, third = MemoryError(), ValueError("third")
    third.__context__ = first
    assert is_shortage(third)
