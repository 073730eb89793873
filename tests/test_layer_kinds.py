"""The kinds of layers, against all classes of the installed torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules import batchnorm, conv

from couloir.layer_kinds import BatchNorm, Convolution, TransposedConvolution, learned_weight, undisturbed


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


def test_running_means_modes_and_random_numbers_are_as_before() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    net[1].eval()
    generator, mean = torch.get_rng_state(), net[0].running_mean.clone()  # type: ignore[operator]
    with undisturbed(net):
        assert not net[0].training
        net[0].running_mean.add_(1)  # type: ignore[operator]
        torch.rand(5)
    assert net[0].training
    assert not net[1].training
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(net[0].running_mean, mean)  # type: ignore[arg-type]


def test_the_learned_weight_of_a_normalised_layer_is_the_tensor_that_an_optimizer_changes() -> None:
    plain = nn.Conv1d(2, 3, 5)
    assert learned_weight(plain) is plain.weight
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 5))
    found = learned_weight(layer)
    assert any(found is parameter for parameter in layer.parameters())
    assert found.shape == (3, 2, 5)
