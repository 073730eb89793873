"""Keys that nothing reads: every key of every file, and of the prompt, goes to a part that takes it, or is refused.

A key is read if the root file has it, if the part that it is given to takes it, or if another value refers to it
(`${my.size}`). Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from couloir.config import contract, tree
from couloir.config.hydra_private import declared
from couloir.config.mistakes import owners
from couloir.config.omegaconf_private import stored
from couloir.config.signatures import takes
from couloir.config.tree import Source
from couloir.config.wrong_choices import without_package
from couloir.errors import CouloirError, did_you_mean, nearest

if TYPE_CHECKING:
    from couloir.config.targets import Place

FACTS = {
    "data": (
        "task", "fields", "channels", "image_size", "num_classes", "maps", "classes", "batch_size", "seed",
        "augmentation", "world", "length", "vocabulary_size", "horizon", "season",
    ),
}  # fmt: skip
"""Keys of a group that say something about a choice, and are handed only to a constructor that knows them."""
STATED = {"task": ("model", "loss", "metrics", "monitor", "evaluated", "facts", "answers"), "metric": ("facts",)}
"""Keys that are read by others than the constructor."""
GIVEN = {
    "data": ("augmentation", "world"),
    "logger": ("save_dir",),
    "trainer": ("logger", "callbacks", "default_root_dir", "world"),
}
"""Arguments that the run hands over itself, whatever a key says."""
SEVERAL = ("callbacks", "logger", "metric")
"""Groups with a node for each of their parts."""
PLAIN = {"callbacks": ("film", "pictures")}
"""Keys of such a group that are no parts, but say something about all of them."""
SETTLED = ("scaled_lr",)
"""Root keys that `couloir.config.settle` adds."""
Choices = Mapping[str, str | None]
_REFERENCE = re.compile(r"\$\{([^{}$]*)")
_WORD = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*\.?")


def check_read(nodes: Mapping[str, Any], sources: Sequence[Source], choices: Choices, place: Place) -> None:
    """Refuse keys that nothing reads, in files and at the prompt.

    Args:
        nodes: what was composed, by its root keys; `hydra` may be among them.
        sources: the files that took part.
        choices: the choice of each group.
        place: says where a key was set.

    Raises:
        CouloirError: there are such keys; it says where they are, and what they may have been meant for.
    """
    hydras = hydra_unread(nodes["hydra"]) if "hydra" in nodes else []
    nodes = {name: _plain(node) for name, node in nodes.items()}
    unread = _not_referred_to([*_unread(nodes, sources), *hydras], nodes, sources)
    if not unread:
        return
    outside = [source.file for source in sources if source.package.partition(".")[0] == "experiment"]
    if unread[0].partition(".")[0] == "experiment" and outside:
        raise without_package(outside[0])
    places = dict.fromkeys(where for path in unread if (where := place(path)) is not None)
    advice = [_advice(path, unread, nodes, choices) for path in unread[:3]]
    named = ", ".join(f"'{path}'" for path in unread)
    raise CouloirError(
        f"Nothing reads the {'keys' if len(unread) > 1 else 'key'} {named}.",
        place="; ".join(places) or None,
        next_step=" ".join(f"{path}: {said}" for path, said in zip(unread, advice, strict=False))
        if len(unread) > 1
        else advice[0],
    )


def hydra_unread(node: DictConfig) -> list[str]:
    """The keys of the node `hydra` that neither Hydra nor its sweeper or launcher takes."""
    store, values = ConfigStore.instance(), _plain(node)
    main = {key: value for key, value in values.items() if key != "env"}  # a group of Hydra's, and not in its class
    own = _beyond("hydra", main, declared("hydra/config.yaml"))
    sweeper = _of_part("hydra.sweeper", values["sweeper"], "", {})
    launcher = f"{node.runtime.choices.get('hydra/launcher')}.yaml"
    if launcher in store.list("hydra/launcher"):
        more = _beyond("hydra.launcher", values["launcher"], declared(f"hydra/launcher/{launcher}"))
    else:
        more = _of_part("hydra.launcher", values["launcher"], "", {})
    return [*own, *sweeper, *more]


def _beyond(path: str, values: Mapping[str, Any], schema: DictConfig) -> Iterator[str]:
    """The keys that a dataclass of Hydra's does not have; what it declares as a dictionary takes any."""
    for key, value in values.items():
        if key not in schema.keys():  # noqa: SIM118  "in" is False for ???
            yield f"{path}.{key}"
        elif isinstance(value, dict) and is_dataclass(OmegaConf.get_type(schema, key)):
            yield from _beyond(f"{path}.{key}", value, stored(schema, key))


