"""From a configuration node to an object, with a sentence for what goes wrong on the way.

This is the one door: what a configuration may not call is refused here whoever made the configuration.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from couloir.config import targets
from couloir.config.omegaconf_private import open_copy, root
from couloir.config.unread import FACTS, STATED
from couloir.errors import CouloirError, causes, is_shortage, missing_module, out_of_memory
from couloir.torch_private import is_tensor_function

EXTRAS = {"wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""Loggers whose packages are extras of Couloir, and the modules of these packages."""
HOMES = (
    "couloir", "torch", "torchmetrics", "pytorch_lightning", "lightning_fabric.plugins",
    "lightning_fabric.strategies", "lightning_fabric.loggers", "lightning_fabric.accelerators",
)  # fmt: skip
"""Where that may be defined which has its name below an allowed root."""
GIVEN = {"optimizer": 1, "scheduler": 1, "initializer": 1, "finetune": 2}
"""Groups whose choice is called later: with the parameters, the optimizer, the network, the network and its order."""
TORCH_TYPES = ("device", "Generator", "Tensor")
"""What a configuration may name of torch itself besides its functions on tensors."""


def build(cfg: DictConfig, name: str, without: Sequence[str] | None = None, **extra: Any) -> Any:
    """Instantiate the node `cfg[name]`; plain lists and dictionaries reach its target, no OmegaConf.

    Args:
        cfg: the whole configuration, or a group's node.
        name: which of its nodes.
        without: keys of the node that its target does not see.
        extra: further keyword arguments for the target.

    Raises:
        CouloirError: the target may not be called, is not there, does not take one of the keys, or says itself what is
            wrong.
    """
    node = cfg[name]
    if node is None:
        return None
    target = str(node.get("_target_", "")) if OmegaConf.is_dict(node) else ""
    if not target:
        raise CouloirError(
            f"'{name}' has no _target_, so nothing can be built.",
            next_step=f"`couloir list {name}` shows the choices, `train --cfg job` this sentence's keys",
        )
    try:
        node = _resolved(node)
        for key in without or ():
            node.pop(key, None)
        _guard(node, name, targets.extended(root(cfg)))
        extra = _without_facts(node, name, extra)
        node["_convert_"] = "all"  # as an argument, it would have Hydra merge the node with it
        built = hydra.utils.instantiate(node, **extra)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise _as_mistake(error, name, target, map(str, node)) from error
    _check_keys(built, name, target)
    return built


def build_untrained(cfg: DictConfig) -> Any:
    """The network of a sentence without the weights that it begins with: nothing is read, and nothing downloaded."""
    empty: dict[str, Any] = {"weights": None, "pretrained": False}
    given = {key: value for key, value in empty.items() if cfg.model.get(key)}
    return build(cfg, "model", **given)


