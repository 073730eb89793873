"""From the words of a multirun to what is to be done. Nothing here imports torch, or composes more than a sentence."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from couloir.config.check import check_sweep_values, checked
from couloir.config.compose import Sentence, compose_sweep, is_of_a_sweep
from couloir.config.folds import FOLD, FOLDS, LEAVE_ONE_GROUP_OUT
from couloir.errors import CouloirError
from couloir.sweep.engine.choice import threads_each
from couloir.sweep.job import Job, Report
from couloir.sweep.settings import Settings, study_name
from couloir.sweep.space import Parameter, Setting, Space, as_words, read_space
from couloir.sweep.storage import address
from couloir.sweep.study import Proposal, run_folders
from couloir.sweep.trials import SweepRecord, TrialRecord

SAME_GROUPS = tuple(
    f"data.{key}" for key in (
        "batch_size", "val_fraction", "image_size", "resize", "standardize", "target_scaling", "sampler", "workers",
    )
)  # fmt: skip
"""Keys of the data that may be swept where each group is a fold: they leave the groups as they are."""
TRIED = 3
"""Settings that must all be wrong before a sweep is refused for it."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        space: fixed words and parameters.
        settings: the node `sweep`.
        folder: of the sweep.
        name: of the study.
        where: the storage's address.
        command: the command line.
        directory: where it was typed.
        total: how many trials there are to be.
        threads: CPU threads of a run; None: the run's own affair.
        environment: variables of every run.
        trial: the sentence of a first trial.
    """

    space: Space
    settings: Settings
    folder: Path
    name: str
    where: str
    command: list[str]
    directory: Path
    total: int
    threads: int | None
    environment: dict[str, str]
    trial: Sentence

    @property
    def folds(self) -> int | None:
        """How many folds each setting is trained on; None: the data has no folds, or one of them is chosen."""
        return None if self.settings.folds is None else len(self.settings.folds)

    def known(self, key: str) -> str:
        """What a key or group is that is not swept, as it would be typed; empty where it is not there."""
        if key in self.trial.choices:
            return str(self.trial.choices[key])
        value = OmegaConf.select(self.trial.cfg, key)
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def jobs(self, proposal: Proposal) -> list[Job]:
        """The runs of a trial, one for each seed and fold."""
        folders = run_folders(proposal.folder, len(self.settings.runs))
        return [
            Job(
                number=proposal.number,
                place=place,
                overrides=[*self.space.words, *as_words(proposal.setting), *words, *self._threads()],
                folder=str(folder),
                directory=str(self.directory),
                command=self.command,
                report=self._report(proposal) if place == 0 else None,
                environment=self.environment,
            )
            for place, (words, folder) in enumerate(zip(self.settings.runs, folders, strict=True))
        ]

    def _threads(self) -> list[str]:
        return [] if self.threads is None else [f"trainer.threads={self.threads}"]

    def _report(self, proposal: Proposal) -> Report | None:
        pruner = self.settings.pruner
        if pruner is None:
            return None
        return Report(self.where, self.name, proposal.trial_id, self.settings.ranking.monitor, pruner)

    def record(self, trials: list[TrialRecord]) -> SweepRecord:
        """The sweep as tables and pictures see it."""
        ranking = self.settings.ranking
        return SweepRecord(
            self.folder, self.name, self.space.words, self.space.keys, ranking.objectives,
            ranking.monitor, self.command, trials, self.total, ranking.mode, ranking.differ, self.folds,
        )  # fmt: skip


def make_plan(
    words: Sequence[str], command: list[str], loader: ConfigLoader, node: DictConfig, params: dict[str, Any]
) -> Plan:
    """Plan a sweep.

    Args:
        words: what was typed after `-m`.
        command: the whole command line.
        loader: resolves patterns such as `model=glob(resnet*)`.
        node: the node `hydra`.
        params: more of the space, from `hydra.sweeper.params`.

    Raises:
        CouloirError: it cannot be done.
    """
    own, hydras, rest = divided(words)
    default_folder = Path(str(node.sweep.dir))
    sweep = compose_sweep([*_single(rest), *own])
    check_sweep_values(sweep)
    filed = {**params, **OmegaConf.to_container(sweep.cfg.sweep.space, resolve=False)}  # type: ignore[dict-item]
    seed = sweep.cfg.sweep.seed or 0
    space = read_space(rest, filed, loader, seed)
    if not space.parameters and sweep.choices.get("sweep") != "grid":
        raise CouloirError(
            f"sweep={sweep.choices.get('sweep')} has no keys to search.",
            next_step="name keys and their values: 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'",
        )
    setting, trial = _first_trial(space)
    settings = Settings.read(sweep, space, setting, trial)
    _check_repeats(settings, space, trial)
    name = study_name(settings, default_folder, [word for word in words if word not in hydras])
    shared = settings.storage is not None or settings.name is not None
    typed = any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in hydras)
    folder = Path(trial.cfg.output_dir) / "sweep" / name if shared and not typed else default_folder
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  resolve() would follow a user's links
    asked = any(word.lstrip("+").startswith("trainer.threads=") for word in words) or "trainer.threads" in space.keys
    return Plan(
        space=space,
        settings=settings,
        folder=folder,
        name=name,
        where=address(settings.storage, folder),
        command=command,
        directory=Path.cwd(),
        total=0,
        threads=None if asked else threads_each(node.launcher, settings.workers),
        environment=_environment(hydras),
        trial=trial,
    )


def divided(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The words about the sweep, those about Hydra, and those of its trials."""
    own = [word for word in words if is_of_a_sweep(word)]
    hydras = [word for word in words if word.lstrip("+~").startswith(("hydra.", "hydra/")) and word not in own]
    return own, hydras, [word for word in words if word not in own and word not in hydras]


