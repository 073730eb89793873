"""From a composed sentence to a settled one: what follows from other words is filled in.

This is the only step that changes a configuration: `check` only reads it, and so does the run. Nothing here imports
torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, tree
from couloir.config.classifier_run import settle_classifier
from couloir.config.compose import THAT_FOLLOW, Sentence, explained
from couloir.config.fields import SEQUENCES, fields_of
from couloir.config.hydra_private import apply_overrides
from couloir.config.made_for import tasks_of, usual_model
from couloir.config.metrics import mode, stated_metrics
from couloir.config.mistakes import COMPLAINTS
from couloir.config.needs import lacking, needs, told
from couloir.config.scaling import settle_rate
from couloir.config.tree import Source
from couloir.config.weights import asks_timm, named, statistics, unknown
from couloir.errors import CouloirError, did_you_mean, display
from couloir.record.checkpoint import best_weights
from couloir.record.configuration import flat
from couloir.record.find import find_run, find_sweep, past_latest
from couloir.record.folder import LATEST

FROM_RUN = "couloir.initializer.from_run.from_run"
NO_ENCODERS = ("fractalnet", "hog_linear", "lenet1", "linear", "mlp", "perceptron", "polynomial", "timm")
"""Networks whose maps cannot be cut out, or that have none; and those that need words of their own."""
OF_WEIGHTS = ("weights", "adapt_channels")
FILE_ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".tar")
"""How the names of files of weights end; other words may name a run."""


def settle(sentence: Sentence) -> Sentence:
    """Fill in what follows from other words: parts from the data, a run from its name, how inputs are standardised
    from the weights, the rate from the batch size, the direction of a monitored metric.

    Where a value is wrong, it is left as it is, and `check` says so.

    Args:
        sentence: as it was composed; its configuration is changed.

    Raises:
        CouloirError: what follows cannot be found out: the data cannot be read, say, or there is no such run.
    """
    sentence = _settle_encoder(settle_parts(sentence))
    with suppress(OmegaConfBaseException, TypeError, ValueError):  # `check` says so
        _settle_run(sentence.cfg)
        settle_classifier(sentence.cfg)
        _settle_weights(sentence)
        _settle_paths(sentence.cfg)
        _settle_statistics(sentence)
        settle_monitor(sentence.cfg)
        settle_rate(sentence.cfg)
    with suppress(OmegaConfBaseException):
        settle_modes(sentence.cfg)
    return sentence


def settle_modes(cfg: DictConfig) -> None:
    """Put `min` or `max` where a callback's or the scheduler's `mode` is null: as the metric that it monitors has it.

    Where the same metric decides about the best epoch, what is said there counts.

    Args:
        cfg: a composed configuration; it is changed.
    """
    callbacks = cfg.get("callbacks")
    parts: Any = callbacks if OmegaConf.is_dict(callbacks) else {}
    best = parts.get("checkpoint")
    for node in (best, *parts.values(), cfg.get("scheduler")):
        if OmegaConf.is_dict(node) and "monitor" in node and "mode" in node and node.mode is None:
            as_best = OmegaConf.is_dict(best) and best.get("monitor") == node.monitor and best.get("mode")
            node.mode = as_best or mode(str(node.monitor), stated_metrics(cfg))


def settle_parts(sentence: Sentence) -> Sentence:
    """Choose the task by the data's fields, and the loss by the task, where neither the user nor a file does.

    Data that does not state its fields has those of its task and of the size of its images.

    Args:
        sentence: as it was composed; its configuration is changed.

    Raises:
        CouloirError: the data cannot be read, or a value that is given to a part does not go with the chosen one.
    """
    settled = _settle_task_and_loss(sentence)
    for group in THAT_FOLLOW:
        choice = settled.choices.get(group)
        waits = any(word.lstrip("+~").startswith(f"{group}.") for word in settled.waiting)
        if waits and choice == sentence.choices.get(group):
            if choice is None:
                raise explained(KeyError(group), settled.overrides)
            settled = _choose(settled, group, choice)  # the default one: says which key it lacks
    return replace(settled, waiting=[])


def _settle_task_and_loss(sentence: Sentence) -> Sentence:
    cfg, data = sentence.cfg, sentence.cfg.get("data")
    if not OmegaConf.is_dict(data) or OmegaConf.is_missing(data, "path"):
        return sentence
    try:
        if "fields" not in data and data.get("task") is not None:
            with open_dict(cfg):
                data.fields = fields_of(data)
        task = _task_for(sentence)
        if task is not None and task != sentence.choices.get("task") and not _is_named("task", sentence):
            sentence = _choose(sentence, "task", task)
        loss, node = sentence.choices.get("loss"), cfg.get("task")
        named = loss is not None and _is_named("loss", sentence)
        if OmegaConf.is_dict(node) and node.get("loss") is None:
            return sentence if named else _without_loss(sentence)
        if not OmegaConf.is_dict(node) or named or "~loss" in sentence.overrides:
            return sentence
        file = tree.find(f"loss/{loss}")
        fits = file is not None and lacking(file, told("loss", cfg)) is None
        stays = fits and (str(node.loss) == loss or _has_own_root(sentence))
        return sentence if stays else _choose(sentence, "loss", str(node.loss))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, CouloirError):
            raise error.__cause__ from None
        return sentence
    except AttributeError:
        return sentence  # `check` says what is wrong with the fields


def _task_for(sentence: Sentence) -> str | None:
    """The task that the network is made for, or that the data names, or one that learns a field that the data has; else
    the default one.

    Of several that fit the data it is the first of those that ask for most.
    """
    data, default, files = sentence.cfg.data, sentence.choices.get("task"), tree.choices("task")
    if made_for := tasks_of(sentence.choices.get("model")):
        return default if default in made_for else made_for[0]
    if data.get("task") in files:
        return str(data.task)
    fits = [name for name, file in files.items() if needs(file) and lacking(file, data) is None]
    fits = [name for name in fits if usual_model(name) is None]  # what learns no field is asked for by name
    if default in fits or not fits:
        return default
    return max(fits, key=lambda name: sum(len(field.asked) for need in needs(files[name]) for field in need))


def _without_loss(sentence: Sentence) -> Sentence:
    """The sentence of a task that brings its own loss."""
    with open_dict(sentence.cfg):
        sentence.cfg.loss = None
    choices = {group: choice for group, choice in sentence.choices.items() if group != "loss"}
    sources = [source for source in sentence.sources if source.package.partition(".")[0] != "loss"]
    return replace(sentence, choices=choices, sources=sources)


def _settle_encoder(sentence: Sentence) -> Sentence:
    """The network that `model.encoder` names, whole, in `model.network`: a run needs no file of it later."""
    model = sentence.cfg.get("model")
    if not OmegaConf.is_dict(model) or "network" not in model or model.network is not None:
        return sentence
    if not isinstance(model.get("encoder"), str):
        return sentence  # `check` says so
    keys = model.get("encoder_keys")
    node, files = encoder_of(model.encoder, keys if OmegaConf.is_dict(keys) else {})
    with open_dict(sentence.cfg):
        model.network = node
    within = [Source(file.file, file.package.replace("model", "model.network", 1)) for file in files]
    return replace(sentence, sources=[*sentence.sources, *within])


def encoder_of(choice: str, keys: Mapping[str, Any]) -> tuple[DictConfig, list[Source]]:
    """A network as the encoder of another one, without keys for weights; and the files that say what it is.

    Args:
        choice: the network, a choice of the group `model`.
        keys: what other values its keys have.

    Raises:
        CouloirError: there is no such network, it cannot be an encoder, or it has no such key.
    """
    files = tree.choices("model")
    fitting = [
        name
        for name, file in files.items()
        if name not in NO_ENCODERS and not _gives_maps(file) and not _reads_steps(file) and not tasks_of(name)
    ]
    if choice not in fitting:
        why = "has no maps that shrink on the way to a head" if choice in files else "is no choice of model"
        raise CouloirError(
            f"{choice} cannot be an encoder: it {why}.",
            place=f"model.encoder={choice}",
            next_step=(None if choice in files else did_you_mean(choice, fitting, form="model.encoder={}"))
            or f"one of {', '.join(fitting)}",
        )
    node, sources = read_part("model", choice)
    assert node is not None, "a model is a node"
    for key in OF_WEIGHTS:
        node.pop(key, None)
    for key in map(str, keys):
        if key not in node or key.startswith("_"):
            hint = "model.weights=FILE" if key in OF_WEIGHTS else did_you_mean(key, list(map(str, node)), form="{}")
            raise CouloirError(
                f"{choice} has no key '{key}' as an encoder.",
                place="model.encoder_keys",
                next_step=hint or f"`couloir list model {choice}` shows its keys",
            )
    node.merge_with(keys)
    return node, sources


def _gives_maps(file: Path) -> bool:
    """Whether the answer of a network is an image."""
    return any(field.kind == "map" for need in needs(file) for field in need)


def _reads_steps(file: Path) -> bool:
    """Whether a network takes sequences, and no images."""
    return any(field.kind in SEQUENCES for need in needs(file) for field in need)


def _settle_run(cfg: DictConfig) -> None:
    """The folder of the run that the network begins with: `latest` will soon be another one."""
    node = cfg.get("initializer")
    if OmegaConf.is_dict(node) and node.get("_target_") == FROM_RUN and isinstance(node.get("run"), str):
        node.run = str(find_run(node.run, cfg.output_dir))


def _settle_weights(sentence: Sentence) -> None:
    """What `model.weights` names, for good: `imagenet` becomes the newest there is now, a run the file of its best
    checkpoint.
    """
    model = sentence.cfg.get("model")
    word = model.get("weights") if OmegaConf.is_dict(model) else None
    if not isinstance(word, str) or Path(word).expanduser().is_file():
        return
    if (found := named(model)) is not None:
        model.weights = found.name
    elif not word.endswith(FILE_ENDINGS):  # of a file that is not there `check` says so
        model.weights = str(_checkpoint_of(word, sentence))


def _checkpoint_of(word: str, sentence: Sentence) -> Path:
    """The best checkpoint of the run that a word names.

    Raises:
        CouloirError: it names none, or one without a checkpoint.
    """
    outputs = sentence.cfg.output_dir
    try:
        return best_weights(find_run(word, outputs))
    except CouloirError as error:
        if (
            word == LATEST
            or Path(word).is_dir()
            or find_sweep(word, outputs)
            or (Path(outputs) / "train" / word).is_dir()
        ):
            raise CouloirError(error.fact, place=f"model.weights={word}", next_step=error.next_step) from error
        raise unknown(sentence.cfg.model, sentence.choices.get("model"), error.next_step) from error


def _settle_statistics(sentence: Sentence) -> None:
    """Mean and deviation of the data's images are those of the weights, unless the user says which they are."""
    cfg = sentence.cfg
    data, model = cfg.get("data"), cfg.get("model")
    if not OmegaConf.is_dict(model) or (model.get("weights") is None and not model.get("pretrained")):
        return
    if not OmegaConf.is_dict(data) or not {"mean", "std"} <= set(data) or not data.get("standardize", True):
        return
    with suppress(AttributeError):  # `check` says what is wrong with the fields
        if _states_statistics(sentence):
            return
        if (found := statistics(model, data)) is not None:
            data.mean, data.std = found
        elif asks_timm(model):
            data.mean = data.std = None  # the library fills them in where the data is loaded


