"""A network that says one class for everything, or never says some: what is said of it, and what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from couloir.diagnosis.given_up import given_up, given_up_by
from couloir.diagnosis.words import in_full
from couloir.record.folder import RunFolder
from couloir.record.tested import Confusion, write_confusion
from recorded_runs import write_run

KEYS: dict[str, Any] = {"loss.class_weights": None, "data.sampler": "shuffled"}


def test_one_class_for_everything_is_told_with_its_share_and_the_words_to_type() -> None:
    said = given_up([200, 0, 0], [188, 8, 4], ["good", "bad", "ugly"], "test", KEYS)
    assert said.startswith("The network says good for all 200 test samples; 94.0% of them are of that class.")
    assert "Try loss.class_weights=balanced or data.sampler=balanced; metric=balanced_accuracy" in said


def test_classes_that_are_never_said_are_named_the_largest_first() -> None:
    there, said = [900, 10, 2, 30, 4, 5, 6, 43], [950, 0, 0, 0, 0, 0, 0, 50]
    found = given_up(said, there, list("abcdefgh"), "validation", KEYS)
    named = "d (30 samples), b (10 samples), g (6 samples), f (5 samples), e (4 samples) and 1 more."
    assert found.startswith(f"The network never says 6 of the 8 classes, 5.7% of the validation samples: {named}")


def test_of_maps_pixels_are_counted_and_no_sampler_of_images_is_proposed() -> None:
    said = given_up([200, 0], [180, 20], ["ground", "disc"], "test", KEYS | {"data.fields.mask": "map"})
    assert said.startswith("The network says ground for all 200 test pixels; 90.0% of them are of that class.")
    assert said.endswith("Try loss.class_weights=balanced.")


@pytest.mark.parametrize(
    ("keys", "there", "words"),
    [
        ({}, [90, 10], "`couloir diagnose`"),
        (KEYS, [50, 50], "`couloir diagnose`"),
        (KEYS | {"data.sampler": "balanced"}, [90, 10], "`couloir diagnose`"),
        (KEYS | {"loss.class_weights": "balanced"}, [90, 10], "`couloir diagnose`"),
        ({"data.sampler": "shuffled"}, [90, 10], "Try data.sampler=balanced; metric"),
        (KEYS | {"metric.balanced_accuracy._target_": "x"}, [90, 10], "balanced or data.sampler=balanced."),
    ],
)
def test_only_what_can_be_typed_and_has_not_been_is_proposed(
    keys: dict[str, Any], there: list[int], words: str
) -> None:
    assert words in given_up([sum(there), 0], there, ["a", "b"], "test", keys)


def test_a_class_that_has_no_sample_need_not_be_said() -> None:
    assert given_up([5, 5, 0], [4, 6, 0], ["a", "b", "c"], "test", KEYS) == ""


def test_a_runs_test_is_asked_and_the_diagnosis_says_the_same(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", classes=("cat", "dog"))
    assert "says cat" not in in_full(run)
    write_confusion(RunFolder(run), Confusion(["cat", "dog"], [[19, 0], [1, 0]]))
    found = given_up_by(run)
    assert found.startswith("The network says cat for all 20 test samples; 95.0% of them are of that class.")
    assert found in in_full(run)
    (run / "confusion.csv").unlink()
    assert given_up_by(run) == ""
