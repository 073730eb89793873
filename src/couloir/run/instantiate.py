"""From a configuration node to an object, with a sentence for what goes wrong on the way."""

from __future__ import annotations

from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from couloir.errors import CouloirError

EXTRAS = ("wandb", "mlflow")
"""Loggers whose packages are extras of Couloir."""


def build(cfg: DictConfig, name: str, **extra: Any) -> Any:
    """Instantiate the node `cfg[name]`; plain lists and dictionaries reach its target, no OmegaConf.

    Args:
        cfg: the whole configuration, or a group's node.
        name: which of its nodes.
        extra: further keyword arguments for the target.

    Raises:
        CouloirError: the target is not there, does not take one of the keys, or says itself what is wrong.
    """
    node = cfg[name]
    try:
        return hydra.utils.instantiate(node, _convert_="all", **extra)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise _as_mistake(error, name, str(node.get("_target_", ""))) from error


def _as_mistake(error: Exception, name: str, target: str) -> BaseException:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CouloirError):
            return cause
        if isinstance(cause, TypeError):
            reason = str(cause).rpartition(f"{target}.")[2]
            return CouloirError(
                f"{target} does not take the keys of '{name}': {reason.splitlines()[0]}",
                next_step=f"`couloir list {name}` shows the choices, `train --cfg job` this sentence's keys",
            )
        if isinstance(cause, ModuleNotFoundError) and name in EXTRAS:
            return CouloirError(f"logger={name} needs the package {name}.", next_step=f"pip install 'couloir[{name}]'")
        if isinstance(cause, ImportError | AttributeError):
            return CouloirError(
                f"The target of '{name}' cannot be imported: {target} ({cause})",
                next_step="check the spelling of _target_; modules in the working directory can be named",
            )
        if cause.__cause__ is None and not isinstance(cause, InstantiationException):
            return cause  # the component's own failure: neither the sentence's nor ours to reword
        cause = cause.__cause__
    return CouloirError(
        f"'{name}' cannot be built: {str(error).splitlines()[0]}",
        next_step="check the spelling of _target_; modules in the working directory can be named",
    )
