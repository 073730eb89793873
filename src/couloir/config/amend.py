"""Overrides over a configuration that was composed before, such as a run's. Nothing here imports torch."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from couloir.config import contract, tree
from couloir.config.nearest import did_you_mean
from couloir.errors import CouloirError

CHOSEN_ANEW = "tta"
"""The group whose choice a finished run leaves open."""
OPEN = ("data.", "tta.", "trainer.accelerator", "trainer.limit_test_batches", "output_dir")
"""Keys that an evaluation reads."""
SETTLED = ("data._target_", "data.task", "data.channels", "data.image_size", "data.num_classes")
"""Keys that the network was built by."""


def amend(cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """A run's configuration with another choice of views, and with values for keys that an evaluation reads.

    Raises:
        CouloirError: a key or a choice that is not there or is settled, or a value that it does not accept.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        for override in overrides:
            if override.startswith(f"{CHOSEN_ANEW}="):
                cfg[CHOSEN_ANEW] = _choice(override.partition("=")[2], cfg)
        for override in overrides:
            if not override.startswith(f"{CHOSEN_ANEW}="):
                _set(cfg, override)
    return cfg


def _choice(name: str, cfg: DictConfig) -> Any:
    files = tree.choices(CHOSEN_ANEW)
    if name not in files:
        hint = did_you_mean(name, files, form=f"{CHOSEN_ANEW}={{}}")
        raise CouloirError(
            f"There is no {CHOSEN_ANEW} called '{name}'.", place=f"choices: {', '.join(files)}", next_step=hint
        )
    if "images" in tree.expects(files[name]) and cfg.data.image_size is None:
        raise CouloirError(
            f"{CHOSEN_ANEW}={name} needs images, and the run's data has none.", place=tree.display(files[name])
        )
    content = OmegaConf.load(files[name])
    assert isinstance(content, DictConfig)
    return content.get(CHOSEN_ANEW, content)  # `none` is written as a global `tta: null`


def _set(cfg: DictConfig, text: str) -> None:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise CouloirError(f"'{text}' cannot be read.", next_step="write key=value") from error
    if override.is_sweep_override():
        raise CouloirError(f"'{text}' names several values; an evaluation takes one.")
    key, value = override.key_or_group, override.value()
    everything = _leaves(OmegaConf.to_container(cfg, resolve=False))
    names = [path for path in everything if path.startswith(OPEN)]
    if key not in names or key in SETTLED:
        if key in everything or key in tree.groups():
            raise CouloirError(
                f"'{key}' is settled once a network is trained.",
                next_step="an evaluation takes tta=..., data.root, data.batch_size and other keys of the data",
            )
        hint = did_you_mean(key, names, form=f"{{}}={text.partition('=')[2]}")
        raise CouloirError(f"The run's configuration has no key '{key}'.", next_step=hint or "see its config.yaml")
    OmegaConf.update(cfg, key, value)
    _check(cfg, key, value, text)


def _check(cfg: DictConfig, key: str, value: Any, text: str) -> None:
    group, _, rest = key.partition(".")
    for file in tree.choices(group).values() if group in tree.groups() else ():
        keys = contract.read_keys(file)
        if not any(entry.path == "_target_" and entry.default == cfg[group].get("_target_") for entry in keys):
            continue
        for entry in keys:
            accepted = contract.violation(entry, value) if entry.path == rest else None
            if accepted is not None:
                raise CouloirError(
                    f"{key} takes {accepted}, not {text.partition('=')[2]}.",
                    place=f"{tree.display(file)}, line {entry.line}",
                )


def _leaves(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    return [path for name, child in node.items() for path in _leaves(child, f"{prefix}.{name}".lstrip("."))]
