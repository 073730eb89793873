"""What of a network learns: named parts, the factor of the learning rate of each, and from which epoch on.

All of it follows from the network and the epoch: nothing is remembered, so a run that is resumed has the same parts
fixed. A part whose factor is 0 in an epoch is fixed in it; what belongs to no part is fixed for good, and no optimizer
knows it. What is fixed stays as it is, to the bit: its weights, the running statistics of its batch normalisation; and
its dropout, or whatever else draws, is that of evaluation.

Schedules see one rate for all parts. An optimizer multiplies it by each part's factor as it takes its step, so whatever
sets rates (a schedule, the range test, stochastic weight averaging, a resumed run's new rate) sets those of all parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from couloir.errors import CouloirError

FACTOR = "factor"
"""The key of an optimizer's group: what a step multiplies the group's rate by in this epoch."""
PART = "part"
"""The key of an optimizer's group: the part that its parameters belong to."""
BESIDE = "beside"
"""The part of parameters that an optimizer is given and the network does not have, such as those of a loss."""
HEAD = "head"
"""The part that is there from the beginning where all others join in front of it."""
SHOWN = 6
"""Names that a sentence lists; of more it says how many there are."""


@dataclass(frozen=True)
class Part:
    """Parameters that learn together.

    Attributes:
        name: what it is called in tables, `lr/NAME`.
        parameters: their names in the network.
        factors: pairs (epoch from which on, counted from 0; factor of `optimizer.lr`), in rising order; before the
            first of them, and with the factor 0, the part is fixed.
        modules: those that join the network with the first of these epochs: samples pass them unchanged before it.
    """

    name: str
    parameters: tuple[str, ...]
    factors: tuple[tuple[int, float], ...] = ((0, 1.0),)
    modules: tuple[str, ...] = ()

    def factor(self, epoch: int) -> float:
        """What the rate is multiplied by in an epoch; 0: the part is fixed."""
        return next((factor for first, factor in reversed(self.factors) if first <= epoch), 0.0)

    def is_there(self, epoch: int) -> bool:
        """Whether samples pass the part's modules in an epoch as they are meant to."""
        return not self.modules or epoch >= self.factors[0][0]


