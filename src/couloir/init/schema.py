"""JSON schemas of the YAML files, made from what these promise of their keys, for editors that complete and check.

A reference, `${data.channels}`, and `???` are accepted for every value. A schema accepts a little more than
`couloir.config.check`, and never less: it cannot see what one file says of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from couloir.config import contract, tree
from couloir.config.check import OPTIONAL
from couloir.config.contract import Key
from couloir.config.fields import KINDS
from couloir.config.signatures import takes
from couloir.config.unread import FACTS, PLAIN, STATED
from couloir.config.wrong_choices import SEVERAL
from couloir.errors import CouloirError
from couloir.record.files import LOADER, write_atomically

FOLDER = Path(".couloir/schema")
SETTINGS = Path(".vscode/settings.json")
DRAFT = "http://json-schema.org/draft-07/schema#"
SPECIAL = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
"""What Hydra reads of a node that it instantiates."""

Schema = dict[str, Any]


def write_schemas(project: Path) -> str:
    """Write the schemas of a project's YAML files, and the settings that make VS Code use them.

    Args:
        project: its folder, the working directory.

    Returns:
        what is to be said: the files, and the lines that belong into settings that are there already.

    Raises:
        CouloirError: they cannot be written.
    """
    found = schemas()
    settings = json.dumps({"yaml.schemas": _patterns(found)}, indent=2) + "\n"
    try:
        (project / FOLDER).mkdir(parents=True, exist_ok=True)
        for name, schema in found.items():
            write_atomically(project / FOLDER / f"{name}.json", json.dumps(schema, ensure_ascii=False) + "\n")
        new = not (project / SETTINGS).exists()
        if new:
            (project / SETTINGS).parent.mkdir(exist_ok=True)
            write_atomically(project / SETTINGS, settings)
    except OSError as error:
        raise CouloirError(
            f"The schemas cannot be written: {error.strerror or error}.",
            place=str(error.filename or project),
            next_step="couloir init --schema, in a folder that you may write to",
        ) from error
    lines = [f"{FOLDER.as_posix()}: {len(found)} schemas, of experiments, conf/train.yaml and each group"]
    if new:
        lines.append(f"{SETTINGS.as_posix()}: VS Code with the extension YAML (redhat.vscode-yaml) uses them")
    elif json.loads(settings) == _settings(project / SETTINGS):
        lines.append(f"{SETTINGS.as_posix()} uses them already")
    else:
        lines.append(
            f"{SETTINGS.as_posix()} is there, and stays as it is; for VS Code put these lines into it:\n{settings}"
        )
    lines.append(
        "Other editors take a line at the top of a file, below its `# @package _global_`:\n"
        f"# yaml-language-server: $schema=../../{FOLDER.as_posix()}/experiment.json"
    )
    return "\n".join(lines)


def _settings(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _patterns(found: Iterable[str]) -> dict[str, list[str]]:
    """Schema -> the files that it is for."""
    special = {
        "train": ["conf/train.yaml"],
        "experiment": ["conf/experiment/**/*.yaml", "outputs/**/recipe.yaml", "outputs/**/best.yaml"],
    }
    return {f"./{FOLDER.as_posix()}/{name}.json": special.get(name, [f"conf/{name}/**/*.yaml"]) for name in found}


def schemas() -> dict[str, Schema]:
    """Name -> schema: `train` for the root file, `experiment`, and one for the files of each other group."""
    choices = {group: _choices(group) for group in tree.groups() if group != tree.EXPERIMENT}
    found = {"train": _root_file(choices), tree.EXPERIMENT: _experiment(choices)}
    return found | {group: _group_file(group, choices) for group in choices}


def _choices(group: str) -> dict[str, Schema]:
    """The schema of each choice's node."""
    return {name: _node(group, _keys(group, name)) for name in tree.choices(group)}


