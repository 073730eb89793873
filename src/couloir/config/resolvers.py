"""The interpolations that Couloir adds to OmegaConf: `${inspect:...}`, `${by_scale:...}` and a few more."""

from __future__ import annotations

import importlib
import json
import re
import secrets
from datetime import datetime
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from couloir.config import targets
from couloir.config.image_size import as_image_size, size_of
from couloir.config.omegaconf_private import root
from couloir.errors import CouloirError

_FROM_FILES = re.compile(r"\$\{inspect:[^,]*\}")
_facts: dict[str, dict[str, Any]] = {}


def register() -> None:
    """Make the resolvers known to OmegaConf; calling it again changes nothing."""
    OmegaConf.register_new_resolver("inspect", _inspect, replace=True)
    OmegaConf.register_new_resolver("by_scale", by_scale, replace=True)
    OmegaConf.register_new_resolver("in_proportion", in_proportion, replace=True)
    OmegaConf.register_new_resolver("chosen", chosen, replace=True)
    OmegaConf.register_new_resolver("couloir.run_name", run_name, replace=True, use_cache=True)


def by_scale(full: Any, smoke: Any, *, _root_: DictConfig) -> Any:
    """The first value, or the second in the minute-long form of a recipe that `scale=smoke` asks for."""
    return smoke if _root_.get("scale") == "smoke" else full


def in_proportion(length: int, side: int, *, _parent_: DictConfig) -> int | list[int]:
    """A length that belongs to images of one side, for `image_size` of the same node: 256 to 224 is 342 to 299.

    Where height and width differ, it is one for each.
    """
    height, width = size_of(_parent_["image_size"])
    return as_image_size((round(height * length / side), round(width * length / side)))


def chosen(all_classes: int, *, _parent_: DictConfig) -> int:
    """How many classes `classes` of the same node names; all of them where it names none."""
    classes = _parent_.get("classes")
    return len(classes) if OmegaConf.is_list(classes) else all_classes


def run_name() -> str:
    """`<date>_<time>_<short id>`: the id keeps two launches in one second apart."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"


def _inspect(fact: str, unseen: Any = None, *, _parent_: DictConfig) -> Any:
    """A fact about the data that only the files know, such as the number of classes in a folder of photographs.

    Args:
        fact: its name.
        unseen: what it is as far as one knows, where the files are not named.
    """
    if unseen is not None and any(OmegaConf.is_missing(_parent_, key) for key in _parent_):
        return chosen(unseen, _parent_=_parent_) if fact == "num_classes" else unseen
    facts = inspect_data(_parent_)
    if fact not in facts:
        raise CouloirError(f"The data does not state '{fact}'.", next_step=f"state it: data.{fact}=...")
    return facts[fact]


def counted(node: DictConfig) -> list[str]:
    """The keys of a data node whose values are found out from its files, and cannot be known without them."""
    content = OmegaConf.to_container(node, resolve=False)
    assert isinstance(content, dict)
    return [str(name) for name, value in content.items() if _FROM_FILES.fullmatch(str(value))]


def forget() -> None:
    """Look at the data's files anew: they may have changed since the last sentence of this process."""
    _facts.clear()


def inspect_data(node: DictConfig) -> dict[str, Any]:
    """What the data's own `inspect` finds out before torch is imported; empty where its module has none.

    Raises:
        CouloirError: the files are missing, torn, or not what the keys say, or the data may not be called.
    """
    target, keys = str(node.get("_target_", "")), _stated_keys(node)
    cache_key = json.dumps([target, keys], sort_keys=True, default=str)
    if cache_key not in _facts:
        inspect = getattr(_module_of(node), "inspect", None)
        _facts[cache_key] = inspect(target.rpartition(".")[2], keys) if callable(inspect) else {}
    return _facts[cache_key]


def count_data(node: DictConfig) -> tuple[int | None, int | None]:
    """How many samples the data's own `count` says that folds are made of, and how many groups these are in; None
    where it does not say.

    Raises:
        CouloirError: the groups are not what they should be, or the data may not be called.
    """
    count = getattr(_module_of(node), "count", None)
    return count(_stated_keys(node)) if callable(count) else (None, None)


def _module_of(node: DictConfig) -> ModuleType:
    target = str(node.get("_target_", ""))
    reason = targets.refused(target, targets.extended(root(node)))
    if reason is not None:
        raise targets.refusal("data._target_", target, reason, None)
    return importlib.import_module(target.rpartition(".")[0])


def _stated_keys(node: DictConfig) -> dict[str, Any]:
    """The plain values of a data node, without those that are missing or themselves inspected."""
    keys: dict[str, Any] = {}
    raw = OmegaConf.to_container(node, resolve=False)
    assert isinstance(raw, dict)
    for name, value in raw.items():
        if value == "???" or (isinstance(value, str) and "${inspect:" in value):
            continue
        resolved = node[name]
        keys[str(name)] = OmegaConf.to_container(resolved) if OmegaConf.is_config(resolved) else resolved
    return keys
