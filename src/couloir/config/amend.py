"""Overrides over a configuration that was composed before, such as a run's. Nothing here imports torch."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from couloir.config import contract, tree
from couloir.config.opened import Opened
from couloir.errors import CouloirError
from couloir.nearest import did_you_mean
from couloir.record.dotted import flat


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
        chosen = [override for override in overrides if override.partition("=")[0] in opened.groups]
        for override in chosen:
            group, _, name = override.partition("=")
            cfg[group] = _choice(group, name, cfg)
        for override in overrides:
            if override not in chosen:
                _set(cfg, override, opened)
    return cfg


def _choice(group: str, name: str, cfg: DictConfig) -> Any:
    files = tree.choices(group)
    if name not in files:
        hint = did_you_mean(name, files, form=f"{group}={{}}")
        raise CouloirError(
            f"There is no {group} called '{name}'.", place=f"choices: {', '.join(files)}", next_step=hint
        )
    if "images" in tree.expects(files[name]) and cfg.data.image_size is None:
        raise CouloirError(
            f"{group}={name} needs images, and the run's data has none.", place=tree.display(files[name])
        )
    content = OmegaConf.load(files[name])
    assert isinstance(content, DictConfig)
    return content.get(group, content)  # `none` is written as a global `tta: null`


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
                    place=f"{tree.display(file)}, line {entry.line}",
                )