def _keys(group: str, choice: str) -> dict[str, Key | None]:
    """The keys of a choice and of those that it builds on, by their paths within the group; None: it takes anything."""
    file = tree.find(f"{group}/{choice}")
    found: dict[str, Key | None] = {key.path: key for key in contract.shared_keys(group)}
    if file is None:
        return found
    for entry in _defaults(file):
        if isinstance(entry, str) and entry != "_self_" and not entry.startswith("/"):
            name, _, below = entry.partition("@")
            inner = _keys(group, name)
            found |= {f"{below}.{path}" if below else path: key for path, key in inner.items()}
            found |= {below: None} if below and below not in found else {}
        for named in entry if isinstance(entry, dict) else ():
            below = str(named).partition("@")[2].removeprefix("_global_.").removeprefix(f"{group}.")
            if below and below.partition(".")[0] not in tree.groups():
                found[below] = None
    outside = contract.package_of(file) == "_global_"
    for key in contract.read_keys(file):
        path = key.path.removeprefix(f"{group}.") if outside else key.path
        if not outside or path != key.path:
            found[path] = key
    return found


def _defaults(file: Path) -> list[Any]:
    content = yaml.load(tree.read_text(file), LOADER)
    entries = content.get("defaults") if isinstance(content, dict) else None
    return entries if isinstance(entries, list) else []


def _node(group: str, keys: Mapping[str, Key | None]) -> Schema:
    """The schema of a choice's node; of a group of several parts, of the node that holds them."""
    node = _object(keys, (*FACTS.get(group, ()), *STATED.get(group, ())))
    if group in SEVERAL:
        node["additionalProperties"] = {"type": ["object", "null"], "required": ["_target_"]}
    if "fields" in node.get("properties", {}):
        kinds = {"anyOf": [{"enum": list(KINDS)}, contract.REFERENCE]}
        node["properties"]["fields"] = {
            "type": ["object", "null", "string"], "pattern": contract.REFERENCE["pattern"],
            "description": "what a sample is made of: name and kind of each part", "additionalProperties": kinds,
        }  # fmt: skip
    return node


def _object(keys: Mapping[str, Key | None], also: Iterable[str] = ()) -> Schema:
    """The schema of a node: closed where it is known which keys its target takes."""
    inner: dict[str, dict[str, Key | None]] = {}
    own: dict[str, Key | None] = {}
    for path, key in keys.items():
        name, _, rest = path.partition(".")
        if rest:
            inner.setdefault(name, {})[rest] = key
        else:
            own[name] = key
    properties: dict[str, Schema] = {}
    for name in dict.fromkeys([*own, *inner]):
        key = own.get(name)
        block = name in inner and (key is None or key.default == {})
        properties[name] = _object(inner[name]) if block else {} if key is None else _value(key)
        if block and key is not None and key.comment:
            properties[name]["description"] = key.comment
    schema: Schema = {
        "type": ["object", "null", "string"],
        "pattern": contract.REFERENCE["pattern"],
        "properties": properties,
    }
    target = own.get("_target_")
    taken = takes(target.default) if target is not None and isinstance(target.default, str) else None
    if taken is not None:
        properties |= {name: {} for name in sorted({*taken, *also, *SPECIAL} - {*properties})}
        properties["_target_"] = {"type": "string"}
        schema["additionalProperties"] = False
    return schema


def _value(key: Key) -> Schema:
    """What a key takes, its comment, and its default."""
    schema = dict(contract.as_schema(key))
    if key.comment:
        schema["description"] = key.comment
    if not (isinstance(key.default, str) and ("${" in key.default or key.default == "???")) and key.default != {}:
        schema["default"] = key.default
    return schema


def _union(nodes: Iterable[Schema]) -> Schema:
    """A node that may be any of several: a key takes what one of them takes."""
    nodes = list(nodes)
    properties: dict[str, list[Schema]] = {}
    for node in nodes:
        for name, schema in node["properties"].items():
            known = properties.setdefault(name, [])
            if not any(_same(schema, other) for other in known):
                known.append(schema)
    merged: Schema = {
        "type": ["object", "null", "string"],
        "pattern": contract.REFERENCE["pattern"],
        "properties": {name: found[0] if len(found) == 1 else _any(found) for name, found in properties.items()},
    }
    rest = [node.get("additionalProperties", True) for node in nodes]
    if rest and True not in rest:
        merged["additionalProperties"] = rest[0]
    return merged


