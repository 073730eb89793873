"""The kinds of layers, against all classes of the installed torch."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torch.nn.modules import batchnorm, conv

from couloir.layer_kinds import BatchNorm, Convolution, TransposedConvolution


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (Convolution, conv._ConvNd),
        (TransposedConvolution, conv._ConvTransposeNd),
        (BatchNorm, batchnorm._BatchNorm),
    ],
    ids=["convolutions", "transposed", "batch_norms"],
)
def test_no_layer_of_torch_is_passed_over(kind: Any, base: type) -> None:
    named = [found for found in vars(nn).values() if isinstance(found, type) and issubclass(found, nn.Module)]
    # A lazy layer changes its class with its first batch.
    layers = [getattr(layer, "cls_to_become", None) or layer for layer in named]
    expected = {layer for layer in layers if issubclass(layer, base)}
    assert {layer for layer in layers if issubclass(layer, kind)} == expected
    assert len(expected) >= 3
