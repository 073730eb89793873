"""What the user probably meant, when Hydra cannot compose the sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, tree
from couloir.config.files import not_text
from couloir.config.omegaconf_private import stored
from couloir.config.wrong_choices import choices_like, defined_at, parsed, wrong_choice
from couloir.errors import CouloirError, as_typed, asked, display, in_quotes, nearest
from couloir.record.configuration import flat

Choices = dict[str, str | None]
ComposeChoices = Callable[[list[str]], tuple[DictConfig, Choices]]
COMPLAINTS = (
    HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, RecursionError,
)  # fmt: skip
"""What Hydra, OmegaConf and PyYAML raise for words and files that make no sense; not all of it is made for readers."""
MOST_MEANT = 3
"""Words that a message proposes."""
UNSAID = ("hydra.", "sweep.", "pruner.")
"""Keys that are not proposed to a sentence."""
FLAGS = (
    "--help",
    "--json",
    "--quiet",
    "--version",
    "--cfg",
    "--multirun",
    "--resolve",
    "--package",
    "--info",
    "--shell-completion",
)
"""Flags of `train`."""


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
            return CouloirError(
                "The sentence, or one of its files, is nested too deeply.", next_step="write it flatter"
            )
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
    words = Words(overrides, compose_choices)
    keys = []
    for place, text in enumerate(overrides):
        override = parsed(text)
        if override is None:
            return _unreadable(overrides, place, words)
        if override.key_or_group.startswith("hydra"):
            continue
        if override.is_sweep_override() and not multirun:
            return _several(text, override, words)
        if override.key_or_group in tree.groups():
            mistake = wrong_choice(override)
            if mistake is not None:
                return mistake
        else:
            keys.append(override)
    if words.composed is None:
        return None  # not one override's fault; the caller quotes Hydra
    cfg, chosen = words.composed
    for text in words.chosen:
        override = parsed(text)
        if override is not None and override.is_delete() and "=" in text:
            group, _, choice = text.lstrip("~").partition("=")
            if chosen.get(group) not in (choice, None):
                return CouloirError(
                    f"'{text}' takes nothing away: the sentence has {group}={chosen[group]}.",
                    next_step=f"leave {text} out",
                )
    for override in keys:
        there = _exists(cfg, override.key_or_group)
        if not there and not override.is_add():
            return _unknown_key(override, cfg, chosen, words)
        if there and override.is_add() and not override.is_force_add():
            text = (override.input_line or "").lstrip("+")
            return CouloirError(
                f"The key {override.key_or_group} is there already, and + is for keys that are not.", next_step=text
            )
    return None


def refuse_lost_backslash(overrides: list[str]) -> None:
    """Refuse a folder of another machine, `\\\\server\\photos`, outside of quotes: Hydra takes a backslash off.

    Raises:
        CouloirError: there is one.
    """
    for text in overrides:
        key, _, value = text.partition("=")
        if value.startswith("\\\\"):
            raise CouloirError(
                f"Of the two backslashes that {key} begins with, Hydra reads one.",
                next_step=f"put it into quotes: {as_typed([f'{key}={in_quotes(value)}'])}",
            )


class Words:
    """The words of a sentence, to see what one of them may have meant: what is proposed composes with the others.

    Args:
        overrides: what was typed.
        compose_choices: composes overrides.
    """

    def __init__(self, overrides: list[str], compose_choices: ComposeChoices) -> None:
        self.overrides, self._compose = overrides, compose_choices

    @cached_property
    def chosen(self) -> list[str]:
        """The words that choose for a group, without those that choose what is not there, or several."""
        found = []
        for text in self.overrides:
            override = parsed(text)
            if override is None or override.is_sweep_override() or override.key_or_group not in tree.groups():
                continue
            if wrong_choice(override) is None:
                found.append(text.lstrip("+"))
        return found

    @cached_property
    def composed(self) -> tuple[DictConfig, Choices] | None:
        """What those words make; None where they do not go together."""
        for chosen in (self.chosen, [text for text in self.chosen if not text.startswith("~")]):
            try:
                return self._compose(chosen)
            except COMPLAINTS:
                continue
        return None

    def work(self, word: str) -> bool:
        """Whether a word composes with those: its choice or its key is there."""
        override = parsed(word)
        if override is None or self.composed is None:
            return False
        if override.key_or_group in tree.groups():
            return wrong_choice(override) is None
        return _exists(self.composed[0], override.key_or_group)

    def meant(self, word: str) -> list[str]:
        """What a word `key=value` may have meant, the likeliest first: itself where nothing is wrong with it."""
        key, equals, value = word.partition("=")
        key, sign = key.lstrip("+~"), "~" if key.startswith("~") else ""
        if not equals or self.composed is None:
            return []
        cfg, choices = self.composed
        there = key in tree.groups() or _exists(cfg, key)
        found: list[str] = []
        for name in [key] if there else dict.fromkeys(_keys_like(key, cfg)):
            for given in _choices_like(name, value):
                proposed = f"{sign}{name}={given}"
                if len(found) < MOST_MEANT and _takes(name, proposed, choices) and self.work(proposed):
                    found.append(proposed)
        return found


def _keys_like(key: str, cfg: DictConfig) -> list[str]:
    """Groups and keys like one that is not there."""
    first, _, rest = key.partition(".")
    everything = [name for name in flat(cfg) if not name.startswith(UNSAID) and "_target_" not in name]
    found: list[str] = []
    for top in [first] if first in tree.groups() else nearest(first, [*tree.groups(), *_tops(cfg)]):
        below = [name.removeprefix(f"{top}.") for name in everything if name.startswith(f"{top}.")]
        if not rest:
            found.append(top)
        else:
            found += [f"{top}.{name}" for name in ([rest] if rest in below else nearest(rest, below))]
    if found and rest:
        return found
    last = key.rpartition(".")[2]
    ends = {name: name.rpartition(".")[2] for name in everything}
    same = [name for name, end in ends.items() if end == last]
    return same or [
        *found,
        *(name for near in nearest(last, ends.values(), count=1) for name in ends if ends[name] == near),
    ]


def _takes(key: str, word: str, choices: Choices) -> bool:
    """Whether a key takes the value of a word, as far as its file says."""
    group, _, rest = key.partition(".")
    file = tree.find(f"{group}/{choices.get(group)}" if group in tree.groups() else tree.ROOT_CONFIG)
    override = parsed(word)
    if file is None or override is None or override.is_sweep_override() or override.is_delete():
        return override is not None
    path = rest if group in tree.groups() else key
    entries = [*contract.read_keys(file), *contract.shared_keys(group)]
    return all(contract.violation(entry, override.value()) is None for entry in entries if entry.path == path)


def _tops(cfg: DictConfig) -> list[str]:
    return [str(name) for name in cfg if str(name) not in (*tree.groups(), "hydra")]


def _choices_like(key: str, value: str) -> list[str]:
    """A value, or where its key is a group, those of its choices that it may mean."""
    if key not in tree.groups() or value.startswith(("[", "{")) or "," in value or value in tree.choices(key):
        return [value]
    return choices_like(key, value)


def _sweeps(text: str) -> bool:
    override = parsed(text)
    return override is not None and bool(override.is_sweep_override())


def _several(text: str, override: Override, words: Words) -> CouloirError:
    key, _, value = text.partition("=")
    step = "train -m ... runs them in turn; a list is written [a,b], a word with a comma 'a,b'"
    if re.fullmatch(r"-?\d+,\d+", value) and words.composed is not None:
        node = OmegaConf.select(words.composed[0], override.key_or_group, throw_on_missing=False)
        if isinstance(node, float):
            step = (
                f"a number is written with a point, {key}={value.replace(',', '.')}; train -m ... runs several in turn"
            )
        elif OmegaConf.is_list(node):
            step = f"a list stands in brackets: {key}=[{value}]"
    return CouloirError(f"'{text}' names several values.", next_step=step)


def _unreadable(overrides: list[str], place: int, words: Words) -> CouloirError:
    """What is wrong with a word that is not of the form key=value, or whose value cannot be read."""
    text, before, after = overrides[place], overrides[:place], overrides[place + 1 :]
    key, equals, value = text.partition("=")
    if text.startswith("-") and not key.strip("-").startswith("~"):
        return _with_dashes(text, after, words)
    if equals:
        for count in range(1, len(after) + 1):  # model.hidden=[32, 16]
            whole = " ".join([text, *after[:count]])
            if parsed(whole) is not None:
                return CouloirError(
                    f"The value of '{key}' is cut at a space: {value}",
                    next_step=f"put it into quotes: {as_typed([whole])}",
                )
        right = [] if not value.startswith("=") else words.meant(f"{key}={value.lstrip('=')}")
        right = right or (words.meant(f"{key.strip('/')}={value}") if key.startswith("/") else [])
        inside = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""  # such as 'C:\photos\'
        quoted = [f"{key}={in_quotes(value[1:-1] if inside else value)}"]
        if value[:1] + value[-1:] == "[]":
            quoted.append(f"{key}=[{','.join(in_quotes(entry.strip()) for entry in value[1:-1].split(','))}]")
        fits = next((word for word in quoted if word in words.meant(word)), None)
        advice = asked(right) or (f"put it into quotes: {as_typed([fits])}" if fits else None)
        return CouloirError(
            f"The value of '{key}' cannot be read: {value}",
            next_step=advice or "write a number, a word, [a,b] or 'a text in quotes'",
        )
    cut = bool(before) and "=" in before[-1]
    path = cut and "/" in before[-1].partition("=")[2]  # what follows is rather its end than a choice
    step = None if path else asked(_without_equals(text, before, after, words))
    if step is None and cut:
        step = f"a value with a space in it stands in quotes: {as_typed([f'{before[-1]} {text}'])}"
    return CouloirError(f"'{text}' is not of the form key=value.", next_step=step or "write group=choice or key=value")


def _with_dashes(text: str, after: list[str], words: Words) -> CouloirError:
    """The answer to `--optimizer.lr=0.1`, `--model resnet50` and `--multirn`."""
    name, equals, value = text.lstrip("-").partition("=")
    flags = [] if equals else nearest(text, FLAGS, count=1)
    if not equals and after and not after[0].startswith("-") and "=" not in after[0]:
        equals, value = "=", after[0]
    right = words.meant(f"{name.replace('-', '_')}={value}") if equals else []
    fact = f"There is no flag '{text}'."
    if right:
        fact = f"There is no flag '{text}': the words of a sentence begin without dashes."
    return CouloirError(fact, next_step=asked(right or flags) or "`train --help` lists the flags")


def _without_equals(text: str, before: list[str], after: list[str], words: Words) -> list[str]:
    """What was meant by a word without a `=`: it stands before or after the word, or is a `:`, or is missing."""
    joined = []
    if before and before[-1].endswith("="):  # optimizer.lr= 0.1
        joined.append(f"{before[-1]}{text}")
    if after and after[0].startswith("="):  # optimizer.lr = 0.1
        joined.append(f"{text}{after[0]}" if after[0] != "=" or len(after) == 1 else f"{text}={after[1]}")
    elif after and "=" not in after[0] and not after[0].startswith("-"):  # model resnet50
        joined.append(f"{text}={after[0]}")
    joined += [text.replace(sign, "=", 1) for sign in (":", "/") if sign in text]
    for word in joined:
        if right := words.meant(word):
            return right
    groups = [group for group in tree.groups() if text in tree.choices(group)]
    return [word for group in groups if words.work(word := f"{group}={text}")]


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


def _unknown_key(override: Override, cfg: DictConfig, choices: Choices, words: Words) -> CouloirError:
    key = override.key_or_group
    group, _, rest = key.partition(".")
    step = asked(words.meant(override.input_line or ""))
    if group not in tree.groups():
        return _unknown_word(key, cfg, step)
    choice = choices.get(group)
    file = tree.find(f"{group}/{choice}")
    files = [file] if file is not None else _files_of(group, cfg)
    if not files:
        return CouloirError(f"The sentence has no {group}, so there is no '{key}'.", place=defined_at(group))
    entries = [*(key for path in files for key in contract.read_keys(path)), *contract.shared_keys(group)]
    keys = [entry for entry in entries if not entry.path.rpartition(".")[2].startswith("_")]
    names = [entry.path for entry in keys]
    close = nearest(rest, names, count=1)
    nearest_key = next((entry for entry in keys if close and entry.path == close[0]), None)
    place = (files[0], 1) if nearest_key is None else (nearest_key.file, nearest_key.line)
    named = choice or f"[{','.join(path.stem for path in files)}]"
    owned = owners(rest, [group])
    if owned is not None and step is not None and f"{group}." not in step:
        step = None  # another choice of the group has this very key: no other group's is meant
    return CouloirError(
        f"{group}={named} has no key '{rest}'.",
        place=f"{display(place[0])}, line {place[1]}; keys: {', '.join(names)}",
        next_step=step or owned or f"`train {group}={named} --cfg job` shows every key",
    )


def owners(key: str, groups: list[str]) -> str | None:
    """The choices that have a key, where some have."""
    line = re.compile(rf"^{re.escape(key)}:", re.MULTILINE)
    owners = [
        f"{group}={name}"
        for group in groups
        for name, path in tree.choices(group).items()
        if line.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    more = ", ..." if len(owners) > 4 else ""
    return f"it is a key of {', '.join(owners[:4])}{more}" if owners else None


def _files_of(group: str, cfg: DictConfig) -> list[Path]:
    """The choices that a list of them (`metric=[f1,auroc]`) stands for, by the nodes that they bring."""
    there = set(cfg.get(group) or ())
    return [path for path in tree.choices(group).values() if there & {key.path for key in contract.read_keys(path)}]


def _unknown_word(key: str, cfg: DictConfig, step: str | None) -> CouloirError:
    root = tree.find(tree.ROOT_CONFIG)
    assert root is not None, "the packaged tree has a root file"
    return CouloirError(
        f"There is no group or key called '{key}'.",
        place=f"{display(root)}; names: {', '.join([*tree.groups(), *_tops(cfg)])}",
        next_step=step or owners(key, tree.groups()) or "`couloir list` describes the groups",
    )
