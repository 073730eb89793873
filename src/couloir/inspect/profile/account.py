"""What the spans of some steps add up to: the parts of a step, the network's modules, a trace for a browser.

Spans nest: one that begins within another ends within it. So each moment of a step belongs to one span, the innermost
that is open, or to none: the parts and what is left over are the whole step, without a gap or an overlap.
"""

from __future__ import annotations

import itertools
import json
import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LOADING, TRANSFER, AUGMENTATION = "loading", "transfer", "augmentation"
FORWARD, LOSS, BACKWARD, OPTIMIZER = "forward", "loss", "backward", "optimizer"
METRICS, LOGGING, REST = "metrics", "logging", "rest"
PARTS = {
    LOADING: "waiting for the batch",
    TRANSFER: "its way to the device",
    AUGMENTATION: "of the training batches",
    FORWARD: "the network",
    LOSS: "and what else the task computes",
    BACKWARD: "the gradients",
    OPTIMIZER: "the update, clipping",
    METRICS: "of the training split",
    LOGGING: "loggers and callbacks",
    REST: "the loop, all that is left over",
}
"""The parts of a step in their order, and what each is."""
WHOLE = (TRANSFER, AUGMENTATION, BACKWARD, METRICS, LOGGING)
"""Parts that all belongs to which happens within them: an augmentation that asks the network is an augmentation."""

UNSTEADY = (LOADING, METRICS, LOGGING)
"""Parts that take long in some steps, and are meant to."""
DISTURBED = 3.0
"""A step does not count if its other parts take so many times what they usually do."""


class Span(NamedTuple):
    """A stretch of time.

    Attributes:
        part: one of `PARTS`.
        name: what it is; of the part `forward` a module's path, "" for the network itself.
        parent: the place of the span around it among all spans; -1: there is none.
        begin: seconds.
        end: seconds.
    """

    part: str
    name: str
    parent: int
    begin: float
    end: float


@dataclass
class Module:
    """A module of the network.

    Attributes:
        name: its path.
        kind: its class.
        seconds: of its forward, with its children, a step.
        own_seconds: without its children.
        calls: how often it is called, a step.
        children: the largest first.
    """

    name: str
    kind: str
    seconds: float = 0.0
    own_seconds: float = 0.0
    calls: float = 0.0
    children: list[Module] = field(default_factory=list)


@dataclass(frozen=True)
class Account:
    """Where the time of steps goes.

    Attributes:
        seconds: of a step, the mean over those that count.
        median: of a step, over all.
        steps: that count.
        disturbed: steps that do not.
        parts: seconds a step of each of `PARTS`, which add up to `seconds`.
        within: of parts that have named shares: seconds a step by name.
        modules: the outermost modules, the network itself or its children where these are called one by one.
    """

    seconds: float
    median: float
    steps: int
    disturbed: int
    parts: dict[str, float]
    within: dict[str, dict[str, float]]
    modules: list[Module]

    def share(self, *parts: str) -> float:
        """What some parts take of a step."""
        return sum(self.parts[part] for part in parts) / self.seconds if self.seconds else 0.0


def account(rounds: Sequence[tuple[Sequence[float], Sequence[Span]]], kinds: Mapping[str, str]) -> Account:
    """Add up the spans of the steps of some rounds.

    A step whose steady parts take `DISTURBED` times what they usually do was broken off by other work on the machine;
    it does not count. What takes long now and then (loading, metrics, logging) is no reason.

    Args:
        rounds: of each, when its steps began and when the last one ended, in seconds, and the spans between.
        kinds: the class of each module by its path.
    """
    steps = [step for marks, spans in rounds for step in _steps(marks, spans)]
    steady = [step.seconds - sum(step.parts[part] for part in UNSTEADY) for step in steps]
    usual = statistics.median(steady)
    counted = [step for step, own in zip(steps, steady, strict=True) if own <= DISTURBED * usual]
    count, seconds = len(counted), sum(step.seconds for step in counted) / len(counted)
    parts = {part: sum(step.parts[part] for step in counted) / count for part in PARTS}
    parts[REST] = max(0.0, seconds - sum(parts.values()))
    within: dict[str, dict[str, float]] = {}
    modules = {name: Module(name, kind) for name, kind in kinds.items()}
    for step in counted:
        for part, name, own in step.named:
            named = within.setdefault(part, {})
            named[name] = named.get(name, 0.0) + own / count
        for name, whole, own in step.modules:
            module = modules[name]
            module.seconds += whole / count
            module.own_seconds += own / count
            module.calls += 1 / count
    median = statistics.median(step.seconds for step in steps)
    return Account(seconds, median, count, len(steps) - count, parts, within, tree(modules))


