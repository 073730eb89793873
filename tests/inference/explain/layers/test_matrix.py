"""Layers as matrices, against those that the lectures write down."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from couloir.data.by_hand import EXAMPLES
from couloir.errors import CouloirError
from couloir.inference.explain.layers.matrix import as_matrix, drawn, first_linear, matrix
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.model.kernels import kernels
from looked_into import looked_into

# Louppe, convolution as a matrix multiplication, and Boudart, why convolutional networks.
LECTURES = {
    "4x4": """1 4 1 0 1 4 3 0 3 3 1 0 0 0 0 0
              0 1 4 1 0 1 4 3 0 3 3 1 0 0 0 0
              0 0 0 0 1 4 1 0 1 4 3 0 3 3 1 0
              0 0 0 0 0 1 4 1 0 1 4 3 0 3 3 1""",
    "3x3": """3 2 0 5 1 0 0 0 0
              0 3 2 0 5 1 0 0 0
              0 0 0 3 2 0 5 1 0
              0 0 0 0 3 2 0 5 1""",
}
RESULTS = {"4x4": [122, 148, 126, 134], "3x3": [69, 50, 48, 43]}


def subject(net: nn.Module, side: int) -> Subject:
    return looked_into(net, side, "value", mean=0.0, std=1.0)


def image(example: str) -> Tensor:
    return torch.tensor(EXAMPLES[example].image, dtype=torch.float32)[None, None]


@pytest.mark.parametrize("example", sorted(LECTURES))
def test_the_matrix_of_a_lectures_convolution_is_the_lectures_matrix(example: str) -> None:
    x = image(example)
    net = kernels(1, x.shape[-1], 4, [EXAMPLES[example].kernel], False, 0, "none", 1, "none")
    found = as_matrix(subject(net, x.shape[-1]), x, "convolution")
    expected = np.array([[int(word) for word in line.split()] for line in LECTURES[example].splitlines()])
    np.testing.assert_array_equal(found.matrix.numpy(), expected)
    np.testing.assert_array_equal(found.matrix.numpy() @ x.flatten().numpy(), RESULTS[example])
    assert found.apart == 0
    assert net(x)[0].tolist() == RESULTS[example]


def test_strides_padding_and_a_bias_are_in_the_matrix_too(tmp_path: object) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 3, 3, stride=2, padding=1, dilation=2)
    net = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    looked, x = subject(net, 8), torch.randn(5, 1, 8, 8)
    assert first_linear(looked) == "0"
    shown = Shown(x, x, torch.zeros(5, dtype=torch.int64))
    wanted = Wanted(methods=("matrix",), output=tmp_path, layers=("0", "3"))  # type: ignore[arg-type]
    first, last = matrix(looked, shown, wanted)
    values = first.panels[0].values
    assert values is not None
    by_hand = x.flatten(1).numpy() @ values.T + layer.bias.detach().repeat_interleave(9).numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(by_hand, layer(x).flatten(1).detach().numpy(), atol=1e-5)
    assert first.numbers["not_zero"] < first.numbers["entries"] / 5
    assert first.numbers["different"] == 27
    np.testing.assert_allclose(last.panels[0].values, net[3].weight.detach().numpy(), atol=1e-6)  # type: ignore[arg-type,union-attr]
    with pytest.raises(CouloirError, match="not linear"):
        as_matrix(looked, x, "1")


def test_a_matrix_that_would_fill_the_memory_is_refused() -> None:
    looked = subject(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten()), 64)
    with pytest.raises(CouloirError, match="30,752 rows and 4,096 columns"):
        as_matrix(looked, torch.zeros(1, 1, 64, 64), "0")


def test_small_matrices_have_their_numbers_and_large_ones_a_pixel_or_more_each() -> None:
    small = drawn(np.array([[1, 0, -4], [0.5, 2, 0]], dtype=np.float32))
    assert small.dtype == np.uint8
    assert small.shape[0] > 60
    assert len(np.unique(small.reshape(-1, 3), axis=0)) > 20, "numbers are drawn with smooth edges"
    assert drawn(np.zeros((50, 100), dtype=np.float32)).shape == (200, 400, 3)