def _same(one: Schema, other: Schema) -> bool:
    return json.dumps({**one, "default": 0}, sort_keys=True) == json.dumps({**other, "default": 0}, sort_keys=True)


def _any(found: list[Schema]) -> Schema:
    """Any of several; where one takes everything, everything, with the words of the first."""
    said = next((schema["description"] for schema in found if "description" in schema), None)
    schema: Schema = {} if any(not {*schema} - {"description", "default"} for schema in found) else {"anyOf": found}
    return schema if said is None else {**schema, "description": said}


def _filled(schema: Schema, group: str) -> Schema:
    """A group's node within a file of the whole sentence: a group that every sentence needs is not null."""
    return schema if group in (*OPTIONAL, *SEVERAL, "sweep", "pruner") else {**schema, "type": ["object", "string"]}


def _entries(choices: Mapping[str, Mapping[str, Schema]], override: bool) -> Schema:
    """A defaults list: groups and their choices."""
    patterns: Schema = {}
    for group in [*choices, tree.EXPERIMENT]:
        names: Schema = {"enum": [*tree.choices(group), None]}
        allowed = [names, contract.REFERENCE, *([{"type": "array", "items": names}] if group in SEVERAL else [])]
        if group == tree.EXPERIMENT:
            allowed.append({"type": "string", "pattern": r"\.ya?ml$"})
        begins = "(override +|optional +)*/?"
        patterns[f"^{begins}{group}(@.+)?$"] = {"anyOf": allowed}
    patterns["^(override +)?/?hydra/"] = {}
    groups = {f"override /{group}" if override else group: {"enum": [*tree.choices(group), None]} for group in choices}
    entry: Schema = {
        "type": "object", "maxProperties": 1, "patternProperties": patterns, "additionalProperties": False,
    }  # fmt: skip
    if override:  # what an editor proposes
        entry["properties"] = {
            name: {} if name.removeprefix("override /") in SEVERAL else {"anyOf": [schema, contract.REFERENCE]}
            for name, schema in groups.items()
        }
    return {"type": "array", "items": {"anyOf": [{"type": "string"}, entry]}}


def _whole(choices: Mapping[str, Mapping[str, Schema]]) -> dict[str, Schema]:
    """The keys of the root file that belong to no group."""
    root = tree.find(tree.ROOT_CONFIG)
    keys = [] if root is None else contract.read_keys(root)
    own = (key for key in keys if "." not in key.path and key.path not in (*choices, "hydra"))
    return {key.path: _value(key) for key in own} | {"hydra": {"type": "object"}}


def _root_file(choices: Mapping[str, Mapping[str, Schema]]) -> Schema:
    groups: dict[str, Schema] = {}
    for group in choices:
        shared = {key.path: _value(key) for key in contract.shared_keys(group)}
        groups[group] = {"type": ["object", "null"], "properties": shared}
    return {
        "$schema": DRAFT,
        "title": "conf/train.yaml: the choice of each group, and the keys of the whole sentence",
        "type": "object",
        "properties": {"defaults": _entries(choices, override=False), **groups, **_whole(choices)},
        "additionalProperties": {"type": "object"},
    }


def _experiment(choices: Mapping[str, Mapping[str, Schema]]) -> Schema:
    properties = {group: _filled(_union(nodes.values()), group) for group, nodes in choices.items()}
    definitions: Schema = {}
    chosen = []
    for group, nodes in choices.items():
        if group in SEVERAL:
            continue
        for name, node in nodes.items():
            definitions[f"{group}.{name.replace('/', '.')}"] = node
            chosen.append(_where_chosen(group, name))
    own: Schema = {name: {} for name in _own_keys(choices)}
    return {
        "$schema": DRAFT,
        "title": "conf/experiment/NAME.yaml: a recipe, its choices and its keys; its first line is # @package _global_",
        "type": "object",
        "properties": {"defaults": _entries(choices, override=True), **_whole(choices), **own, **properties},
        "additionalProperties": False,
        "allOf": chosen,
        "definitions": definitions,
    }


