"""Private parts of libraries are used in one module a library, which has a test that fails when they change."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
ONE_A_LIBRARY = {
    "couloir/torch_private.py": "torch",
    "couloir/config/hydra_private.py": "hydra",
    "couloir/config/omegaconf_private.py": "omegaconf",
    "couloir/metric/torchmetrics_private.py": "torchmetrics",
    "couloir/sweep/optuna_private.py": "optuna",
    "couloir/trainer/lightning_private.py": "pytorch_lightning",
}
PUBLIC = {"os._exit"}
"""What is public in spite of its name."""
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
LOOKS_UP = ("getattr", "setattr", "hasattr", "delattr")


OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
"""Public as well: a named tuple's own names would clash with its fields."""


def is_private(name: str) -> bool:
    """`_name`; neither `__name__` nor `_target_`, which is a key."""
    return name.startswith("_") and not name.endswith("_") and name not in OF_NAMED_TUPLES


def is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in ("couloir", "hydra_plugins", "__future__")


def names_of_its_own(tree: ast.AST) -> set[str]:
    """The private names that a file defines: functions, classes, variables, and attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            names.add(node.attr)
    return {name for name in names if is_private(name)}


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def uses(tree: ast.AST) -> Iterator[str]:
    """Private names that are imported, or read or set on something else than `self`; `self`'s are judged by class."""
    own = names_of_its_own(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and not is_ours(node.module):
            for name in node.names:
                if any(map(is_private, f"{node.module}.{name.name}".split("."))):
                    yield f"from {node.module} import {name.name}"
        elif isinstance(node, ast.Import):
            yield from (
                name.name
                for name in node.names
                if not is_ours(name.name) and any(map(is_private, name.name.split(".")))
            )
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_self(node.value):
            if node.attr not in own:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKS_UP:
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and name.value not in own:
                yield ast.unparse(node)
        elif isinstance(node, ast.Subscript | ast.Call) and "__dict__" in ast.unparse(node):
            key = node.slice if isinstance(node, ast.Subscript) else next(iter(node.args), None)
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and is_private(key.value):
                yield ast.unparse(node)


def test_no_file_but_the_one_of_a_library_uses_its_private_parts() -> None:
    found = {file: set(uses(parsed(file))) - PUBLIC for file in FILES if file not in ONE_A_LIBRARY}
    assert {file: used for file, used in found.items() if used} == {}


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((SOURCE / file).read_text(encoding="utf-8"))


def classes() -> Iterator[Any]:
    """Those of our classes, at the top of a file, that have a library's class among their bases."""
    for file in FILES:
        if file in ONE_A_LIBRARY or not any(
            isinstance(node, ast.ClassDef) and node.bases for node in parsed(file).body
        ):
            continue
        module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for node in parsed(file).body:
            if isinstance(node, ast.ClassDef) and foreign(getattr(module, node.name)):
                yield getattr(module, node.name), node


def foreign(ours: type) -> list[type]:
    """The libraries' classes that a class inherits from."""
    return [base for base in ours.__mro__ if not is_ours(base.__module__) and not is_python(base)]


def is_python(base: type) -> bool:
    return base.__module__.partition(".")[0] in sys.stdlib_module_names


@cache
def private_names(base: type) -> frozenset[str]:
    """The private names that a library's class defines: its methods, and the attributes of `self`."""
    try:
        source = ast.parse(inspect.getsource(base))
    except OSError:  # it is compiled
        return frozenset(filter(is_private, vars(base)))
    return frozenset(names_of_its_own(source))


def test_no_class_uses_or_replaces_a_private_name_of_a_librarys_class_that_it_inherits_from() -> None:
    looked_at = 0
    for ours, node in classes():
        named = {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute) and is_self(item.value)}
        named |= {item.name for item in ast.walk(node) if isinstance(item, ast.FunctionDef)}
        for base in foreign(ours):
            looked_at += 1
            assert not named & private_names(base), f"{ours.__qualname__}: private names of {base.__qualname__}"
    assert looked_at > 100


@pytest.mark.parametrize(("file", "library"), ONE_A_LIBRARY.items())
def test_the_one_module_of_a_library_is_about_it_alone_says_what_it_uses_and_has_a_test(
    file: str, library: str
) -> None:
    tree = parsed(file)
    used = {use.rpartition(" ")[2].rpartition(".")[2] for use in uses(tree)}
    assert used
    test = ROOT / "tests" / Path(file).parent.relative_to("couloir") / f"test_{Path(file).name}"
    assert test.is_file()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert ast.get_docstring(node)
            assert node.name in test.read_text(encoding="utf-8")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(map(is_private, str(node.module).split("."))):
            assert str(node.module).partition(".")[0] == library


@pytest.mark.parametrize(
    "line",
    [
        "from torch.nn.modules.conv import _ConvNd", "import torch._dynamo", "from hydra._internal import utils",
        "study._storage", "a.b()._c.d", "x._y = 1", "getattr(loader, '_workers', [])", "setattr(x, '_y', 1)",
        "module.__dict__['_current_fx_name'] = None", "net.__dict__.pop('_alone')", "super()._configure()",
    ],
)  # fmt: skip
def test_each_form_of_use_is_found(line: str) -> None:
    assert list(uses(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "from couloir.a import _b", "self._x = y._x", "cfg._target_", "x.__dict__", "getattr(x, '__func__')",
        "def _f(): pass\nx._f()", "'_y'", "x['_y']",
    ],
)  # fmt: skip
def test_what_is_our_own_is_left_alone(line: str) -> None:
    assert not list(uses(ast.parse(line)))
