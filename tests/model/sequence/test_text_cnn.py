"""Kim's network against its equations, padding that changes no number, and rows that stay short."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from couloir.model.sequence.text_cnn import text_cnn
from couloir.ragged import Padded


def by_hand(net: torch.nn.Module, tokens: list[int]) -> np.ndarray:
    """Equations 1 to 4 of the paper in NumPy, with zeros at both ends."""
    state = {name: value.detach().double().numpy() for name, value in net.state_dict().items()}
    vectors = state["embedding.weight"][tokens]
    pooled = []
    for number, size in enumerate((3, 4, 5)):
        zeros = np.zeros((size - 1, vectors.shape[1]))
        padded = np.concatenate([zeros, vectors, zeros])
        weight, bias = state[f"convolutions.{number}.weight"], state[f"convolutions.{number}.bias"]
        c = [
            np.maximum(np.einsum("oih,hi->o", weight, padded[i : i + size]) + bias, 0)
            for i in range(len(padded) - size + 1)
        ]
        pooled.append(np.max(c, axis=0))
    row = state["linear.weight"]
    row = row * np.minimum(1, 3 / np.linalg.norm(row, axis=1, keepdims=True))
    return row @ np.concatenate(pooled) + state["linear.bias"]


def test_an_answer_is_the_papers_equations_for_texts_of_any_length() -> None:
    torch.manual_seed(0)
    net = text_cnn(20, 3, embedding=6, maps=4).eval()
    with torch.no_grad():
        net.linear.weight.mul_(40)
        for tokens in ([7], [1, 2], [3, 0, 5, 9, 9, 12, 4]):
            assert np.allclose(net(torch.tensor([tokens]))[0], by_hand(net, tokens), atol=1e-5)


def test_padding_changes_no_number() -> None:
    torch.manual_seed(0)
    net = text_cnn(20, 3, embedding=6, maps=4).eval()
    with torch.no_grad():
        for convolution in net.convolutions:
            convolution.bias.fill_(5.0)  # what zeros alone would answer is large
    samples = [torch.randint(0, 20, (length,)) for length in (1, 9, 4, 2)]
    padded = Padded.of(samples)
    padded.values[~padded.mask()] = 7
    alone = torch.cat([net(sample[None]) for sample in samples])
    assert torch.allclose(net(padded), alone, atol=1e-6)


def test_the_network_has_the_papers_size() -> None:
    net = text_cnn(1000, 2)
    assert sum(p.numel() for p in net.parameters()) == 1000 * 300 + 100 * (3 + 4 + 5) * 300 + 300 + 300 * 2 + 2


def test_rows_of_the_last_layer_are_no_longer_than_three_after_a_step() -> None:
    torch.manual_seed(0)
    net = text_cnn(20, 3, embedding=6, maps=4, dropout=0.0)
    x = torch.randint(0, 20, (8, 6))
    optimizer = torch.optim.SGD(net.parameters(), lr=50.0)

    def loss() -> Tensor:
        return torch.nn.functional.cross_entropy(net(x), torch.arange(8) % 3)

    loss().backward()
    optimizer.step()
    long = net.linear.weight.detach().clone()
    assert long.norm(dim=1).max() > 3, "the step made a row longer"
    before = net.eval()(x)
    assert torch.equal(net.linear.weight, long), "an evaluation changes no weight"
    assert torch.allclose(before, net.train()(x), atol=1e-6)
    lengths = long.norm(dim=1, keepdim=True)
    assert torch.allclose(net.linear.weight, long * (3 / lengths).clamp_max(1), atol=1e-6)
    loss().backward()
    assert net.linear.weight.grad is not None