@dataclass
class _Step:
    """What the spans of one step add up to.

    Attributes:
        seconds: from its beginning to that of the next.
        parts: seconds of each part.
        named: a part, a name in it, seconds.
        modules: of each call of a module its path, the seconds with what is in it unless it is in a call of the same
            module, and those without.
    """

    seconds: float
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    named: list[tuple[str, str, float]] = field(default_factory=list)
    modules: list[tuple[str, float, float]] = field(default_factory=list)


def _steps(marks: Sequence[float], spans: Sequence[Span]) -> list[_Step]:
    steps = [_Step(end - begin) for begin, end in itertools.pairwise(marks)]
    own, belongs = exclusive(spans), owners(spans)
    for number, span in enumerate(spans):
        step = steps[min(max(bisect_right(marks, span.begin) - 1, 0), len(steps) - 1)]
        owner = spans[belongs[number]]
        step.parts[owner.part] += own[number]
        if owner.part == FORWARD:
            whole = 0.0 if _within_itself(spans, number) else span.end - span.begin
            step.modules.append((span.name, whole, own[number]))
        elif owner.name:
            step.named.append((owner.part, owner.name, own[number]))
    return steps


def exclusive(spans: Sequence[Span]) -> list[float]:
    """The seconds of each span without those within it."""
    own = [span.end - span.begin for span in spans]
    for span in spans:
        if span.parent >= 0:
            own[span.parent] -= span.end - span.begin
    return own


def owners(spans: Sequence[Span]) -> list[int]:
    """To which span the time of each one belongs: itself, unless one around it is of another part that takes all."""
    belongs: list[int] = []
    for number, span in enumerate(spans):
        around = belongs[span.parent] if span.parent >= 0 else -1
        taken = around >= 0 and spans[around].part in WHOLE and spans[around].part != span.part
        belongs.append(around if taken else number)
    return belongs


def _within_itself(spans: Sequence[Span], number: int) -> bool:
    name, above = spans[number].name, spans[number].parent
    while above >= 0:
        if spans[above].part == FORWARD and spans[above].name == name:
            return True
        above = spans[above].parent
    return False


def tree(modules: Mapping[str, Module]) -> list[Module]:
    """Modules below the nearest of those around them that is there and was called; the largest first."""
    called = {name: module for name, module in modules.items() if module.calls}
    outermost: list[Module] = []
    for name, module in called.items():
        above = name
        while above:
            above = above.rpartition(".")[0]
            if above in called:
                called[above].children.append(module)
                break
        else:
            outermost.append(module)
    for each in (outermost, *(module.children for module in called.values())):
        each.sort(key=lambda module: -module.seconds)
    return outermost


def shown(modules: Sequence[Module], least: float, depth: int) -> list[tuple[int, Module]]:
    """The modules that a table has room for, each with its depth, the largest first.

    What only hands over to one other is passed by: a network whose time is that of one child is shown as this child's
    parts.

    Args:
        modules: the outermost ones.
        least: seconds a step below which a module is left out.
        depth: how deep the table goes.
    """
    rows: list[tuple[int, Module]] = []

    def add(module: Module, level: int) -> None:
        if module.seconds < least:
            return
        rows.append((level, module))
        if level + 1 < depth:
            for child in module.children:
                add(child, level + 1)

    for module in modules:
        add(module, 0)
    return rows


def trace(rounds: Sequence[tuple[Sequence[float], Sequence[Span]]], kinds: Mapping[str, str], steps: int) -> str:
    """The first steps of the last round in the trace-event format, for chrome://tracing and ui.perfetto.dev.

    Source: Trace Event Format, Google, 2016: complete events (`X`), microseconds.
    """
    marks, spans = rounds[-1]
    start, last = marks[0], marks[min(steps, len(marks) - 1)]

    def event(name: str, kind: str, begin: float, end: float) -> dict[str, object]:
        times = {"ts": round((begin - start) * 1e6, 3), "dur": round((end - begin) * 1e6, 3)}
        return {"name": name, "cat": kind, "ph": "X", **times, "pid": 1, "tid": 1}

    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "couloir profile"}},
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "training steps"}},
    ]
    for number, (begin, end) in enumerate(itertools.pairwise(marks), 1):
        if number <= steps:
            events.append(event(f"step {number}", "step", begin, end))
    for span in spans:
        if span.end <= last:
            events.append(event(_title(span, kinds), span.part, span.begin, span.end))
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def _title(span: Span, kinds: Mapping[str, str]) -> str:
    if span.part == FORWARD:
        return f"{span.name or 'network'} ({kinds[span.name]})"
    return f"{span.part}: {span.name}" if span.name else span.part
