"""Windows of a text: each token is predicted once, and streams go on where they ended."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.data.sequence.windows import streams, windows


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 24])
def test_windows_of_what_is_measured_hold_each_step_once(steps: int) -> None:
    starts, lengths = windows(steps, 8, whole=False)
    held = np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    assert held.tolist() == list(range(steps))


def test_training_windows_are_as_long_as_asked_for() -> None:
    starts, lengths = windows(26, 8, whole=True)
    assert starts.tolist() == [0, 8, 16]
    assert lengths.tolist() == [8, 8, 8]


@pytest.mark.parametrize("steps", [1, 3, 7, 40, 41, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_window_k_goes_on_where_the_window_before_it_in_its_stream_ends(steps: int, count: int) -> None:
    starts, lengths = streams(steps, 8, count)
    made = min(count, steps)
    held = np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    assert sorted(held.tolist()) == list(range(steps)), "each step once"
    assert np.array_equal(starts[made:], (starts + lengths)[:-made])
    rounds = lengths.reshape(-1, made)
    assert (rounds[:-1] == 8).all(), "only the last windows may differ in length"
    assert rounds[-1].max() - rounds[-1].min() <= 1
    assert rounds.min() >= 1
