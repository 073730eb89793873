"""Transformers: positions, parameters, padding that changes nothing, and steps that see no later one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.model.sequence.attention import Attention
from couloir.model.sequence.encoder_decoder import Transformer, transformer
from couloir.model.sequence.gpt import gpt
from couloir.model.sequence.transformer import Layer, sinusoidal, transformer_encoder
from couloir.ragged import Padded

SMALL: dict[str, Any] = {"width": 8, "layers": 2, "heads": 2, "hidden": 12}


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_positions_are_the_papers_sines_and_cosines() -> None:
    expected = [
        [(math.sin if i % 2 == 0 else math.cos)(t / 10000 ** (2 * (i // 2) / 6)) for i in range(6)] for t in range(9)
    ]
    assert np.allclose(sinusoidal(9, 6), expected, atol=1e-6)
    assert sinusoidal(4, 5).shape == (4, 5), "an odd width"


def test_gpt_2_small_has_its_published_parameters() -> None:
    with torch.device("meta"):
        net = gpt(50_257, 50_257, 1024, "steps", width=768, layers=12, heads=12)
    assert parameters(net) == 124_439_808


def test_the_base_transformer_has_the_papers_parameters() -> None:
    """Table 3 says 65 million, with a vocabulary of about 37,000 tokens that both sides and the last layer share."""
    with torch.device("meta"):
        net = transformer(37_000, 37_000, 512, 6, 8, 2048)
    d, inner = 512, 2048
    attention, network, norm = 4 * (d * d + d), 2 * d * inner + inner + d, 2 * d
    layers = 6 * (attention + network + 2 * norm) + 6 * (2 * attention + network + 3 * norm)
    assert parameters(net) == 37_000 * d + layers
    assert parameters(net) / 65e6 == pytest.approx(1, abs=0.04)


def test_projections_of_one_product_begin_as_three_layers_of_the_papers_implementation_do() -> None:
    torch.manual_seed(0)
    net = transformer(7, 7, 64, 1, 4, 256)
    for module in net.modules():
        if isinstance(module, Attention):
            limit = math.sqrt(6 / (64 + 64))
            assert 0.99 * limit < module.project.weight.abs().max() <= limit
    assert float(net.embedding.weight.detach().std()) == pytest.approx(64**-0.5, rel=0.1)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_layer_normalises_the_sum_or_what_it_takes(norm_first: bool) -> None:
    torch.manual_seed(0)
    layer, x = Layer(8, 2, 12, norm_first=norm_first), torch.randn(2, 3, 8)
    if norm_first:
        y = x + layer.attention(layer.attention_norm(x))
        expected = y + layer.network(layer.network_norm(y))
    else:
        y = layer.attention_norm(x + layer.attention(x))
        expected = layer.network_norm(y + layer.network(y))
    assert torch.allclose(layer(x), expected, atol=1e-6)


def small(name: str) -> tuple[nn.Module, Callable[[Any], Any], Callable[[int], Tensor]]:
    """A network with random weights, what it is asked with, and what makes a sequence of some length."""
    torch.manual_seed(0)
    tokens: Callable[[int], Tensor] = lambda steps: torch.randint(0, 9, (steps,))  # noqa: E731
    if name == "series":
        net: nn.Module = transformer_encoder(3, None, 2, "horizon", 4, **SMALL)
        return net.eval(), net, lambda steps: torch.randn(steps, 3)
    if name == "gpt":
        net = gpt(9, 9, 8, "steps", **SMALL)
        nn.init.normal_(net.inputs.embedding.weight)  # type: ignore[union-attr, arg-type]
        return net.eval(), net, tokens
    if name == "translation":
        net = transformer(9, 9, **SMALL)
        return (
            net.eval(),
            lambda x: net(x, torch.tensor([[0, 3, 5]]).expand(len(x[0]) if isinstance(x, Padded) else len(x), 3)),
            tokens,
        )
    net = transformer_encoder(None, 9, 5, "steps" if name == "steps" else "sequence", pool=name, **SMALL)
    return net.eval(), net, tokens


@pytest.mark.parametrize("name", ["mean", "first", "last", "max", "steps", "series", "gpt", "translation"])
def test_a_batch_of_unequal_lengths_equals_its_samples_one_by_one(name: str) -> None:
    _, ask, sequence = small(name)
    samples = [sequence(steps) for steps in (7, 2, 5, 1)]
    together = ask(Padded.of(samples))
    for row, sample in zip(together, samples, strict=True):
        alone = ask(sample[None])[0]
        there = row[: len(sample)] if name in ("steps", "gpt") else row
        assert torch.allclose(there, alone, atol=1e-6)


def test_changing_the_future_changes_nothing_that_a_gpt_said_before() -> None:
    net, ask, sequence = small("gpt")
    x = sequence(8)[None]
    before = ask(x)
    for step in range(1, 8):
        changed = x.clone()
        changed[:, step:] = (changed[:, step:] + 1) % 9
        after = ask(changed)
        assert torch.equal(before[:, :step], after[:, :step])
        assert not torch.allclose(before[:, step], after[:, step])
    assert net.causal


def test_changing_a_later_word_of_the_target_changes_nothing_that_a_transformer_said_before() -> None:
    net, _, sequence = small("translation")
    source, target = sequence(6)[None], sequence(5)[None]
    before = net(source, target)
    for step in range(1, 5):
        changed = target.clone()
        changed[:, step:] = (changed[:, step:] + 1) % 9
        after = net(source, changed)
        assert torch.allclose(before[:, :step], after[:, :step], atol=1e-7)
        assert not torch.allclose(before[:, step], after[:, step])
    assert not torch.allclose(before, net((source + 1) % 9, target)), "it reads the source"


def test_a_gpt_sees_the_last_tokens_of_what_is_longer_than_its_context() -> None:
    _, ask, sequence = small("gpt")
    long, short = sequence(11), sequence(3)
    assert torch.equal(ask(long[None]), ask(long[None, -8:]))
    assert torch.allclose(ask(Padded.of([long, short]))[0], ask(long[None, -8:])[0], atol=1e-6)


def test_the_last_layer_is_the_embedding_only_where_it_is_asked_to_be() -> None:
    tied, own = gpt(9, 9, 4, "steps", **SMALL), gpt(9, 9, 4, "steps", tied=False, **SMALL)
    assert tied.head.linear.weight is tied.inputs.embedding.weight  # type: ignore[union-attr]
    assert parameters(own) == parameters(tied) + 9 * 8 + 9
    assert gpt(9, 2, 4, "sequence", **SMALL)(torch.zeros(3, 4, dtype=torch.long)).shape == (3, 2)


def test_without_a_target_a_transformer_says_what_follows_the_start_token() -> None:
    net, _, sequence = small("translation")
    assert isinstance(net, Transformer)
    source = sequence(4)[None]
    assert torch.equal(net(source), net(source, torch.zeros(1, 1, dtype=torch.long)))


def test_heads_that_cannot_share_the_width_are_refused_by_name() -> None:
    with pytest.raises(CouloirError, match="3 heads cannot share 8 numbers") as error:
        transformer(9, 9, width=8, heads=3)
    assert error.value.next_step is not None
    assert "model.width=9" in error.value.next_step


def test_learned_positions_end_where_they_end() -> None:
    net = transformer_encoder(2, None, 3, positions="learned", steps=4, **SMALL)
    with pytest.raises(CouloirError, match="positions for 4 steps, and a sequence has 5"):
        net(torch.zeros(1, 5, 2))
    with pytest.raises(CouloirError, match="how many steps"):
        transformer_encoder(2, None, 3, positions="learned", **SMALL)
