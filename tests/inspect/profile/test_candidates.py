"""Which settings are tried, by what takes the time, and when one counts as faster."""

from __future__ import annotations

from typing import Any

import pytest

from couloir.inspect.profile.candidates import Candidate, Facts, Tried, best, candidates

TRAINER = {
    "channels_last": True, "fused": True, "compile": False, "short_steps": True, "threads": None,
    "precision": "auto", "log_every_n_steps": 50,
}  # fmt: skip
KEYS = {"data": {"batch_size": 32, "workers": 0, "cache": False}, "trainer": TRAINER}


def chosen(keys: dict[str, Any] | None = None, gpu: bool = False, step: float = 0.05, **shares: float) -> list[str]:
    def share(*parts: str) -> float:
        return sum(shares.get(part, 0.0) for part in parts)

    facts = Facts(share, step, keys or KEYS, 1000, 2, 4, gpu, True, True, True)
    return [each.word for each in candidates(facts)]


def with_key(group: str, **keys: Any) -> dict[str, Any]:
    return {**KEYS, group: {**KEYS[group], **keys}}


@pytest.mark.parametrize(
    ("keys", "shares", "first"),
    [
        (KEYS, {"loading": 0.6, "forward": 0.2}, "data.workers=4"),
        (with_key("data", workers=4), {"loading": 0.6}, "data.workers=0"),
        (with_key("data", workers=None), {"loading": 0.6}, "data.workers=0"),
        (KEYS, {"forward": 0.3, "backward": 0.5}, "trainer.channels_last=false"),
        (with_key("trainer", channels_last=False), {"backward": 0.9}, "trainer.channels_last=true"),
        (KEYS, {"optimizer": 0.4, "forward": 0.2}, "trainer.fused=false"),
        (with_key("trainer", short_steps=False), {"rest": 0.5}, "trainer.short_steps=true"),
        (with_key("trainer", log_every_n_steps=1), {"logging": 0.3}, "trainer.log_every_n_steps=50"),
        (KEYS, {"forward": 0.25}, "data.batch_size=64"),
    ],
)
def test_what_dominates_is_tried_first(keys: dict[str, Any], shares: dict[str, float], first: str) -> None:
    assert chosen(keys, **shares)[0] == first


def test_what_waits_for_nothing_has_its_loading_left_alone() -> None:
    words = chosen(forward=0.5, backward=0.45, loading=0.01)
    assert not [word for word in words if word.startswith(("data.workers", "data.cache", "trainer.compile"))]
    assert words[-1] == "data.batch_size=64"


def test_a_batch_that_is_there_in_a_moment_is_not_left_to_workers() -> None:
    assert "data.workers=4" in chosen(loading=0.3, step=0.01)
    assert "data.workers=4" not in chosen(loading=0.3, step=0.001)


def test_of_a_small_network_a_larger_batch_is_tried_before_what_it_hardly_feels() -> None:
    assert chosen(forward=0.2, backward=0.2, rest=0.3, logging=0.1, optimizer=0.1)[0] == "data.batch_size=64"


def test_on_a_gpu_precision_and_compilation_take_the_place_of_threads() -> None:
    words = chosen(with_key("trainer", precision="32-true"), gpu=True, forward=0.5, backward=0.4)
    assert {"trainer.precision=bf16-mixed", "trainer.compile=true"} <= set(words)
    assert not [word for word in words if word.startswith("trainer.threads")]


def test_a_batch_of_more_than_half_of_the_samples_is_not_doubled() -> None:
    assert chosen(with_key("data", batch_size=600), forward=0.25) == []


def tried(word: str, rates: list[float], learns_alike: bool = True) -> Tried:
    return Tried(Candidate(word, "", 0.5, learns_alike), rates, [100.0, 110.0, 90.0, 100.0, 105.0])


def test_a_setting_is_faster_only_where_it_is_in_every_round() -> None:
    clear = tried("a", [140.0, 150.0, 120.0, 138.0, 130.0])
    assert clear.ratio == pytest.approx(1.38)
    assert clear.is_better
    assert not tried("b", [140.0, 150.0, 89.0, 138.0, 130.0]).is_better, "one round was slower"
    assert not tried("c", [101.0, 111.0, 91.0, 102.0, 106.0]).is_better, "two percent are not worth a word"
    assert not Tried(Candidate("d", "", 0.5), problem="refused").is_better


def test_a_setting_that_changes_the_training_is_named_only_where_no_other_helps() -> None:
    small, large = tried("a", [111.0] * 5), tried("batch", [300.0] * 5, learns_alike=False)
    assert best([small, large]) is small
    assert best([tried("b", [90.0] * 5), large]) is large
    assert best([tried("b", [90.0] * 5)]) is None
