"""Recurrent units and embeddings: each gate's matrices are set as a linear layer's weight is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from couloir.initializer.fixed import constant, zeros
from couloir.initializer.lsuv import lsuv
from couloir.initializer.orthogonal import orthogonal
from couloir.initializer.variance import glorot_uniform, he_normal
from couloir.model.sequence.recurrent import recurrent
from couloir.ragged import Padded


def network(kind: str, **keys: Any) -> Any:
    torch.manual_seed(0)
    return recurrent(kind, None, 9, 9, answers="steps", **{"width": 6, "embedding": 4, "layers": 2, **keys})


@pytest.mark.parametrize(("kind", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_the_state_matrix_of_each_gate_is_orthogonal(kind: str, gates: int) -> None:
    net = network(kind)
    orthogonal(net)
    for name in ("weight_hh_l0", "weight_hh_l1", "weight_ih_l1"):
        matrices = np.split(getattr(net.body.units, name).detach().double().numpy(), gates)
        for matrix in matrices:
            assert np.allclose(matrix @ matrix.T, np.eye(6), atol=1e-6)
    assert not net.body.units.bias_ih_l0.any()


def test_the_spread_follows_from_the_size_of_a_gate() -> None:
    net = network("lstm", width=200, embedding=100)
    glorot_uniform(net)
    for name, limit in (("weight_ih_l0", (6 / 300) ** 0.5), ("weight_hh_l0", (6 / 400) ** 0.5)):
        weight = getattr(net.body.units, name).abs()
        assert 0.99 * limit < float(weight.max()) <= limit
    he_normal(net)
    assert float(net.body.units.weight_ih_l0.std()) == pytest.approx((2 / 100) ** 0.5, rel=0.01)


def test_a_forget_bias_stays_where_all_others_become_zero() -> None:
    net = network("lstm", forget_bias=1.0)
    zeros(net)
    assert net.body.units.bias_ih_l0.tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12
    assert not net.body.units.weight_hh_l1.any()


def test_vectors_of_tokens_stay_as_the_model_draws_them() -> None:
    net = network("rnn")
    before = net.inputs.embedding.weight.detach().clone()
    constant(net, 0.3)
    assert torch.equal(net.inputs.embedding.weight, before), "nothing is summed over there"
    assert (net.body.units.weight_ih_l0 == 0.3).all()


def test_layers_behind_recurrent_units_are_fitted_to_sequences() -> None:
    net = network("gru", width=40)
    tokens = torch.randint(9, (32, 12))
    lsuv(net, batch=Padded(tokens, torch.full((32,), 12)))
    with torch.no_grad():
        assert float(net(tokens).var()) == pytest.approx(1, abs=0.15)
