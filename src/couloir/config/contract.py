"""What a YAML file promises of its keys: the type of the default, and the contract that opens a key's comment.

    lr: 0.1         # > 0; learning rate
    subset: null    # int >= 1 or null; at most so many samples

The text up to the first semicolon is the contract where it can be read as one; all else is prose. CONTRIBUTING.md has
the grammar.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from couloir.config import tree

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""By libyaml, where PyYAML has it."""

_NUMBER = r"-?(?:\d+(?:\.\d*)?(?:e-?\d+)?|inf)"
_COMPARISON = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER})$")
_INTERVAL = re.compile(rf"([\[(])\s*({_NUMBER})\s*,\s*({_NUMBER})\s*([\])])$")
_SCIENTIFIC = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$")
_INTEGER = re.compile(r"-?\d+")
_SEVERAL = re.compile(r"\[[a-z]+(?:, [a-z]+){1,2}\]")
_TYPES = ("int", "float", "str", "bool", "list")
_JSON_TYPES = {"int": "integer", "float": "number", "str": "string", "bool": "boolean", "list": "array"}
_TYPE_NAMES = {"int": "an integer", "float": "a number", "str": "a word", "bool": "true or false", "list": "a list"}


REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}
"""A value that refers to another one, `${data.channels}`, or is missing, `???`, as a JSON schema."""


@dataclass(frozen=True)
class Key:
    """One key of a YAML file: where it stands, its default as written, and what it accepts."""

    path: str
    file: Path
    line: int
    default: Any
    contract: str
    comment: str = ""


@dataclass(frozen=True)
class _Test:
    accepts: Callable[[Any], bool]
    wording: str
    schema: dict[str, Any]


def read_keys(file: Path) -> list[Key]:
    """Every key of a YAML file, nested ones by their dotted path, in the order of the file (1-based lines)."""
    return list(_read_keys(file, file.stat().st_mtime_ns))


def shared_keys(group: str) -> list[Key]:
    """The keys that the root file gives to every choice of a group, by their path within it."""
    root = tree.find(tree.ROOT_CONFIG)
    keys = [] if root is None else read_keys(root)
    return [replace(key, path=rest) for key in keys if (rest := key.path.removeprefix(f"{group}.")) != key.path]


def package_of(file: Path) -> str | None:
    """The key below which a file's content goes, as a line `# @package KEY` before its first key says; None: no line.

    Raises:
        CouloirError: it is not text in UTF-8.
    """
    for line in tree.read_text(file).splitlines():
        if found := re.match(r"\s*#\s*@package\s+(\S+)\s*$", line):
            return found[1]
        if line.strip() and not line.lstrip().startswith("#"):
            return None
    return None


@lru_cache(maxsize=1024)
def _read_keys(file: Path, _changed: int) -> tuple[Key, ...]:
    text = tree.read_text(file)
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        return ()
    return tuple(_walk(root, "", file, text.splitlines()))


def _walk(node: yaml.MappingNode, prefix: str, file: Path, lines: list[str]) -> Iterator[Key]:
    for key, value in node.value:
        if key.value == "defaults" and not prefix:
            continue
        path = f"{prefix}{key.value}"
        block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        mark = key.end_mark if block else value.end_mark
        rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
        _, hash_sign, comment = rest.partition("#")
        contract = _contract_of(comment.strip()) if hash_sign else ""
        yield Key(path, file, key.start_mark.line + 1, _plain(value), contract, comment.strip())
        if isinstance(value, yaml.MappingNode):
            yield from _walk(value, f"{path}.", file, lines)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child) for child in node.value]
    if getattr(node, "style", None):  # quoted; libyaml says "" where PyYAML says None for a plain scalar
        return node.value
    if _SCIENTIFIC.match(node.value):  # YAML 1.1 reads 1e-8 as a word, OmegaConf as the number it is
        return float(node.value)
    return yaml.load(node.value, LOADER)


def _contract_of(comment: str) -> str:
    text = comment.split(";", 1)[0].strip()
    return text if text and _parse(text, "") else ""


def _parse(contract: str, inferred: str) -> list[_Test]:
    """The alternatives of a contract; an empty list where the text is prose."""
    if contract.startswith("one of "):
        # The words may contain "or", so the list is read before alternatives are split.
        words, _, also = contract.removeprefix("one of ").partition(" or null")
        tests = [_one_of(words)]
        return tests if not also and " or null" not in contract else [*tests, _null()]
    tests = []
    for part in contract.split(" or "):
        several = _SEVERAL.fullmatch(part.strip())
        test = _several_of(tests[-1], several[0]) if several and tests else _alternative(part.strip(), inferred)
        if test is None:
            return []
        tests.append(test)
    return tests


def _one_of(words: str) -> _Test:
    """One of some words and integers."""
    names = [word.strip() for word in words.split(",")]
    values = [int(name) if _INTEGER.fullmatch(name) else name for name in names]
    return _Test(
        lambda value: not isinstance(value, bool | float) and value in values,
        f"one of {', '.join(names)}",
        {"enum": values},
    )


