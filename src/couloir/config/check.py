"""Everything about a sentence that can be found wrong before torch is imported."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, resolvers, scaling, targets, tree
from couloir.config.attention import check_attention
from couloir.config.augmented import augments, check_adversarial
from couloir.config.classifier_run import check_classifier
from couloir.config.compose import SWEEP_GROUPS, Sentence, compose_sentence
from couloir.config.contract import Key
from couloir.config.defaults import ignored_words
from couloir.config.fields import KINDS, TARGETS, fields_of, maps_of, of_kind
from couloir.config.filmed import check_film
from couloir.config.folds import check_folds
from couloir.config.image_size import in_words, meant_by
from couloir.config.made_for import check_made_for, models_for, tasks_of, usual_model
from couloir.config.metrics import (
    FACTS,
    MAKING,
    NEXT_TOKEN,
    check_facts,
    check_stated,
    measured,
    measuring,
    task_of,
)
from couloir.config.needs import fitting, gives_rows, keeps_size, lacking, other_way, told
from couloir.config.next_token import check_network, check_next_token, check_sizes, check_targets, predicts_next
from couloir.config.omegaconf_private import is_missing, selected
from couloir.config.pattern import check_pattern
from couloir.config.scaling import several_named
from couloir.config.settle import FROM_RUN, settle
from couloir.config.slopes import check_activation
from couloir.config.two_players import check_players
from couloir.config.unpadded import check_unpadded
from couloir.config.unread import PLAIN, SEVERAL, check_read
from couloir.config.video_networks import check_video_network
from couloir.config.weights import TIMM, check_channels, named
from couloir.errors import CouloirError, causes, did_you_mean, display
from couloir.record.checkpoint import best_weights
from couloir.record.find import find_run

REQUIRED = (
    "trainer", "callbacks", "logger", "task", "model", "initializer", "loss", "optimizer", "scheduler",
    "momentum_schedule", "averaging", "augmentation", "tta", "data",
)  # fmt: skip
OPTIONAL = ("loss", "scheduler", "momentum_schedule", "averaging", "tta", "logger")
"""Groups that may be null."""
MULTIPLICATIVE = "multiplicative"
"""Of `callbacks.noise.kind`, where nobody says another."""
GREEDY = "couloir.finetune.division.greedy"
NOT_GREEDY = {
    "trainer.max_steps": "null", "trainer.max_time": "null", "trainer.compile": "false",
    "callbacks.early_stopping.patience": "null", "callbacks.stop_at.threshold": "null",
}  # fmt: skip
"""Keys that do not go with a network that grows, and what they are without effect."""
REFERENCE = re.compile(r"\$\{([a-z_.]+)\}")
DURATION = re.compile(r"\d+(:\d{1,2}){3}")
GPU_DEVICES = ("dev/nvidia[0-9]*", "dev/nvidiactl", "dev/kfd", "dev/dxg")
"""What Linux shows below / where there is a GPU that torch can drive (NVIDIA, AMD, WSL)."""


def checked(words: list[str], reads_data: bool = True, each_fold: bool = False) -> Sentence:
    """The sentence that words make: composed, settled and checked.

    Args:
        words: what follows `train` at the prompt.
        reads_data: whether the data will be read; otherwise its sizes are enough, and its files need not be there.
        each_fold: whether a sweep names the fold that each of its runs tests on.

    Raises:
        CouloirError: a mistake in the sentence.
    """
    sentence = settle(compose_sentence(words))
    check(sentence, reads_data, each_fold)
    return sentence


def check(sentence: Sentence, reads_data: bool = True, each_fold: bool = False) -> None:
    """Check a settled sentence: required keys, data files, types and ranges, and whether the parts fit together.

    It only reads.

    Args:
        sentence: of `settle`.
        reads_data: whether the data will be read.
        each_fold: whether a sweep names the fold that each of its runs tests on.

    Raises:
        CouloirError: the first thing that is wrong.
    """
    with _told(sentence.cfg):
        _check(sentence, reads_data, each_fold)
        OmegaConf.to_container(sentence.cfg, resolve=True)  # also what nobody has asked for yet refers to something


@contextmanager
def _told(cfg: DictConfig) -> Iterator[None]:
    """A reference that leads nowhere is said in a sentence."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise _unresolved(error, cfg) from error
    except RecursionError as error:
        raise CouloirError("The configuration is nested too deeply, or refers to itself.") from error


