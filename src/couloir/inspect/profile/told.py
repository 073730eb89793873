"""A profile in words and tables, as rows of a file, and in numbers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from couloir.inspect.probe import training_sentence
from couloir.inspect.profile.account import FORWARD, LOADING, PARTS, Account, Module, shown
from couloir.inspect.profile.candidates import Tried, best
from couloir.inspect.profile.steps import Found, Round
from couloir.log import rendered
from couloir.record.files import as_csv

DEPTH, LEAST = 4, 0.01
"""How deep the table of modules goes, and the share of a step from which on a module is shown."""


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        account: where the time of the steps with instruments goes.
        plain: seconds of a step without instruments, the median.
        samples_per_second: without instruments, the median of the rounds.
        steps: that were measured with instruments, and as many without.
        found: what they ran on.
        tried: settings that were tried, the best first.
    """

    account: Account
    plain: float
    samples_per_second: float
    steps: int
    found: Found
    tried: list[Tried]

    @classmethod
    def of(cls, found: Account, calm: list[Round], steps: int) -> Profile:
        """What rounds with instruments and rounds without them say, before anything is tried.

        Args:
            found: of the rounds with instruments.
            calm: the rounds without them.
            steps: of all rounds with instruments.
        """
        plain = statistics.median(each for one in calm for each in one.durations)
        speed = statistics.median(each.samples_per_second for each in calm)
        return cls(found, plain, speed, steps, calm[0].found, [])

    @property
    def overhead(self) -> float:
        """What the instruments add to a step, as a share of it, by the medians."""
        return self.account.median / self.plain - 1


def in_words(whole: Profile) -> str:
    """The tables, and how far they can be trusted."""
    table, found = Table("part", "ms a step", "share", ""), whole.account
    for column in table.columns[1:3]:
        column.justify = "right"
    for part, what in PARTS.items():
        seconds = found.parts[part]
        if seconds or part in (LOADING, FORWARD):
            table.add_row(part, _ms(seconds), f"{seconds / found.seconds:.1%}", _inside(found, part) or what)
    table.add_section()
    table.add_row("a step", _ms(found.seconds), "100.0%", f"median {_ms(found.median)}")
    threads = f"{whole.found.threads} thread{'s' * (whole.found.threads != 1)}"
    speed = f"{whole.samples_per_second:,.0f} samples/s"
    left_out = f", {found.disturbed} left out that other work on the machine disturbed" if found.disturbed else ""
    return (
        f"{rendered(table)}\n{_by_module(found)}"
        f"{whole.steps} steps on {whole.found.device}, {threads}; {found.steps} of the fastest rounds count{left_out}\n"
        f"without clocks in it a step takes {_ms(whole.plain)} ms in the median ({speed}): the clocks make it "
        f"{max(0.0, whole.overhead):.0%} longer"
    )


def _inside(found: Account, part: str) -> str:
    named = sorted(found.within.get(part, {}).items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {_ms(seconds)}" for name, seconds in named[:3] if seconds >= LEAST * found.seconds)


def _by_module(found: Account) -> str:
    rows = shown(found.modules, LEAST * found.seconds, DEPTH)
    if not rows:
        return ""
    table = Table("module", "kind", "ms a step", "its own", "share")
    for column in table.columns[2:]:
        column.justify = "right"
    for depth, module in rows:
        times = f" x {module.calls:.3g}" if round(module.calls, 6) != 1 else ""
        table.add_row(
            "  " * depth + (module.name or "the network"), module.kind + times, _ms(module.seconds),
            _ms(module.own_seconds), f"{module.seconds / found.seconds:.1%}",
        )  # fmt: skip
    return f"forward by module, with what is in it, and its own without:\n{rendered(table)}\n"


def advice(whole: Profile, overrides: list[str]) -> str:
    """What was tried, and the sentence with what is most worth changing.

    Args:
        whole: the profile.
        overrides: the present sentence's.
    """
    if not whole.tried:
        return "no setting was tried"
    rounds = max(len(each.present) for each in whole.tried)
    lines = [f"tried, in {rounds} rounds in turn with the present setting, medians:"] if rounds else []
    lines += [f"  {_measured(each)}" for each in whole.tried]
    chosen = best(whole.tried)
    if chosen is None:
        return "\n".join([*lines, "nothing that was tried is faster by more than the noise"])
    word = chosen.candidate.word
    sentence = training_sentence(overrides, word.partition("=")[0], word)
    return "\n".join([*lines, f"most worth changing: {chosen.candidate.why}", f"try:     {sentence}"])


def _measured(each: Tried) -> str:
    word = each.candidate.word
    if each.problem:
        return f"{word}: not tried: {each.problem}"
    new, old = each.samples_per_second, each.present_samples_per_second
    note = "" if each.candidate.learns_alike else "; larger batches are another training"
    return f"{word}: {each.ratio:.2f} times the samples a second (measured: {new:,.0f} against {old:,.0f}){note}"


def _ms(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def rows_of(found: Account) -> str:
    """`profile.csv`: each part, what has a name in it, and each module of the forward, seconds a step."""
    rows: list[tuple[Any, ...]] = []
    for part, seconds in found.parts.items():
        rows.append((part, None, None, seconds, None, seconds / found.seconds, None))
        for name, inside in found.within.get(part, {}).items():
            rows.append((part, name, None, inside, None, inside / found.seconds, None))
    for module in _all(found.modules):
        own, share = module.own_seconds, module.seconds / found.seconds
        rows.append((FORWARD, module.name or "network", module.kind, module.seconds, own, share, module.calls))
    return as_csv(["part", "name", "kind", "seconds", "own_seconds", "share", "calls"], rows)


def _all(modules: list[Module]) -> list[Module]:
    return [each for module in modules for each in (module, *_all(module.children))]


def numbers(whole: Profile) -> dict[str, Any]:
    """`result.json`."""
    found, chosen = whole.account, best(whole.tried)
    result: dict[str, Any] = {
        "samples_per_second": whole.samples_per_second, "step_seconds": whole.plain,
        "measured_step_seconds": found.seconds, "measured_median_seconds": found.median,
        "overhead": whole.overhead, "steps": whole.steps, "counted": found.steps, "disturbed": found.disturbed,
        "device": whole.found.device, "threads": whole.found.threads,
    }  # fmt: skip
    result |= {f"share/{part}": found.share(part) for part in PARTS}
    result["best"] = None if chosen is None else chosen.candidate.word
    result["best_ratio"] = None if chosen is None else chosen.ratio
    return result


def facts(whole: Profile) -> dict[str, Any]:
    """What `--json` says beside these numbers."""
    found = whole.account
    return {
        "parts": [
            {"part": part, "seconds": seconds, "share": found.share(part), "within": found.within.get(part, {})}
            for part, seconds in found.parts.items()
        ],
        "modules": [_module(each, found) for each in found.modules],
        "tried": [
            {
                "words": each.candidate.word, "why": each.candidate.why, "ratio": None if each.problem else each.ratio,
                "samples_per_second": None if each.problem else each.samples_per_second,
                "present_samples_per_second": None if each.problem else each.present_samples_per_second,
                "better": each.is_better, "problem": each.problem or None,
            }
            for each in whole.tried
        ],
    }  # fmt: skip


def _module(module: Module, found: Account) -> dict[str, Any]:
    return {
        "name": module.name, "kind": module.kind, "seconds": module.seconds, "own_seconds": module.own_seconds,
        "share": module.seconds / found.seconds, "calls": module.calls,
        "children": [_module(each, found) for each in module.children],
    }  # fmt: skip
