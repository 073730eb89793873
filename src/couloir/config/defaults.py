"""The defaults lists of the user's own files: what Hydra does not take or ignores, and the line to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from couloir.config import contract, tree
from couloir.config.wrong_choices import choices_like, without_package
from couloir.errors import CouloirError, asked, did_you_mean, display, nearest

SWEEPER = "couloir"
"""The choice of `hydra/sweeper`."""
KEYWORDS = ("override", "optional")
"""What may stand before a group; Hydra ignores any other word."""


def wrong_defaults(chosen: list[tuple[str, str]]) -> CouloirError | None:
    """The first entry of a defaults list that cannot be composed, of the user's own files that take part.

    Args:
        chosen: groups and choices, as they were typed.
    """
    seen: set[Path] = set()
    groups = tree.groups()
    waiting = [("", tree.ROOT_CONFIG), *chosen]
    while waiting:
        group, choice = waiting.pop(0)
        file = None if group and group not in groups else tree.find(f"{group}/{choice}".strip("/") if group else choice)
        if file is None or file in seen:
            continue
        seen.add(file)
        if tree.is_own(file):
            mistake = _wrong_entry(file, group)
            if mistake is not None:
                return mistake
        waiting += [
            (name.partition("@")[0].removeprefix("override ").strip(" /"), value) for name, value, _ in _entries(file)
        ]
    return None


def _wrong_entry(file: Path, group: str) -> CouloirError | None:
    node = _defaults(file)
    if node is not None and not isinstance(node, yaml.SequenceNode):
        return CouloirError(
            "A defaults list is a list: each entry begins with a dash.",
            place=f"{display(file)}, line {node.start_mark.line + 1}",
            next_step="- override /model: mlp",
        )
    mistake = ignored_words(file)
    if mistake is not None:
        return mistake
    settled = {name.partition("@")[0].strip(" /") for name, _, _ in _entries(tree.find(tree.ROOT_CONFIG))}
    for name, choice, line in _entries(file):
        words = name.removeprefix("override ").removeprefix("optional ").strip()
        at = words.partition("@")[1]
        named = words.partition("@")[0].strip("/")
        place = f"{display(file)}, line {line}"
        inside = group and not words.startswith("/") and (file.parent / named).is_dir()
        if at or inside or not named or choice in ("null", ""):
            continue
        if named == tree.EXPERIMENT and tree.elsewhere(choice) is not None:
            continue
        if named not in tree.groups():
            if tree.find(f"{group}/{named}/{choice}") is None and (near := nearest(named, tree.groups(), count=1)):
                return CouloirError(
                    f"There is no group '{named}'.", place=place, next_step=_entry(near[0], choice, near[0] in settled)
                )
            continue
        if choice not in tree.choices(named):
            return CouloirError(
                f"There is no {named} called '{choice}'.",
                place=place,
                next_step=asked(f"- {name}: {near}" for near in choices_like(named, choice))
                or f"`couloir list {named}` describes each choice",
            )
        overrides = name.startswith("override ")
        if group and ((named in settled and not overrides) or not words.startswith("/")):
            return CouloirError(
                f"'- {name}: {choice}' does not choose {named}={choice} for the sentence.",
                place=place,
                next_step=f"write {_entry(named, choice, named in settled)}",
            )
    return None


def ignored_words(file: Path) -> CouloirError | None:
    """What Hydra ignores in a defaults list: `overide /model: mlp` is `/model: mlp` to it."""
    for name, choice, line in _entries(file):
        place = f"{display(file)}, line {line}"
        *words, group = name.split()
        if group.lstrip("/") == "hydra/sweeper" and choice != SWEEPER:
            return other_sweeper(choice, place)
        for word in words:
            if word not in KEYWORDS:
                hint = did_you_mean(word, KEYWORDS)
                return CouloirError(
                    f"'{word}' means nothing in a defaults list.",
                    place=place,
                    next_step=hint or f"write '{group}: {choice}' or 'override {group}: {choice}'",
                )
    return None


def other_sweeper(name: str, place: str | None) -> CouloirError:
    """What is said of a sweeper of Hydra's, which would not know of studies, seeds and failures."""
    return CouloirError(
        f"Sweeps are Couloir's own: hydra/sweeper={name} is not used.",
        place=place,
        next_step="`couloir list sweep` shows the searches; sweep=tpe sweep.n_trials=20 at the prompt, "
        "`- override /sweep: tpe` and `sweep: {n_trials: 20, space: {...}}` in a file",
    )


def wrong_place(complaint: str) -> CouloirError | None:
    """The mistake of a file that Hydra names, whose keys go where nothing takes them."""
    named = re.search(r"In '([^']+)': ", complaint)
    file = tree.find(named[1]) if named is not None else None
    if file is None:
        return None
    if re.search(r"Could not override '[^']*@experiment", complaint):
        return without_package(file)
    unknown = re.search(r"Key '[^']+' not in '\w+'\s+full_key: (hydra\.[\w.]+)", complaint)
    if unknown is None:
        return None
    lines = [key.line for key in contract.read_keys(file) if key.path == unknown[1]]
    return CouloirError(
        f"Nothing reads the key '{unknown[1]}'.",
        place=display(file) + (f", line {lines[0]}" if lines else ""),
        next_step="leave it out: Hydra does not take it",
    )


def _entry(group: str, choice: str, override: bool) -> str:
    return f"- {'override ' if override else ''}/{group}: {choice}"


def _defaults(file: Path | None) -> yaml.Node | None:
    try:
        root = None if file is None else yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OSError, RecursionError):
        return None  # which is said where the file is read
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value for key, value in entries if key.value == "defaults"), None)


def _entries(file: Path | None) -> Iterator[tuple[str, str, int]]:
    """The entries `group: choice` of a file's defaults list, with their lines."""
    node = _defaults(file)
    for entry in node.value if isinstance(node, yaml.SequenceNode) else []:
        for key, value in entry.value if isinstance(entry, yaml.MappingNode) else []:
            if isinstance(value, yaml.ScalarNode):
                yield str(key.value), str(value.value), entry.start_mark.line + 1
