"""What Hydra itself does at a configuration's word before a multirun's first job: launchers, callbacks, log handlers.

A configuration is data that may come from anywhere, so that Hydra builds nothing of it but its own parts and plugins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from couloir.config import targets
from couloir.errors import CouloirError

PLUGINS = ("hydra._internal.core_plugins", "hydra_plugins", "hydra.experimental.callbacks")
LOGGING = ("hydra_logging", "job_logging")
_HANDLER = re.compile(r"(logging\.(handlers\.)?[A-Z]\w*|colorlog\.[A-Z]\w*)$")
_STREAM = ("ext://sys.stdout", "ext://sys.stderr")


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
                    f"hydra.{name}{path}", value, "which is no log handler that a configuration may name", None
                )
    if node.job.get("env_set") and not any(item.lstrip("+").startswith("hydra.job.env_set") for item in typed):
        raise CouloirError(
            "hydra.job.env_set is set in a file, and some variables of the environment name programs.",
            next_step="set the variables in the shell, or type hydra.job.env_set.NAME=VALUE",
        )
    if targets.KEY in (node.sweeper.get("params") or {}):
        raise CouloirError(
            f"hydra.sweeper.params holds {targets.KEY}, which would let a file decide what it may call.",
            next_step=f"remove it there; if you trust these packages, type {targets.KEY}=[...]",
        )


def _strings(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _strings(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, path)
    elif isinstance(node, str):
        yield path, node
