"""Weights that another run has learned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.record.checkpoint import best_weights, network_state, read_checkpoint
from couloir.record.find import find_run


def from_run(
    net: nn.Module,
    run: str,
    layers: list[str] | None = None,
    otherwise: Callable[[nn.Module], None] | None = None,
    outputs: str = "outputs",
) -> None:
    """Copy layers from the best checkpoint of a run; all others begin with another initializer.

    VGG's deeper networks begin so with a trained configuration A (Simonyan and Zisserman, 2015, section 3.1).

    Args:
        net: the network.
        run: folder or name of the run, or `latest`.
        layers: pairs `THEIRS:OURS`, a layer of the run and the one that it goes into; None: all of the same name and
            shape.
        otherwise: sets the whole network first.
        outputs: the folder that collects the runs.

    Raises:
        CouloirError: there is no such run or layer, or the shapes differ.
    """
    if otherwise is not None:
        otherwise(net)
    state = network_state(read_checkpoint(best_weights(find_run(run, outputs))))
    own = net.state_dict()
    pairs = _same(state, own) if layers is None else _named(state, own, layers, run)
    if not pairs:
        raise CouloirError(
            f"The run {run} and the network have no layer of the same name and shape.",
            next_step="name them: initializer.layers=[THEIRS:OURS]",
        )
    with torch.no_grad():
        for theirs, ours in pairs:
            own[ours].copy_(state[theirs])


def _same(state: dict[str, Tensor], own: dict[str, Tensor]) -> list[tuple[str, str]]:
    return [(name, name) for name, value in state.items() if name in own and own[name].shape == value.shape]


def _named(state: dict[str, Tensor], own: dict[str, Tensor], layers: list[str], run: str) -> list[tuple[str, str]]:
    pairs = []
    for pair in layers:
        theirs, colon, ours = pair.partition(":")
        if not colon:
            ours = theirs
        for name, where, there in ((theirs, f"The run {run}", state), (ours, "The network", own)):
            if not any(entry.startswith(f"{name}.") for entry in there):
                weighted = sorted({entry.rpartition(".")[0] for entry in there})
                raise CouloirError(
                    f"{where} has no layer '{name}'.",
                    place=f"initializer.layers={pair}",
                    next_step=f"its layers: {', '.join(weighted[:12])}",
                )
        for entry, value in state.items():
            if entry.startswith(f"{theirs}."):
                target = f"{ours}.{entry.removeprefix(f'{theirs}.')}"
                if target not in own or own[target].shape != value.shape:
                    given = tuple(own[target].shape) if target in own else "missing"
                    raise CouloirError(
                        f"The run's layer '{theirs}' does not fit into '{ours}': {entry} is {tuple(value.shape)}, "
                        f"{target} is {given}.",
                        next_step="pair layers of the same shape in initializer.layers",
                    )
                pairs.append((entry, target))
    return pairs
