"""Which keywords a target takes, read from its source: nothing is imported and nothing runs.

Where the source does not say it, the answer is None, and the target itself refuses what it does not take.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DEEPEST = 12
"""Names, base classes and calls that are followed from one target."""
PLAIN_DECORATORS = ("staticmethod", "classmethod", "no_grad", "cache", "lru_cache", "final", "_defaults_from_env_vars")
"""Decorators that leave a signature as it is."""
ADDING = {"loads_weights": frozenset({"weights", "adapt_channels"})}
"""Decorators that add keywords to a constructor."""
BARE = ("torch.nn.modules.module.Module",)
"""Classes whose constructor takes `**kwargs` and refuses all of them."""
LIBRARIES = ("couloir", "torch", "pytorch_lightning", "lightning_fabric", "torchmetrics")
"""Where `**kwargs` that a function never looks at are no invitation, as they may be in the user's own code."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def takes(target: str) -> frozenset[str] | None:
    """The keywords that a class or a function takes.

    Args:
        target: its dotted path.

    Returns:
        the names, or None where the source does not say it: it is not Python, or takes whatever it is given.
    """
    found = _resolve(target, DEEPEST)
    return None if found is None else _keywords(found, DEEPEST)


@dataclass(frozen=True)
class _Found:
    """A definition, the module and the class that it stands in, and decorators that were called on it by name."""

    node: ast.ClassDef | Function
    module: _Module
    owner: ast.ClassDef | None = None
    added: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Module:
    name: str
    file: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """What relative imports are relative to."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


def _resolve(target: str, depth: int) -> _Found | None:
    """The definition that a dotted path leads to."""
    found = _module(target.split("."))
    if found is None or depth <= 0:
        return None
    module, rest = found
    return _lookup(module, rest, depth) if rest else None


def _module(parts: Sequence[str]) -> tuple[_Module, list[str]] | None:
    """The innermost module of a dotted path, and the names that follow it."""
    try:
        spec = importlib.util.find_spec(parts[0])  # of a root, it imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None or parts[0] == "__main__":
        return None
    file = Path(spec.origin) if spec.origin and spec.has_location else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    used = 1
    for part in parts[1:]:
        inside = [path for folder in folders for path in (folder / part / "__init__.py", folder / f"{part}.py")]
        there = next((path for path in inside if path.is_file()), None)
        if there is None:
            break
        file, folders, used = there, [there.parent] if there.name == "__init__.py" else [], used + 1
    if file is None or file.suffix != ".py":
        return None
    try:
        tree = _parsed(file, file.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # the import says what is wrong with it
    return _Module(".".join(parts[:used]), file, tree), list(parts[used:])


@lru_cache(maxsize=256)
def _parsed(file: Path, _changed: int) -> ast.Module:
    return ast.parse(file.read_bytes())


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module, also below `if` and `try`."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handled = [inner for handler in statement.handlers for inner in handler.body]
            yield from _statements([*statement.body, *handled, *statement.orelse])


def _lookup(module: _Module, names: Sequence[str], depth: int) -> _Found | None:
    """The definition of a name in a module, or in another one that the name is imported from."""
    name, *rest = names
    if depth <= 0 or len(rest) > 1:
        return None
    stars: list[str] = []
    for statement in reversed(list(_statements(module.tree.body))):  # the last one counts
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
            return _member(_Found(statement, module), rest)
        if isinstance(statement, ast.ImportFrom):
            source = _source(statement, module)
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _resolve(".".join([source, alias.name, *rest]), depth - 1)
                if alias.name == "*":
                    stars.append(source)
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            return _assigned(statement.value, module, rest, depth)
    found = (_resolve(".".join([source, name, *rest]), depth - 1) for source in stars)
    return next((each for each in found if each is not None), None)


def _assigned(value: ast.expr, module: _Module, rest: list[str], depth: int) -> _Found | None:
    """Another name for a definition, `resnet = ResNet` or `resnet = loads_weights(ResNet)`, or what a call returns."""
    if isinstance(value, ast.Name):
        return _lookup(module, [value.id, *rest], depth - 1)
    if not isinstance(value, ast.Call) or rest or depth <= 0:
        return None
    if _last_name(value.func) in ADDING:
        return _returned(value, module, (), depth)
    maker = _named(value.func, module, depth - 1)
    if maker is None or isinstance(maker.node, ast.ClassDef):
        return None
    returns = [statement for statement in maker.node.body if isinstance(statement, ast.Return)]
    value_of = returns[0].value if len(returns) == 1 else None
    return None if value_of is None else _returned(value_of, maker.module, maker.node.body, depth - 1)


def _returned(value: ast.expr, module: _Module, body: Sequence[ast.stmt], depth: int) -> _Found | None:
    """The function or class that a decorator's call, or a name within a function, stands for."""
    added: frozenset[str] = frozenset()
    if isinstance(value, ast.Call) and _last_name(value.func) in ADDING and len(value.args) == 1:
        added, value = ADDING[_last_name(value.func)], value.args[0]
    inner = [node for node in body if isinstance(node, ast.FunctionDef) and _is(value, node.name)]
    found = _Found(inner[-1], module) if inner else _named(value, module, depth - 1)
    return None if found is None else _Found(found.node, found.module, found.owner, found.added | added)


