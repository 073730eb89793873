"""What the user probably meant, when Hydra cannot compose the sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, tree
from couloir.config.files import not_text
from couloir.config.omegaconf_private import stored
from couloir.errors import CouloirError, did_you_mean, display, nearest

Choices = dict[str, str | None]
ComposeChoices = Callable[[list[str]], tuple[DictConfig, Choices]]
COMPLAINTS = (
    HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, RecursionError,
)  # fmt: skip
"""What Hydra, OmegaConf and PyYAML raise for words and files that make no sense; not all of it is made for readers."""
MOST_LISTED = 20
"""Choices that a message names; of more it says how many there are."""


def explain(error: Exception, overrides: list[str], compose_choices: ComposeChoices) -> CouloirError:
    """The mistake behind an exception of Hydra's or OmegaConf's, as fact, place and next step.

    Args:
        error: what Hydra or OmegaConf raised.
        overrides: the overrides as typed.
        compose_choices: composes a list of `group=choice` overrides alone, to see which keys they have.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CouloirError):
            return cause
        if isinstance(cause, yaml.YAMLError):
            return CouloirError(f"A configuration file cannot be read as YAML: {cause}")
        if isinstance(cause, UnicodeDecodeError):
            return not_text(cause)
        if isinstance(cause, RecursionError):
            return CouloirError("The sentence, or a file of it, is nested too deeply.", next_step="write it flatter")
        cause = cause.__cause__ or cause.__context__
    mistake = find_mistake(overrides, compose_choices)
    if mistake is not None:
        return mistake
    lines = [line.strip() for line in str(error).splitlines() if line.strip()][:3]
    return CouloirError(
        "The sentence cannot be composed: " + " ".join(lines),
        next_step="`couloir list` shows the groups, `train --cfg job` the keys",
    )


def find_mistake(overrides: list[str], compose_choices: ComposeChoices, multirun: bool = False) -> CouloirError | None:
    """The first override that names a group, choice or key that does not exist, or that cannot be read."""
    choices, keys = [], []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except (HydraException, ValueError, RecursionError):
            return _unreadable(text)
        if override.key_or_group.startswith("hydra"):
            continue
        if override.is_sweep_override() and not multirun:
            return CouloirError(
                f"'{text}' names several values.",
                next_step="train -m ... runs them in turn; a list is written [a,b], a word with a comma 'a,b'",
            )
        if override.key_or_group in tree.groups():
            mistake = _wrong_choice(override)
            if mistake is not None:
                return mistake
            choices.append(text)
        elif not override.is_add():
            keys.append(override)
    try:
        cfg, chosen = compose_choices([text for text in choices if not _sweeps(text)])
    except COMPLAINTS:
        return None  # not one override's fault; the caller quotes Hydra
    for override in keys:
        if not _exists(cfg, override.key_or_group):
            return _unknown_key(override, cfg, chosen)
    return None


def _sweeps(text: str) -> bool:
    return bool(OverridesParser.create().parse_override(text).is_sweep_override())


def _unreadable(text: str) -> CouloirError:
    key, equals, value = text.partition("=")
    if not equals:
        hint = did_you_mean(text.lstrip("-"), tree.groups(), form="{}=...")
        return CouloirError(
            f"'{text}' is not of the form key=value.", next_step=hint or "write group=choice or key=value"
        )
    return CouloirError(
        f"The value of '{key}' cannot be read: {value}",
        next_step=f"put it into quotes: '{key}=\"{value}\"'",
    )


def _wrong_choice(override: Override) -> CouloirError | None:
    group = override.key_or_group
    if override.is_delete():
        return None
    named: list[object]
    if "glob(" in (override.input_line or ""):
        return None  # a pattern over what is there
    if override.is_sweep_override():
        named = list(override.sweep_string_iterator())
    else:
        value = override.value()
        named = list(value) if isinstance(value, list) else [value]
    available = tree.choices(group)
    for choice in named:
        optional = group in ("experiment", "sweep") and choice is None
        if optional or str(choice).strip("'\"") in available:
            continue
        hint = did_you_mean(str(choice), available, form=f"{group}={{}}")
        return CouloirError(
            f"There is no {group} called '{choice}'.",
            place=f"{_defined_at(group)}; {_listed(group, list(available))}",
            next_step=hint or f"`couloir list {group}` describes each choice",
        )
    return None


