"""The best setting of a sweep as a sentence, and as `best.yaml`, a recipe that says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from couloir.config.compose import Sentence, compose_sentence
from couloir.config.folds import FOLDS
from couloir.config.settle import settle_parts
from couloir.config.targets import KEY
from couloir.errors import CouloirError, as_typed
from couloir.log import say
from couloir.record.files import write_atomically
from couloir.sweep.noise import deviation
from couloir.sweep.trials import SweepRecord, TrialRecord

NOT_IN_A_RECIPE = ("experiment", "sweep")
"""Groups that a recipe does not choose: what they bring is written out."""


def best_words(record: SweepRecord) -> list[str] | None:
    """What one would type after `train` for the best setting; None without a completed trial.

    Without the folds: the setting is trained on all samples but those that the data usually holds out.
    """
    if record.best is None:
        return None
    words = [*record.words, *(f"{key}={value}" for key, value in record.best.parameters.items())]
    if record.folds is None:
        return words
    words = [word for word in words if word.lstrip("+").partition("=")[0] != FOLDS]
    try:
        of_a_file = compose_sentence(words).cfg.data.get("folds") is not None
    except CouloirError:  # a file of the user's is gone meanwhile
        of_a_file = False
    return [*words, f"{FOLDS}=null"] if of_a_file else words


def write_best(record: SweepRecord) -> Path | None:
    """Write `best.yaml`, to be copied to `./conf/experiment/`, and return its path; None without a completed trial.

    `train experiment=best` then composes what the sentence composes. The parts of a recipe that the sentence names are
    written out, so that the file does not change with that recipe.
    """
    words = best_words(record)
    if words is None or record.best is None:
        return None
    try:
        choices, values, typed_only = as_recipe(words)
    except CouloirError as error:  # a file of the user's is gone meanwhile; the sweep's other results stand
        say.info("best.yaml is not written: the sentence can no longer be composed: %s", error.fact)
        return None
    lines = [*_header(record, record.best, words, typed_only)]
    if choices:
        lines += ["defaults:", *(_default(group, choice) for group, choice in choices.items()), "  - _self_"]
    body = OmegaConf.to_yaml(OmegaConf.create(values)) if values else ""
    path = record.folder / "best.yaml"
    write_atomically(path, "\n".join(lines) + "\n" + body)
    return path


def as_recipe(words: list[str]) -> tuple[dict[str, str | None], dict[str, Any], list[str]]:
    """What a recipe has to hold so that it stands for a sentence.

    Returns:
        The choice of each group; `+GROUP` for one that the root file has no default for; the values that the choices do
        not bring already, nested; the words that no file can say: a key that is taken away, code that is trusted.

    Raises:
        CouloirError: the words do not compose.
    """
    goal = settle_parts(compose_sentence(words))
    usual = compose_sentence([]).choices
    parsed = [OverridesParser.create().parse_override(word) for word in words]
    named = {override.key_or_group for override in parsed}
    groups = [name for name in {**usual, **goal.choices} if name not in NOT_IN_A_RECIPE]
    kept = {name for name in groups if name in named or goal.choices.get(name) != usual.get(name)}
    alone = _alone(kept, goal, usual)
    brought = {name for name in groups if alone.choices.get(name) != goal.choices.get(name)}  # by a data set
    if brought:
        kept |= brought
        alone = _alone(kept, goal, usual)
    values, gone = _changes(
        OmegaConf.to_container(alone.cfg, resolve=False), OmegaConf.to_container(goal.cfg, resolve=False)
    )
    trusted = values.pop(KEY, None)
    typed_only = [] if trusted is None else [word for word in words if word.lstrip("+").startswith(f"{KEY}=")]
    order = [name for name in groups if name in kept]
    choices = {name if name in usual else f"+{name}": goal.choices.get(name) for name in order}
    return choices, values, [*typed_only, *(f"~{key}" for key in gone)]


def _alone(kept: set[str], goal: Sentence, usual: dict[str, str | None]) -> Sentence:
    """The choices without any value of their own."""
    words = []
    for name in kept:
        choice = goal.choices.get(name)
        words.append(f"~{name}" if choice is None else f"{'' if name in usual else '+'}{name}={choice}")
    return settle_parts(compose_sentence(words))


def _changes(alone: Any, goal: Any, prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """The entries of `goal` that `alone` lacks or has otherwise, nested, and the dotted keys that only `alone` has."""
    changed: dict[str, Any] = {}
    gone = [f"{prefix}{name}" for name in alone if name not in goal]
    for name, value in goal.items():
        before = alone.get(name)
        if isinstance(value, dict) and isinstance(before, dict) and name in alone:
            inner, lost = _changes(before, value, f"{prefix}{name}.")
            gone += lost
            if inner:
                changed[name] = inner
        elif name not in alone or repr(value) != repr(before):
            changed[name] = value
    return changed, gone


def _default(group: str, choice: str | None) -> str:
    written = yaml.safe_dump(choice).splitlines()[0]
    return f"  - /{group[1:]}: {written}" if group.startswith("+") else f"  - override /{group}: {written}"


def _header(record: SweepRecord, best: TrialRecord, words: list[str], typed_only: list[str]) -> list[str]:
    seeds = f", the mean of {record.repeats}" if record.repeats else ""
    numbers = []
    for goal, measured in zip(record.objectives, best.values, strict=True):
        spread = deviation(measured)
        numbers.append(f"{goal.name} {sum(measured) / len(measured):.6g}" + (f" ± {spread:.2g}" if spread else ""))
    command = as_typed(["train", "experiment=best", *typed_only])
    texts = [
        f"The best of {len(record.completed)} completed trials of the sweep {record.name}: trial {best.number}.",
        f"Source: {as_typed(record.command)}",
        f"Gives: {', '.join(numbers)}{seeds}.",
        f"Command: {command}, once this file is ./conf/experiment/best.yaml; it stands for",
        f"  {as_typed(['train', *words])}",
    ]
    return ["# @package _global_", *(f"# {' '.join(text.split(chr(10)))}".replace("\r", " ") for text in texts)]
