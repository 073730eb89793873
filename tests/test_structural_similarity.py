"""The structural similarity against a convolution by SciPy and against TorchMetrics, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torchmetrics.functional.image import structural_similarity_index_measure

from couloir.structural_similarity import structural_similarity


def by_scipy(first: np.ndarray, second: np.ndarray, side: int) -> float:
    window = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * 1.5**2))
    margin = side // 2

    def smooth(image: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            image = correlate1d(image, window / window.sum(), axis)
        return image[margin : image.shape[0] - margin, margin : image.shape[1] - margin]

    means = smooth(first), smooth(second)
    variances = [smooth(image**2) - mean**2 for image, mean in zip((first, second), means, strict=True)]
    covariance = smooth(first * second) - means[0] * means[1]
    brightness = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
    return float((brightness * (2 * covariance + 0.03**2) / (variances[0] + variances[1] + 0.03**2)).mean())


@pytest.mark.parametrize(("shape", "side"), [((40, 23), 11), ((11, 150), 11), ((8, 8), 7)])
def test_each_image_has_the_similarity_of_the_paper_whatever_its_size(shape: tuple[int, int], side: int) -> None:
    rng = np.random.default_rng(0)
    first = rng.random((3, 2, *shape))
    second = (first + rng.normal(scale=[[[[0.02]]], [[[0.1]]], [[[0.5]]]], size=first.shape)).clip(0, 1)
    pair = torch.tensor(first), torch.tensor(second)
    values = structural_similarity(*pair)
    expected = [
        np.mean([by_scipy(x, y, side) for x, y in zip(*both, strict=True)]) for both in zip(first, second, strict=True)
    ]
    assert values.tolist() == pytest.approx(expected, abs=1e-12)
    assert structural_similarity(*(x.float() for x in pair)).tolist() == pytest.approx(expected, abs=1e-5)
    if side == 11:
        # It mirrors the border outside, where the paper, MATLAB and scikit-image do not look.
        full = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none", return_full_image=True)[1]
        inside = full[:, :, 5 : shape[0] - 5, 5 : shape[1] - 5].mean((1, 2, 3))
        assert values.tolist() == pytest.approx(inside.tolist(), abs=1e-6)


def test_equal_images_have_one_and_the_gradient_is_that_of_the_value() -> None:
    x = torch.rand(1, 1, 12, 13, dtype=torch.float64, requires_grad=True)
    y = torch.rand(1, 1, 12, 13, dtype=torch.float64)
    assert structural_similarity(y, y).item() == pytest.approx(1.0)
    assert torch.autograd.gradcheck(structural_similarity, (x, y))


def test_mixed_precision_does_not_change_it() -> None:
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = structural_similarity(x, y)
    assert torch.equal(mixed, structural_similarity(x, y))
