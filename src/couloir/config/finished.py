"""The configuration of a run that was composed before: read, completed with keys that came later, changed by overrides.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, targets, tree
from couloir.config.classifier_run import check_classifier, settle_classifier
from couloir.config.compose import compose_sentence
from couloir.config.fields import fields_of
from couloir.config.made_for import MODEL
from couloir.config.metrics import check_stated, chosen_metrics, task_of
from couloir.config.needs import lacking
from couloir.config.settle import read_part, settle_modes
from couloir.errors import CouloirError, did_you_mean, display
from couloir.record.checkpoint import best_weights
from couloir.record.configuration import FILE, flat, read_configuration
from couloir.record.find import find_trained

METRIC = "metric"
"""The group of which several choices may be named, `metric=[f1,auroc]`."""
EVALUATED = "evaluated"
"""The key of a task with what its own keys are in an evaluation where they are null: `{importance_samples: 100}`."""
PARTS = ("model", "data", "trainer")
"""Without these there was no run."""
MOVED = {"couloir.augmentation.sequence.in_turn": "couloir.augmentation.transform.in_turn"}
"""Targets of older versions, and where they are now."""


def run_config(run: Path, allowed: Sequence[str] = ()) -> DictConfig:
    """The resolved configuration of a run, wherever the run comes from, to be built from.

    Args:
        run: its folder.
        allowed: packages that its targets may come from besides the usual ones; what the file allows itself is void.

    Raises:
        CouloirError: it cannot be read, or it calls what a configuration may not call.
    """
    cfg = read_config(run)
    if not tree.own_word() and Path(str(cfg.get(tree.KEY))).is_dir():
        tree.name_own(cfg.get(tree.KEY))  # which may be gone: the run has all that it held
    with open_dict(cfg):
        cfg[targets.KEY] = list(allowed)
        _add_task(cfg)
        if OmegaConf.is_dict(cfg.get("augmentation")) and (now := MOVED.get(cfg.augmentation.get("_target_"))):
            cfg.augmentation._target_ = now
    targets.check_targets(cfg, allowed, targets.place_in(run / FILE))
    return cfg


def _add_task(cfg: DictConfig) -> None:
    """A run of a version that had no group `task` states in its data what it is for."""
    if "task" in cfg or (file := tree.find(f"task/{cfg.data.get('task')}")) is None:
        return
    cfg.task = OmegaConf.load(file)
    cfg.data.fields = fields_of(cfg.data)


def read_config(run: Path) -> DictConfig:
    """The resolved configuration of a run, to be looked at.

    Raises:
        CouloirError: it cannot be read.
    """
    file = run / FILE
    try:
        cfg = OmegaConf.create(read_configuration(run) or {})
        OmegaConf.resolve(cfg)  # a run has left none, and somebody else's may lead anywhere
    except (CouloirError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = " ".join((error.fact if isinstance(error, CouloirError) else str(error)).split())
        raise CouloirError(f"{file} cannot be read as the configuration of a run: {reason}") from error
    if not all(OmegaConf.is_dict(cfg.get(name)) for name in PARTS):
        raise CouloirError(f"{file} is not the configuration of a run.")
    return cfg


def amend(cfg: DictConfig, overrides: list[str], opened: Opened) -> DictConfig:
    """A copy of a run's configuration, with other choices and values where a verb leaves them open.

    Args:
        cfg: a resolved configuration; what was filled in from another key does not follow that key any more.
        overrides: `key=value` or `group=choice`, as typed.
        opened: what may be changed.

    Raises:
        CouloirError: a key or a choice that is not there or is settled, or a value that it does not accept.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        for name, value in evaluated(cfg).items() if opened.tests else ():
            if cfg.task.get(name) is None:
                cfg.task[name] = value
        chosen = [override for override in overrides if override.partition("=")[0] in opened.groups]
        for override in chosen:
            group, _, value = override.partition("=")
            names = value.strip("[]").split(",") if group == METRIC else [value]
            parts = [_choice(group, name.strip(), cfg) for name in names]
            cfg[group] = parts[0] if len(parts) == 1 else OmegaConf.merge(*parts)
        for name, node in chosen_metrics(cfg).items():
            check_stated(name, node, task_of(cfg))
        for override in overrides:
            if override not in chosen:
                _set(cfg, override, opened)
        settle_classifier(cfg)
        check_classifier(cfg)
        _follow_monitors(cfg, overrides)
    return cfg


