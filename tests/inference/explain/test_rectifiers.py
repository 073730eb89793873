"""What ReLU hands down by other rules, against their formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.inference.explain.rectifiers import backward_rule, rectifies
from subjects import subject_of

RELUS: list[Callable[[Tensor], Tensor]] = [
    torch.relu, F.relu, nn.ReLU(), nn.ReLU(inplace=True), torch.relu_, lambda x: x.relu(), lambda x: x.relu_(),
    lambda x: F.relu(x, True), lambda x: F.relu(input=x, inplace=True),
]  # fmt: skip


@pytest.mark.parametrize("relu", RELUS)
def test_every_way_to_call_relu_obeys_the_rules_and_none_does_afterwards(relu: Callable[[Tensor], Tensor]) -> None:
    values, above = np.array([-1.0, 2.0, 3.0, -4.0]), np.array([1.0, -1.0, 1.0, -1.0])
    formulas = {
        "guided": above * (above > 0) * (values > 0), "deconvnet": above * (above > 0), None: above * (values > 0)
    }  # fmt: skip
    for rule, expected in formulas.items():
        x = torch.tensor(values, requires_grad=True)
        if rule is None:
            y = relu(x * 1)
        else:
            with backward_rule(rule):
                y = relu(x * 1)
        assert y.tolist() == [0, 2, 3, 0]
        (got,) = torch.autograd.grad(y, x, torch.tensor(above))
        np.testing.assert_array_equal(got.numpy(), expected)


def test_two_layers_hand_down_what_the_papers_say() -> None:
    rng = np.random.default_rng(0)
    x, first, second, out = rng.normal(size=5), rng.normal(size=(7, 5)), rng.normal(size=(6, 7)), rng.normal(size=6)
    low = first @ x
    high = second @ np.maximum(low, 0)
    for rule in ("guided", "deconvnet"):
        down = np.maximum(out, 0) * ((high > 0) if rule == "guided" else 1)
        down = np.maximum(second.T @ down, 0) * ((low > 0) if rule == "guided" else 1)
        given = torch.tensor(x, requires_grad=True)
        with backward_rule(rule):
            score = torch.tensor(out) @ F.relu(torch.tensor(second) @ torch.relu(torch.tensor(first) @ given))
        (got,) = torch.autograd.grad(score, given)
        np.testing.assert_allclose(got.numpy(), first.T @ down, rtol=1e-12)


def test_an_unknown_rule_is_an_error_and_not_the_plain_gradient() -> None:
    with pytest.raises(ValueError, match="'guide' is no rule"), backward_rule("guide"):
        pass


@pytest.mark.parametrize(
    ("layer", "told"),
    [(nn.ReLU(), ""), (nn.Identity(), "has none"), (nn.LeakyReLU(), "leaky_relu"), (nn.SiLU(), "silu"),
     (nn.ReLU6(), "hardtanh"), (nn.Sequential(nn.ReLU(), nn.Tanh()), "tanh"), (nn.PReLU(), "prelu")],
)  # fmt: skip
def test_a_network_without_relu_alone_says_which_activation_has_no_rule(layer: nn.Module, told: str) -> None:
    subject = subject_of(nn.Sequential(nn.Conv2d(1, 2, 3), layer, nn.Flatten(), nn.Linear(8, 3)))
    assert (told in rectifies(subject)) if told else rectifies(subject) == ""
