"""A sentence as an experiment file: the choices of its groups, and the keys that its words and its recipes set.

Nothing here imports torch.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from couloir.config import tree
from couloir.config.compose import Sentence, is_of_a_sweep
from couloir.config.mistakes import COMPLAINTS
from couloir.config.wrong_choices import SEVERAL, parsed
from couloir.errors import CouloirError, as_typed, display
from couloir.record.configuration import MISSING, flat
from couloir.record.folder import RunFolder
from couloir.record.recipe import FILE, read_recipe, write_recipe

ALWAYS = ("data", "model", "initializer", "loss", "optimizer", "scheduler", "augmentation")
"""Groups whose choice a recipe names also where it is the default."""
ORDER = (
    "data", "task", "model", "finetune", "initializer", "loss", "optimizer", "scheduler", "momentum_schedule",
    "averaging", "augmentation", "tta", "metric", "trainer", "callbacks", "logger",
)  # fmt: skip
"""In which order a recipe names them; groups of the user's own follow."""
NO_PART = ("output_dir", "auto_resume", "config_dir", "allow_targets", "hydra", "sweep", "pruner")
"""Root keys about where a run goes and what it belongs to, not about what it is."""
BY_THE_SENTENCE = ("by_scale", "in_proportion", "chosen", "inspect", "couloir.run_name")
"""Resolvers whose references may stay: they say the same wherever the sentence does."""


@dataclass(frozen=True)
class Recipe:
    """What an experiment file says.

    Attributes:
        choices: group -> the choice, or a list of them.
        also: entries of the defaults list before those: what an experiment of the sentence brings besides, and groups
            that the root file has no choice for; None as the choice: an entry without one, `/callbacks/mine`.
        keys: the keys below their groups.
        own: files of the user's own that it needs.
    """

    choices: dict[str, Any] = field(default_factory=dict)
    also: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)
    own: list[Path] = field(default_factory=list)

    def with_keys(self, keys: Mapping[tuple[str, ...], Any]) -> Recipe:
        """The recipe with more keys, each by the names that lead to it: a name may have a dot in it."""
        whole = copy.deepcopy(self.keys)
        for (*above, last), value in keys.items():
            node = whole
            for name in above:
                node[name] = node[name] if isinstance(node.get(name), dict) else {}
                node = node[name]
            node[last] = value
        return replace(self, keys=whole)

    def as_text(self, header: Sequence[str]) -> str:
        """The YAML file.

        Args:
            header: its comment lines, without their marks.
        """
        lines = ["# @package _global_", *(f"# {' '.join(line.split())}" for line in header), "defaults:"]
        for entry in self.also:
            lines += [
                f"  - {name}" + ("" if choice is None else f": {_written(choice)}") for name, choice in entry.items()
            ]
        lines += [f"  - override /{group}: {_written(choice)}" for group, choice in self.choices.items()]
        return "\n".join([*lines, "  - _self_", *_block(self.keys, "")]) + "\n"


def recipe_of(sentence: Sentence) -> Recipe:
    """The recipe of a settled sentence.

    Raises:
        CouloirError: a YAML file cannot say it.
    """
    if not sentence.sources:
        raise CouloirError("The run was trained from a configuration in Python, not from words.")
    try:
        return _recipe_of(sentence)
    except COMPLAINTS as error:
        reason = " ".join(str(error).split())
        raise CouloirError(f"The words of the run cannot be said in one file: {reason}") from error


def _recipe_of(sentence: Sentence) -> Recipe:
    experiments = [source for source in sentence.sources if tree.is_experiment(source.file)]
    node = _own_root_keys(sentence)
    for source in experiments:
        content: Any = OmegaConf.load(source.file)
        content.pop("defaults", None)
        if source.package:
            inside, content = content, OmegaConf.create()
            OmegaConf.update(content, source.package, inside, force_add=True)
        node = OmegaConf.merge(node, content)  # type: ignore[assignment]
    also = list(_further_entries([source.file for source in experiments]))
    for override in _parsed(sentence.overrides):
        _set(node, override, sentence)
    keys = {name: value for name, value in _plain(node).items() if name not in NO_PART}
    choices, added = _choices(sentence, [source.file for source in experiments]), _roots_defaults()[-1]
    # A group that the root file has no choice for, `+backbone=small`, is added, not overridden.
    also += [{f"/{name}": choices.pop(name)} for name in [*choices] if "@" not in name and name not in added]
    also = [entry for number, entry in enumerate(also) if entry not in also[:number]]
    return Recipe(choices, also, _settled(keys, (), sentence.cfg), _own_files(sentence))