class Learning:
    """The parts of a network that learn.

    Args:
        net: the network; parameters that it does not train itself (`requires_grad=False`) stay so.
        parts: what learns in some epoch.
        order: of `couloir.finetune.layers.passed`.

    Raises:
        CouloirError: nothing learns, or a parameter is in two parts.
    """

    def __init__(self, net: nn.Module, parts: Sequence[Part], order: Sequence[str]) -> None:
        free = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
        kept = [replace(part, parameters=tuple(name for name in part.parameters if name in free)) for part in parts]
        self.parts = [part for part in kept if part.parameters and any(factor for _, factor in part.factors)]
        self.order = tuple(order)
        names = [name for part in self.parts for name in part.parameters]
        if len(set(names)) < len(names) or len({part.name for part in self.parts}) < len(self.parts):
            raise CouloirError("finetune puts a parameter into two parts, or gives two parts the same name.")
        if not any(part.factor(0) for part in self.parts):
            raise CouloirError(
                "With this finetune nothing of the network learns.",
                next_step="finetune=none trains all of it, finetune=head its last layer",
            )
        self.stays_at: int | None = None
        """The epoch whose parts learn throughout, for those who try training out."""
        self.fixed: set[str] = set()
        """The names of the modules that are fixed in the epoch that has begun."""
        self._passed: set[str] = set()
        """The modules that samples pass unchanged at present."""
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name in set(names))

    @property
    def first_epochs(self) -> list[int]:
        """The epochs with which what learns, or how fast, changes; 0 among them."""
        return sorted({0, *(first for part in self.parts for first, _ in part.factors)})

    @property
    def starts_late(self) -> bool:
        """Whether a part is fixed at first, and learns later."""
        return any(not part.factor(0) for part in self.parts)

    @property
    def grows(self) -> bool:
        """Whether modules join the network later."""
        return any(not part.is_there(0) for part in self.parts)

    def layers(self, epoch: int) -> int | None:
        """How many parts are there in an epoch, the head left out; None where all are from the beginning."""
        there = [part for part in self.parts if part.is_there(self._meant(epoch)) and part.name != HEAD]
        return len(there) if self.grows else None

    def is_whole(self, epoch: int) -> bool:
        """Whether all parts are there in an epoch: what was measured before is of another network."""
        return all(part.is_there(self._meant(epoch)) for part in self.parts)

    def begin(self, net: nn.Module, epoch: int, optimizers: Iterable[Optimizer] = ()) -> None:
        """Put the network, and the factors of its optimizers' groups, into the state of an epoch.

        Args:
            net: the network.
            epoch: counted from 0.
            optimizers: those that `groups` made groups for.
        """
        epoch = self._meant(epoch)
        factors = {part.name: part.factor(epoch) for part in self.parts}
        learning = self.learning(epoch)
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name in learning)
        fixed = fixed_modules(net, self.order, learning)
        for name, module in net.named_modules():
            if name in fixed:
                module.training = False
            elif name in self.fixed:
                module.training = True
        self.fixed = fixed
        self._let_pass(net, {name for part in self.parts if not part.is_there(epoch) for name in part.modules})
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if PART in group:
                    group[FACTOR] = factors.get(group[PART], 1.0)

    def end(self, net: nn.Module) -> None:
        """Let all modules of the network be there, whatever the epoch is."""
        self._let_pass(net, set())

    def _let_pass(self, net: nn.Module, names: set[str]) -> None:
        """Have samples pass some modules unchanged, and all others as they are meant to."""
        for name in names - self._passed:
            module = net.get_submodule(name)
            module.forward = MethodType(_as_it_is, module)  # bound to it, so that a copy's is bound to the copy
        for name in self._passed - names:
            del net.get_submodule(name).forward
        self._passed = names

    def learning(self, epoch: int) -> set[str]:
        """The names of the parameters that learn in an epoch."""
        return {name for part in self.parts if part.factor(self._meant(epoch)) for name in part.parameters}

    def _meant(self, epoch: int) -> int:
        return epoch if self.stays_at is None else self.stays_at

    def groups(self, net: nn.Module, parameters: Iterable[Any]) -> list[dict[str, Any]]:
        """What an optimizer is given: a group for each part, by its name; what is fixed for good is left out.

        Args:
            net: the network.
            parameters: tensors, or groups of them as dictionaries, each of which is divided into parts.

        Raises:
            CouloirError: all of them are fixed.
        """
        part_of = {name: part.name for part in self.parts for name in part.parameters}
        named = {id(parameter): part_of.get(name) for name, parameter in net.named_parameters()}
        entries = list(parameters)
        given = entries if entries and isinstance(entries[0], dict) else [{"params": entries}]
        names = [*(part.name for part in self.parts), BESIDE]
        found: list[dict[str, Any]] = []
        for group in given:
            rest = {key: value for key, value in group.items() if key not in ("params", "name")}
            own = group["params"]
            tensors: list[Tensor] = [own] if isinstance(own, Tensor) else list(own)
            for name in names:
                params = [tensor for tensor in tensors if named.get(id(tensor), BESIDE) == name]
                if params:
                    taken = sum(other[PART] == name for other in found)
                    title = f"{name}/{taken + 1}" if taken else name
                    found.append({**rest, "params": params, "name": title, PART: name, FACTOR: 1.0})
        if not found:
            raise CouloirError(
                "finetune fixes everything that one of the task's optimizers is for.",
                next_step="let something of each learn, or leave finetune out",
            )
        return found

    def rates(self, optimizers: Iterable[Optimizer], epoch: int) -> dict[str, float]:
        """The learning rate of each part in an epoch; 0 where it is fixed; none where all parts have the same.

        Args:
            optimizers: those that `groups` made groups for.
            epoch: counted from 0.
        """
        if len(self.parts) == 1 and all(factor == 1.0 for _, factor in self.parts[0].factors):
            return {}
        rates: dict[str, float] = {}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                rates.setdefault(group.get(PART, BESIDE), float(group["lr"]))
        factors = {part.name: part.factor(self._meant(epoch)) for part in self.parts}
        return {name: rates[name] * factor for name, factor in factors.items() if name in rates}

    def in_words(self, net: nn.Module) -> str:
        """What learns and what is fixed, for the run's first lines."""
        sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
        total = sum(sizes.values())
        lines = []
        epochs = self.first_epochs
        for first, following in zip(epochs, [*epochs[1:], None], strict=True):
            learning = self.learning(first)
            count = sum(sizes[name] for name in learning)
            absent = [name for part in self.parts if not part.is_there(first) for name in part.parameters]
            still = [name for name in sizes if name not in learning and name not in absent]
            free = [name for name in sizes if name in learning]
            fixed = modules_in_words(still, free)
            when = "" if len(epochs) == 1 else _epochs(first + 1, following)
            factors = {factor for part in self.parts if (factor := part.factor(first))}
            rate = ""
            if factors != {1.0}:
                low, high = min(factors), max(factors)
                rate = (
                    f", at {high:.3g} times the rate" if low == high else f", at {low:.3g} to {high:.3g} times the rate"
                )
            what = "everything" if not fixed and not absent else modules_in_words(free, still)
            lines.append(
                f"learns{when}: {what}, {count:,} of {total:,} parameters{rate}"
                + (f"; fixed: {fixed}" if fixed else "")
                + (f"; not there yet: {modules_in_words(absent)}" if absent else "")
            )
        return "\n".join(lines)


