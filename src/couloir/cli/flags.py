"""Flags of a verb's own, such as `--steps 50` or `--steps=50`, among the overrides that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError, did_you_mean

STREAM = "-"
"""A word, and no flag: standard input."""


@dataclass(frozen=True)
class Flag:
    """A flag with a value.

    Attributes:
        name: with its dashes.
        default: its value where it is not set.
        accepts: the numbers that it accepts, in the grammar of contracts; "": any text.
        takes: what it takes, in words.
    """

    name: str
    default: float | int | str | None
    accepts: str = ""
    takes: str = "a number"


def take_flags(arguments: list[str], flags: list[Flag], also: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    """Divide a verb's arguments into the values of its flags, all of them, and the overrides.

    Args:
        arguments: what was typed after the verb.
        flags: those with a value.
        also: names of the others, which are no longer among the arguments.

    Raises:
        CouloirError: a flag that is not there, has no value, or does not accept it.
    """
    known = {flag.name: flag for flag in flags}
    values: dict[str, Any] = {flag.name: flag.default for flag in flags}
    overrides: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if not name.startswith("-") or name == STREAM:
            overrides.append(word)
            continue
        if name not in known:
            names = [*known, *also]
            hint = did_you_mean(name, names) or _undashed(word)
            raise CouloirError(f"There is no flag '{name}'.", place=f"flags: {', '.join(names)}", next_step=hint)
        flag, text = known[name], value if equals else next(rest, None)
        if text is None or (not flag.accepts and (not text or text.startswith("-"))):
            example = flag.default or flag.takes.rpartition(" ")[2].upper()
            raise CouloirError(f"{name} needs {flag.takes}.", next_step=f"{name} {example}")
        values[name] = _number(flag, text) if flag.accepts else text
    return values, overrides


def take_switches(arguments: list[str], switches: tuple[str, ...]) -> tuple[set[str], list[str]]:
    """Divide a verb's arguments into its switches, flags without a value, that are set, and all other words.

    Raises:
        CouloirError: a flag that is not there.
    """
    for word in arguments:
        if word.startswith("-") and word not in (*switches, STREAM):
            hint = did_you_mean(word, switches) or _undashed(word)
            raise CouloirError(f"There is no flag '{word}'.", place=f"flags: {', '.join(switches)}", next_step=hint)
    return set(switches) & set(arguments), [word for word in arguments if word not in switches]


def _undashed(word: str) -> str | None:
    """What is said of `--optimizer.lr=0.1`."""
    return f"the words of a sentence begin without dashes: {word.lstrip('-')}" if "=" in word else None


def _number(flag: Flag, text: str) -> float | int:
    from couloir.config import contract  # PyYAML: the help does without it

    key = contract.Key(flag.name, Path(), 0, None, flag.accepts)
    value: Any = text
    for kind in (int, float):
        try:
            value = kind(text)
            break
        except ValueError:
            continue
    accepted = contract.violation(key, value)
    if accepted is not None:
        raise CouloirError(
            f"{flag.name} takes {accepted}, not {text}.",
            next_step=None if flag.default is None else f"the default is {flag.default}",
        )
    number: float | int = value
    return number
