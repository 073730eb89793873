"""The diagnosis is right often enough to be listened to: on drawn curves, and on real runs."""

from __future__ import annotations

import pytest

from diagnosis import measure, synthetic

LEAST = 0.9
"""Precision and recall of each case."""
ALARMS = 0.05
"""Share of healthy runs of which something is said."""
FEWEST = 5
"""Runs of a case from which on a share means something: one of three real ones that is wrong is not yet a third."""


def check(measured: measure.Measured, fewest: int) -> None:
    told = "\n".join(map(str, measured.wrong))
    for case, score in measured.scores.items():
        assert score.true >= fewest, case
        if score.true >= FEWEST:
            assert score.recall >= LEAST, f"{case} is missed:\n{told}"
        assert score.found == 0 or score.precision >= LEAST or score.found - score.right <= 1, f"{case}:\n{told}"
    assert measured.alarms <= ALARMS * measured.healthy, f"false alarms:\n{told}"


@pytest.mark.parametrize("seed", synthetic.MEASURED)
def test_drawn_curves_of_every_case_are_told_apart(seed: int) -> None:
    measured = measure.measure(measure.of_synthetic([seed]))
    assert measured.runs >= 60
    assert measured.healthy >= 20


def test_precision_and_recall_over_all_drawn_curves() -> None:
    check(measure.measure(measure.of_synthetic(synthetic.MEASURED)), fewest=5)