def _plain(node: Any) -> Any:
    """A node as plain values, references as they are written."""
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _unread(nodes: Mapping[str, Any], sources: Sequence[Source]) -> Iterator[str]:
    """The paths of keys that no part takes, the uppermost ones."""
    roots = {key.path.partition(".")[0] for key in _root_keys()}
    groups, said = tree.groups(packaged=True), _said(sources)
    for name, node in nodes.items():
        if name in groups:
            yield from _of_group(name, node, said)
        elif name not in roots and name not in SETTLED:
            yield name


def _said(sources: Iterable[Source]) -> dict[str, list[contract.Key]]:
    """The keys of the files that take part, by their paths, but for those of recipes: a recipe gives values."""
    said: dict[str, list[contract.Key]] = {}
    for source in sources:
        if not _is_recipe(source):
            for key in contract.read_keys(source.file):
                said.setdefault(f"{source.package}.{key.path}" if source.package else key.path, []).append(key)
    return said


def _of_group(group: str, node: Any, said: Mapping[str, list[contract.Key]]) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    if group in SEVERAL:
        for part, inner in node.items():
            if part in PLAIN.get(group, ()):
                continue
            path = f"{group}.{part}"
            if isinstance(inner, dict) and "_target_" in inner:
                yield from _of_part(path, inner, group, said)
            elif (group == "metric" or not isinstance(inner, str)) and f"{path}._target_" not in said:
                yield path
    elif "_target_" in node:
        yield from _of_part(group, node, group, said)
    else:
        shared = _shared(group)
        for key, inner in node.items():
            if key not in shared and f"{group}.{key}" not in said:
                yield f"{group}.{key}"
            elif key != "space":
                yield from _below(f"{group}.{key}", inner, said)


def _of_part(path: str, node: Any, group: str, said: Mapping[str, list[contract.Key]]) -> Iterator[str]:
    """What the target of a node does not take; `group` where the node is a part of one."""
    if not isinstance(node, dict):
        return
    refused = _refused(path, node, group, said)
    for key, inner in node.items():
        if key in refused:
            yield f"{path}.{key}"
        elif node.get("_recursive_", True):
            yield from _below(f"{path}.{key}", inner, said)


def _below(path: str, value: Any, said: Mapping[str, list[contract.Key]]) -> Iterator[str]:
    """The same for the parts within a value."""
    if isinstance(value, dict) and "_target_" in value:
        yield from _of_part(path, value, "", said)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _below(f"{path}.{key}", inner, said)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _below(f"{path}[{place}]", inner, said)


def _refused(path: str, node: Mapping[str, Any], group: str, said: Mapping[str, list[contract.Key]]) -> set[str]:
    """The keys of a node that its target does not take, as far as that is known."""
    given = set(GIVEN.get(group, ()))
    keys = {key for key in node if not str(key).startswith("_")}
    keys -= {*FACTS.get(group, ()), *STATED.get(group, ()), *_shared(group)} - given
    target = node.get("_target_")
    if any(not tree.is_own(key.file) and key.default == target for key in said.get(f"{path}._target_", ())):
        # A test holds that what a packaged file says is taken, which saves reading the source.
        keys -= {key for key in keys if any(not tree.is_own(at.file) for at in said.get(f"{path}.{key}", ()))}
    if not keys or not isinstance(target, str) or "${" in target:
        return keys & given
    taken = takes(target)
    return keys & given if taken is None else keys & given | keys - taken


def _not_referred_to(unread: list[str], nodes: Mapping[str, Any], sources: Sequence[Source]) -> list[str]:
    """Of keys that no part takes those that no value refers to; what is referred to only by them counts for nothing."""
    values = [*_strings(nodes), *(text for source in sources for text in _strings_in(source))]
    left = unread
    while left:
        asked = {name for path, text in values if not _is_within(path, left) for name in _references(path, text)}
        now = [path for each in unread for path in _unasked(each, _at(nodes, each), asked)]
        if now == left:
            break
        left = now
    return left


def _unasked(path: str, value: Any, asked: set[str]) -> list[str]:
    """A key, or the keys below it that nothing refers to."""
    root = path.partition(".")[0]
    plain = root == "metric" and path.count(".") == 1 and not isinstance(value, dict)  # a key that metrics refer to
    if not plain and (root == "hydra" or (root in tree.groups(packaged=True) and root != "sweep")):
        return [path]  # a part is given all of its keys, whether something refers to them or not
    if any(path == name or path.startswith(f"{name}.") for name in asked):
        return []
    if not any(name.startswith(f"{path}.") for name in asked):
        return [path]
    inner = value.items() if isinstance(value, dict) else ()
    return [left for key, each in inner for left in _unasked(f"{path}.{key}", each, asked)]


