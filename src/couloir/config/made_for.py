"""Networks that are made for a task, and the tasks that need one: `# Task:` lines of networks, `model` keys of tasks.

    # Task: vae                 in the YAML of a network: it is made for this task, or for one of several
    model: vae                  in the YAML of a task: the network where the sentence names none

A task with such a key takes networks that are made for it, and the user's own. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from couloir.config import contract, tree
from couloir.config.fields import fields_of
from couloir.config.metrics import RECONSTRUCTION
from couloir.errors import CouloirError, did_you_mean, display

MODEL = "model"
"""The key of a task that needs a network of its own: the choice where the sentence names none."""
_MARK = "Task:"


def tasks_of(model: str | None) -> list[str]:
    """The tasks that a network is made for; none where it takes the task of the data.

    Args:
        model: a choice of the group `model`.

    Raises:
        CouloirError: its line names a task that is not there.
    """
    file = None if model is None else tree.find(f"model/{model}")
    line = None if file is None else next((line for line in tree.header(file) if line.startswith(_MARK)), None)
    if file is None or line is None:
        return []
    named = [word.strip() for word in line.removeprefix(_MARK).split(",")]
    if unknown := [name for name in named if tree.find(f"task/{name}") is None]:
        known = list(tree.choices("task"))
        raise CouloirError(
            f"The line '# {line}' names a task that is not there: '{unknown[0]}'.",
            place=display(file),
            next_step=did_you_mean(unknown[0], known, form="# Task: {}") or f"tasks: {', '.join(known)}",
        )
    return named


def usual_model(task: str | None) -> str | None:
    """The network that a task has where the sentence names none; None where any network of its shape will do.

    Args:
        task: a choice of the group `task`.
    """
    file = None if task is None else tree.find(f"task/{task}")
    if file is None:
        return None
    return next((str(key.default) for key in contract.read_keys(file) if key.path == MODEL), None)


def models_for(task: str) -> list[str]:
    """The networks that are made for a task."""
    return [name for name in tree.choices("model") if task in tasks_of(name)]


def fits(model: str | None, task: str | None) -> bool:
    """Whether a network and a task go together; nobody knows it of what is the user's own."""
    made_for, file = tasks_of(model), None if model is None else tree.find(f"model/{model}")
    if made_for:
        return task in made_for or task is None
    return usual_model(task) is None or file is None or tree.is_own(file)


def check_made_for(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """A task that needs a network of its own has one, and such a network has its task, and what it can learn from.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: they do not go together, or the data has maps, or views of an image would be averaged.
    """
    model, task = choices.get("model"), choices.get("task")
    if not fits(model, task):
        file = tree.find(f"model/{model}")
        made_for, others = tasks_of(model), models_for(str(task))
        raise CouloirError(
            f"model={model} is made for task={' or task='.join(made_for)}, and the sentence has task={task}."
            if made_for
            else f"task={task} needs a network that is made for it, and model={model} is none.",
            place=None if file is None else display(file),
            next_step=(f"task={made_for[0]}, or " if made_for else "")
            + (f"take one of: {', '.join(others)}" if others else "another model"),
        )
    if usual_model(task) is None:
        return
    if "map" in fields_of(cfg.data).values():
        noisy = "; task.corruption=gaussian makes images noisy" if task == RECONSTRUCTION else ""
        raise CouloirError(
            f"task={task} learns from the input alone, and data={choices.get('data')} has maps, which would be "
            "ignored.",
            next_step=f"data with images alone, or with classes: data=mnist, data=cifar10{noisy}",
        )
    if cfg.tta is not None:
        raise CouloirError(
            f"tta={choices.get('tta')} averages the answers to several views of an image, and task={task} has none to "
            "average.",
            next_step="tta=none",
        )


def brought(overrides: Sequence[str]) -> list[str]:
    """The word for the network of a task, where the words name a task that needs one, and no network.

    A recipe, or a root file of the user's own, says itself which network there is.

    Args:
        overrides: what is composed.
    """
    words = {key.lstrip("+~"): value for key, _, value in (word.partition("=") for word in overrides)}
    root: Path | None = tree.find(tree.ROOT_CONFIG)
    if "experiment" in words or MODEL in words or (root is not None and tree.is_own(root)):
        return []
    model = usual_model(words.get("task"))
    return [] if model is None else [f"{MODEL}={model}"]
