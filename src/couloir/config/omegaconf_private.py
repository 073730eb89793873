"""What Couloir uses of OmegaConf's private parts; `tests/config/test_omegaconf_private.py` fails when they change."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, cast

import yaml
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, ValueNode, _utils, base

OF_PEOPLE = 20_000
"""Characters; libyaml crashes where a file is nested a hundred thousand deep, and no file of people's is so long."""

LONG = 500
"""Characters; what is parsed of a longer text is not kept."""


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


def is_missing(node: DictConfig, key: str) -> bool:
    """Whether an entry is `???`. `_get_node`, `_is_missing`: `OmegaConf.is_missing` writes an error about a key that is
    not there, for itself, which takes as long as thirty keys.
    """
    entry = node._get_node(key, validate_access=False)
    return isinstance(entry, Node) and entry._is_missing()


def selected(cfg: DictConfig, path: str) -> Any:
    """What `OmegaConf.select` gives. `_get_node`, `_value`: what is written out is found in a fifth of the time."""
    node: Any = cfg
    for name in path.split("."):
        node = node._get_node(name, validate_access=False) if isinstance(node, DictConfig) and is_filled(node) else None
    value = node._value() if isinstance(node, ValueNode) else "???"
    return OmegaConf.select(cfg, path) if isinstance(value, str) and ("${" in value or value == "???") else value


def open_copy(node: DictConfig) -> DictConfig:
    """A copy that can be changed and takes any object; its references lead where those of the node do.

    `_set_flag`, `_set_parent`, `_get_parent`: in public, a copy has no parent, and its references lead nowhere.
    """
    found = copy.deepcopy(node)
    found._set_flag(["allow_objects", "struct", "readonly"], [True, False, False])
    found._set_parent(node._get_parent())
    return found


def read_yaml_by_libyaml() -> None:
    """Let OmegaConf read YAML by libyaml, where PyYAML has it; calling it again changes nothing.

    `_utils.get_yaml_loader`: its loader is a class for each file, and reads in Python. Its resolvers and constructors
    are taken over, and so is that a key which stands twice is an error.
    """
    compiled: Any = getattr(yaml, "CSafeLoader", None)
    if compiled is None or _utils.get_yaml_loader.__module__ == __name__:
        return
    usual = _utils.get_yaml_loader()

    class Loader(compiled):  # type: ignore[misc]
        yaml_implicit_resolvers = usual.yaml_implicit_resolvers
        yaml_constructors = usual.yaml_constructors

        def construct_mapping(self, node: yaml.Node, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if key.tag == yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        "while constructing a mapping",
                        node.start_mark,
                        f"found duplicate key {key.value}",
                        key.start_mark,
                    )
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            return super().construct_mapping(node, deep=deep)

    def chosen(stream: Any) -> Any:
        text = stream if isinstance(stream, str) else stream.read()
        return Loader(text) if len(text) < OF_PEOPLE else usual(text)

    def get_yaml_loader() -> Any:
        return chosen

    _utils.get_yaml_loader = get_yaml_loader


def parse_each_reference_once() -> None:
    """Let OmegaConf parse a text with references, `${data.channels}`, once; calling it again changes nothing.

    `base.parse`, and `_utils.parse`, which is the same: the same few texts are parsed again and again in a composition,
    in Python. What parsing makes of a text is only looked at.
    """
    modules: tuple[Any, Any] = (base, _utils)
    parse = modules[0].parse
    if parse.__module__ == __name__:
        return
    known = lru_cache(maxsize=2048)(parse)

    def parsed(value: str, *rule: str, **named: str) -> Any:
        return (known if len(value) < LONG else parse)(value, *rule, **named)

    for module in modules:
        module.parse = parsed