def _states_statistics(sentence: Sentence) -> bool:
    """Whether the user, a recipe, or a data file of the user's own says how images are standardised."""
    keys = ("data.mean", "data.std")
    if any(word.lstrip("+~").partition("=")[0] in keys for word in sentence.overrides):
        return True
    for source in sentence.sources:
        if source.package == "data" and not tree.is_own(source.file):
            continue  # what a set comes with
        for key in contract.read_keys(source.file):
            path = f"{source.package}.{key.path}" if source.package else key.path
            if path in keys and (key.default is not None or source.package != "data"):
                return True
    return False


def _settle_paths(cfg: DictConfig) -> None:
    """Files in the newest run, `model.weights=outputs/latest/checkpoints/best.ckpt`, are those of that run for good."""
    for key, value in flat(cfg).items():
        if isinstance(value, str) and "latest" in value and (path := past_latest(value)) != value:
            OmegaConf.update(cfg, key, path)


def settle_monitor(cfg: DictConfig) -> None:
    """The metric that decides about the best epoch is the task's, unless one is named."""
    checkpoint, task = OmegaConf.select(cfg, "callbacks.checkpoint"), cfg.get("task") or {}
    if OmegaConf.is_dict(checkpoint) and "monitor" in checkpoint and checkpoint.monitor is None:
        checkpoint.monitor = task.get("monitor") or "val/loss"


