"""What Couloir uses of OmegaConf's private parts; `tests/config/test_omegaconf_private.py` fails when they change."""

from __future__ import annotations

import copy
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, ValueNode


def root(node: DictConfig) -> DictConfig:
    """The configuration that a node is in. `_get_root`: OmegaConf gives a resolver its node, and no public way up."""
    return cast(DictConfig, node._get_root())


def stored(node: DictConfig | ListConfig, key: Any) -> Any:
    """An entry as it is written, `???` and `${...}` included; None where there is none.

    `_get_node`, `_value`: the public ways follow references, or raise where a value is missing.
    """
    entry = node._get_node(key, validate_access=False)
    return entry._value() if isinstance(entry, ValueNode) else entry


def is_filled(node: DictConfig | ListConfig) -> bool:
    """Whether a node is neither `???` nor null. `_is_missing`, `_is_none`: the public ways ask the node above it."""
    return not node._is_missing() and not node._is_none()


def open_copy(node: DictConfig) -> DictConfig:
    """A copy that can be changed and takes any object; its references lead where those of the node do.

    `_set_flag`, `_set_parent`, `_get_parent`: in public, a copy has no parent, and its references lead nowhere.
    """
    found = copy.deepcopy(node)
    found._set_flag(["allow_objects", "struct", "readonly"], [True, False, False])
    found._set_parent(node._get_parent())
    return found