def read_back(text: str) -> Recipe:
    """The recipe that a file holds, as `as_text` wrote it.

    Raises:
        CouloirError: it holds no recipe.
    """
    try:
        content: Any = OmegaConf.create(text)
        entries = [entry for entry in content.pop("defaults") if entry != "_self_"]
        begins = "override /"
        choices: dict[str, Any] = {}
        also = []
        for entry in entries:
            ((name, choice),) = ({entry: None} if isinstance(entry, str) else _plain(entry)).items()
            if name.startswith(begins):
                choices[name.removeprefix(begins)] = choice
            else:
                also.append({name: choice})
        return Recipe(choices, also, _plain(content))
    except (yaml.YAMLError, OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CouloirError(f"The run's recipe.yaml is no experiment file: {reason}") from error


def with_words(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe with keys that words set, those of a run that went on with other values."""
    found = {}
    for override in _parsed(words):
        if override.key_or_group.partition(".")[0] not in NO_PART:
            found[tuple(override.key_or_group.split("."))] = _value(override)
    return recipe.with_keys(found)


def different(recipe: DictConfig, cfg: DictConfig) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """The keys in which the configuration that a recipe makes, and that of a run differ, with both values.

    What says where a run goes is left out, and so are keys that have come since the run was made.
    """
    now, then = (dict(_paths(OmegaConf.to_container(each, resolve=True))) for each in (recipe, cfg))
    return {
        path: (now.get(path, MISSING), value)
        for path, value in then.items()
        if path[0] not in NO_PART and repr(now.get(path, MISSING)) != repr(value)
    }


def _paths(node: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The names that lead to each value; a list is one value, and so is an empty node."""
    if not isinstance(node, dict) or not node:
        yield above, node
        return
    for name, value in node.items():
        yield from _paths(value, (*above, name))


def record_recipe(folder: RunFolder, sentence: Sentence, changed: Sequence[str]) -> None:
    """Write `recipe.yaml` of a run that starts, or that goes on with other values.

    Where no file can say it, there is none, and `couloir recipe` says why.

    Args:
        folder: the run's folder.
        sentence: what it trains.
        changed: the words with which it goes on.
    """
    before = read_recipe(folder.path, strict=False)
    try:
        if sentence.sources:
            recipe, run = recipe_of(sentence), display(folder.path)
            header = header_of(sentence.overrides, recipe.choices, run, recipe.own)
            header.append(command_of(display(folder.path / FILE), sentence.overrides))
        elif changed and before is not None:
            recipe = with_words(read_back(before), changed)
            header = [*lines_above(before), f"Resumed: on the way, with {as_typed(changed)}."]
        else:
            return
    except CouloirError:
        return
    write_recipe(folder, recipe.as_text(header))


def lines_above(text: str) -> list[str]:
    """The comment lines that open a recipe, without their marks."""
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [line.lstrip("# ") for line in lines if "@package" not in line]


def header_of(words: Sequence[str], choices: Mapping[str, Any], run: str, own: Sequence[Path]) -> list[str]:
    """The lines that open a recipe: what it is, and the run and the words that it is made of."""
    first = f"{_named(choices.get('model'))} on {_named(choices.get('data'))}, as a run trained it."
    shown = as_typed(word for word in words if not word.startswith("hydra."))
    lines = [first, f"Source: the run {run}{f', of the words {shown}' if shown else ', which had no words'}."]
    if own:
        lines.append(f"Own files: {', '.join(dict.fromkeys(display(file) for file in own))}.")
    return lines


def command_of(file: str, words: Sequence[str]) -> str:
    """The line that trains a recipe: words that no file can hold stand beside it."""
    beside = [word for word in words if word.lstrip("+").startswith(("config_dir=", "allow_targets="))]
    return f"Command: {as_typed(['train', f'experiment={file}', *beside])}"


def _named(choice: Any) -> str:
    return " and ".join(map(str, choice)) if isinstance(choice, list) else str(choice)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _parsed(words: Sequence[str]) -> list[Override]:
    """The words that set a key.

    Raises:
        CouloirError: one takes a key away, which a YAML file cannot.
    """
    found = []
    for word in words:
        override = parsed(word)
        if override is None or is_of_a_sweep(word) or override.key_or_group.startswith("hydra"):
            continue
        key = override.key_or_group
        if key in tree.groups() and not isinstance(None if override.is_delete() else override.value(), dict):
            continue
        if override.is_delete() and key.startswith("callbacks."):
            found.append(override)
        elif override.is_delete():
            raise CouloirError(
                f"'{word}' takes a key away, which an experiment file cannot do.",
                next_step="write a choice of your own without that key: conf/GROUP/NAME.yaml",
            )
        else:
            found.append(override)
    return found


def _value(override: Override) -> Any:
    """The value of a word; a callback that is taken away is none."""
    return None if override.is_delete() else override.value()


def _set(node: DictConfig, override: Override, sentence: Sentence) -> None:
    """Set a key as its word says; a word that sets an entry of a list stands for the whole list."""
    key = override.key_or_group
    above, _, last = key.rpartition(".")
    while above:
        part = OmegaConf.select(sentence.cfg, above) if last.isdigit() else None
        if isinstance(part, ListConfig):
            OmegaConf.update(node, above, _plain(part), merge=False, force_add=True)
            return
        above, _, last = above.rpartition(".")
    OmegaConf.update(node, key, _value(override), merge=True, force_add=True)


def _settled(value: Any, path: tuple[str, ...], cfg: DictConfig) -> Any:
    """A value as it was typed; of `latest` the run that it led to, and of the environment what it said."""
    if isinstance(value, dict):
        return {name: _settled(inner, (*path, name), cfg) for name, inner in value.items()}
    text = str(value) if isinstance(value, str | list) else ""
    resolvers = re.findall(r"\$\{([a-z_.]+):", text)
    if not text or (not isinstance(value, str) and not resolvers):
        return value
    if "${" in text and all(name in BY_THE_SENTENCE for name in resolvers):
        return value
    node: Any = cfg
    try:
        for name in path:
            node = node[name]
        settled = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    except (OmegaConfBaseException, TypeError, KeyError):
        return value
    return settled if "${" in text or isinstance(settled, str) else value


def _own_root_keys(sentence: Sentence) -> DictConfig:
    """What a root file of the user's own says that the packaged one does not, and no other file says otherwise."""
    root, packaged = tree.find(tree.ROOT_CONFIG), tree.packaged_conf() / f"{tree.ROOT_CONFIG}.yaml"
    node = OmegaConf.create()
    if root is None or root == packaged:
        return node
    usual, ours = (_contents(file) for file in (packaged, root))
    others = {
        f"{source.package}.{path}".lstrip(".")
        for source in sentence.sources
        if source.file != root
        for path in _contents(source.file)
    }
    for path, value in ours.items():
        if path not in others and (path not in usual or repr(usual[path]) != repr(value)):
            OmegaConf.update(node, path, value, force_add=True)
    return node


def _contents(file: Path) -> dict[str, Any]:
    content: Any = OmegaConf.load(file)
    if not isinstance(content, DictConfig):
        return {}
    content.pop("defaults", None)
    return {path: value for path, value in flat(content).items() if path}


def _entries(file: Path) -> tuple[Any, ...]:
    return _read_entries(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _read_entries(file: Path, _changed: int) -> tuple[Any, ...]:
    content: Any = OmegaConf.load(file)
    return tuple(_plain(content.get("defaults")) or ()) if isinstance(content, DictConfig) else ()


def _defaults(file: Path | None) -> dict[str, Any]:
    """group -> choice of a root file's defaults list."""
    entries = () if file is None else _entries(file)
    found: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, dict):
            found |= {str(name).removeprefix("override ").strip(" /"): choice for name, choice in entry.items()}
    return found


def _roots_defaults() -> list[dict[str, Any]]:
    """group -> choice of the packaged root file, and of the one that is used."""
    return [
        _defaults(file) for file in (tree.packaged_conf() / f"{tree.ROOT_CONFIG}.yaml", tree.find(tree.ROOT_CONFIG))
    ]


def _choices(sentence: Sentence, experiments: list[Path]) -> dict[str, Any]:
    """The choices that a recipe names, in its order."""
    named: dict[str, Any] = {}
    for file in experiments:
        for entry in _entries(file):
            for name, choice in entry.items() if isinstance(entry, dict) else ():
                if str(name).startswith("override "):
                    named[str(name).removeprefix("override ").strip(" /")] = choice
    for word in sentence.overrides:
        override = parsed(word)
        if override is not None and override.key_or_group in tree.groups() and not override.is_delete():
            key = override.key_or_group + (f"@{override.package}" if override.package else "")
            if not isinstance(value := override.value(), dict):
                named[key] = value
    usual = _roots_defaults()
    found: dict[str, Any] = {}
    for group in [*ORDER, *(name for name in {**sentence.choices, **named} if name not in ORDER)]:
        if group.partition("@")[0].partition("/")[0] in (*NO_PART, "experiment"):
            continue
        chosen = sentence.choices.get(group)
        if chosen is None and group in named and group.partition("@")[0] in SEVERAL:
            chosen = named[group]
        elif chosen is None and (group not in sentence.choices or group in ("loss",)):
            if f"~{group}" in sentence.overrides and any(default.get(group) for default in usual):
                chosen = "none" if "none" in tree.choices(group) else None
            else:
                continue
        differs = any(default.get(group) != chosen for default in usual)
        if group in ALWAYS or group in named or ("@" not in group and differs):
            found[group] = chosen
    return found


def _further_entries(experiments: list[Path]) -> Iterator[dict[str, Any]]:
    """What the defaults lists of experiments bring besides choices and other experiments.

    Raises:
        CouloirError: an entry comes after the file's own keys, which could not be said in one file.
    """
    for file in experiments:
        after = False
        for entry in _entries(file):
            if entry == "_self_":
                after = True
                continue
            written = entry if isinstance(entry, dict) else {str(entry): None}
            ((name, choice),) = written.items()
            plain = str(name).removeprefix("optional ").partition("@")[0]
            if str(name).startswith("override ") or not plain.startswith("/") or plain.startswith("/experiment"):
                continue
            if after:
                raise CouloirError(
                    f"The entry '{name}: {choice}' stands after the keys of its file, and a recipe is one file.",
                    place=display(file),
                    next_step="put it before _self_",
                )
            yield {str(name): choice}


def _own_files(sentence: Sentence) -> list[Path]:
    """The choices of the user's own that the sentence is made of."""
    root = tree.find(tree.ROOT_CONFIG)
    return [
        source.file
        for source in sentence.sources
        if tree.is_own(source.file) and source.file != root and not tree.is_experiment(source.file)
    ]


def _block(node: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_written(name)}:"
            yield from _block(value, f"{indent}  ")
        else:
            yield f"{indent}{_written(name)}: {_written(value)}"


def _written(value: Any, flow: bool = False) -> str:
    """A value in one line, as OmegaConf reads it back.

    Args:
        value: a scalar, a list or a dictionary.
        flow: whether it stands within brackets.
    """
    if isinstance(value, list):
        return f"[{', '.join(_written(entry, True) for entry in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_written(name, True)}: {_written(entry, True)}' for name, entry in value.items())}}}"
    text = yaml.safe_dump([value] if flow else value, default_flow_style=flow, width=1_000_000, allow_unicode=True)
    text = text.strip().removesuffix("...").strip()
    text = text[1:-1] if flow else text
    if "\n" not in text and _read(text) == repr(value):
        return text
    return json.dumps(value, ensure_ascii=False)  # as YAML has it too


def _read(text: str) -> str:
    try:
        return repr(_plain(OmegaConf.create(f"v: {text}")).get("v"))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError):
        return ""
