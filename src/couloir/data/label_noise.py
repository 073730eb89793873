"""Wrong labels on purpose: what a network learns from classes that were drawn instead of seen. NumPy alone.

Source: Zhang et al., 2017, Understanding Deep Learning Requires Rethinking Generalization, section 2.1; Breiman, 2000,
Randomizing Outputs to Increase Prediction Accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.splits import Indices

STREAM = 0x1ABE1
"""What the seed is paired with, so that no split is drawn from the same numbers."""


def with_noise(
    targets: NDArray[Any], indices: Indices, share: float, classes: int, seed: int
) -> tuple[NDArray[Any], str]:
    """Labels of which some are replaced by a class that is drawn from all, the true one among them.

    Args:
        targets: the labels of a source's samples, (N,).
        indices: those that may be replaced, (n,).
        share: how many of these are, rounded to whole samples.
        classes: how many classes there are.
        seed: what samples and classes follow from.

    Returns:
        the labels (N,), and what the console says of them.
    """
    rng = np.random.default_rng([STREAM, seed])
    count = round(share * len(indices))
    chosen = indices[rng.permutation(len(indices))[:count]]
    noisy = targets.copy()
    noisy[chosen] = rng.integers(classes, size=count)
    wrong = int((noisy[chosen] != targets[chosen]).sum())
    return noisy, (
        f"label noise: {count:,} of {len(indices):,} training labels were drawn at random, {wrong:,} are wrong"
    )
