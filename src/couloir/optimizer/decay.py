"""Which parameters are decayed: weights, not biases and not the scales and shifts of normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]


def decay_groups(parameters: Parameters, weight_decay: float, decay_all: bool) -> list[dict[str, Any]]:
    """The parameters as groups with a decay of their own; as they came where nothing is decayed, one kernel a group.

    A parameter of one dimension or none is a bias, or a scale or shift of a normalisation: pulling it to zero does not
    make the network simpler (Goyal et al., 2017, section 5.3, leave them out as well).

    Args:
        parameters: tensors, or groups of them as dictionaries, each of which is split in turn.
        weight_decay: the decay of those that are decayed.
        decay_all: decay every parameter.
    """
    entries: list[Any] = list(parameters)
    groups = entries if entries and isinstance(entries[0], dict) else [{"params": entries}]
    split: list[dict[str, Any]] = []
    for group in groups:
        tensors = list(group["params"])
        rest = {name: value for name, value in group.items() if name != "params"}
        everything = decay_all or weight_decay == 0
        decayed = [tensor for tensor in tensors if everything or tensor.ndim > 1]
        spared = [tensor for tensor in tensors if not everything and tensor.ndim <= 1]
        split += [{**rest, "params": decayed, "weight_decay": weight_decay}] if decayed else []
        if "name" in rest and decayed and spared:  # no two groups of an optimizer have one name
            rest["name"] = f"{rest['name']}/no_decay"
        split += [{**rest, "params": spared, "weight_decay": 0.0}] if spared else []
    return split
