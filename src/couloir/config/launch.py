"""What Hydra itself does at a configuration's word before a multirun's first job: launchers, callbacks, log handlers.

A configuration is data that may come from anywhere, so that Hydra builds nothing of it but its own parts and plugins.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from couloir.config import targets
from couloir.config.defaults import SWEEPER, other_sweeper
from couloir.config.unread import hydra_unread
from couloir.errors import CouloirError, did_you_mean

RUN_DIR = "hydra.run.dir"
"""The key that names the folder of one run; a sentence to try leaves it out, for the folder holds a run by then."""
OF_A_SWEEP = ("hydra.sweep", "hydra.launcher", "hydra.sweeper")
"""Nodes of `hydra` that a recipe may have for its multirun; a single run does without them."""
CHANGES_NOTHING = {
    "hydra.mode": "`train -m` makes a sweep, `train` one run",
    "hydra.searchpath": "`train --config-dir FOLDER` adds a folder of YAML files",
    "hydra.job.chdir": "the working directory stays where `train` was typed",
    "hydra.output_subdir": "the run folder has config.yaml and overrides.yaml",
    "hydra.verbose": "COULOIR_TRACEBACK=1 shows where an error happened",
    "hydra.run": "hydra.sweep.dir=FOLDER names the folder of a sweep",
}
"""Keys that Hydra has and Couloir does without, and what there is instead."""
PLUGINS = ("hydra._internal.core_plugins", "hydra_plugins", "hydra.experimental.callbacks")
LOGGING = ("hydra_logging", "job_logging")
_HANDLER = re.compile(r"(logging\.(handlers\.)?[A-Z]\w*|colorlog\.[A-Z]\w*)$")
_STREAM = ("ext://sys.stdout", "ext://sys.stderr")
LAUNCHERS = {
    "basic": ("hydra", ""),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "ray": ("ray", "ray"),
}
"""The choices of `hydra/launcher`, the package that each needs, and the extra of Couloir that brings it."""
HARMLESS = (
    "_target_", "submitit_folder", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes",
    "name", "stderr_to_stdout", "partition", "qos", "comment", "constraint", "exclude", "gres", "cpus_per_gpu",
    "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "account", "signal_delay_s", "max_num_timeout", "array_parallelism",
    "n_jobs", "backend", "prefer", "require", "verbose", "timeout", "pre_dispatch", "batch_size", "temp_folder",
    "max_nbytes", "mmap_mode", "num_cpus", "num_gpus",
)  # fmt: skip
"""Keys of launchers that a file may set; others go into a shell's commands, or say whom to connect to."""


def check_hydra(words: Sequence[str], in_files: Iterable[tuple[str, str]], multirun: bool = False) -> None:
    """Refuse keys of the node `hydra` that would change nothing.

    Args:
        words: what was typed.
        in_files: keys of the user's own files, each with its place.
        multirun: whether a sweep is made; a run of it or not takes only `hydra.run.dir`.

    Raises:
        CouloirError: there is such a key.
    """
    typed = [(word.lstrip("+~").partition("=")[0].replace("/", "."), word) for word in words]
    if "hydra.run.dir=" in words:
        raise CouloirError("hydra.run.dir= names no folder.", next_step="hydra.run.dir=FOLDER, or leave it out")
    for key, place in [*typed, *in_files]:
        said = next((name for name in CHANGES_NOTHING if key == name or key.startswith(f"{name}.")), None)
        if multirun:
            ignored = (
                said is not None and key != "hydra.verbose" and (key, place) != ("hydra.mode", "hydra.mode=MULTIRUN")
            )
        else:
            ignored = key.startswith("hydra.") and not key.startswith(("hydra.run.", *OF_A_SWEEP))
        if multirun and (key, place) not in typed and said in ("hydra.mode", "hydra.run"):
            continue  # a file that is for both
        if not ignored:
            continue
        if said == "hydra.mode" and not multirun and not place.endswith("=RUN"):
            others = " ".join(word for word in words if not word.startswith("hydra.mode="))
            raise CouloirError(
                "hydra.mode asks for a sweep, and without -m this is one run.",
                place=place,
                next_step=f"train -m {others}".rstrip() + "; or leave hydra.mode out",
            )
        instead = f": {CHANGES_NOTHING[said]}" if said is not None else ""
        raise CouloirError(f"{key} would change nothing here.", place=place, next_step=f"leave it out{instead}")