def _check(sentence: Sentence, reads_data: bool, each_fold: bool) -> None:
    keys = _keys_by_path(sentence)
    _check_targets(sentence, keys)
    if sentence.sources:  # a run that was composed before may be of a version that had other keys
        _check_read(sentence, keys)
    _check_complete(sentence.cfg)
    _check_missing(sentence, keys, reads_data)
    if reads_data and str(sentence.cfg.data.get("_target_")).startswith("couloir."):
        facts = resolvers.inspect_data(sentence.cfg.data)
        if sentence.sources:  # a run keeps its sizes, whatever data it is asked about
            check_sizes(sentence.cfg.data, facts, sentence.choices.get("data"))
    _check_files(sentence, keys)
    data = {path: entries for path, entries in keys.items() if path.startswith("data.")}
    _check_values(sentence, data, keys)
    check_folds(sentence, each_fold, reads_data)
    _check_fields(sentence, keys)
    _check_needs(sentence, ["task"])
    check_targets(sentence.cfg, sentence.choices)
    check_made_for(sentence.cfg, sentence.choices)
    _check_needs(sentence, [*(group for group in sentence.choices if group not in ("task", "model")), "model"])
    check_network(sentence.cfg, sentence.choices)
    check_activation(sentence.cfg.model)
    _check_values(sentence, {path: entries for path, entries in keys.items() if path not in data}, keys)
    _check_parts(sentence)
    check_players(sentence.cfg, sentence.choices)
    check_next_token(sentence.cfg, sentence.choices)
    check_film(sentence.cfg, sentence.choices, sentence.overrides)
    check_adversarial(sentence.cfg)
    _check_classes(sentence, keys)
    _check_features(sentence)
    _check_metrics(sentence, keys)
    _check_monitors(sentence)
    _check_accelerator(sentence)
    _check_shared_weights(sentence)


def _keys_by_path(sentence: Sentence) -> dict[str, list[Key]]:
    """For each key of the configuration its entries in the YAML files, in the order in which they were merged."""
    found: dict[str, list[Key]] = {}
    for source in sentence.sources:
        packaged = _packaged_keys(source.file)
        for key in contract.read_keys(source.file):
            path = f"{source.package}.{key.path}" if source.package else key.path
            if not key.contract and key.path in packaged:
                found.setdefault(path, []).append(packaged[key.path])
            found.setdefault(path, []).append(key)
    return found


def _packaged_keys(file: Path) -> dict[str, Key]:
    """For a user's file that stands in for a packaged one, and calls the same, what that one says of its keys."""
    own = next((folder for folder in tree.own_confs() if file.is_relative_to(folder)), None)
    if own is None:
        return {}
    instead = tree.packaged_conf() / file.relative_to(own)
    if not instead.is_file():
        return {}
    theirs, ours = ({key.path: key for key in contract.read_keys(path)} for path in (instead, file))
    same = "_target_" in theirs and "_target_" in ours and theirs["_target_"].default == ours["_target_"].default
    return theirs if same else {}


def _place(path: str, keys: dict[str, list[Key]], sentence: Sentence) -> str:
    """Where a value was set last: on the command line, and the file and line of its key or the next one above."""
    for name in targets.ancestry(path):
        entries = keys.get(name, [])
        defined = f"{display(entries[-1].file)}, line {entries[-1].line}" if entries else ""
        begins = (f"{name}=", f"{name}.") if name == path else (f"{name}=",)
        typed = next((item for item in reversed(sentence.overrides) if item.lstrip("+").startswith(begins)), None)
        if typed and defined:
            return f"{typed} (the key is defined in {defined})"
        if typed or defined:
            return typed or defined
    return path