def _where_chosen(group: str, name: str) -> Schema:
    """Where a recipe names a choice, its node has the keys of that choice, unless it names another target."""
    entry = f"override /{group}"
    named = {"contains": {"type": "object", "properties": {entry: {"const": name}}, "required": [entry]}}
    other = {"properties": {group: {"type": "object", "required": ["_target_"]}}, "required": [group]}
    return {
        "if": {"properties": {"defaults": named}, "required": ["defaults"], "not": other},
        "then": {"properties": {group: {"$ref": f"#/definitions/{group}.{name.replace('/', '.')}"}}},
    }


def _own_keys(choices: Mapping[str, Any]) -> Iterator[str]:
    """Keys that recipes have for their own values, which others refer to."""
    for file in tree.choices(tree.EXPERIMENT).values():
        try:
            keys = contract.read_keys(file)
        except (CouloirError, yaml.YAMLError, ValueError):
            continue  # which is said where it is used
        yield from (key.path for key in keys if "." not in key.path and key.path not in choices)


def _group_file(group: str, choices: Mapping[str, Mapping[str, Schema]]) -> Schema:
    """The files of a group: a target and its keys; of a group of several parts, names and their targets."""
    by_target: dict[str, list[Schema]] = {}
    for name in choices[group]:
        keys, own = _keys(group, name), tree.is_own(tree.choices(group)[name])
        for target, node in _components(group, choices[group][name], keys):
            if own:  # a file says itself what its keys take
                node = {**node, "properties": {key: {} for key in node["properties"]}}
            by_target.setdefault(target, []).append(node)
    known: Schema = {"allOf": [_with_target(target, _union(nodes)) for target, nodes in by_target.items()]}
    if not by_target:
        known = {"properties": _union(choices[group].values())["properties"]}
    title = f"conf/{group}/NAME.yaml: a choice of the group {group}"
    if group in SEVERAL:
        parts: Schema = {"type": ["object", "null"], **known}
        if group == "metric" or group in PLAIN:  # a plain value is a key that others refer to
            parts = {"if": {"type": "object"}, "then": known}
        return {
            "$schema": DRAFT, "title": title, "type": ["object", "null"], "properties": {"defaults": {"type": "array"}},
            "additionalProperties": parts,
        }  # fmt: skip
    properties: Schema = {
        "_target_": {"type": "string", "description": "the class or the function that is called with the keys below"},
        "defaults": {"type": "array"},
    }
    if group == "data":
        kinds = {"anyOf": [{"enum": list(KINDS)}, contract.REFERENCE]}
        properties |= {
            "task": {"anyOf": [{"enum": [*tree.choices("task"), None]}, contract.REFERENCE]},
            "fields": {"type": ["object", "null", "string"], "additionalProperties": kinds},
        }
    properties |= known.pop("properties", {})
    return {"$schema": DRAFT, "title": title, "type": "object", "properties": properties, **known}


def _with_target(target: str, node: Schema) -> Schema:
    """What holds for a node with a target; its file may build on others."""
    return {
        "if": {"properties": {"_target_": {"const": target}}, "required": ["_target_"]},
        "then": {**node, "properties": {**node["properties"], "defaults": {}}},
    }


def _components(group: str, node: Schema, keys: Mapping[str, Key | None]) -> Iterator[tuple[str, Schema]]:
    """The targets that a choice's file names, with the schema of their nodes."""
    places = [f"{name}._target_" for name in node["properties"]] if group in SEVERAL else ["_target_"]
    for place in places:
        key = keys.get(place)
        if key is not None and isinstance(key.default, str):
            inner = node["properties"][place.partition(".")[0]] if group in SEVERAL else node
            yield key.default, inner
