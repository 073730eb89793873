"""What a sweep compares its trials by: its objectives, and the column that is watched from epoch to epoch.

A loss ranks trials only where all of them compute the same loss: a squared error and an absolute one have different
units, and the smaller unit would win. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from couloir.config import tree
from couloir.config.compose import Sentence, compose_sentence
from couloir.config.metrics import OTHER_NUMBERS, leading, measured, measuring, mode, ordered, stated_metrics, task_of
from couloir.config.settle import settle_modes, settle_monitor, settle_parts
from couloir.errors import CouloirError, did_you_mean
from couloir.sweep.space import Parameter, Setting, Space, as_words
from couloir.sweep.trials import Objective

DIRECTIONS = {"max": "maximize", "min": "minimize"}
LOSS = "loss"
MONITOR = "callbacks.checkpoint.monitor"
DATA = ("path", "root", "target", "group", "group_pattern", "target_scaling", "num_classes", "labels", "task", "fields")
"""Keys of `data` that say which samples and targets these are, and in which unit the loss sees them."""
OTHERS_TOO = re.compile(r"^\s*- +(override +)?/|@package +_global_", re.MULTILINE)
"""What the file of a choice holds that chooses for other groups as well."""


@dataclass(frozen=True)
class Ranking:
    """How trials are compared.

    Attributes:
        objectives: what the sweep is after, the first one decides.
        monitor: the column of `metrics.csv` that is watched from epoch to epoch.
        mode: whether it is to rise (`max`) or to fall (`min`).
        differ: which of `task`, `loss`, `data` and `monitor` are not the same in all trials.
    """

    objectives: list[Objective]
    monitor: str
    mode: str
    differ: list[str]


def ranking(node: Any, pruner: str | None, space: Space, setting: Setting, trial: Sentence) -> Ranking:
    """How the trials of a sweep are compared.

    Args:
        node: the configuration's node `sweep`.
        pruner: the choice of the group `pruner`; None: nothing ends trials early.
        space: what the sweep goes over.
        setting: that of one trial.
        trial: its sentence.

    Raises:
        CouloirError: an objective that no run ends with, or the trials have no number in common that compares them.
    """
    configurations = [trial.cfg, *_others(space, setting)]
    differ = _differ(space, configurations)
    names = _listed(node.objective)
    if names:
        usual = [DIRECTIONS[mode(name, stated_metrics(trial.cfg))] for name in names]
    else:
        column, its_mode = _compared(configurations, differ)
        names, usual = [column.replace("val/", "best/")], [DIRECTIONS[its_mode]]
    given = _directions(node, names)
    _check_names(names, trial)
    pairs: Any = zip(names, given or usual, strict=True)
    objectives = [Objective(name, direction) for name, direction in pairs]
    if pruner is not None:
        _check_pruned(objectives, pruner, trial)
    monitor, monitor_mode = _watched(objectives[0], trial)
    return Ranking(objectives, monitor, monitor_mode, differ)


def _others(space: Space, setting: Setting) -> Iterator[DictConfig]:
    """The configurations of trials that may differ in task, loss, data or monitor: one for each value that may matter.

    A value that does not compose is left out: its trial will say so.
    """
    for parameter in space.parameters:
        for value in parameter.values if len(parameter.values) > 1 else ():
            if not _matters(parameter, value):
                continue
            other = {**setting, parameter.key: value}
            try:
                sentence = settle_parts(compose_sentence([*space.words, *as_words(other)]))
                settle_monitor(sentence.cfg)
                settle_modes(sentence.cfg)
            except CouloirError:
                continue
            yield sentence.cfg


def _matters(parameter: Parameter, value: str) -> bool:
    """Whether a value chooses a task, a loss, the data or a monitor; a recipe, say, may choose all of them."""
    if parameter.name in ("task", "loss", "data", MONITOR):
        return True
    file = tree.find(f"{parameter.name}/{value}") if parameter.name in tree.groups() else None
    return file is not None and OTHERS_TOO.search(file.read_text(encoding="utf-8")) is not None


def _differ(space: Space, configurations: list[DictConfig]) -> list[str]:
    """Which of task, loss, data and monitor are not the same in all trials."""
    tops = {parameter.name.partition(".")[0] for parameter in space.parameters if _has_several(parameter)}
    keys = {parameter.name for parameter in space.parameters if _has_several(parameter)}
    found = {
        "task": len({task_of(cfg) for cfg in configurations}) > 1,
        # A task's own keys weigh the parts of its loss.
        "loss": "loss" in tops or "task" in tops or len({_plain(cfg, "loss", "task") for cfg in configurations}) > 1,
        "data": any(f"data.{key}" in keys for key in DATA) or len({_which_data(cfg) for cfg in configurations}) > 1,
        "monitor": len({_plain(cfg, MONITOR) for cfg in configurations}) > 1,
    }
    return [name for name, differs in found.items() if differs]


def _has_several(parameter: Parameter) -> bool:
    return len(parameter.values) != 1


def _plain(cfg: DictConfig, *keys: str) -> str:
    nodes = [OmegaConf.select(cfg, key) for key in keys]
    return repr([OmegaConf.to_container(n, resolve=False) if OmegaConf.is_config(n) else n for n in nodes])


def _which_data(cfg: DictConfig) -> str:
    return repr([str(OmegaConf.to_container(cfg.data, resolve=False).get(key)) for key in ("_target_", *DATA)])  # type: ignore[union-attr]


def _compared(configurations: list[DictConfig], differ: list[str]) -> tuple[str, str]:
    """The column that all trials can be compared by, and `min` or `max`: the one that decides about the best epoch,
    where that is not a loss that is another one in each trial.

    Raises:
        CouloirError: all that the trials measure alike is a loss, and their losses differ.
    """
    column, its_mode = _monitored(configurations[0])
    if not differ or (
        column.rpartition("/")[2] != LOSS and "monitor" not in differ and _in_all(column, configurations)
    ):
        return column, its_mode
    stated = stated_metrics(configurations[0])
    common = ordered(name for name in measured(configurations[0]) if _in_all(name, configurations))
    others = [name for name in ordered(name.rpartition("/")[2] for name in common) if name != LOSS]
    metric = leading(others) or next(iter(others), None)
    if metric is not None:
        return f"val/{metric}", mode(metric, stated)
    if "loss" in differ or "task" in differ:
        raise CouloirError(
            f"The trials differ in their {_list(differ)}, and have only the loss in common, whose unit differs.",
            next_step="sweep each by itself, add a metric that all of them measure (`couloir list metric`), or type "
            "sweep.objective=best/loss if their losses do have one unit",
        )
    return column, its_mode


def _in_all(column: str, configurations: list[DictConfig]) -> bool:
    return all(column in measured(cfg) for cfg in configurations)


def about(objectives: list[Objective], differ: list[str]) -> str:
    """What a user should know of the order of the trials: why it is not by the loss, or what it does not say."""
    if not differ:
        return ""
    goal = objectives[0].name
    by_loss = goal.rpartition("/")[2] == LOSS
    loss = [name for name in differ if name in ("loss", "task")]
    if by_loss and loss:
        return f"{goal} compares losses of different units: the trials differ in their {_list(loss)}"
    if "data" in differ:
        return f"{goal} is measured on different samples: the trials differ in their {_list(differ)}"
    if not by_loss and loss:
        return f"ranked by {goal}: the trials differ in their {_list(loss)}, so that their losses cannot be compared"
    return f"ranked by {goal}: the trials differ in their {_list(differ)}"


def about_folds(objectives: list[Objective], folds: int | None) -> str:
    """On which samples of the folds the numbers of a sweep are measured; empty where there are no folds."""
    if folds is None:
        return ""
    goal = objectives[0].name
    if goal.startswith("test/"):
        return (
            f"each setting is trained on {folds} folds, and ranked by {goal} on the folds themselves: the best one's "
            "number is chosen from many, and new data will give a worse one"
        )
    return (
        f"each setting is trained on {folds} folds and ranked by {goal}; test/* (the mean of the folds) and "
        "out_of_fold/* (all their samples at once) have no part in the ranking"
    )


def _list(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(entry) for entry in value] if OmegaConf.is_list(value) else [str(value)]


def _directions(node: Any, names: list[str]) -> list[str]:
    given = _listed(node.direction)
    if given and len(given) != len(names):
        raise CouloirError(
            f"sweep.direction has {len(given)} words for {len(names)} objectives.",
            next_step="name one for each, or leave it out: each metric has its own",
        )
    for word in given:
        if word not in ("maximize", "minimize"):
            raise CouloirError(f"sweep.direction takes maximize or minimize, not {word}.")
    return given


def _monitored(cfg: DictConfig) -> tuple[str, str]:
    """The metric that decides about a run's best epoch, and `min` or `max`."""
    node = cfg.callbacks.checkpoint
    return str(node.monitor), str(node.mode or mode(node.monitor, stated_metrics(cfg)))


