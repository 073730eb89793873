"""Keys that a configuration of an older version lacks. Nothing here imports torch."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from couloir.config import contract, tree
from couloir.config.compose import compose_sentence
from couloir.record.dotted import flat


def completed(cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
    """A copy of a run's configuration with today's default for each key that has come since, and those keys.

    A key of a component is added where all choices of the group that are built by the same target agree about its
    default, so that one that makes the difference between two named models is not guessed.
    """
    cfg = cfg.copy()
    before = set(flat(cfg))
    with open_dict(cfg):
        _add(cfg, compose_sentence([], with_sources=False).cfg)
        for group in tree.groups():
            if OmegaConf.is_dict(cfg.get(group)) and "_target_" in cfg[group]:
                for name, default in _defaults(group, str(cfg[group]["_target_"])).items():
                    if name not in cfg[group]:
                        cfg[group][name] = default
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
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
