"""`couloir list [GROUP]`: what can be said in a sentence."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches
from couloir.config import tree
from couloir.errors import CouloirError, did_you_mean, display

if TYPE_CHECKING:
    from couloir.config.weights import Published

USAGE = """usage: couloir list [GROUP] [CHOICE] [--json]

Without an argument: every group with its choices. With a group: each choice in one sentence.
With a choice as well: its file, with every key and what it accepts.
With --json the same as one JSON object."""

WIDTH = 110


def main(arguments: list[str]) -> int:
    """Print the groups, a group's choices, or one choice's file.

    Raises:
        CouloirError: there is no such group or choice.
    """
    if "-h" in arguments or "--help" in arguments:
        _say(USAGE)
        return 0
    switches, words = take_switches(arguments, (JSON,))
    if len(words) > 2:
        raise CouloirError(
            f"A list takes a group and a choice, not '{words[2]}' as well.", next_step=f"couloir list {words[0]}"
        )
    with Answer.of(switches) as answer:
        if not words:
            _say(groups_text())
            answer.facts["groups"] = {group: list(tree.choices(group)) for group in tree.groups()}
        elif len(words) == 1:
            _say(_choices_text(words[0]))
            answer.facts |= {"group": words[0], "choices": _choices(words[0])}
        else:
            _say(_choice_text(*words))
            answer.facts |= {"group": words[0], "choice": words[1], **_choice(*words)}
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201


def groups_text() -> str:
    """Every group with its choices, wrapped to a terminal's width."""
    lines = []
    for group in tree.groups():
        names = ", ".join(tree.choices(group))
        lines += textwrap.wrap(f"{group:<13} {names}", WIDTH, subsequent_indent=" " * 14)
    return "\n".join(lines)


def _check_group(group: str) -> None:
    if group not in tree.groups():
        hint = did_you_mean(group, tree.groups(), form="couloir list {}")
        raise CouloirError(f"There is no group '{group}'.", place=f"groups: {', '.join(tree.groups())}", next_step=hint)


def _choices(group: str) -> dict[str, Any]:
    return {name: _described(path) for name, path in tree.choices(group).items()}


def _described(path: Path) -> dict[str, Any]:
    return {"description": tree.describe(path), "file": str(path), "own": tree.is_own(path)}


def _choice(group: str, choice: str) -> dict[str, Any]:
    from couloir.config import contract
    from couloir.config.weights import published

    file = tree.find(f"{group}/{choice}")
    assert file is not None, "it was shown"
    keys = [*contract.read_keys(file), *contract.shared_keys(group)]
    return {
        **_described(file),
        **({"weights": [_weights_facts(each) for each in published(file)]} if group == "model" else {}),
        "keys": {
            key.path: {"default": key.default, "accepts": key.contract or None, "file": str(key.file), "line": key.line}
            for key in keys
        },
    }


def _choices_text(group: str) -> str:
    _check_group(group)
    found = tree.choices(group)
    width = max(len(name) for name in found)
    lines = []
    for name, path in found.items():
        own = "  (your own)" if tree.is_own(path) else ""
        indent = " " * (width + 2)
        lines += textwrap.wrap(
            f"{name:<{width}}  {tree.describe(path)}{own}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines)


def _choice_text(group: str, choice: str) -> str:
    _check_group(group)
    found = tree.choices(group)
    if group == tree.EXPERIMENT and (file := tree.elsewhere(choice)) is not None:
        found = {**found, choice: file}
    if choice not in found:
        hint = did_you_mean(choice, found, form=f"{group}={{}}")
        raise CouloirError(f"There is no {group} called '{choice}'.", next_step=hint)
    shown = f"# {display(found[choice])}\n{tree.read_text(found[choice]).rstrip()}"
    return "\n".join([shown, *_weights_lines(group, found[choice]), *_shared_lines(group)])


def _weights_facts(each: Published) -> dict[str, Any]:
    address = f"{each.remote.mirrors[0]}{each.file}"
    return {"name": each.name, "keys": each.keys, "mean": each.mean, "std": each.std, "address": address}


def _weights_lines(group: str, file: Path) -> list[str]:
    """What `model.weights` may be called, with what, and whether the file is in the cache."""
    from couloir.config.weights import NEWEST, folder, published, typed_keys

    found = published(file) if group == "model" else []
    lines = []
    for number, each in enumerate(found):
        is_newest = not any(later.keys == each.keys for later in found[number + 1 :])
        keys = f" ({typed_keys(each.keys)})" if each.keys else ""
        there = ", downloaded" if (folder() / each.file).is_file() else ""
        lines.append(f"model.weights={each.name}{f' or {NEWEST}' * is_newest}: {each.file}{keys}{there}")
    return ["", f"# weights by name, kept in {folder()}", *lines] if lines else []


def _shared_lines(group: str) -> list[str]:
    """The keys that every choice of the group has, as the root file writes them."""
    from couloir.config import contract  # PyYAML: the help does without it

    keys = contract.shared_keys(group)
    if not keys:
        return []
    lines = tree.read_text(keys[0].file).splitlines()
    return ["", f"# every {group}: {display(keys[0].file)}", *(lines[key.line - 1].strip() for key in keys)]