def _is_named(group: str, sentence: Sentence) -> bool:
    """Whether the user, or a file that takes part, chooses for a group; the root file's own choice is the default."""
    if any(word.lstrip("+~").startswith(f"{group}=") for word in sentence.overrides):
        return True
    names = re.compile(rf"^\s*- +(override +)?/{group}(@\S+)?:", re.MULTILINE)
    return any(names.search(tree.read_text(source.file)) for source in sentence.sources)


def _has_own_root(sentence: Sentence) -> bool:
    """Whether the root file, and with it the default of each group, is the user's own."""
    return any(source.file.name == "train.yaml" and tree.is_own(source.file) for source in sentence.sources)


def _choose(sentence: Sentence, group: str, choice: str) -> Sentence:
    """The sentence as if `group=choice` had been typed as well."""
    part, files = read_part(group, choice)
    assert part is not None, f"{group}={choice} is a part"
    cfg, node = sentence.cfg, OmegaConf.create()
    sources: list[Source] = []
    for source in sentence.sources:
        if source.package.partition(".")[0] != group:
            sources.append(source)
            if not source.package:
                content: Any = OmegaConf.load(source.file)
                node.merge_with(content.get(group) or {})  # what every choice has
        elif files:
            sources += files
            node.merge_with(part)
            files = []
    if files:  # the root file is the user's own, and has no such group
        sources += files
        node.merge_with(part)
    choices = {**sentence.choices, group: choice}
    try:
        with open_dict(cfg):
            cfg[group] = node
        apply_overrides([word for word in sentence.overrides if word.lstrip("+~").startswith(f"{group}.")], cfg)
    except COMPLAINTS as error:
        followed = [f"{name}={choices[name]}" for name in THAT_FOLLOW if choices.get(name) and name != group]
        open_ = [word for word in followed if not _is_named(word.partition("=")[0], sentence)]
        raise explained(error, [*sentence.overrides, *open_, f"{group}={choice}"]) from error
    return replace(sentence, choices=choices, sources=sources)


