"""The diagnosis is right often enough to be listened to: on drawn curves, and on real runs."""

from __future__ import annotations

from diagnosis import measure, synthetic

LEAST = 0.9
"""Precision and recall of each case."""
ALARMS = 0.05
"""Share of healthy runs of which something is said."""


DRAWN_ALONE = ("waiting_for_data", "copied_samples")
"""Cases of which no real run of seconds is known."""


def check(measured: measure.Measured) -> None:
    told = "\n".join(map(str, measured.wrong))
    for case, score in measured.scores.items():
        assert score.recall >= LEAST, f"{case} is missed:\n{told}"
        assert score.precision >= LEAST, f"{case} is seen where it is not:\n{told}"
    assert measured.alarms <= ALARMS * measured.healthy, f"false alarms:\n{told}"


def test_drawn_curves_of_every_case_are_told_apart() -> None:
    measured = measure.measure(measure.of_synthetic(synthetic.MEASURED))
    assert min(score.true for score in measured.scores.values()) >= 5
    assert measured.runs >= 60
    assert measured.healthy >= 20
    check(measured)


def test_real_runs_are_told_what_they_were_built_to_be() -> None:
    measured = measure.measure(measure.of_real((*measure.SEEN, *measure.HELD_OUT)))
    assert measured.runs >= 20
    assert measured.healthy >= 20
    assert all(score.true for case, score in measured.scores.items() if case not in DRAWN_ALONE)
    check(measured)


def test_healthy_runs_that_nobody_had_seen_cause_no_alarm() -> None:
    measured = measure.measure(measure.of_real(["third", "fourth"]))
    assert measured.healthy >= 20
    assert measured.alarms <= ALARMS * measured.healthy, measured.wrong
