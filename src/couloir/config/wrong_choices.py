"""Words that choose for a group what is not there, several where it takes one, or at a place that nothing reads."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from couloir.config import contract, tree
from couloir.config.files import check_experiment
from couloir.errors import CouloirError, asked, display, nearest

MOST_LISTED = 20
"""Choices that a message names; of more it says how many there are."""
ONE = (
    "trainer", "task", "model", "initializer", "loss", "optimizer", "scheduler", "momentum_schedule", "averaging",
    "augmentation", "finetune", "tta", "data", "sweep", "pruner",
)  # fmt: skip
"""Groups that take one choice, whose place is the key of the same name."""
SEVERAL = ("callbacks", "logger", "metric", "experiment")
"""Groups that take a list as well."""


@lru_cache(maxsize=1024)  # a sentence's words are looked at three times, and reading one takes a millisecond
def parsed(text: str) -> Override | None:
    """A word as Hydra reads it; None where it cannot be read."""
    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError, RecursionError):
        return None


def wrong_choices(overrides: list[str]) -> CouloirError | None:
    """The first override that names a choice that is not there, or several where a group takes one, or takes away a
    key of the whole sentence.

    Hydra itself reads `model=mlp.yaml` and `model=../model/mlp` as well, which are no choices that Couloir knows.
    """
    for text in overrides:
        override = parsed(text)
        if override is None:
            continue
        if override.key_or_group in tree.groups():
            mistake = wrong_choice(override)
            if mistake is not None:
                return mistake
        elif override.is_delete() and override.key_or_group in _root_keys():
            return CouloirError(f"'{text}' takes away a key that every sentence needs.", next_step=f"leave {text} out")
    return None


def _root_keys() -> list[str]:
    root = tree.find(tree.ROOT_CONFIG)
    return [] if root is None else [key.path for key in contract.read_keys(root) if "." not in key.path]


def wrong_choice(override: Override) -> CouloirError | None:
    """What is wrong with a word that chooses for a group; None where nothing is."""
    group, text = override.key_or_group, override.input_line or ""
    if override.is_delete() or "glob(" in text:  # a pattern over what is there
        return None
    named: list[object]
    if override.is_sweep_override():
        named = list(override.sweep_string_iterator())
    else:
        value = override.value()
        if isinstance(value, dict):
            return None  # optimizer={lr:0.1}: keys, not a choice
        named = list(value) if isinstance(value, list) else [value]
        if isinstance(value, list) and group in ONE:
            return CouloirError(
                f"'{text}' names a list, and {group} takes one choice.",
                next_step=f"one of them; `train -m {group}={','.join(map(str, value))}` runs them in turn",
            )
    if override.package is not None and group in ONE and override.package.partition(".")[0] not in tree.groups():
        return CouloirError(
            f"'{text}' puts the choice at the key {override.package}, which nothing reads.",
            next_step=f"{group}={named[0]}",
        )
    available = tree.choices(group)
    if group == tree.EXPERIMENT and (mistake := _finished_run(named, available)) is not None:
        return mistake
    if override.is_add() and override.package is None and group in (*ONE, *SEVERAL):
        return CouloirError(
            f"The sentence has a choice for {group} already, which + cannot add.", next_step=text.lstrip("+")
        )
    for choice in named:
        optional = group in (tree.EXPERIMENT, "sweep") and choice is None
        plain = str(choice).strip("'\"")
        if optional or plain in available:
            own = group == tree.EXPERIMENT and not optional and tree.is_own(available[plain])
            if own and (mistake := _empty(available[plain])) is not None:
                return mistake
            continue
        if group == tree.EXPERIMENT and tree.is_path(str(choice)):
            if (mistake := _wrong_file(text, str(choice))) is not None:
                return mistake
            continue
        shown = "null" if choice is None else str(choice)
        return CouloirError(
            f"There is no {group} called '{shown}'.",
            place=f"{defined_at(group)}; {_listed(group, list(available))}",
            next_step=asked(f"{group}={name}" for name in choices_like(group, shown))
            or asked(f"{other}={plain}" for other in ("task", "model") if plain in tree.choices(other))
            or f"`couloir list {group}` describes each choice",
        )
    return None


def _wrong_file(text: str, name: str) -> CouloirError | None:
    """What is wrong with an experiment file that a path names."""
    try:
        check_experiment(text, Path(name))
    except CouloirError as mistake:
        return mistake
    file = tree.elsewhere(name)
    assert file is not None, "it was read"
    return without_package(file) if contract.package_of(file) != "_global_" else None


def _empty(file: Path) -> CouloirError | None:
    """What is said of an experiment file that holds nothing, which would be the default sentence."""
    if tree.read_text(file).strip():
        return None
    return CouloirError(
        f"{display(file)} is empty: an experiment file has choices or keys.",
        next_step=f"couloir recipe RUN > {display(file)} writes that of a run",
    )


def without_package(file: Path) -> CouloirError:
    """What is said of an experiment file whose keys go below `experiment`."""
    return CouloirError(
        f"The keys of {display(file)} go below 'experiment', where nothing reads them.",
        place=f"{display(file)}, line 1",
        next_step="make `# @package _global_` the first line of the file",
    )


def _finished_run(named: list[object], available: dict[str, Path]) -> CouloirError | None:
    """The configuration of a run is no recipe: it has the keys of every part, which cannot be put over other parts."""
    for choice in map(str, named):
        file = available.get(choice, Path(choice))
        file = file / "config.yaml" if file.is_dir() else file
        if file.suffix != ".yaml" or not file.is_file():
            continue
        try:
            keys = {key.path for key in contract.read_keys(file)}
        except (CouloirError, OSError, ValueError, yaml.YAMLError, RecursionError):
            continue  # which is said where it is read
        if {f"{group}._target_" for group in ("model", "data", "trainer")} <= keys:
            run = display(file.parent) if file.name == "config.yaml" else "RUN, the folder that it was copied from"
            beside = file.with_name("recipe.yaml")
            recipe = f"experiment={display(beside)}" if beside.is_file() else f"couloir recipe {run}"
            return CouloirError(
                f"{display(file)} is the whole configuration of a run, not a recipe.",
                next_step=f"couloir rerun {run}, or the run as a recipe: {recipe}",
            )
    return None


def choices_like(group: str, word: str) -> list[str]:
    """The choices of a group that a word may mean that is none of them; `null` is what `none` is for."""
    names = tree.choices(group)
    plain = word.strip("'\"").removesuffix(".yaml").rpartition("/")[2]
    if plain in names:
        return [plain]
    return ["none"] if word == "null" and "none" in names else nearest(word, names)


def _listed(group: str, names: list[str]) -> str:
    """All choices, where they fit into a line or two."""
    if len(names) <= MOST_LISTED:
        return f"choices: {', '.join(names)}"
    return f"`couloir list {group}` shows its {len(names)} choices"


def defined_at(group: str) -> str:
    """File and line of the defaults entry that sets a group."""
    root = tree.find(tree.ROOT_CONFIG)
    assert root is not None, "the packaged tree has a root file"
    for number, line in enumerate(tree.read_text(root).splitlines(), 1):
        if re.match(rf"\s*-\s+{re.escape(group)}:", line):
            return f"{display(root)}, line {number}"
    return display(tree.packaged_conf() / group)
