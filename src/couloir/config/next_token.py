"""What goes with tokens that are predicted: which task, which network, how many tokens, what carries a state.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from couloir.config import contract, tree
from couloir.config.made_for import models_for
from couloir.config.metrics import NEXT_TOKEN, TRANSLATION, task_of
from couloir.errors import CouloirError, display

RECURRENT = "couloir.model.sequence.recurrent."
"""Where Couloir's networks stand that keep a state from step to step."""
SEES_ALL = "couloir.model.sequence.transformer.transformer_encoder"
"""Couloir's network with an answer for each step that sees all steps, whatever its keys are."""
TARGETS_ARE = {
    NEXT_TOKEN: "are its own tokens, one step later",
    TRANSLATION: "are other sequences, which end with a stop token",
}
"""What the targets of data are that names one of these tasks."""
SIZES = {"vocabulary_size": "different tokens", "num_classes": "tokens to choose from"}


def check_targets(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Where data has tokens to predict, the task is the one that they are made for.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: it is the other one.
    """
    task, meant, data = task_of(cfg), cfg.data.get("task"), choices.get("data")
    if task in TARGETS_ARE and meant in TARGETS_ARE and task != meant:
        model = f", which model={choices.get('model')} is made for," if choices.get("model") in models_for(task) else ""
        raise CouloirError(
            f"task={task}{model} does not fit data={data}: the targets of this data {TARGETS_ARE[meant]}.",
            next_step=f"task={meant} with {', '.join(f'model={name}' for name in fitting_models(meant))}",
        )


def fitting_models(task: str) -> list[str]:
    """The networks for a task of `TARGETS_ARE`."""
    if made_for := models_for(task):
        return made_for
    return [name for name, file in tree.choices("model").items() if predicts_next(file)]


def predicts_next(file: Path) -> bool:
    """Whether one of Couloir's networks of tokens can predict the next one: it answers each step, and sees none behind.

    Args:
        file: its YAML file.
    """
    keys = {key.path: key for key in contract.read_keys(file)}
    answers, target = keys.get("answers"), keys.get("_target_")
    takes_tokens = any(line.startswith("Needs: tokens") for line in tree.header(file))
    each_step = answers is not None and "steps" in answers.contract.removeprefix("one of ").split(", ")
    return takes_tokens and each_step and target is not None and str(target.default) != SEES_ALL


def check_sizes(data: Mapping[str, Any], facts: Mapping[str, Any], choice: str | None) -> None:
    """The counts of tokens that a sentence states are those that the data has.

    Args:
        data: the data's node.
        facts: what its `inspect` found.
        choice: the choice of `data`.

    Raises:
        CouloirError: a count is another one.
    """
    if "vocabulary_size" not in facts:
        return
    for key, what in SIZES.items():
        found, stated = facts.get(key), data.get(key)
        what = "classes" if key == "num_classes" and facts.get("classes") else what
        if isinstance(found, int) and stated != found:
            raise CouloirError(
                f"data={choice} has {found:,} {what}, not {stated}.",
                place=f"data.{key}={stated}",
                next_step=f"leave data.{key} out: Couloir counts them"
                + ("; data.max_words=N keeps the most frequent ones" if "max_words" in data else ""),
            )


def check_network(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """A network of Couloir's that predicts the next token can do so.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: it sees that token, or has no answer for each step.
    """
    model = choices.get("model")
    file = tree.find(f"model/{model}")
    if task_of(cfg) == NEXT_TOKEN and file is not None and not tree.is_own(file) and not predicts_next(file):
        sees = str(cfg.model.get("_target_")) == SEES_ALL
        raise CouloirError(
            f"model={model} sees all steps, and so each token that it is to predict."
            if sees
            else f"model={model} has no answer for each step, and task={NEXT_TOKEN} asks for one.",
            place=display(file),
            next_step=f"take one of: {', '.join(fitting_models(NEXT_TOKEN))}",
        )


def check_next_token(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Refuse, before torch is imported, networks that see the token they predict, and those that keep no state.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: the network is one of those, or no next token is predicted and a state is to be carried.
    """
    predicts, carries = task_of(cfg) == NEXT_TOKEN, cfg.data.get("carry_state") is True
    if carries and not predicts:
        raise CouloirError(
            "data.carry_state=true goes on from batch to batch in a text whose next token is predicted, and the task "
            f"is {task_of(cfg)}.",
            next_step="data.carry_state=false",
        )
    if predicts and cfg.model.get("bidirectional") is True and str(cfg.model.get("_target_")).startswith(RECURRENT):
        raise CouloirError(
            "model.bidirectional=true reads the text from its end as well, and so sees each token that it is to "
            "predict.",
            next_step="model.bidirectional=false",
        )
    target = str(cfg.model.get("_target_"))
    if carries and target.startswith("couloir.") and not target.startswith(RECURRENT):
        raise CouloirError(
            f"data.carry_state=true hands the network the state behind the batch before, and "
            f"model={choices.get('model')} keeps none.",
            next_step=f"model={', model='.join(keeping_state())}; or data.carry_state=false",
        )


def keeping_state() -> list[str]:
    """The choices of `model` that keep a state from step to step."""
    found = []
    for name, file in tree.choices("model").items():
        targets = [str(key.default) for key in contract.read_keys(file) if key.path == "_target_"]
        found += [name] if targets and targets[0].startswith(RECURRENT) else []
    return found