def _check_targets(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """Nothing is called, and no module imported, that a configuration may not name."""
    place = partial(_place, keys=keys, sentence=sentence)
    targets.check_targets(sentence.cfg, targets.extended(sentence.cfg), place)


def _check_read(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """Every key of the files and of the prompt is read by something."""
    for source in sentence.sources:
        mistake = ignored_words(source.file) if tree.is_own(source.file) else None
        if mistake is not None:
            raise mistake
    nodes = {str(name): node for name, node in sentence.cfg.items_ex(resolve=False)} | sentence.beside
    check_read(nodes, sentence.sources, sentence.choices, partial(_place, keys=keys, sentence=sentence))


def _check_missing(sentence: Sentence, keys: dict[str, list[Key]], reads_data: bool) -> None:
    missing = sorted(_missing(OmegaConf.to_container(sentence.cfg, resolve=False)))
    counted = [] if reads_data else resolvers.counted(sentence.cfg.data)
    if not reads_data and not counted:
        missing = [name for name in missing if not name.startswith("data.")]
    if missing:
        group = missing[0].partition(".")[0]
        owner = f"{group}={sentence.choices.get(group)}"
        instead = f", or data.{counted[0]}=..." if group == "data" and len(counted) == 1 else ""
        raise CouloirError(
            f"{owner} needs {', '.join(missing)}.",
            place=_place(missing[0], keys, sentence),
            next_step="add " + " ".join(f"{name}=..." for name in missing) + instead,
        )


def _check_complete(cfg: DictConfig) -> None:
    """A deletion (`~scheduler`) must leave a sentence that can be trained."""
    for group in REQUIRED:
        if group not in cfg or (group not in OPTIONAL and _is_empty(group, cfg[group])):
            hint = f"write {group}=none" if tree.find(f"{group}/none") else f"leave ~{group} out"
            raise CouloirError(f"The sentence has no {group}.", next_step=hint)
        _check_nodes(group, cfg[group])
    _check_nodes("finetune", cfg.get("finetune"))  # not required: runs of older versions have none
    if "checkpoint" not in cfg.callbacks:
        raise CouloirError(
            "The sentence has no callbacks.checkpoint; the run record and the test need it.",
            next_step="leave ~callbacks.checkpoint out",
        )


def _check_nodes(group: str, node: Any) -> None:
    """A group is a node of keys; a group of several parts holds a node for each."""
    parts = {group: node}
    if group in SEVERAL and OmegaConf.is_dict(node):
        parts |= {f"{group}.{name}": node[name] for name in node if name not in PLAIN.get(group, ())}
    for path, part in parts.items():
        if part is not None and not OmegaConf.is_dict(part):
            raise CouloirError(
                f"{path} is {_typed(OmegaConf.to_container(part) if OmegaConf.is_config(part) else part)}, not a "
                "choice with keys of its own.",
                next_step=f"`couloir list {group}` shows the choices",
            )


def _is_empty(group: str, node: Any) -> bool:
    """Whether a node holds nothing, or only what the root file gives to every choice."""
    return node is None or (OmegaConf.is_dict(node) and set(node) <= {key.path for key in contract.shared_keys(group)})


def _missing(node: Any, path: str = "") -> Iterator[str]:
    """The dotted paths of all `???`; OmegaConf's own search would resolve references."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _missing(value, f"{path}.{name}" if path else str(name))
    elif node == "???":
        yield path


def _check_files(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """Weights and runs that the network is to begin with are there."""
    weights = sentence.cfg.model.get("weights")
    if isinstance(weights, str) and not Path(weights).expanduser().is_file() and named(sentence.cfg.model) is None:
        raise CouloirError(
            f"There is no file {weights}.", place=_place("model.weights", keys, sentence), next_step="check the path"
        )
    if sentence.cfg.initializer.get("_target_") == FROM_RUN and isinstance(sentence.cfg.initializer.run, str):
        best_weights(find_run(sentence.cfg.initializer.run, sentence.cfg.output_dir))


def _unresolved(error: OmegaConfBaseException, cfg: DictConfig) -> CouloirError:
    told = next((cause for cause in causes(error) if isinstance(cause, CouloirError)), None)
    if told is not None:
        return told
    path = re.search(r"key '([^']+)' not found", str(error))
    names, there = path[1].split(".") if path else [], OmegaConf.to_container(cfg)
    for depth, name in enumerate(names):
        if not isinstance(there, dict):
            break
        if name not in there and depth:  # an experiment looks a value up by a key that was typed: noise_on=weights
            known = [str(entry) for entry in there if not str(entry).startswith("_")]
            return CouloirError(
                f"'{'.'.join(names[:depth])}' has no entry '{name}'; its entries: {', '.join(known)}.",
                place=error.full_key or None,
                next_step=did_you_mean(name, known) or "one of these",
            )
        there = there.get(name)
    return CouloirError(
        f"A value refers to something that does not exist: {str(error).partition(chr(10))[0]}",
        place=error.full_key or None,
        next_step="`train --cfg job` shows the configuration before it is resolved",
    )


def _check_values(sentence: Sentence, of: dict[str, list[Key]], keys: dict[str, list[Key]]) -> None:
    """Compare values with the contracts of their keys; a recipe's bare value does not loosen the contract."""
    for path, entries in of.items():
        group, _, name = path.partition(".")
        gone = group == scaling.GROUP and name in scaling.KEYS and name not in sentence.cfg[group]
        part = name.partition(".")[0]
        of_part = group in SEVERAL and part not in PLAIN.get(group, ())
        gone |= of_part and selected(sentence.cfg, f"{group}.{part}") is None
        node = sentence.cfg.get(group)
        missing = OmegaConf.is_dict(node) and is_missing(node, name)  # only where nobody will read it
        if not (gone or missing or group in ("hydra", *SWEEP_GROUPS) or path.endswith("_target_")):
            _check_value(sentence, path, entries, keys)


def check_sweep_values(sentence: Sentence) -> None:
    """Check the types, ranges and targets of the nodes that say how a sweep goes.

    Args:
        sentence: of `compose_sweep`.

    Raises:
        CouloirError: the first thing that is wrong.
    """
    keys = _keys_by_path(sentence)
    with _told(sentence.cfg):
        _check_targets(sentence, keys)
        _check_read(sentence, keys)
        for path, entries in keys.items():
            group, _, rest = path.partition(".")
            there = group in SWEEP_GROUPS and sentence.cfg[group] is not None
            if there and not path.endswith("_target_") and not rest.startswith("space"):
                _check_value(sentence, path, entries, keys)


def _check_value(sentence: Sentence, path: str, entries: list[Key], keys: dict[str, list[Key]]) -> None:
    key = _deciding(entries)
    if not key.contract and (reference := REFERENCE.fullmatch(str(key.default))):
        key = _deciding(keys.get(reference[1], [key]))  # `seed: ${seed}` takes what `seed` takes
        if not any(word.lstrip("+").startswith(f"{path}=") for word in sentence.overrides):
            path = reference[1]
    value = selected(sentence.cfg, path)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    accepted = contract.violation(key, value)
    deleted = next((word for word in sentence.overrides if word.partition("=")[0] == f"~{path}"), None)
    if deleted is not None and any(
        word.startswith(f"{path.partition('.')[0]}._target_=") for word in sentence.overrides
    ):
        return  # another target takes other keys
    if accepted is not None and deleted is not None:
        raise CouloirError(
            f"'{deleted}' takes away a key that is needed: {path} takes {accepted}.",
            place=_place(path, keys, sentence),
            next_step=f"leave {deleted} out",
        )
    if accepted is not None:
        raise _out_of_contract(key, path, value, accepted, _place(path, keys, sentence), sentence)


def _deciding(entries: list[Key]) -> Key:
    """Of a key's entries the one that says what it takes."""
    return next((entry for entry in entries if entry.contract), None) or next(
        (entry for entry in entries if contract.infer_type(entry.default)), entries[0]
    )


def _out_of_contract(key: Key, path: str, value: Any, accepted: str, place: str, sentence: Sentence) -> CouloirError:
    group, _, name = path.partition(".")
    if group == "model" and name == "image_size":
        model, data = sentence.choices["model"], sentence.choices["data"]
        return CouloirError(
            f"The images of data={data} are too small for model={model}: {in_words(value)} pixels, it takes "
            f"{accepted}.",
            place=place,
            next_step="use larger images (data.image_size=...), or a model for small ones (mlp, linear)",
        )
    words = accepted.removeprefix("one of ").removesuffix(" or null").split(", ")
    close = did_you_mean(str(value), words, form=f"{path}={{}}") if accepted.startswith("one of ") else None
    meant = [plain for plain in _plainly(value) if contract.violation(key, plain) is None]
    close = close or (f"did you mean {path}={_typed(meant[0])}?" if meant else None)
    shown = _typed(value)
    if isinstance(value, str) and (meant or not value):
        shown = f"the text '{value}'" if value else "an empty text"
    return CouloirError(
        f"{path} takes {accepted}, not {shown}.",
        place=place,
        next_step=close or f"the default is {path}={_typed(key.default)}",
    )


def _plainly(value: Any) -> Iterator[Any]:
    """What a value may have meant that a key does not take: the number in a text, one number for a list of one, 10.0
    for 10, height and width for 192x256.
    """
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                yield kind(value.replace(",", "."))
        if (sides := meant_by(value)) is not None:
            yield sides
        yield {"true": True, "false": False, "null": None, "none": None}.get(value.casefold(), value)
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif isinstance(value, list) and len(value) == 1:
        yield value[0]
    if not isinstance(value, list):
        yield [value]


def _typed(value: Any) -> str:
    """A value as it would be typed at the prompt."""
    if isinstance(value, list):
        return "[" + ",".join(_typed(entry) for entry in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _check_fields(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """The data says what a sample is made of, in words that are known."""
    fields, place = sentence.cfg.data.get("fields"), _place("data.fields", keys, sentence)
    form = "fields: {image: image, label: label}"
    if not isinstance(fields, Mapping) or not fields:
        raise CouloirError(
            f"data={sentence.choices.get('data')} does not say which fields a sample has.",
            place=place,
            next_step=f"add to its YAML file, for example, {form}",
        )
    for name, kind in fields.items():
        if kind not in KINDS:
            hint = did_you_mean(str(kind), list(KINDS), form=f"{name}: {{}}")
            raise CouloirError(
                f"data.fields.{name} is not a kind of field: {kind}.",
                place=place,
                next_step=hint or f"kinds: {', '.join(KINDS)}",
            )


def _check_needs(sentence: Sentence, groups: Sequence[str]) -> None:
    """The data has the fields that each part needs; losses and networks go by those that the task learns.

    The task comes first, and the network last: it may be nobody's choice.
    """
    cfg, choices = sentence.cfg, sentence.choices
    for group in groups:
        choice, kind = choices.get(group), _group(group)
        file = tree.find(f"{kind}/{choice}")
        if file is None or (group == "loss" and "loss" not in cfg.task):  # a task with its own loss: `_check_parts`
            continue
        data, part = told(kind, cfg), _part(cfg, group)
        missing = lacking(file, data, part)
        if missing is not None:
            needed, there = missing
            learns = group == "loss" and "loss" in cfg.task
            other = f"task={choices.get('task')} learns" if learns else f"data={choices.get('data')} has"
            to_learn = fields_of(data) != fields_of(cfg.data) and not learns
            model, words = choices.get("model"), sentence.overrides
            if (
                group == "task"
                and f"model={model}" in words
                and f"task={choice}" not in words
                and _is_made_for_task(sentence)
            ):
                raise CouloirError(
                    f"model={model} is made for task={choice}, which needs {needed}, and {other} {there}.",
                    place=display(file),
                    next_step=f"leave model={model} out",
                )
            raise CouloirError(
                f"{group}={choice} needs {needed}, and {other} {there}"
                f"{' for task=' + str(choices.get('task')) if to_learn else ''}.",
                place=display(file),
                next_step=_instead(sentence, group, file),
            )
        own_task = not str(cfg.task.get("_target_")).startswith("couloir.")
        if group == "model" and not own_task and gives_rows(file, data, part):
            raise CouloirError(
                f"model={choice} gives a row of numbers for an image, and task={choices.get('task')} learns maps.",
                place=display(file),
                next_step=_instead(sentence, group, file),
            )
        if group == "model" and not own_task and keeps_size(file, data):
            raise CouloirError(
                f"model={choice} gives images as large as its input, and data.factor={cfg.data.factor} asks for larger "
                "ones.",
                place=display(file),
                next_step=_instead(sentence, group, file),
            )


def _is_made_for_task(sentence: Sentence) -> bool:
    """Whether the network is made for the task of the sentence."""
    return sentence.choices.get("task") in tasks_of(sentence.choices.get("model"))


def _part(cfg: DictConfig, group: str) -> Mapping[str, Any] | None:
    node = cfg.get(group)
    return node if OmegaConf.is_dict(node) else None


def _group(name: str) -> str:
    """The group of a choice that stands within another: `augmentation` of `augmentation@augmentation.before`."""
    return name.partition("@")[0]


def _instead(sentence: Sentence, group: str, file: Path) -> str:
    """What to type in place of a choice that needs other data: another of its keys, no choice, or another one."""
    choice, data = sentence.choices.get(group), told(_group(group), sentence.cfg)
    leave = f"leave {group}={choice} out" if f"{group}={choice}" in sentence.overrides else ""
    others = [name for name in _fitting(sentence, _group(group), data) if name != choice]
    take = f"take one of: {', '.join(others)}" if others else ""
    ways = other_way(_group(group), file, data)
    return ", or ".join(filter(None, (ways, leave, take))) or "other data"


def _fitting(sentence: Sentence, group: str, data: Mapping[str, Any]) -> list[str]:
    """The choices of a group that lack nothing; where the task needs a network of its own, the networks for it."""
    task = sentence.choices.get("task")
    if group == "model" and task == NEXT_TOKEN:
        return [name for name in fitting(group, data) if predicts_next(tree.choices(group)[name])]
    if group != "model" or usual_model(task) is None:
        return fitting(group, data)
    files = tree.choices(group)
    return [name for name in models_for(str(task)) if lacking(files[name], data) is None]


def _check_parts(sentence: Sentence) -> None:
    cfg, choices = sentence.cfg, sentence.choices
    task = f"task={choices.get('task')}"
    _refuse(
        cfg.get("loss") is not None and choices.get("task") is not None and "loss" not in cfg.task,
        f"{task} has its own loss; loss={choices.get('loss')} would be ignored.",
        "leave the loss out; a task that needs one has the key `loss` in its YAML",
    )
    _refuse(
        cfg.get("loss") is None and cfg.task.get("loss") is not None,
        f"{task} needs a loss, but the sentence has none.",
        f"leave ~loss out: the task's own is loss={cfg.task.get('loss')}",
    )
    _refuse(
        cfg.model.get("embedding") is not None and "categories" in cfg.model and not cfg.model.categories,
        f"model.embedding={cfg.model.get('embedding')} is for categories; data={choices.get('data')} has none.",
        "leave model.embedding out; data.columns={NAME: category} makes a column a category",
    )
    learned = told("loss", cfg)
    _refuse(
        OmegaConf.select(cfg, "callbacks.loss_surfaces.draw") is True
        and ("map" not in fields_of(learned).values() or maps_of(learned) != "values"),
        f"callbacks.loss_surfaces.draw=true draws losses of maps of values, and {task} learns none.",
        "leave it out, or train task=saliency",
    )
    typed = next((word for word in sentence.overrides if word.lstrip("+").startswith("callbacks.samples.")), None)
    own = not str(cfg.task.get("_target_")).startswith("couloir.")
    _refuse(
        typed is not None and not own and task_of(cfg) not in (*MAKING, NEXT_TOKEN),
        f"{typed} is about what a network makes, and {task} makes neither images nor text.",
        "leave it out, or train task=reconstruction, task=vae, task=gan or task=next_token",
    )
    for key, of, other, use in (("count", MAKING, "images", "tokens"), ("tokens", (NEXT_TOKEN,), "text", "count")):
        typed = next(
            (word for word in sentence.overrides if word.lstrip("+").startswith(f"callbacks.samples.{key}=")), None
        )
        _refuse(
            typed is not None and not own and task_of(cfg) not in of,
            f"{typed} is about {other}, and {task} makes none.",
            f"leave it out; callbacks.samples.{use} is of what {task} makes",
        )
    added = OmegaConf.select(cfg, "callbacks.noise") or {}
    amounts = {key: added.get(key) for key in ("weights", "gradients", "activations")}
    _refuse(
        added.get("kind", MULTIPLICATIVE) != MULTIPLICATIVE and not any(amounts.values()),
        f"callbacks.noise.kind={added.get('kind')} says which noise there is, and there is none.",
        "a deviation, such as callbacks.noise.weights=0.1, or leave it out",
    )
    _refuse(
        any(amounts.values()) and several_named(cfg.trainer),
        "callbacks.noise draws in one process, and several would draw apart.",
        "trainer.devices=1",
    )
    _refuse(
        amounts["activations"] and cfg.trainer.get("compile"),
        "callbacks.noise.activations listens to layers in each step, and trainer.compile=true compiles the network as "
        "it is.",
        "trainer.compile=false",
    )
    _check_adapting(cfg)
    _check_timm(cfg)
    check_channels(cfg.model, cfg.data.get("channels"))
    check_pattern(cfg.model)
    check_unpadded(cfg.model, cfg.data.get("image_size"))
    check_video_network(cfg.model, cfg.data)
    check_attention(cfg.model, cfg.get("scheduler"))
    _check_finetune(cfg)
    rule = f"momentum_schedule={choices.get('momentum_schedule')}"
    _refuse(
        cfg.momentum_schedule is not None and "momentum" not in cfg.optimizer,
        f"{rule} needs an optimizer with momentum, not {choices.get('optimizer')}.",
        "optimizer=momentum or optimizer=nesterov",
    )
    _refuse(
        cfg.momentum_schedule is not None and choices.get("scheduler") == "one_cycle",
        f"{rule} and scheduler=one_cycle both set the momentum.",
        "momentum_schedule=none, or another scheduler",
    )
    _check_kept(cfg.callbacks.checkpoint)
    limit = cfg.trainer.get("max_time")
    _refuse(
        isinstance(limit, str) and not DURATION.fullmatch(limit),
        f"trainer.max_time={limit} is neither a number of minutes nor days:hours:minutes:seconds.",
        "trainer.max_time=30, or trainer.max_time=00:00:30:00",
    )
    epochs = cfg.trainer.max_epochs
    for name in ("start", "start_epoch"):  # a mean that begins after the last epoch is none
        start = OmegaConf.select(cfg, f"averaging.{name}")
        if isinstance(start, int) and isinstance(epochs, int):
            _refuse(
                0 < epochs <= start,
                f"averaging.{name}={start} starts too late to average anything: the run has {epochs} epochs.",
                f"averaging.{name}={epochs // 2}, or more trainer.max_epochs",
            )


def _check_finetune(cfg: DictConfig) -> None:
    """What learns later learns before the run ends, and something is fixed where patterns say what."""
    node, epochs = cfg.get("finetune"), cfg.trainer.max_epochs
    if node is None:
        return
    first = node.get("head_epochs")
    _refuse(
        isinstance(first, int) and isinstance(epochs, int) and 0 < epochs <= first,
        f"finetune.head_epochs={first} leaves no epoch for the whole network: the run has {epochs}.",
        (f"finetune.head_epochs={(epochs - 1) // 2}, " if isinstance(epochs, int) and epochs > 2 else "")
        + f"trainer.max_epochs={2 * first if isinstance(first, int) else 2} or more, or finetune=head",
    )
    frozen = node.get("frozen")
    _refuse(
        OmegaConf.is_list(frozen) and not frozen,
        "finetune.frozen=[] fixes nothing.",
        "finetune.frozen=[NAME,...] with names as `couloir summary` shows them, or finetune=none",
    )


def _check_classes(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """What goes by classes fits those of the data."""
    cfg, path = sentence.cfg, "loss.class_weights"
    own = [not str((cfg.get(group) or {}).get("_target_")).startswith("couloir.") for group in ("loss", "data")]
    weights, classes = OmegaConf.select(cfg, path), cfg.data.get("num_classes")
    if not own[0] and OmegaConf.is_list(weights) and isinstance(classes, int) and len(weights) != classes:
        names = [str(name) for name in cfg.data.get("classes") or ()]
        order = f" in the order {', '.join(names[:12])}{', ...' * (len(names) > 12)}" if names else ""
        raise CouloirError(
            f"{path} has {len(weights)} weight{'s' * (len(weights) != 1)}; the data has {classes} classes.",
            place=_place(path, keys, sentence),
            next_step=f"give one weight for each class{order}, or {path}=balanced",
        )
    path = "loss.background"
    number = OmegaConf.select(cfg, path)
    if not own[0] and type(number) is int and isinstance(classes, int) and number >= classes:
        raise CouloirError(
            f"{path}={number} is no class: the data has {classes}, from 0 on.",
            place=_place(path, keys, sentence),
            next_step=f"{path}=0, or another number below {classes}",
        )
    fields = fields_of(cfg.data)
    learned = " and ".join(KINDS[fields[name]] for name in of_kind(fields, TARGETS)) or "no target"
    without = not own[1] and "label" not in fields.values()
    path = "data.sampler"
    if without and OmegaConf.select(cfg, path) == "balanced":
        raise CouloirError(
            f"{path}=balanced draws each class as often as every other, and a sample of this data has no single "
            f"class: it has {learned}.",
            place=_place(path, keys, sentence),
            next_step=f"leave {path} out, or {path}=shuffled",
        )
    path = "data.permute_pixels"
    if not own[1] and OmegaConf.select(cfg, path) is True and cfg.get("tta") is not None:
        raise CouloirError(
            f"tta={sentence.choices.get('tta')} cuts or turns images, and with {path}=true the network gets their "
            "pixels in another order.",
            place=_place(path, keys, sentence),
            next_step="tta=none",
        )
    path = "data.label_noise"
    if without and OmegaConf.select(cfg, path):
        raise CouloirError(
            f"{path} replaces the class of a sample, and a sample of this data has no single class: it has {learned}.",
            place=_place(path, keys, sentence),
            next_step=f"leave {path} out",
        )


def _check_adapting(cfg: DictConfig) -> None:
    """Weights for other channels need a file to come from, and data that they fit afterwards."""
    adapt, channels = cfg.model.get("adapt_channels"), cfg.data.get("channels")
    if adapt is None:
        return
    key = f"model.adapt_channels={adapt}"
    _refuse(
        cfg.model.get("weights") is None,
        f"{key} changes weights from a file, and model.weights names none.",
        f"add model.weights=FILE, or leave {key} out",
    )
    _refuse(
        adapt == "sum" and channels != 1,
        f"{key} makes weights for one channel, and the data has {channels}.",
        f"data.channels=1, or leave {key} out",
    )
    _refuse(
        adapt == "mean" and channels == 1,
        f"{key} makes weights for several channels, and the data has one.",
        f"model.adapt_channels=sum makes weights for one, or leave {key} out",
    )


def _check_timm(cfg: DictConfig) -> None:
    """The library is there, and its network begins with one kind of weights."""
    if cfg.model.get("_target_") != TIMM:
        return
    missing = importlib.util.find_spec("timm") is None
    _refuse(missing, "model=timm needs the package timm.", "pip install 'couloir[timm]'")
    _refuse(
        cfg.model.get("pretrained") and cfg.model.get("weights") is not None,
        f"model.pretrained=true and model.weights={cfg.model.get('weights')} are two kinds of weights to begin with.",
        "leave one of them out",
    )


def _check_features(sentence: Sentence) -> None:
    """Features are computed once only of samples that stay the same; a network that grows needs time for it."""
    finetune = sentence.cfg.get("finetune")
    if OmegaConf.is_dict(finetune):
        if str(finetune.get("_target_")) == GREEDY:
            for key, neutral in NOT_GREEDY.items():
                _refuse(
                    OmegaConf.select(sentence.cfg, key) not in (None, False),
                    f"With finetune=greedy the network grows for a number of epochs that is known before, and {key} "
                    f"{'compiles it as it is' if key.endswith('compile') else 'may end the run before that'}.",
                    f"{key}={neutral}, or leave it out; trainer.max_epochs says how long the run is",
                )
        chosen = sentence.choices.get("augmentation", "your own")
        _refuse(
            finetune.get("cache_features") is True and augments(sentence.cfg),
            "finetune.cache_features=true computes the features of each sample once, and "
            f"augmentation={chosen} changes the samples in each epoch.",
            "augmentation=none, or finetune.cache_features=false",
        )


def _check_kept(checkpoint: DictConfig) -> None:
    """What belongs to one way of keeping checkpoints is not said of another."""
    path, keep = "callbacks.checkpoint", checkpoint.get("keep")
    for name, way in (("k", "top_k"), ("every_n_epochs", "every_n")):
        value = checkpoint.get(name)
        _refuse(
            value is not None and keep != way,
            f"{path}.{name}={value} belongs to {path}.keep={way}, and {path}.keep is {keep}.",
            f"{path}.keep={way}, or leave {path}.{name} out",
        )
    _refuse(
        keep == "every_n" and checkpoint.get("every_n_epochs") is None,
        f"{path}.keep=every_n does not say which epochs are kept.",
        f"{path}.every_n_epochs=5 keeps each fifth",
    )


def _check_metrics(sentence: Sentence, keys: dict[str, list[Key]]) -> None:
    """Each chosen metric says what it is, and fits the task of the data."""
    chosen = sentence.cfg.get("metric") or {}
    for name, stated in (sentence.cfg.task.get(FACTS) or {}).items():
        check_facts(f"task.{FACTS}.{name}", stated)
    for name in map(str, chosen):
        if OmegaConf.is_dict(chosen[name]) or f"metric.{name}.{FACTS}" in keys:  # all else is a key of metrics
            place = _place(f"metric.{name}", keys, sentence)
            check_stated(name, chosen[name], task_of(sentence.cfg), place)
    check_classifier(sentence.cfg)


def _check_monitors(sentence: Sentence) -> None:
    """A metric that is waited for in vain is found before the first epoch, not after it."""
    cfg = sentence.cfg
    known = [*measured(cfg), *measured(cfg, "train")]
    for path in (
        "callbacks.checkpoint.monitor",
        "callbacks.early_stopping.monitor",
        "callbacks.stop_at.monitor",
        "scheduler.monitor",
    ):
        monitor = OmegaConf.select(cfg, path)
        if monitor is not None and monitor not in known:
            raise CouloirError(
                f"{path}={monitor} is not a metric of a {task_of(cfg)}.",
                place=f"metrics: {', '.join(known)}",
                next_step=measuring(str(monitor), task_of(cfg))
                or did_you_mean(str(monitor), known, form=f"{path}={{}}"),
            )


def _check_accelerator(sentence: Sentence) -> None:
    """A GPU that the machine does not show cannot be used; torch has the last word on one that it does."""
    choice = sentence.choices.get("trainer")
    typed = f"trainer={choice}" if choice in ("gpu", "fsdp") else "trainer.accelerator"
    shown = sys.platform != "linux" or any(any(Path("/").glob(pattern)) for pattern in GPU_DEVICES)
    _refuse(
        sentence.cfg.trainer.get("accelerator") in ("gpu", "cuda") and not shown,
        "trainer.accelerator is gpu, but this machine shows no GPU.",
        f"leave {typed} out to train on what is there, or use trainer=cpu",
    )


def _check_shared_weights(sentence: Sentence) -> None:
    """What looks at the whole network between steps cannot be had where each process holds a share of its weights."""
    cfg, choices = sentence.cfg, sentence.choices
    if cfg.trainer.get("strategy") != "fsdp":
        return
    _refuse(
        cfg.trainer.accelerator == "cpu",
        "trainer=fsdp divides the weights among GPUs, but trainer.accelerator is cpu.",
        "trainer=ddp trainer.devices=2 trains in two processes on the CPU",
    )
    decay = cfg.optimizer.get("weight_decay")
    _refuse(
        decay and not cfg.optimizer.get("decay_all", True),
        f"optimizer.weight_decay={decay} leaves out biases by their shape; trainer=fsdp does not keep the shape.",
        "optimizer.decay_all=true, optimizer.weight_decay=0, or trainer=ddp",
    )
    instead = "trainer=ddp, or leave it out"
    _refuse(
        cfg.trainer.gradient_clip_val is not None,
        "trainer.gradient_clip_val needs all gradients; each process of trainer=fsdp has only a part.",
        instead,
    )
    for part, there in {
        f"averaging={choices.get('averaging')}": cfg.averaging is not None,
        "callbacks.signals": OmegaConf.select(cfg, "callbacks.signals.every_n_epochs") is not None,
        "optimizer=sdlm": choices.get("optimizer") == "sdlm",
        f"finetune={choices.get('finetune')}": cfg.get("finetune") is not None,
        "callbacks.landscape.draw=true": OmegaConf.select(cfg, "callbacks.landscape.draw") is True,
    }.items():
        _refuse(there, f"{part} needs the whole network; each process of trainer=fsdp has only a part.", instead)


def _refuse(there: Any, fact: str, next_step: str) -> None:
    if there:
        raise CouloirError(fact, next_step=next_step)
