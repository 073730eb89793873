"""What the node `sweep` of a configuration asks for. Nothing here imports torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from couloir.config.compose import Sentence
from couloir.config.metrics import OTHER_NUMBERS, leading, measured, measuring, mode, stated_metrics, task_of
from couloir.errors import CouloirError, did_you_mean
from couloir.sweep.trials import Objective

DIRECTIONS = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True)
class Settings:
    """The node `sweep`, checked.

    Attributes:
        space: of the files, key -> values.
        objectives: what the sweep is after.
        monitor: the column that is watched from epoch to epoch.
        mode: whether it is to rise (`max`) or to fall (`min`).
        n_trials: how many settings are tried; None: all of a grid.
        seeds: of each setting's runs.
        seed: of the proposals.
        workers: runs that go on at a time; None: one, or as many as the launcher takes.
        isolation: whether each run is a process of its own.
        max_failures: failed trials after which no other begins; None: never.
        storage: where the study is kept; None: in the sweep's folder.
        name: of the study.
        sampler: the node that proposes.
        pruner: the node that ends trials early; None: nothing does.
    """

    space: dict[str, Any]
    objectives: list[Objective]
    monitor: str
    mode: str
    n_trials: int | None
    seeds: list[int]
    seed: int
    workers: int | None
    isolation: Literal["process", "none"]
    max_failures: int | None
    storage: str | None
    name: str | None
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None

    @classmethod
    def read(cls, sweep: Sentence, trial: Sentence) -> Settings:
        """Read and check the nodes `sweep` and `pruner`.

        Args:
            sweep: the sentence with these nodes.
            trial: the sentence of a trial.

        Raises:
            CouloirError: they ask for what cannot be.
        """
        node, pruner = sweep.cfg.sweep, sweep.cfg.pruner
        objectives = _objectives(node, trial)
        monitor, monitor_mode = _monitor(objectives[0], trial)
        if pruner is not None:
            _check_pruned(objectives, sweep.choices.get("pruner"), trial)
        first = int(trial.cfg.seed)
        count = 1 if node.seeds is None else int(node.seeds)
        return cls(
            space=OmegaConf.to_container(node.space, resolve=False),  # type: ignore[arg-type]
            objectives=objectives,
            monitor=monitor,
            mode=monitor_mode,
            n_trials=node.n_trials,
            seeds=[first + place for place in range(count)],
            seed=first if node.seed is None else int(node.seed),
            workers=node.workers,
            isolation=node.isolation,
            max_failures=node.max_failures,
            storage=node.storage,
            name=node.name,
            sampler=OmegaConf.to_container(node.sampler, resolve=True),  # type: ignore[arg-type]
            pruner=None if pruner is None else OmegaConf.to_container(pruner, resolve=True),  # type: ignore[arg-type]
        )


def _objectives(node: Any, trial: Sentence) -> list[Objective]:
    names = _listed(node.objective)
    if not names:
        monitor, its_mode = _monitored(trial)
        names, directions = [monitor.replace("val/", "best/")], [DIRECTIONS[its_mode]]
    else:
        directions = [DIRECTIONS[mode(name, stated_metrics(trial.cfg))] for name in names]
    given = _listed(node.direction)
    if given and len(given) != len(names):
        raise CouloirError(
            f"sweep.direction has {len(given)} words for {len(names)} objectives.",
            next_step="name one for each, or leave it out: each metric has its own",
        )
    for word in given:
        if word not in ("maximize", "minimize"):
            raise CouloirError(f"sweep.direction takes maximize or minimize, not {word}.")
    _check_names(names, trial)
    return [Objective(name, direction) for name, direction in zip(names, given or directions, strict=True)]  # type: ignore[arg-type]


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(entry) for entry in value] if OmegaConf.is_list(value) else [str(value)]


def _monitored(trial: Sentence) -> tuple[str, str]:
    """The metric that decides about a run's best epoch, and `min` or `max`."""
    node = trial.cfg.callbacks.checkpoint
    return str(node.monitor), str(node.mode or mode(node.monitor, stated_metrics(trial.cfg)))


def _check_names(names: list[str], trial: Sentence) -> None:
    known = [name for split in ("best", "val", "test", "train") for name in measured(trial.cfg, split)]
    known += OTHER_NUMBERS
    for name in names:
        if name not in known:
            raise CouloirError(
                f"sweep.objective={name} is no number that a run ends with.",
                place=f"numbers: {', '.join(known)}",
                next_step=measuring(name, task_of(trial.cfg)) or did_you_mean(name, known, form="sweep.objective={}"),
            )


def _monitor(objective: Objective, trial: Sentence) -> tuple[str, str]:
    """The column of `metrics.csv` that belongs to the objective, and `min` or `max`; the checkpoint's without one."""
    column = objective.name.replace("best/", "val/")
    if column in (*measured(trial.cfg), *measured(trial.cfg, "train")):
        return column, "max" if objective.direction == "maximize" else "min"
    return _monitored(trial)


def _check_pruned(objectives: list[Objective], pruner: str | None, trial: Sentence) -> None:
    if len(objectives) > 1:
        raise CouloirError(
            f"pruner={pruner} compares trials by one number, and sweep.objective names {len(objectives)}.",
            next_step="pruner=none, or one objective",
        )
    if not objectives[0].name.startswith(("best/", "val/")) or objectives[0].name == "best/epoch":
        raise CouloirError(
            f"pruner={pruner} needs a number that is measured every epoch, and {objectives[0].name} is not.",
            next_step=f"sweep.objective=best/{leading(measured(trial.cfg)) or 'loss'}, or pruner=none",
        )


def study_name(settings: Settings, folder: Path, words: list[str]) -> str:
    """The name of the study: what `sweep.name` says; else, where the storage is shared, one that follows from the
    words, so that the same command finds the same study on every machine; else that of the folder.
    """
    if settings.name is not None:
        return settings.name
    if settings.storage is None:
        return folder.name
    return "sweep-" + hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