def _references(path: str, text: str) -> Iterator[str]:
    """The keys that a value may read: `${a.b}`, `${.b}`, `${a.${b}}`, `${resolver:a.b}`."""
    for inside in _REFERENCE.findall(text):
        dots = len(inside) - len(inside.lstrip("."))
        above = path.split(".")[: -dots or None] if dots else []
        for word in _WORD.findall(inside):
            yield ".".join([*above, word.rstrip(".")])


def _strings(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a node that hold a reference, by their paths."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _strings(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, path)
    elif isinstance(node, str) and "${" in node:
        yield path, node


def _strings_in(source: Source) -> Iterator[tuple[str, str]]:
    """The same of a file, whose values the sentence may have replaced."""
    for key in contract.read_keys(source.file):
        yield from _strings(key.default, f"{source.package}.{key.path}" if source.package else key.path)


def _is_within(path: str, keys: Iterable[str]) -> bool:
    return any(path == key or path.startswith((f"{key}.", f"{key}[")) for key in keys)


def _at(nodes: Mapping[str, Any], path: str) -> Any:
    """The value of a path such as `model.blocks[0].size`."""
    found: Any = nodes
    for name in [path] if path in nodes else path.replace("[", ".[").split("."):
        if name.startswith("["):
            found = found[int(name[1:-1])]
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _advice(path: str, unread: Sequence[str], nodes: Mapping[str, Any], choices: Choices) -> str:
    """What a key that nothing reads was probably meant for."""
    root, _, rest = path.partition(".")
    if root == "hydra":
        name = rest.rpartition(".")[2]
        hint = did_you_mean(name, _shared("sweep"), form="sweep.{}") if rest.startswith("sweeper.") else None
        return hint or "leave it out: Hydra does not take it"
    if path in nodes and rest:
        return f"a file nests its keys: {root}: on one line, and {rest}: below it, further to the right"
    if root in tree.groups(packaged=True):
        return _advice_in(root, rest, nodes, choices)
    leaves = [name for name, _ in _leaves(nodes) if not _is_within(name, unread)]
    same = [name for name in leaves if name.rpartition(".")[2] == root][:3]
    if same and not isinstance(nodes.get(root), dict):
        return f"did you mean {', '.join(same)}?"
    names = [*tree.groups(packaged=True), *(key.path for key in _root_keys() if "." not in key.path)]
    hint = did_you_mean(root, names)
    if hint is None and not isinstance(nodes.get(root), dict):
        close = nearest(root, [name.rpartition(".")[2] for name in leaves], count=1)
        near = [name for name in leaves if name.rpartition(".")[2] in close][:3]
        hint = f"did you mean {', '.join(near)}?" if near else None
    return hint or f"remove it, or let a value refer to it: ${{{path}}}"


def _advice_in(group: str, rest: str, nodes: Mapping[str, Any], choices: Choices) -> str:
    """The same for a key below a group."""
    if rest in GIVEN.get(group, ()):
        return "leave it out: the run sets it itself"
    above, _, name = rest.rpartition(".")
    path = f"{group}.{above}" if above else group
    node = _at(nodes, path)
    node = node if isinstance(node, dict) else {}
    taken = (takes(str(node.get("_target_"))) if "_target_" in node else None) or ()
    names = dict.fromkeys(str(key) for key in (*node, *_shared(group), *STATED.get(group, ()), *taken))
    hint = did_you_mean(name, [key for key in names if key != name and not key.startswith("_")], form=f"{path}.{{}}")
    if hint is not None:
        return hint
    if owned := owners(rest, [group]):
        return owned
    if group in SEVERAL and not above:
        parts = ", ".join(key for key in node if key != name)
        return (f"parts of {group}: {parts}; " if parts else "") + "a part of your own has a _target_"
    choice = choices.get(group)
    return f"`couloir list {group}{f' {choice}' if choice else ''}` shows the keys"


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        inner = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict) and inner != "hydra":
            yield from _leaves(value, inner)
        else:
            yield inner, value


def _root_keys() -> list[contract.Key]:
    return contract.read_keys(tree.packaged_conf() / f"{tree.ROOT_CONFIG}.yaml")


def _shared(group: str) -> set[str]:
    """The keys that every choice of a group has."""
    keys = (key.path.removeprefix(f"{group}.") for key in _root_keys() if key.path.startswith(f"{group}."))
    return {key for key in keys if "." not in key}


def _is_recipe(source: Source) -> bool:
    return tree.is_experiment(source.file)