def _check_names(names: list[str], trial: Sentence) -> None:
    splits = [split for split in ("best", "val", "test", "train") if split != "test" or trial.cfg.get("test", True)]
    known = [name for split in splits for name in measured(trial.cfg, split)]
    known += OTHER_NUMBERS
    for name in names:
        if name not in known:
            raise CouloirError(
                f"sweep.objective={name} is not a number of result.json.",
                place=f"numbers: {', '.join(known)}",
                next_step=measuring(name, task_of(trial.cfg)) or did_you_mean(name, known, form="sweep.objective={}"),
            )


def _watched(objective: Objective, trial: Sentence) -> tuple[str, str]:
    """The column of `metrics.csv` that belongs to the objective, and `min` or `max`; the checkpoint's without one."""
    column = re.sub("^(best|test)/", "val/", objective.name)
    if column in (*measured(trial.cfg), *measured(trial.cfg, "train")):
        return column, "max" if objective.direction == "maximize" else "min"
    return _monitored(trial.cfg)


def _check_pruned(objectives: list[Objective], pruner: str, trial: Sentence) -> None:
    if len(objectives) > 1:
        raise CouloirError(
            f"pruner={pruner} compares trials by one number, but sweep.objective names {len(objectives)}.",
            next_step="pruner=none, or one objective",
        )
    if not objectives[0].name.startswith(("best/", "val/")) or objectives[0].name == "best/epoch":
        raise CouloirError(
            f"pruner={pruner} needs a number that is measured every epoch; {objectives[0].name} is not.",
            next_step=f"sweep.objective=best/{leading(measured(trial.cfg)) or LOSS}, or pruner=none",
        )