def read_part(group: str, choice: str) -> tuple[DictConfig | None, list[Source]]:
    """A choice as its file says it, with the choices that the file builds on; and the files, in the order of merging.

    Raises:
        CouloirError: the file builds on more than other choices of its group, which only Hydra puts together.
    """
    file = tree.find(f"{group}/{choice}")
    assert file is not None, f"{group}={choice} is there"
    content: Any = OmegaConf.load(file)
    entries = list(content.pop("defaults", ()))
    node, sources = OmegaConf.create(), list[Source]()
    for entry in entries if "_self_" in entries else [*entries, "_self_"]:
        if OmegaConf.is_dict(entry) and str(next(iter(entry))).startswith(f"/{group}@"):  # /augmentation@before: none
            ((key, name),) = entry.items()
            entry = f"{name}@{str(key).partition('@')[2]}"
        if entry == "_self_":
            sources.append(Source(file, group))
            own = content.get(group, content)
            if own is None:
                return None, sources  # `none` is written as a global `tta: null`
            node.merge_with(own)
            continue
        if not isinstance(entry, str):
            raise CouloirError(
                f"The defaults list of {display(file)} names other groups.", next_step=f"type {group}={choice}"
            )
        name, _, key = entry.partition("@")  # imagenet@crop
        inner, files = read_part(group, name)
        node.merge_with(OmegaConf.create({key: inner}) if key else inner)
        sources += [
            Source(each.file, each.package.replace(group, f"{group}.{key}" if key else group, 1)) for each in files
        ]
    return node, sources