def evaluated(cfg: DictConfig) -> dict[str, Any]:
    """The keys of a run's task that an evaluation sets where they are null, and may change."""
    return dict((cfg.get("task") or {}).get(EVALUATED) or {})


def refuse_mean(cfgs: Sequence[DictConfig]) -> None:
    """Whether there is a mean of answers: of several runs, or of several views of a sample.

    Args:
        cfgs: the configurations that the runs answer with.

    Raises:
        CouloirError: there is none, since their networks make samples or codes, each its own.
    """
    name = next((task_of(cfg) for cfg in cfgs if (cfg.get("task") or {}).get(MODEL)), None)
    if name is None:
        return
    if len(cfgs) > 1:
        raise CouloirError(
            f"Runs of task={name} have codes and samples of their own, of which there is no mean.",
            next_step="ask one run at a time",
        )
    if cfgs[0].get("tta") is not None:
        raise CouloirError(
            f"tta averages the answers to several views of an image, and task={name} has none to average.",
            next_step="leave tta out",
        )


def asked_runs(
    words: Sequence[str], outputs: str, overrides: list[str], opened: Opened
) -> tuple[list[Path], list[Path], list[DictConfig]]:
    """The finished runs that a verb asks, each with a checkpoint: runs or checkpoints, their folders, and the
    configurations that they answer with.

    Args:
        words: how they are named: folders, names, `latest`, or checkpoints.
        outputs: the folder that collects the runs.
        overrides: what is changed for the answers.
        opened: what may be changed.

    Raises:
        CouloirError: there is no such run, it has no checkpoint, or what is changed may not be.
    """
    runs = [find_trained(word, outputs) for word in words]
    folders = [run if run.is_dir() else run.parents[1] for run in runs]
    trusted = targets.roots_of(overrides)
    cfgs = [amend(run_config(folder, trusted), overrides, opened) for folder in folders]
    refuse_mean(cfgs)
    for run in runs:
        best_weights(run)
    return runs, folders, cfgs


def _follow_monitors(cfg: DictConfig, overrides: list[str]) -> None:
    """Where another metric is monitored and nothing said of its direction, that of the old one is void."""
    typed = [override.lstrip("+").partition("=")[0] for override in overrides]
    for node in (key.removesuffix(".monitor") for key in typed if key.endswith(".monitor")):
        if f"{node}.mode" not in typed and OmegaConf.select(cfg, f"{node}.mode") is not None:
            OmegaConf.update(cfg, f"{node}.mode", None)
    settle_modes(cfg)


def _choice(group: str, name: str, cfg: DictConfig) -> Any:
    files = tree.choices(group)
    if name not in files:
        hint = did_you_mean(name, files, form=f"{group}={{}}")
        raise CouloirError(
            f"There is no {group} called '{name}'.", place=f"choices: {', '.join(files)}", next_step=hint
        )
    missing = lacking(files[name], cfg.data)
    if missing is not None:
        needed, there = missing
        raise CouloirError(
            f"{group}={name} needs {needed}, and the run's data has {there}.", place=display(files[name])
        )
    return read_part(group, name)[0]