def _member(found: _Found, rest: Sequence[str]) -> _Found | None:
    """A definition itself, or a method of the class that it is."""
    if not rest:
        return found
    if not isinstance(found.node, ast.ClassDef):
        return None
    method = _method(found.node, rest[0])
    return None if method is None else _Found(method, found.module, found.node)


def _method(owner: ast.ClassDef, name: str) -> Function | None:
    methods = [node for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return next((node for node in reversed(methods) if node.name == name), None)


def _source(statement: ast.ImportFrom, module: _Module) -> str:
    if not statement.level:
        return str(statement.module)
    parts = module.package.split(".")
    parts = parts[: len(parts) - statement.level + 1]
    return ".".join([*parts, statement.module] if statement.module else parts)


def _named(expression: ast.expr, module: _Module, depth: int, inside: Sequence[ast.stmt] = ()) -> _Found | None:
    """The definition that an expression such as `nn.Module` names in a module, or inside a function of it."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.insert(0, expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return None
    root = expression.id
    for statement in _statements([*inside, *module.tree.body]):
        for alias in statement.names if isinstance(statement, ast.Import) else ():
            if (alias.asname or alias.name.partition(".")[0]) == root:
                return _resolve(".".join([alias.name if alias.asname else root, *parts]), depth - 1)
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == root:  # `from torch import nn`
                    return _resolve(".".join([_source(statement, module), alias.name, *parts]), depth - 1)
    return _lookup(module, [root, *parts], depth)


def _last_name(expression: ast.expr) -> str:
    if isinstance(expression, ast.Call):
        return _last_name(expression.func)
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


def _keywords(found: _Found, depth: int) -> frozenset[str] | None:
    """What a definition takes by keyword."""
    added = set(found.added)
    for decorator in found.node.decorator_list:
        name = _last_name(decorator)
        if name in ADDING:
            added |= ADDING[name]
        elif name not in PLAIN_DECORATORS:
            return None
    node = found.node
    taken = _of_class(node, found.module, depth) if isinstance(node, ast.ClassDef) else _of_function(found, depth)
    return None if taken is None else taken | added


def _of_class(node: ast.ClassDef, module: _Module, depth: int) -> frozenset[str] | None:
    if f"{module.name}.{node.name}" in BARE:
        return frozenset()
    if node.keywords or _method(node, "__new__") is not None or depth <= 0:
        return None  # a metaclass, or an object that is made in another way
    constructor = _method(node, "__init__")
    if constructor is not None:
        return _keywords(_Found(constructor, module, node), depth)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id == "object":
            continue
        found = _named(base.value if isinstance(base, ast.Subscript) else base, module, depth - 1)
        if found is None or not isinstance(found.node, ast.ClassDef):
            return None
        if _has_constructor(found, depth - 1) is not False:
            return _keywords(found, depth - 1)
    return frozenset()


def _has_constructor(found: _Found, depth: int) -> bool | None:
    """Whether a class, or one that it derives from, has a constructor of its own; None where that is not known."""
    node = found.node
    if not isinstance(node, ast.ClassDef) or depth <= 0:
        return None
    if _method(node, "__init__") is not None or _method(node, "__new__") is not None:
        return True
    for base in node.bases:
        inner = _named(base.value if isinstance(base, ast.Subscript) else base, found.module, depth - 1)
        has = _has_constructor(inner, depth - 1) if inner is not None else None
        if has is not False:
            return has
    return False


def _of_function(found: _Found, depth: int) -> frozenset[str] | None:
    node = found.node
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    static = any(_last_name(decorator) == "staticmethod" for decorator in node.decorator_list)
    first = [argument.arg for argument in node.args.args]
    own = set(first[1:] if found.owner is not None and not static else first)
    own |= {argument.arg for argument in node.args.kwonlyargs}
    if node.args.kwarg is None:
        return frozenset(own)
    passed = _passed_on(node, node.args.kwarg.arg, found, depth - 1)
    return None if passed is None else frozenset(own | passed)


def _passed_on(node: Function, name: str, found: _Found, depth: int) -> set[str] | None:
    """What a function takes by `**name`, where it hands `name` on to calls, or reads single entries of it."""
    names: set[str] = set()
    overwritten: set[str] = set()
    # `if name: raise ...` refuses what is left over, and may well look at it.
    refusing = (i for i in ast.walk(node) if isinstance(i, ast.If) and _is(i.test, name))
    accounted = {id(part) for i in refusing if isinstance(i.body[-1], ast.Raise) for part in ast.walk(i)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            for argument in [*inner.args, *(keyword.value for keyword in inner.keywords)]:
                if _is(argument, name) and id(argument) not in accounted:
                    taken = _taken_by(inner, argument, found, depth)
                    if taken is None:
                        return None
                    names |= taken
                    accounted.add(id(argument))
            if isinstance(inner.func, ast.Attribute) and _is(inner.func.value, name):
                key = inner.args[0] if inner.args and inner.func.attr in ("pop", "get") else None
                if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                    return None
                names.add(key.value)
                accounted.add(id(inner.func.value))
        elif isinstance(inner, ast.Subscript) and _is(inner.value, name) and isinstance(inner.slice, ast.Constant):
            names.add(str(inner.slice.value))
            accounted.add(id(inner.value))
        elif isinstance(inner, ast.AugAssign) and _is(inner.target, name) and isinstance(inner.value, ast.Dict):
            overwritten |= {str(key.value) for key in inner.value.keys if isinstance(key, ast.Constant)}
            accounted.add(id(inner.target))
    seen = {id(inner) for inner in ast.walk(node) if _is(inner, name)}
    if not seen and found.module.name.partition(".")[0] in LIBRARIES:
        return set()
    return names - overwritten if seen and seen <= accounted else None


def _taken_by(call: ast.Call, argument: ast.expr, found: _Found, depth: int) -> set[str] | None:
    """What a call takes of a mapping that is handed over as `**mapping`, or as one argument."""
    if any(keyword.value is argument and keyword.arg is None for keyword in call.keywords):
        taken = _called(call, found, depth)
        return None if taken is None else set(taken)
    above = _named(call.func, found.module, depth, found.node.body)
    if above is None or isinstance(above.node, ast.ClassDef) or depth <= 0:
        return None
    names = [each.arg for each in above.node.args.args]
    place = next((place for place, each in enumerate(call.args) if each is argument), None)
    stated = next((keyword.arg for keyword in call.keywords if keyword.value is argument), None)
    parameter = stated if place is None else names[place] if place < len(names) else None
    return None if parameter is None else _passed_on(above.node, parameter, above, depth - 1)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _called(call: ast.Call, found: _Found, depth: int) -> frozenset[str] | None:
    """What a call still takes by keyword."""
    if depth <= 0 or any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    stated = {keyword.arg for keyword in call.keywords}
    function, owner = call.func, found.owner
    if isinstance(function, ast.Attribute) and _last_name(function.value) == "super" and owner is not None:
        above = _above(function, found, depth)
    elif isinstance(function, ast.Name) and owner is not None and function.id == "cls":
        above = _Found(owner, found.module)
    else:
        above = _named(function, found.module, depth, found.node.body)
    if above is None:
        return None
    taken = _keywords(above, depth)
    if taken is None:
        return None
    if call.args:
        taken -= frozenset(_positional(above, depth)[: len(call.args)])
    return taken - {name for name in stated if name is not None}


def _above(function: ast.Attribute, found: _Found, depth: int) -> _Found | None:
    """The class whose constructor `super().__init__` is; None where several could be meant."""
    owner, module = found.owner, found.module
    if isinstance(function.value, ast.Call) and function.value.args:  # super(Base, self)
        named = _named(function.value.args[0], module, depth)
        if named is None or not isinstance(named.node, ast.ClassDef):
            return None
        owner, module = named.node, named.module
    if owner is None or function.attr != "__init__" or not owner.bases:
        return None
    first = [_named(base.value if isinstance(base, ast.Subscript) else base, module, depth) for base in owner.bases]
    return first[0] if len(first) == 1 or (first[1:] == [None] and _last_name(owner.bases[1]) == "ABC") else None


def _positional(found: _Found, depth: int) -> list[str]:
    """The names of positional arguments, in their order, as far as they are known."""
    node = found.node
    if isinstance(node, ast.ClassDef):
        constructor = _method(node, "__init__")
        if constructor is None:
            bases = [_named(base, found.module, depth - 1) for base in node.bases[:1]]
            return _positional(bases[0], depth - 1) if bases and bases[0] is not None and depth > 0 else []
        return [argument.arg for argument in constructor.args.args][1:]
    return [argument.arg for argument in node.args.args]
