"""The channels' statistics: those of NumPy, whatever form the pixels have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from couloir.data.division import Split
from couloir.data.source import ArraySource
from couloir.data.standardise import Standardise, channel_statistics


def split_of(inputs: np.ndarray, indices: Sequence[int] | None = None) -> Split:
    chosen = np.arange(len(inputs)) if indices is None else np.asarray(indices)
    return Split(ArraySource(inputs, np.zeros(len(inputs), dtype=np.int64)), chosen)


def same(x: Tensor) -> Tensor:
    return x


def test_bytes_have_the_mean_and_deviation_that_numpy_finds() -> None:
    draw = np.random.default_rng(3)
    photographs = (draw.beta(2, [[[1]], [[3]], [[9]]], size=(50, 3, 24, 20)) * 255).astype(np.uint8)
    mean, std = channel_statistics(split_of(photographs, range(1, 50, 2)), 3, same)
    values = (photographs[1::2].astype(np.float32) / np.float32(255)).astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), values.mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(std.numpy(), values.std(axis=(0, 2, 3)), rtol=1e-13)


def test_a_byte_becomes_the_same_number_as_with_statistics_of_floats() -> None:
    for seed in range(20):
        images = np.random.default_rng(seed).integers(0, 250 - seed, size=(9, 3, 16, 16), dtype=np.uint8)
        floats = images.astype(np.float32) / np.float32(255)
        found = [channel_statistics(split_of(kind), 3, same) for kind in (images, floats)]
        counted, summed = (Standardise(mean.tolist(), std.tolist(), image=True) for mean, std in found)
        assert torch.equal(counted.scale, summed.scale)
        assert torch.equal(counted.shift, summed.shift)


@pytest.mark.parametrize("value", [0, 1, 77, 254, 255])
def test_a_channel_of_one_value_has_no_deviation_at_all(value: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 2, 5, 5), dtype=np.uint8)
    images[:, 1] = value
    mean, std = channel_statistics(split_of(images), 2, same)
    assert std[0] > 0
    assert std[1] == 0
    assert mean[1].item() == pytest.approx(value / 255, rel=1e-6)