def _epochs(first: int, following: int | None) -> str:
    """`following`, the first epoch of what comes next, counted from 0, is the last of these counted from 1."""
    if following is None:
        return f" from epoch {first} on"
    return f" in epoch {first}" if following == first else f" in epochs {first} to {following}"


def modules_in_words(parameters: Sequence[str], others: Sequence[str] = ()) -> str:
    """The modules of some parameters, `features.0, features.3, ..., classifier.1`.

    Args:
        parameters: their names.
        others: parameters that are not meant; of a module that has some of them, the parameters themselves are named.
    """
    divided = {name.rpartition(".")[0] for name in others}
    modules = [name.rpartition(".")[0] for name in parameters]
    pairs = zip(parameters, modules, strict=True)
    named = list(dict.fromkeys(name if module in divided or not module else module for name, module in pairs))
    if len(named) <= SHOWN:
        return ", ".join(named)
    return f"{', '.join(named[:2])}, ..., {named[-1]} ({len(named)} {'parts' if divided & {*modules} else 'layers'})"


def _as_it_is(_module: nn.Module, x: Tensor) -> Tensor:
    return x


def attach(optimizer: Optimizer) -> None:
    """Let each step of an optimizer multiply its groups' rates by their factors; between steps they are the schedule's.

    Args:
        optimizer: some of its groups have a factor.
    """
    rates: list[Any] = []

    def before(optimizer: Optimizer, args: Any, keys: Any) -> None:
        rates[:] = [group.get("lr") for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            if group.get(FACTOR, 1.0) != 1.0:
                group["lr"] = group["lr"] * group[FACTOR]

    def after(optimizer: Optimizer, args: Any, keys: Any) -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            if "lr" in group:
                group["lr"] = rate

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def fixed_modules(net: nn.Module, order: Sequence[str], learning: Collection[str]) -> set[str]:
    """The names of the modules that are fixed, and so run as in evaluation.

    A module with parameters, a layer or a block of them, is fixed where none of them learns, with everything within it.
    Any other module, such as dropout between two blocks, belongs to the layer that comes next: it is fixed where that
    is, and nothing that learns comes before it. So dropout directly in front of a head that learns is random, and what
    enters this dropout are the features of the fixed part. The network as a whole is never fixed.

    Args:
        net: the network.
        order: of `couloir.finetune.layers.passed`.
        learning: the names of the parameters that learn.
    """
    modules = dict(net.named_modules())
    ids = {id(parameter) for name, parameter in net.named_parameters() if name in learning}
    theirs = {name: [id(parameter) for parameter in module.parameters()] for name, module in modules.items()}
    still = {name for name, own in theirs.items() if name and own and ids.isdisjoint(own)}
    fixed = {name for name in modules if not still.isdisjoint(_ancestry(name))}
    moving: set[str] = set()  # without parameters, and not fixed
    before = False
    waiting: list[str] = []
    for name in order:
        if theirs[name]:
            learns = name not in fixed
            moving.update(waiting if learns else ())
            before, waiting = before or learns, []
        elif before:
            moving.add(name)
        else:
            waiting.append(name)
    moving -= fixed
    moved = {parent for name in moving for parent in _ancestry(name)}
    return fixed | {name for name, own in theirs.items() if name and not own and name not in moved}


def _ancestry(name: str) -> list[str]:
    """A module's name, and those of the modules that it is within."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
