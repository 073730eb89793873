"""What the node `sweep` of a configuration asks for. Nothing here imports torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from couloir.config.compose import Sentence
from couloir.config.folds import FOLD, LEAVE_ONE_GROUP_OUT, number_of_folds
from couloir.sweep.objective import Ranking, ranking
from couloir.sweep.space import Setting, Space


@dataclass(frozen=True)
class Settings:
    """The node `sweep`, checked.

    Attributes:
        space: of the files, key -> values.
        ranking: how trials are compared.
        n_trials: how many settings are tried; None: all of a grid.
        seeds: of each setting's runs.
        folds: the words for each fold of the data, on which a setting is trained with every seed; None: there are no
            folds, or all runs test on one of them.
        by_group: whether each group of the data is a fold.
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
    ranking: Ranking
    n_trials: int | None
    seeds: list[int]
    folds: list[str] | None
    by_group: bool
    seed: int
    workers: int | None
    isolation: Literal["process", "none"]
    max_failures: int | None
    storage: str | None
    name: str | None
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None

    @classmethod
    def read(cls, sweep: Sentence, space: Space, setting: Setting, trial: Sentence) -> Settings:
        """Read and check the nodes `sweep` and `pruner`.

        Args:
            sweep: the sentence with these nodes.
            space: what the sweep goes over.
            setting: that of one trial.
            trial: the sentence of that trial.

        Raises:
            CouloirError: they ask for what cannot be.
        """
        node, pruner = sweep.cfg.sweep, sweep.cfg.pruner
        compared = ranking(node, None if pruner is None else sweep.choices.get("pruner"), space, setting, trial)
        first = int(trial.cfg.seed)
        count = 1 if node.seeds is None else int(node.seeds)
        return cls(
            space=OmegaConf.to_container(node.space, resolve=False),  # type: ignore[arg-type]
            ranking=compared,
            n_trials=node.n_trials,
            seeds=[first + place for place in range(count)],
            folds=_folds(trial),
            by_group=trial.cfg.data.get("folds") == LEAVE_ONE_GROUP_OUT,
            seed=first if node.seed is None else int(node.seed),
            workers=node.workers,
            isolation=node.isolation,
            max_failures=node.max_failures,
            storage=node.storage,
            name=node.name,
            sampler=OmegaConf.to_container(node.sampler, resolve=True),  # type: ignore[arg-type]
            pruner=None if pruner is None else OmegaConf.to_container(pruner, resolve=True),  # type: ignore[arg-type]
        )

    @property
    def runs(self) -> list[list[str]]:
        """The words of each run of a setting: its seed, and its fold; all folds of the first seed come first."""
        seeds = [[f"seed={seed}"] if len(self.seeds) > 1 else [] for seed in self.seeds]
        folds: list[list[str]] = [[]] if self.folds is None else [[fold] for fold in self.folds]
        return [[*seed, *fold] for seed in seeds for fold in folds]


def _folds(trial: Sentence) -> list[str] | None:
    count = number_of_folds(trial.cfg)
    plus = "" if FOLD.partition(".")[2] in trial.cfg.data else "+"  # a set of the user's own need not list the key
    return None if count is None else [f"{plus}{FOLD}={fold}" for fold in range(count)]


def study_name(settings: Settings, folder: Path, words: list[str]) -> str:
    """The name of the study: what `sweep.name` says; else, where the storage is shared, one that follows from the
    words, so that the same command finds the same study on every machine; else that of the folder.
    """
    if settings.name is not None:
        return settings.name
    if settings.storage is None:
        return folder.name
    return "sweep-" + hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