def _single(words: Sequence[str]) -> list[str]:
    """Those that name one value."""
    parser = OverridesParser.create()
    return [word for word in words if not parser.parse_override(word).is_sweep_override()]


def _environment(hydras: list[str]) -> dict[str, str]:
    """`hydra.job.env_set.NAME=VALUE`, as far as it was typed."""
    parser = OverridesParser.create()
    found = {}
    for word in hydras:
        override = parser.parse_override(word)
        if override.key_or_group.startswith("hydra.job.env_set."):
            found[override.key_or_group.removeprefix("hydra.job.env_set.")] = str(override.value())
    return found


def _first_trial(space: Space) -> tuple[Setting, Sentence]:
    """The setting and the sentence of one trial that is right; one setting may well be wrong where another is not.

    Raises:
        CouloirError: several settings all over the space are wrong; it is the mistake of the first.
    """
    mistakes: deque[CouloirError] = deque()
    for place in range(TRIED):
        setting = _somewhere(space, place)
        try:
            sentence = checked([*space.words, *as_words(setting)], each_fold=True)
        except CouloirError as error:
            mistakes.append(error)
            continue
        return setting, sentence
    raise mistakes[0]


def _somewhere(space: Space, place: int) -> Setting:
    """The first values, the last ones, and others in between."""
    draw = random.Random(place)
    setting: Setting = {}
    for parameter in space.parameters:
        if parameter.applies(setting, lambda _: ""):
            setting[parameter.key] = _value_at(parameter, place / (TRIED - 1), draw)
    return setting


def _value_at(parameter: Parameter, share: float, draw: random.Random) -> str:
    if parameter.values:
        return parameter.values[round(share * (len(parameter.values) - 1))]
    assert parameter.numbers is not None
    low, high = parameter.numbers.low, parameter.numbers.high
    return str(draw.randint(int(low), int(high))) if parameter.numbers.integer else repr(low + share * (high - low))


def _check_repeats(settings: Settings, space: Space, trial: Sentence) -> None:
    """What a setting is repeated over is the same for all settings.

    Raises:
        CouloirError: it is not, or the folds would not be tested.
    """
    if len(settings.seeds) > 1 and "seed" in space.keys:
        raise CouloirError(
            "Both seed=... and sweep.seeds repeat over seeds.",
            next_step="leave one of them out; sweep.seeds reports means",
        )
    swept = next((key for key in (FOLDS, FOLD) if key in space.keys), None)
    if swept is not None:
        raise CouloirError(
            f"{swept} cannot be swept: the settings of a sweep are compared on the same folds.",
            next_step=f"{FOLDS}=5 trains each setting on all five; {FOLDS}=5 {FOLD}=0 on the first one only",
        )
    if settings.folds is not None and not trial.cfg.get("test", True):
        raise CouloirError(
            f"test=false leaves out the test, and {FOLDS} makes folds to be tested.",
            next_step=f"leave test=false or {FOLDS} out",
        )
    if settings.folds is not None and settings.by_group:
        other = next((key for key in space.keys if key == "data" or key.startswith("data.")), None)
        if other is not None and other not in SAME_GROUPS:
            raise CouloirError(
                f"With {FOLDS}={LEAVE_ONE_GROUP_OUT}, {other} may change how many folds there are.",
                next_step=f"a sweep for each value of {other}, or a number of folds",
            )
