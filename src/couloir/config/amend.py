"""Overrides over a configuration that was composed before, such as a run's. Nothing here imports torch."""

from __future__ import annotations

from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract, tree
from couloir.config.nearest import did_you_mean
from couloir.errors import CouloirError

CHOSEN_ANEW = ("tta",)
"""Groups whose choice a finished run leaves open."""


def amend(cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """The configuration with `key=value` for keys that it has, and `group=choice` for groups that a run leaves open.

    Raises:
        CouloirError: a key or a choice that is not there, or a value that it does not accept.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        for override in overrides:
            key, _, text = override.partition("=")
            if key in CHOSEN_ANEW:
                cfg[key] = _choice(key, text)
        for override in overrides:
            key, _, text = override.partition("=")
            if key not in CHOSEN_ANEW:
                _set(cfg, key, text)
    return cfg


def _choice(group: str, name: str) -> Any:
    files = tree.choices(group)
    if name not in files:
        hint = did_you_mean(name, files, form=f"{group}={{}}")
        raise CouloirError(
            f"There is no {group} called '{name}'.", place=f"choices: {', '.join(files)}", next_step=hint
        )
    content = OmegaConf.load(files[name])
    assert isinstance(content, DictConfig)
    return content.get(group, content)  # `none` is written as a global `tta: null`


def _set(cfg: DictConfig, key: str, text: str) -> None:
    names = [str(name) for name in _paths(OmegaConf.to_container(cfg, resolve=False))]
    if key not in names:
        hint = did_you_mean(key, names, form=f"{{}}={text}")
        raise CouloirError(f"The run's configuration has no key '{key}'.", next_step=hint or "see its config.yaml")
    try:
        value = yaml.safe_load(text)
        OmegaConf.update(cfg, key, value)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise CouloirError(f"The value of '{key}' cannot be read: {text}") from error
    group, _, rest = key.partition(".")
    for file in tree.choices(group).values() if group in tree.groups() else ():
        for entry in contract.read_keys(file):
            if entry.path == rest and _is_choice(cfg, group, file) and contract.violation(entry, value) is not None:
                raise CouloirError(
                    f"{key} takes {contract.violation(entry, value)}, not {text}.",
                    place=f"{tree.display(file)}, line {entry.line}",
                )


def _is_choice(cfg: DictConfig, group: str, file: Any) -> bool:
    targets = [entry.default for entry in contract.read_keys(file) if entry.path == "_target_"]
    return bool(targets) and cfg[group].get("_target_") == targets[0]


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    return [prefix, *(path for name, child in node.items() for path in _paths(child, f"{prefix}.{name}".lstrip(".")))]