def check_launch(cfg: DictConfig, typed: Sequence[str]) -> None:
    """Check the node `hydra` of a composed configuration.

    Args:
        cfg: the configuration, with its node `hydra`.
        typed: what the user typed.

    Raises:
        CouloirError: it names code that is not Hydra's, or does what only the user may ask for.
    """
    node = cfg.hydra
    for path, target in targets.named_targets(node, follow=True):
        if not targets.under(str(target), PLUGINS):
            reason = targets.refused(target)
            if reason is not None:
                raise targets.refusal(f"hydra.{path}", target, reason, None)
    for name in LOGGING:
        for path, value in _strings(OmegaConf.to_container(node.get(name) or OmegaConf.create(), resolve=False)):
            key = path.rpartition(".")[2]
            handler = key in ("class", "()", "factory") and not _HANDLER.match(value)
            if handler or ("://" in value and value not in _STREAM):
                raise targets.refusal(
                    f"hydra.{name}{path}", value, "which is not a log handler that a configuration may name", None
                )
    if node.job.get("env_set") and not any(item.lstrip("+").startswith("hydra.job.env_set") for item in typed):
        raise CouloirError(
            "hydra.job.env_set is set in a file; some environment variables name programs.",
            next_step="set the variables in the shell, or type hydra.job.env_set.NAME=VALUE",
        )
    if (sweeper := str(node.runtime.choices.get("hydra/sweeper"))) != SWEEPER:
        raise other_sweeper(sweeper, next((word for word in typed if word.startswith("hydra/sweeper=")), None))
    if unread := hydra_unread(node):
        place = next((word for word in typed if word.lstrip("+").startswith(f"{unread[0]}=")), None)
        raise CouloirError(f"Nothing reads the key '{unread[0]}'.", place=place, next_step="leave it out")
    _check_launcher(node, typed)
    if targets.KEY in (node.sweeper.get("params") or {}):
        raise CouloirError(
            f"hydra.sweeper.params holds {targets.KEY}, so the file itself would decide what it may call.",
            next_step=f"remove it there; if you trust these packages, type {targets.KEY}=[...]",
        )


def missing_launcher(complaint: str) -> CouloirError | None:
    """The mistake behind a complaint of Hydra's that it does not find a launcher; None where it is about another."""
    found = re.search(r"hydra/launcher/([\w.-]+)", complaint)
    if found is None:
        return None
    name = found[1]
    return _needs(name) or CouloirError(
        f"There is no launcher called '{name}'.",
        place=f"launchers: {', '.join(LAUNCHERS)}",
        next_step=did_you_mean(name, LAUNCHERS, form="hydra/launcher={}"),
    )


def _needs(name: str) -> CouloirError | None:
    package, extra = LAUNCHERS.get(name, ("hydra", ""))
    try:
        there = importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        there = False
    if there:
        return None
    shown = package.rpartition(".")[2].replace("_", "-")
    return CouloirError(
        f"hydra/launcher={name} needs the package {shown}.", next_step=f"pip install 'couloir[{extra}]'"
    )


def _check_launcher(node: DictConfig, typed: Sequence[str]) -> None:
    """A launcher's package is there, and no file has it run commands.

    submitit writes what it is given into a script for the shell: `setup` as it stands, and all else as options in
    comments, which end with the line.
    """
    name = str(node.runtime.choices.get("hydra/launcher"))
    missing = _needs(name)
    if missing is not None:
        raise missing
    if name == "submitit_slurm" and shutil.which("sbatch") is None:
        raise CouloirError(
            "hydra/launcher=submitit_slurm needs SLURM, but this machine has no sbatch.",
            next_step="type it on a node of the cluster, or use hydra/launcher=submitit_local on this machine",
        )
    said = {path for word in typed for path in _paths_of(word)}
    for path, value in _leaves(OmegaConf.to_container(node.launcher, resolve=True), "hydra.launcher"):
        harmless = path.split(".")[2] in HARMLESS and "\n" not in str(value)
        if not harmless and value not in (None, [], {}) and path not in said:
            raise CouloirError(
                f"{path} is set in a file; its value goes to a shell or to another machine.",
                next_step=f"type {path}=... if you mean it, and remove it there",
            )


def _paths_of(word: str) -> Iterator[str]:
    """The keys that an override sets, those within a typed mapping among them."""
    override = OverridesParser.create().parse_override(word)
    if override.key_or_group.startswith("hydra.launcher."):
        value = override.value()
        plain = value if isinstance(value, dict) else None
        yield from (path for path, _ in _leaves({} if plain is None else plain, override.key_or_group))
        if plain is None:
            yield override.key_or_group


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, node


def _strings(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _strings(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, path)
    elif isinstance(node, str):
        yield path, node
