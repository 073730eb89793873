"""What units give over many samples: those that are zero always, and those that never change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from couloir.artifacts.page import Cell, Chart, label, table
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit
from couloir.inference.explain.rectifiers import is_activation
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.model.activation import Step

LISTED = 200
"""Numbers of dead units of a layer that are written down."""


@dataclass
class Activity:
    """What the units of one activation have given over many samples.

    Attributes:
        name: of the module that it is, or in which it is called.
        kind: of the activation.
        low: the least value of each unit, (units,).
        high: the largest.
        zeros: how many values were zero.
        values: how many there were.
    """

    name: str
    kind: str
    low: Tensor
    high: Tensor
    zeros: int
    values: int

    def add(self, found: Tensor) -> None:
        """Take in what the activation gives for a batch."""
        low, high = _extremes(found)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.zeros += int((found == 0).sum())
        self.values += found.numel()

    @property
    def dead(self) -> Tensor:
        """Whether each unit was zero always."""
        return (self.low == 0) & (self.high == 0)

    @property
    def fixed(self) -> Tensor:
        """Whether each unit had one value always."""
        return self.low == self.high


def _extremes(found: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each unit: a map is one, of sequences a feature."""
    by_unit = found.transpose(0, 1 if found.ndim in (2, 4, 5) else -1).flatten(1)
    return by_unit.amin(dim=1), by_unit.amax(dim=1)


class _Acting(TorchFunctionMode):
    """Notes what each activation gives, whether it is a module or a call within one."""

    def __init__(self, inside: list[str]) -> None:
        super().__init__()
        self.inside = inside
        self.found: dict[tuple[str, str, int], Activity] = {}
        self._calls: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """Another batch comes."""
        self._calls.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        kind = getattr(func, "__name__", "").rstrip("_")
        if is_activation(kind, args, kwargs or {}):
            self.note(kind, out)
        return out

    def note(self, kind: str, out: Any) -> None:
        """Take in what an activation of the module at work gives."""
        if not isinstance(out, Tensor) or out.ndim < 2:
            return
        name = self.inside[-1] if self.inside else ""
        call = self._calls[name, kind]
        self._calls[name, kind] += 1
        if (name, kind, call) in self.found:
            self.found[name, kind, call].add(out)
        else:
            low, high = _extremes(out)
            self.found[name, kind, call] = Activity(name, kind, low, high, int((out == 0).sum()), out.numel())


@contextmanager
def _whereabouts(net: nn.Module) -> Iterator[list[str]]:
    """The names of the modules that are at work, the innermost last."""
    inside: list[str] = []
    hooks = []
    for name, module in net.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda module, inputs, name=name: inside.append(name)))
        hooks.append(module.register_forward_hook(lambda module, inputs, output: (inside.pop(), None)[1]))
    try:
        yield inside
    finally:
        for hook in hooks:
            hook.remove()


def activity(subject: Subject, batches: Iterator[Tensor]) -> list[Activity]:
    """What the units of each activation give over batches of standardised inputs, in the order of the calls."""
    with torch.no_grad(), ExitStack() as stack:
        acting = _Acting(stack.enter_context(_whereabouts(subject.net)))
        for module in subject.net.modules():
            if isinstance(module, Step):  # which is made of several calls
                noted = module.register_forward_hook(
                    lambda module, inputs, output: acting.note("step", output), prepend=True
                )
                stack.callback(noted.remove)
        stack.enter_context(acting)
        for x in batches:
            acting.begin()
            subject.net(x)
    return list(acting.found.values())


def dead_units(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Which units are zero, or never change, over a split; a map is one unit."""
    count = 0

    def batches() -> Iterator[Tensor]:
        nonlocal count
        for x, _, _ in subject.split(wanted.split, wanted.most or None):
            count += len(x)
            yield x

    found = activity(subject, batches())
    if not found:
        raise CouloirError(
            "The network has no activation functions, so no unit of it can be dead.",
            next_step="leave the method out",
        )
    rows, facts = [], []
    names = [f"{each.name or 'network'}" for each in found]
    for at, (name, each) in enumerate(zip(names, found, strict=True)):
        if names.count(name) > 1:
            name = f"{name} ({names[: at + 1].count(name)})"
        dead, fixed, units = int(each.dead.sum()), int((each.fixed & ~each.dead).sum()), len(each.low)
        zeros = each.zeros / each.values
        rows.append([
            Cell(name, at, "code"), Cell(each.kind), Cell(f"{units:,}", units, "number"),
            Cell(f"{dead:,} ({dead / units:.1%})", dead / units, "number"),
            Cell(f"{fixed:,} ({fixed / units:.1%})", fixed / units, "number"),
            Cell(f"{zeros:.1%}", zeros, "number"),
        ])  # fmt: skip
        facts.append({
            "layer": name, "activation": each.kind, "units": units, "dead": dead, "other_constant": fixed,
            "zeros": zeros, "dead_units": torch.nonzero(each.dead)[:LISTED, 0].tolist(),
        })  # fmt: skip
    columns = ("layer", "activation", "units", "zero always", "another constant", "zeros on average")
    html = table(columns, rows, "the share of dead units of each layer")
    note = (
        f"Over {count:,} samples of the {wanted.split} split. A dead unit is zero for every sample, and at every place "
        "where it is a map: no gradient passes it. Zeros on average are no fault: ReLU is to give some."
    )
    total, dead = sum(len(each.low) for each in found), sum(int(each.dead.sum()) for each in found)
    numbers = {"split": wanted.split, "samples": count, "units": total, "dead": dead, "layers": facts}
    title = f"Dead units: {dead:,} of {total:,}"
    return [Exhibit("dead_units", title, note, charts=[_dead_chart(facts)], html=html, numbers=numbers)]


def _dead_chart(facts: Sequence[dict[str, Any]]) -> Chart:
    """The share of dead units by layer, and that of others that never change."""
    names = [label(fact["layer"], 30) for fact in facts]
    traces = [
        {"type": "bar", "name": told, "x": names, "y": [fact[key] / fact["units"] for fact in facts],
         "marker": {"color": colour}, "hovertemplate": "%{x}: %{y:.1%}<extra></extra>"}
        for told, key, colour in (("zero always", "dead", "--c1"), ("another constant", "other_constant", "--c0"))
    ]  # fmt: skip
    axis = {"title": {"text": "share of the units"}, "tickformat": ".0%", "rangemode": "tozero"}
    layout = {"barmode": "stack", "yaxis": axis, "xaxis": {"type": "category"}}
    return Chart(traces, layout, "the share of dead units of each layer", 320)
