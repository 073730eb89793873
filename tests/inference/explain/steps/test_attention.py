"""How widely heads look, in bits."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.inference.explain.steps.attention import entropy


def test_the_entropy_of_a_head_is_zero_for_one_step_and_the_logarithm_of_all_for_a_mean() -> None:
    weights = np.stack([np.eye(4), np.full((4, 4), 0.25)])
    assert entropy(weights) == pytest.approx([0, 2])
