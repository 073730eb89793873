"""Stretches of one array: cut, padded, shifted."""

from __future__ import annotations

import numpy as np
import torch

from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.ragged import Padded


def test_stretches_of_one_length_are_a_tensor_and_others_are_padded_with_zeros() -> None:
    stretch = Stretch(np.arange(1, 11), np.array([0, 3, 6]), np.array([3, 3, 4]))
    assert torch.equal(stretch.take(torch.tensor([1, 0])), torch.tensor([[4, 5, 6], [1, 2, 3]]))
    padded = stretch.take(torch.tensor([2, 0]))
    assert isinstance(padded, Padded)
    assert padded.values.tolist() == [[7, 8, 9, 10], [1, 2, 3, 0]]
    assert padded.lengths.tolist() == [4, 3]


def test_sequences_laid_end_to_end_come_back() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 2)).astype(np.float32) for length in (3, 1, 5)]
    padded = Stretch.of(sequences).take(torch.arange(3))
    assert isinstance(padded, Padded)
    for sequence, sample in zip(sequences, padded.samples(), strict=True):
        np.testing.assert_array_equal(sample.numpy(), sequence)


def test_a_shift_moves_input_and_target_together_and_stays_within_the_text() -> None:
    text = np.arange(20)
    starts = np.array([0, 8])
    source = Stretches({"x": Stretch(text[:-1], starts, 8), "y": Stretch(text[1:], starts, 8)}, slack=8)
    drawn = {}
    for seed in range(16):
        raw = source.fetch(torch.tensor([0, 1]), seed)
        assert torch.equal(raw["x"] + 1, raw["y"])
        drawn[seed] = raw["x"][:, 0].tolist()
    assert {first for first, _ in drawn.values()} == set(range(8))
    assert max(second for _, second in drawn.values()) == 11  # of 19 steps, a window of 8 begins at the 12th at last
    assert source.fetch(torch.tensor([0, 1]))["x"][:, 0].tolist() == [0, 8]


def test_samples_with_the_same_steps_have_the_same_bytes() -> None:
    source = Stretches({"x": Stretch(np.array([1, 2, 1, 2, 3]), np.array([0, 2, 3]), 2)})
    assert source.bytes_of(0) == source.bytes_of(1) != source.bytes_of(2)