def _set(cfg: DictConfig, text: str, opened: Opened) -> None:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise CouloirError(f"'{text}' cannot be read.", next_step="write key=value") from error
    if override.is_sweep_override():
        raise CouloirError(f"'{text}' names several values; a key takes one here.")
    key, value = override.key_or_group, override.value()
    everything = flat(cfg)
    names = [path for path in everything if opened.takes_key(path)]
    names += [f"task.{name}" for name in evaluated(cfg) if opened.tests]
    if key not in names:
        if key in everything or key in tree.groups():
            raise CouloirError(f"'{key}' {opened.why}.", next_step=opened.takes)
        hint = did_you_mean(key, names, form=f"{{}}={text.partition('=')[2]}")
        raise CouloirError(f"The run's configuration has no key '{key}'.", next_step=hint or "see its config.yaml")
    OmegaConf.update(cfg, key, value)
    _check(cfg, key, value, text)


def _check(cfg: DictConfig, key: str, value: Any, text: str) -> None:
    group, _, rest = key.partition(".")
    files = (
        tree.choices(group).values() if group in tree.groups() else [tree.packaged_conf() / f"{tree.ROOT_CONFIG}.yaml"]
    )
    for file in files:
        keys = contract.read_keys(file)
        targets = [entry.default for entry in keys if entry.path == "_target_"]
        if targets and cfg[group].get("_target_") not in targets:
            continue
        for entry in keys:
            accepted = contract.violation(entry, value) if entry.path in (rest, key) else None
            if accepted is not None:
                raise CouloirError(
                    f"{key} takes {accepted}, not {text.partition('=')[2]}.",
                    place=f"{display(file)}, line {entry.line}",
                )


@dataclass(frozen=True)
class Opened:
    """What a verb lets the user change in the configuration of a run.

    Attributes:
        keys: keys, and beginnings of keys where they end in a dot.
        closed: keys below such a beginning that stay as they are.
        groups: groups that another choice may be named of.
        why: what is said of all other keys, after their name: `cannot change after training`.
        takes: the next step then: what the verb does take.
        tests: whether the verb tests a run again, so that the keys which its task names for that may be changed.
    """

    keys: tuple[str, ...]
    why: str
    takes: str
    closed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tests: bool = False

    def takes_key(self, key: str) -> bool:
        """Whether a key may be changed."""
        fits = any(key.startswith(name) if name.endswith(".") else key == name for name in self.keys)
        return fits and key not in self.closed


def completed(cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
    """A copy of a run's configuration with today's default for each key that has come since, and those keys.

    A key of a component is added where all choices of the group that are built by the same target agree about its
    default, so that one that makes the difference between two named models is not guessed.
    """
    cfg = cfg.copy()
    before = set(flat(cfg))
    with open_dict(cfg):
        _add(cfg, compose_sentence(tree.own_word()).cfg)
        for group in tree.groups():
            if OmegaConf.is_dict(cfg.get(group)) and "_target_" in cfg[group]:
                for name, default in _defaults(group, str(cfg[group]["_target_"])).items():
                    if name not in cfg[group]:
                        cfg[group][name] = default
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
    settle_modes(resolved)
    return resolved, {key: value for key, value in flat(resolved).items() if key not in before}


def _add(cfg: DictConfig, today: DictConfig) -> None:
    """The root's own keys, groups that are missing as a whole, and keys of the callbacks that are there."""
    for name in today:
        if name not in cfg:
            cfg[name] = today[name]
    for name, node in cfg.callbacks.items():
        default = today.callbacks.get(name)
        if OmegaConf.is_dict(node) and default is not None and node.get("_target_") == default.get("_target_"):
            for key in set(default) - set(node):
                node[key] = default[key]


def _defaults(group: str, target: str) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for file in tree.choices(group).values():
        keys = contract.read_keys(file)
        if any(key.path == "_target_" and key.default == target for key in keys):
            for key in keys:
                if "." not in key.path and not isinstance(key.default, dict) and key.default != "???":
                    found.setdefault(key.path, []).append(key.default)
    return {name: values[0] for name, values in found.items() if all(value == values[0] for value in values)}