def _listed(group: str, names: list[str]) -> str:
    """All choices, where they fit into a line or two."""
    if len(names) <= MOST_LISTED:
        return f"choices: {', '.join(names)}"
    return f"`couloir list {group}` shows its {len(names)} choices"


def _defined_at(group: str) -> str:
    """File and line of the defaults entry that sets a group."""
    root = tree.find(tree.ROOT_CONFIG)
    assert root is not None, "the packaged tree has a root file"
    for number, line in enumerate(root.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(rf"\s*-\s+{re.escape(group)}:", line):
            return f"{display(root)}, line {number}"
    return display(tree.packaged_conf() / group)


def _exists(cfg: DictConfig, key: str) -> bool:
    node: object = cfg
    for part in key.split("."):
        if isinstance(node, ListConfig) and part.isdigit():
            node = stored(node, int(part))
        elif isinstance(node, DictConfig) and part in node.keys():  # noqa: SIM118  "in node" is False for ???
            node = stored(node, part)
        else:
            return False
    return True


def _unknown_key(override: Override, cfg: DictConfig, choices: Choices) -> CouloirError:
    key = override.key_or_group
    value = (override.input_line or "").partition("=")[2]
    group, _, rest = key.partition(".")
    if group not in tree.groups():
        return _unknown_word(key, value, cfg)
    choice = choices.get(group)
    file = tree.find(f"{group}/{choice}")
    files = [file] if file is not None else _files_of(group, cfg)
    if not files:
        return CouloirError(f"The sentence has no {group}, so there is no '{key}'.", place=_defined_at(group))
    entries = [*(key for path in files for key in contract.read_keys(path)), *contract.shared_keys(group)]
    keys = [entry for entry in entries if not entry.path.rpartition(".")[2].startswith("_")]
    names = [entry.path for entry in keys]
    hint = did_you_mean(rest, names, form=f"{group}.{{}}={value}")
    close = nearest(rest, names, count=1)
    nearest_key = next((entry for entry in keys if close and entry.path == close[0]), None)
    place = (files[0], 1) if nearest_key is None else (nearest_key.file, nearest_key.line)
    owners = [name for name, path in tree.choices(group).items() if rest in {e.path for e in contract.read_keys(path)}]
    if owners and not hint:
        hint = "it is a key of " + ", ".join(f"{group}={name}" for name in owners[:4])
    named = choice or f"[{','.join(path.stem for path in files)}]"
    return CouloirError(
        f"{group}={named} has no key '{rest}'.",
        place=f"{display(place[0])}, line {place[1]}; keys: {', '.join(names)}",
        next_step=hint or f"`train {group}={named} --cfg job` shows every key",
    )


def _files_of(group: str, cfg: DictConfig) -> list[Path]:
    """The choices that a list of them (`metric=[f1,auroc]`) stands for, by the nodes that they bring."""
    there = set(cfg.get(group) or ())
    return [path for path in tree.choices(group).values() if there & {key.path for key in contract.read_keys(path)}]


def _unknown_word(key: str, value: str, cfg: DictConfig) -> CouloirError:
    names = [*tree.groups(), *(str(name) for name in cfg if str(name) not in (*tree.groups(), "hydra"))]
    hint = did_you_mean(key, names, form=f"{{}}={value}") or did_you_mean(key.partition(".")[0], names, form="{}=...")
    if not hint:
        inside = [f"{group}.{key}" for group in tree.groups() if _exists(cfg, f"{group}.{key}")]
        hint = f"did you mean {inside[0]}={value}?" if inside else "`couloir list` describes the groups"
    root = tree.find(tree.ROOT_CONFIG)
    assert root is not None, "the packaged tree has a root file"
    return CouloirError(
        f"There is no group or key called '{key}'.",
        place=f"{display(root)}; names: {', '.join(names)}",
        next_step=hint,
    )
