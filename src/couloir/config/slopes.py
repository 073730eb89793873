"""Which keys an activation function reads, and what a step function leaves without a gradient. No torch here.

| key | of | where it is null |
|---|---|---|
| `slope` | `leaky_relu`, below zero; `prelu`, where the slope that it learns begins | 0.01; 0.25 |
| `alpha` | `elu`, which goes down to -alpha | 1 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couloir.errors import CouloirError

READ_BY = {"slope": ("leaky_relu", "prelu"), "alpha": ("elu",)}
"""The activations that read a key."""
STEP = "step"
PERCEPTRON = "couloir.model.linear.Perceptron"


def check_activation(model: Mapping[str, Any]) -> None:
    """A network's activation reads the keys that are typed, and something of the network learns.

    Args:
        model: the node of the model.

    Raises:
        CouloirError: it does not.
    """
    if "activation" not in model or not str(model.get("_target_")).startswith("couloir."):
        return
    if model["_target_"] == PERCEPTRON and model["activation"] == STEP:
        raise nothing_learns()
    check_slopes(str(model["activation"]), model.get("slope"), model.get("alpha"))


def check_slopes(activation: str, slope: float | None, alpha: float | None) -> None:
    """The keys that say more of an activation belong to this one.

    Args:
        activation: its name.
        slope: of a leaky ReLU; None: it is not said.
        alpha: of an ELU; None: it is not said.

    Raises:
        CouloirError: one of them belongs to another.
    """
    for key, value in (("slope", slope), ("alpha", alpha)):
        if isinstance(value, int | float) and activation not in READ_BY[key]:
            of = " or ".join(f"model.activation={name}" for name in READ_BY[key])
            raise CouloirError(
                f"model.{key}={value:g} would be ignored: model.activation is {activation}.",
                next_step=f"{of}, or leave model.{key} out",
            )


def nothing_learns() -> CouloirError:
    """What is said of a perceptron whose every output is a step."""
    return CouloirError(
        "model=perceptron model.activation=step has a step function behind its only layer: its gradient is zero, and "
        "nothing learns.",
        next_step="model.activation=sigmoid, whose gradient is not zero, or model=mlp model.activation=step, whose "
        "last layer has no step behind it and learns",
    )