def _null() -> _Test:
    return _Test(lambda value: value is None, "null", {"type": "null"})


def _several_of(one: _Test, names: str) -> _Test:
    """A list of values that each fit the alternative before, one for each name: `int >= 1 or [height, width]`."""
    count = names.count(",") + 1
    return _Test(
        lambda value: isinstance(value, list) and len(value) == count and all(map(one.accepts, value)),
        f"{'two' if count == 2 else 'three'} of them as {names}",
        {"type": "array", "items": _or_reference(one.schema), "minItems": count, "maxItems": count},
    )


def _alternative(text: str, inferred: str) -> _Test | None:
    if text == "null":
        return _null()
    if text.startswith("one of "):
        return _one_of(text.removeprefix("one of "))
    if text.startswith("list of "):
        item = _alternative(text.removeprefix("list of ").strip(), "")
        if item is None:
            return None
        accepts_item = item.accepts
        return _Test(
            lambda value: isinstance(value, list) and all(accepts_item(entry) for entry in value),
            f"a list, each item {item.wording}",
            {"type": "array", "items": _or_reference(item.schema)},
        )
    type_name, range_text = inferred or "float", text
    for name in _TYPES:
        if text == name or text.startswith(f"{name} "):
            type_name, range_text = name, text.removeprefix(name).strip()
    if not range_text:
        return _Test(lambda value: value != "" and _is(value, type_name), _TYPE_NAMES[type_name], _of_type(type_name))
    within = _range(range_text)
    if within is None or type_name not in ("int", "float"):
        return None
    return _Test(
        lambda value: _is(value, type_name) and within(value),
        f"{_TYPE_NAMES[type_name]} {_readable(range_text)}",
        {**_of_type(type_name), **_bounds(range_text)},
    )


def _of_type(type_name: str) -> dict[str, Any]:
    """A type as a JSON schema; a word is not empty."""
    return {"type": _JSON_TYPES[type_name], **({"minLength": 1} if type_name == "str" else {})}


def _or_reference(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, REFERENCE]}


def _bounds(range_text: str) -> dict[str, Any]:
    """A range as a JSON schema, which has no word for infinity."""
    names = {">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}
    if comparison := _COMPARISON.match(range_text):
        bounds = [(comparison[1], comparison[2])]
    else:
        interval = _INTERVAL.match(range_text)
        assert interval is not None, "it was read before"
        bounds = [
            (">=" if interval[1] == "[" else ">", interval[2]),
            ("<=" if interval[4] == "]" else "<", interval[3]),
        ]
    return {names[sign]: float(bound) for sign, bound in bounds if math.isfinite(float(bound))}


def _readable(range_text: str) -> str:
    return range_text if range_text[0] in "<>" else f"in {range_text}"


def _range(text: str) -> Callable[[float], bool] | None:
    comparison = _COMPARISON.match(text)
    if comparison:
        sign, bound = comparison[1], float(comparison[2])
        return {
            ">": lambda value: value > bound,
            ">=": lambda value: value >= bound,
            "<": lambda value: value < bound,
            "<=": lambda value: value <= bound,
        }[sign]
    interval = _INTERVAL.match(text)
    if interval:
        low, high = float(interval[2]), float(interval[3])
        low_closed, high_closed = interval[1] == "[", interval[4] == "]"
        return lambda value: (
            (low < value or (low_closed and value == low)) and (value < high or (high_closed and value == high))
        )
    return None


def _is(value: Any, type_name: str) -> bool:
    if type_name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if type_name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"str": str, "bool": bool, "list": list}[type_name])


def infer_type(default: Any) -> str:
    """The name of the type that a default value stands for; empty where it says nothing (null, `???`, `${...}`)."""
    if isinstance(default, str) and ("${" in default or default == "???"):
        return ""
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str), ("list", list)):
        if isinstance(default, kind):
            return name
    return ""


def violation(key: Key, value: Any) -> str | None:
    """What the key accepts, in words, when `value` is none of it; None when the value is fine."""
    tests = _tests(key)
    if not tests or any(test.accepts(value) for test in tests):
        return None
    return " or ".join(test.wording for test in tests)


def as_schema(key: Key) -> dict[str, Any]:
    """What the key accepts as a JSON schema; a reference and `???` are accepted as well."""
    tests = _tests(key)
    return {"anyOf": [*(test.schema for test in tests), REFERENCE]} if tests else {}


def _tests(key: Key) -> list[_Test]:
    """What a value may be; an empty list: anything."""
    inferred = infer_type(key.default)
    # A range goes for numbers, also where the default itself is none: `lr: 0.1.  # > 0`
    tests = (_parse(key.contract, inferred) or _parse(key.contract, "")) if key.contract else []
    if tests or not inferred:
        return tests
    return [_Test(lambda given: _is(given, inferred), _TYPE_NAMES[inferred], {"type": _JSON_TYPES[inferred]})]