def _without_facts(node: DictConfig, name: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Take the facts from a node that its constructor does not know; returns the further arguments that it does."""
    for key in STATED.get(name, ()):
        node.pop(key, None)
    facts = FACTS.get(name, ())
    if not facts:
        return extra
    try:
        known = inspect.signature(hydra.utils.get_object(str(node["_target_"]))).parameters
    except (ImportError, InstantiationException, TypeError, ValueError):
        return extra  # what is wrong with it is said when it is called
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return extra
    for key in facts:
        if key in node and key not in known:
            del node[key]
    return {key: value for key, value in extra.items() if key in known or key not in facts}


def _check_keys(built: Any, name: str, target: str) -> None:
    """What is called only later must take its keys as well."""
    if not isinstance(built, functools.partial):
        return
    try:
        signature = inspect.signature(built.func)
        given = signature.bind_partial(*built.args, **built.keywords).arguments
    except TypeError as error:
        raise _wrong_keys(name, target, str(error), built.keywords) from error
    except ValueError:
        return  # what is built in may have no signature
    needed = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in (*given, "batch")
    ]
    if len(needed) > GIVEN.get(name, len(needed)):
        raise CouloirError(
            f"'{name}' lacks keys that {target} needs: {', '.join(needed[GIVEN[name] :])}.",
            next_step=f"`couloir list {name}` shows the choices, `train --cfg job` this sentence's keys",
        )


def _wrong_keys(name: str, target: str, reason: str, given: Iterable[str]) -> CouloirError:
    """What a target says of keys that it does not take, and the words that take all of them away."""
    strange: list[str] = []
    with suppress(ImportError, InstantiationException, TypeError, ValueError):
        known = inspect.signature(hydra.utils.get_object(target)).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            strange = [key for key in given if key not in known and not key.startswith("_")]
    step = f"`couloir list {name}` shows the choices, `train --cfg job` this sentence's keys"
    if strange:
        step = f"take them away: {' '.join(f'~{name}.{key}' for key in strange)}; {step}"
    return CouloirError(f"{target} does not take the keys of '{name}': {reason}", next_step=step)


def _resolved(node: DictConfig) -> DictConfig:
    """A copy without references, so that what is looked at is what is called."""
    found = open_copy(node)
    OmegaConf.resolve(found)
    return found


def _guard(node: DictConfig, name: str, allowed: list[str]) -> None:
    """Every target is under an allowed root by its name, and so is the object that the name leads to."""
    targets.check_targets(node, allowed, lambda _: None, within=name)
    for path, target in targets.named_targets(node, follow=True, path=name):
        reason = _leads_astray(target, allowed)
        if reason is not None:
            raise targets.refusal(path, target, reason, None)


def _leads_astray(target: str, allowed: list[str]) -> str | None:
    """Why the object that a name leads to may not be called; None as well where there is none, which is said later."""
    first, *rest = target.split(".")
    try:
        found: Any = importlib.import_module(first)
        for number, part in enumerate(rest, 2):
            path = ".".join([first, *rest[: number - 1]])
            if isinstance(found, ModuleType) and not hasattr(found, part):
                importlib.import_module(path)
            found = getattr(found, part)
            if isinstance(found, ModuleType) and found.__name__ != path:
                return f"where {part} is the module {found.__name__}; it does not belong there"
            if number <= len(rest) and not isinstance(found, ModuleType | type):
                return f"where {part} is neither a module nor a class"
    except (ImportError, AttributeError):
        return None
    if first == "torch" and len(rest) == 1:
        return None if rest[0] in TORCH_TYPES or is_tensor_function(rest[0]) else "which is not a function on tensors"
    home = _home(found) if isinstance(found, type) or inspect.isroutine(found) else target
    reason = targets.never(home)
    if reason is not None or targets.under(home, (*allowed, *HOMES)) or targets.own(home):
        return reason
    return f"which is {home}, and a configuration may not call it"


def _home(found: Any) -> str:
    """Where an object was defined: module and name."""
    function = inspect.unwrap(found) if inspect.isfunction(found) else getattr(found, "__func__", found)
    module = getattr(function, "__module__", None)
    if module is None:  # built in: its owner says where it belongs
        owner = getattr(function, "__self__", None)
        module = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _last(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else _last(error.__cause__)


def _missing(error: ModuleNotFoundError, name: str, target: str) -> CouloirError:
    """What to install, where a target is there and a module that it imports is not."""
    modules = EXTRAS.get(name, ())
    # Lightning says in words of its own, without a name, that a logger's package is missing.
    if error.name in modules or (modules and error.name is None and target.startswith("pytorch_lightning.")):
        return CouloirError(
            f"logger={name} needs the package {error.name or name}.", next_step=f"pip install 'couloir[{name}]'"
        )
    return missing_module(error, target)


def _as_mistake(error: Exception, name: str, target: str, given: Iterable[str]) -> BaseException:
    cause: BaseException | None = error
    if is_shortage(error):
        return out_of_memory(_last(error))
    missing = next((found for found in causes(error) if isinstance(found, ModuleNotFoundError)), None)
    if missing is not None and not targets.under(target, [missing.name or ""]):
        return _missing(missing, name, target)
    while cause is not None:
        if isinstance(cause, CouloirError):
            return cause
        if isinstance(cause, TypeError):
            reason = str(cause).rpartition(f"{target}.")[2]
            return _wrong_keys(name, target, reason.splitlines()[0], given)
        if isinstance(cause, ImportError | AttributeError):
            return CouloirError(
                f"The target of '{name}' cannot be imported: {target} ({' '.join(str(cause).split())})",
                next_step="check the spelling of _target_; modules in the working directory can be named",
            )
        if cause.__cause__ is None and not isinstance(cause, InstantiationException | OmegaConfBaseException):
            if not isinstance(cause, ValueError | ArithmeticError | LookupError | AssertionError | RuntimeError):
                return cause  # the component's own failure: neither the sentence's nor ours to reword
            reason = " ".join(str(cause).split())
            return CouloirError(
                f"{target} cannot be built from the keys of '{name}': {type(cause).__name__}: {reason}",
                next_step="check their values; COULOIR_TRACEBACK=1 shows where it happened",
            )
        cause = cause.__cause__
    return CouloirError(
        f"'{name}' cannot be built: {str(error).splitlines()[0]}",
        next_step="check the spelling of _target_; modules in the working directory can be named",
    )
