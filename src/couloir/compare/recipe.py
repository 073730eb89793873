"""A finished run as an experiment file, compared with the configuration of the run before anybody trains it.

Nothing here imports torch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from couloir.config.compose import compose_sentence, prepare_hydra
from couloir.config.finished import read_config
from couloir.config.metrics import BUILT_IN, facts, monitored
from couloir.config.recipe import (
    Recipe,
    command_of,
    different,
    header_of,
    lines_above,
    read_back,
    recipe_of,
)
from couloir.config.settle import settle
from couloir.errors import CouloirError, causes, display, in_quotes
from couloir.record.configuration import read_overrides
from couloir.record.files import write_atomically
from couloir.record.provenance import read_provenance
from couloir.record.recipe import read_recipe
from couloir.record.result import read_numbers
from couloir.record.status import read_status

NAME = "NAME"
"""Stands for the name of the file, which only the shell knows."""


def recipe_file(run: Path) -> tuple[str, list[str]]:
    """The experiment file of a finished run, and what is to be said of it.

    Args:
        run: its folder.

    Raises:
        CouloirError: the run is not finished, or no experiment file makes its configuration.
    """
    status = read_status(run).get("status")
    if status != "completed":
        raise CouloirError(
            f"The run {run.name} is not finished: it is {status or 'without a status'}.",
            next_step=f"couloir resume {display(run)}",
        )
    prepare_hydra()
    cfg, words, text = read_config(run), read_overrides(run) or [], read_recipe(run)
    notes: list[str] = []
    if text is not None:
        recipe, above = read_back(text), lines_above(text)
    else:
        recipe, above = recipe_of(settle(compose_sentence(words))), []
    recipe = _like(recipe, cfg, words, notes)
    header = header_of(words, recipe.choices, display(run), recipe.own)
    kept = ("Own files:", "Resumed:")
    header += [line for line in above if line.startswith(kept) and line not in header]
    resumed = read_provenance(run).get("resumed")
    if resumed is not None and any(line.startswith("Resumed:") for line in header):
        notes.append("the run went on with other values on the way; the recipe has them from its first epoch on")
    header += [f"Gives: {_measured(run, cfg)}.", f"{command_of(NAME, words)}, {NAME} the name of this file"]
    return recipe.as_text(header), notes


def _like(recipe: Recipe, cfg: DictConfig, words: list[str], notes: list[str]) -> Recipe:
    """The recipe that makes the configuration of the run, once what has changed since is written down as well.

    Raises:
        CouloirError: no keys make it so.
    """
    try:
        found = different(_composed(recipe, words), cfg)
    except (CouloirError, OmegaConfBaseException) as error:  # the data has moved, say
        told = next((cause.fact for cause in causes(error) if isinstance(cause, CouloirError)), str(error))
        notes.append(f"not compared with the run's configuration: {told}")
        return recipe
    parts = [path for path in found if str(path[-1]).startswith("_")]
    if found and not parts:
        recipe = recipe.with_keys({path: value for path, (_, value) in found.items()})
        notes.append(f"not as the words say today, and so written down: {', '.join(map(_named, found))}")
        found = different(_composed(recipe, words), cfg)
    if found:
        path = next(iter([*parts, *found]))
        now, then = found[path]
        raise CouloirError(
            f"No experiment file makes the configuration of this run: {_named(path)} was {then}, and the words of the "
            f"run make it {now} today.",
            next_step="couloir rerun RUN trains its configuration as it is recorded",
        )
    return recipe


def _named(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _composed(recipe: Recipe, words: list[str]) -> DictConfig:
    """The configuration that a recipe makes."""
    beside = [word for word in words if word.lstrip("+").startswith(("config_dir=", "allow_targets=", "output_dir="))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        write_atomically(file, recipe.as_text([]))
        return settle(compose_sentence([f"experiment={in_quotes(str(file))}", *beside])).cfg


def _measured(run: Path, cfg: DictConfig) -> str:
    """The numbers of a run in a line: of the test and of the best epoch, the seed, the time and the machine."""
    numbers, told = read_numbers(run), read_provenance(run)
    leading = (name for name, metric in BUILT_IN.items() if metric.leads and f"best/{name}" in numbers)
    column = next(leading, monitored(cfg)[0].rpartition("/")[2])
    said = []
    if f"test/{column}" in numbers:
        said.append(_number(column, numbers[f"test/{column}"], cfg, "test"))
    if f"best/{column}" in numbers and "best/epoch" in numbers:
        number = _number(column, numbers[f"best/{column}"], cfg, "validation")
        said.append(f"{number} in epoch {numbers['best/epoch']:g} of {numbers.get('epochs', 0):g}")
    machine: Any = told.get("hardware") or {}
    seconds, cores = numbers.get("seconds"), machine.get("cores")
    gpus = machine.get("gpus") or []
    where = f"{cores} cores ({machine['processor']})" if cores and machine.get("processor") else "one machine"
    where += f" and {len(gpus)} GPU{'s' * (len(gpus) != 1)}" if gpus else ""
    took = "" if seconds is None else f"; {seconds:.0f} s on {where}"
    return ", ".join([*said, f"seed {cfg.get('seed')}"]) + took


def _number(column: str, value: float, cfg: DictConfig, split: str) -> str:
    metric = facts(column, cfg.get("metric"))
    if metric.counts_samples:
        return f"{100 * value:.1f}% {split} {metric.label}"
    return f"{split} {metric.label} {value:.4g}"
