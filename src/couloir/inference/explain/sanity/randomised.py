"""Maps of networks whose weights are drawn anew, and how much they are like those of the trained network.

Adebayo et al., 2018, Sanity Checks for Saliency Maps, section 3: weights are drawn from the answer down, part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.seed import isolate_rng
from scipy.stats import rankdata
from torch import Tensor, nn

from couloir.config.build import build_untrained
from couloir.finetune.layers import passed
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.where.attribution import Made, absolute_map, signed_map

STAGES = 5
"""Parts of the network that are drawn anew one after the other."""
DRAWS, ENOUGH = 6, 2
"""Networks that are drawn at most, and of how many a sample needs maps that are not constant."""


def correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Spearman's rank correlation; NaN where one of them is constant.

    Args:
        first: a map, of any shape.
        second: another one of that shape.
    """
    ranks = [rankdata(values.ravel()) for values in (first, second)]
    centred = [each - each.mean() for each in ranks]
    size = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum()) / size if size > 0 else float("nan")


class Compared(NamedTuple):
    """Rank correlations of maps, (N,) each; NaN: a map is constant.

    Attributes:
        absolute: of what is shown, without signs.
        signed: of the values with their signs, summed over the channels.
    """

    absolute: NDArray[np.float64]
    signed: NDArray[np.float64]


def compared(method: str, first: Tensor, second: Tensor) -> Compared:
    """The correlations of what a method gives in two networks, (N, C, H, W) or (N, h, w) each."""
    found = []
    for kind in (lambda values: absolute_map(method, values), signed_map):
        pairs = zip(kind(first).double().cpu().numpy(), kind(second).double().cpu().numpy(), strict=True)
        found.append(np.array([correlation(own, other) for own, other in pairs]))
    return Compared(*found)


def stages(net: nn.Module, x: Tensor, most: int = STAGES) -> list[list[str]]:
    """The modules with weights of their own from the answer down, in at most so many parts; the last one is the first
    part, and blocks stay together.

    Args:
        net: the network.
        x: some input.
        most: parts at most.
    """
    own = [name for name in dict.fromkeys(passed(net, x)) if _has_weights(net.get_submodule(name))]
    own = list(reversed(own))
    depth, groups = 1, _grouped(own, 1)
    while len(groups) < most and depth < max((name.count(".") + 1 for name in own), default=1):
        depth += 1
        groups = _grouped(own, depth)
    if len(groups) <= most:
        return groups
    first, rest = groups[0], groups[1:]
    chunks = np.array_split(np.arange(len(rest)), most - 1)
    return [first, *[[name for place in chunk for name in rest[int(place)]] for chunk in chunks]]


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _grouped(names: Sequence[str], depth: int) -> list[list[str]]:
    """Neighbours whose names begin alike."""
    found: list[list[str]] = []
    begin = None
    for name in names:
        own = name.split(".")[:depth]
        if own == begin:
            found[-1].append(name)
        else:
            found.append([name])
        begin = own
    return found


class Survival(NamedTuple):
    """How much maps are like those of the trained network.

    Attributes:
        by_stage: of each method, by how far down the weights are drawn.
        whole: of each method, with all weights drawn, the mean over the draws of each sample.
        drawn: networks that were drawn whole.
        constant: of each method, how many maps of such networks were constant.
        maps: of each method, what the first network that was drawn whole gives, (N, C, H, W) or (N, h, w).
    """

    by_stage: dict[str, list[Compared]]
    whole: dict[str, Compared]
    drawn: int
    constant: dict[str, int]
    maps: dict[str, Tensor]


def survival(
    subject: Subject, x: Tensor, target: Tensor, methods: Mapping[str, Made], parts: Sequence[Sequence[str]],
    fresh: Callable[[int], nn.Module],
) -> Survival:  # fmt: skip
    """Draw the weights anew from the answer down, part by part, and compare the maps; the weights come back.

    Where a map is constant, as that of a score that is zero whatever the image is, further networks are drawn.

    Args:
        subject: the network.
        x: standardised images (N, C, H, W).
        target: the output of each, (N,).
        methods: the functions that make maps.
        parts: of `stages`.
        fresh: makes the network with drawn weights from a number.
    """
    state = {name: value.clone() for name, value in subject.net.state_dict().items()}
    original = {name: make(subject, x, target) for name, make in methods.items()}
    by_stage: dict[str, list[Compared]] = {name: [] for name in methods}
    draws: dict[str, list[Compared]] = {name: [] for name in methods}
    maps: dict[str, Tensor] = {}
    try:
        for draw in range(DRAWS):
            drawn = fresh(draw).state_dict()
            for names in parts if draw == 0 else [[name for part in parts for name in part]]:
                _overwrite(subject.net, drawn, names)
                for name, make in methods.items():
                    found = make(subject, x, target)
                    maps[name] = maps.get(name, found) if draw else found
                    by_stage[name].append(compared(name, original[name], found))
            for name, each in by_stage.items():
                draws[name].append(each.pop() if draw else each[-1])
            if all(
                ((~np.isnan([one.absolute for one in each])).sum(axis=0) >= ENOUGH).all() for each in draws.values()
            ):
                break
    finally:
        subject.net.load_state_dict(state)
    whole = {
        name: Compared(*(_means(np.array(values)) for values in zip(*each, strict=True)))
        for name, each in draws.items()
    }
    constant = {name: int(np.isnan([each.absolute for each in one]).sum()) for name, one in draws.items()}
    return Survival(by_stage, whole, len(next(iter(draws.values()))), constant, maps)


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the draws of those that are numbers, (draws, N) -> (N,); NaN where none is."""
    there = ~np.isnan(values)
    counts = there.sum(axis=0)
    means: NDArray[np.float64] = np.where(there, values, 0).sum(axis=0) / np.where(counts, counts, np.nan)
    return means


def _overwrite(net: nn.Module, drawn: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Give some modules the weights and statistics that were drawn."""
    for name in names:
        module = net.get_submodule(name)
        for key, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            there = drawn.get(f"{name}.{key}" if name else key)
            if there is not None:
                value.detach().copy_(there)


def drawn_networks(subject: Subject, seed: int) -> Callable[[int], nn.Module]:
    """What makes the run's network with the weights that its own initialisation draws, from the seed and a number."""

    def fresh(number: int) -> nn.Module:
        with isolate_rng():
            torch.manual_seed(seed * 1_000_003 + number)
            net: nn.Module = build_untrained(subject.trained.cfg)
        return net

    return fresh
