"""Recurrent networks: the equations of their cells, what is filled up, and the state that goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.model.sequence.recurrent import Recurrent, recurrent
from couloir.ragged import Padded

ALL = pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-x))


def parameters_of(net: Recurrent) -> list[NDArray[Any]]:
    """W, U, b and c of each layer: of the inputs, of the state, and the bias beside each."""
    return [parameter.detach().double().numpy() for parameter in net.units.parameters()]


def steps(kind: str, x: NDArray[Any], w: NDArray[Any], u: NDArray[Any], b: NDArray[Any], c: NDArray[Any]) -> Any:
    """The states of one sequence (T, D), by the equations of the papers: (T, H)."""
    width = u.shape[1]
    h, memory, states = np.zeros(width), np.zeros(width), []
    for now in x:
        from_input, from_state = w @ now + b, u @ h + c
        if kind in ("tanh", "relu"):
            h = np.tanh(from_input + from_state) if kind == "tanh" else np.maximum(0, from_input + from_state)
        elif kind == "lstm":
            i, f, g, o = np.split(from_input + from_state, 4)
            memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(memory)
        else:
            # Cho et al. reset the state before its matrix; torch, and cuDNN, behind it.
            (r, z, n), (state_r, state_z, state_n) = np.split(from_input, 3), np.split(from_state, 3)
            reset, update = sigmoid(r + state_r), sigmoid(z + state_z)
            h = (1 - update) * np.tanh(n + reset * state_n) + update * h
        states.append(h)
    return np.stack(states)


@pytest.mark.parametrize("kind", ["tanh", "relu", "lstm", "gru"])
def test_a_cell_computes_what_its_paper_says(kind: str) -> None:
    torch.manual_seed(0)
    simple = kind in ("tanh", "relu")
    net = Recurrent("rnn" if simple else kind, 3, 4, nonlinearity=kind if simple else None)
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        found = net(x).numpy()
    for place in range(2):
        assert np.allclose(found[place], steps(kind, x[place].double().numpy(), *parameters_of(net)), atol=1e-6)


def small(kind: str, **keys: Any) -> nn.Module:
    torch.manual_seed(1)
    return recurrent(kind, 3, None, 2, **{"width": 5, "layers": 2, "horizon": 3, **keys}).eval()


def sequences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(length, 3, generator=generator) for length in (5, 1, 9, 4)]


@ALL
@pytest.mark.parametrize("both", [False, True], ids=["forward", "bidirectional"])
def test_padding_changes_no_number(kind: str, both: bool) -> None:
    samples = sequences()
    padded = Padded.of(samples)
    padded.values[~padded.mask()] = 7.0  # whatever stands there
    for answers, pool in (("sequence", "last"), ("sequence", "mean"), ("sequence", "max"), ("steps", "last"),
                          ("horizon", "last")):  # fmt: skip
        net = small(kind, bidirectional=both, answers=answers, pool=pool)
        with torch.no_grad():
            together, alone = net(padded), [net(sample[None])[0] for sample in samples]
        for place, each in enumerate(alone):
            own = together[place][: len(each)] if answers == "steps" else together[place]
            assert torch.allclose(own, each, atol=1e-6)


@ALL
def test_a_sequence_read_in_both_directions_is_answered_by_where_each_ends(kind: str) -> None:
    net, (sample, *_) = small(kind, bidirectional=True, layers=1), sequences()
    with torch.no_grad():
        _, state = net.body.units(sample[None])
        ends = (state[0] if kind == "lstm" else state).transpose(0, 1).flatten(1)
        assert torch.allclose(net(sample[None]), net.head.head.linear(ends), atol=1e-6)


@ALL
def test_later_steps_change_nothing_before_them(kind: str) -> None:
    net = small(kind, answers="steps")
    assert net.causal
    assert not small(kind, bidirectional=True).causal
    x = torch.randn(2, 8, 3)
    other = x.clone()
    other[:, 5:] += 1
    with torch.no_grad():
        before, after = net(x), net(other)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@ALL
def test_a_state_that_is_carried_gives_what_the_whole_sequence_gives(kind: str) -> None:
    net = small(kind, answers="steps")
    x = torch.randn(3, 10, 3)
    with torch.no_grad():
        whole = net(x)
        first, state = net.carried(x[:, :4], None)
        rest, state = net.carried(Padded(x[:, 4:9], torch.tensor([5, 5, 4])), state)
        last, _ = net.carried(x[:2, 9:], state)  # of fewer streams
    assert torch.allclose(torch.cat([first, rest], dim=1)[:2], whole[:2, :9], atol=1e-6)
    assert torch.allclose(rest[2, :4], whole[2, 4:8], atol=1e-6)
    assert torch.allclose(last, whole[:2, 9:], atol=1e-6)
    with pytest.raises(CouloirError, match="cannot go on from a state of 3"):
        net.carried(torch.randn(4, 2, 3), state)


def test_the_forget_gates_begin_open_where_the_model_says_so() -> None:
    net = recurrent("lstm", 3, None, 2, width=4, layers=2, bidirectional=True, forget_bias=1.0)
    units: Any = net.body.units
    for layer in ("l0", "l0_reverse", "l1", "l1_reverse"):
        both = getattr(units, f"bias_ih_{layer}") + getattr(units, f"bias_hh_{layer}")
        assert both.chunk(4)[1].tolist() == [1.0] * 4
        assert not torch.equal(both.chunk(4)[0], torch.ones(4))


def test_keys_of_other_units_are_refused() -> None:
    with pytest.raises(CouloirError, match="is a key of model=lstm, and this is model=gru"):
        recurrent("gru", 3, None, 2, forget_bias=1.0)
    with pytest.raises(CouloirError, match="is a key of model=rnn"):
        recurrent("lstm", 3, None, 2, nonlinearity="relu")


def test_tied_weights_are_the_vectors_of_the_tokens() -> None:
    net: Any = recurrent("gru", None, 7, 7, answers="steps", width=4, tied=True)
    assert net.head.linear.weight is net.inputs.embedding.weight
    assert sum(parameter.numel() for parameter in net.parameters()) == 7 * 4 + 3 * (4 * 4 * 2 + 4 * 2)
    with pytest.raises(CouloirError, match="Tied weights"):
        recurrent("gru", None, 7, 7, answers="steps", width=4, embedding=3, tied=True)


def test_dropout_is_between_the_layers_and_before_the_answer() -> None:
    torch.manual_seed(0)
    net: Any = recurrent("rnn", 3, None, 2, answers="steps", width=50, dropout=0.5).train()
    hidden = net.body(torch.randn(4, 20, 3))
    assert 0.4 < float((hidden == 0).float().mean()) < 0.6
    assert recurrent("rnn", 3, None, 2, layers=2, dropout=0.5).body.units.dropout == 0.5
