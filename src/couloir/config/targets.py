"""What a configuration may call: targets below allowed roots. Nothing here imports torch, or a target's module.

A configuration is data that may come from anywhere, and `_target_` names code that is run. What can be known of a name
is checked here; what only the object can tell, `couloir.config.build` checks.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from couloir.config import contract
from couloir.config.omegaconf_private import is_filled, stored
from couloir.errors import CouloirError, display

KEY = "allow_targets"
"""The key of the root file that extends the roots."""
_GROUPS = (
    "augmentation", "averaging", "callbacks", "data", "finetune", "initializer", "logger.tensorboard", "loss", "metric",
    "model", "momentum_schedule", "optimizer", "pruner", "scheduler", "sweep.samplers", "task", "trainer", "tta",
)  # fmt: skip
_PARTS = {
    "couloir": _GROUPS,
    "torch": ("nn", "optim", "utils.data", "distributions", "linalg", "special", "fft", "amp"),
    "torchmetrics": (),
    "pytorch_lightning": ("Trainer", "callbacks", "loggers", "plugins", "profilers", "strategies"),
}
ROOTS = tuple(f"{root}.{part}" if part else root for root, parts in _PARTS.items() for part in parts or ("",))
"""What a configuration may name besides the functions of torch itself (`torch.tanh`) and the user's own modules."""
NEVER = {
    "torch.hub": "fetches code and runs it",
    "torch.utils.model_zoo": "fetches files and unpickles them",
    "torch.load": "can unpickle, and a pickle can run code",
    "torch.serialization": "can unpickle, and a pickle can run code",
    "torch.package": "loads code out of an archive",
    "torch.jit": "loads and compiles code",
    "torch.export": "loads and compiles code",
    "torch.import_ir_module": "loads code",
    "torch.utils.cpp_extension": "compiles and loads code",
    "torch.utils.collect_env": "runs commands",
    "torch.ops": "loads libraries",
    "torch.classes": "loads libraries",
    "torch.save": "writes files anywhere",
    "torch.from_file": "writes files anywhere",
    "couloir.download": "writes files anywhere",
    "couloir.data.cache": "removes files",
}
"""What no configuration calls, whatever the roots are, and why."""
NEVER_NAMED = {
    "load_from_checkpoint": "can unpickle, and a pickle can run code",
    "load_state_dict_from_url": "fetches files and unpickles them",
    "load_library": "loads libraries",
    "from_file": "writes files anywhere",
}
"""The same for methods, whatever class has them."""
FUNCTION = ("couloir.initializer.custom.custom", "function")
"""A target, and its key that names a function as `_target_` does."""
DEEPEST = 40
"""Levels of a configuration; one that refers to itself has no end."""

Place = Callable[[str], str | None]
"""Where a key was set, in words."""


def check_targets(cfg: DictConfig, allowed: Sequence[str], place: Place, within: str = "") -> None:
    """Look at every target of a configuration, at any depth, also behind references.

    Args:
        cfg: the configuration, or a part of it.
        allowed: roots besides the usual ones.
        place: says where a key was set.
        within: the path of the part.

    Raises:
        CouloirError: the first target that is not under an allowed root.
    """
    for root in allowed:
        _check_root(root, place)
    # What is written out is checked before references are followed: to follow one may already need the data's target.
    for follow in (False, True):
        for path, target in named_targets(cfg, follow, within):
            reason = refused(target, allowed)
            if reason is not None:
                raise refusal(path, target, reason, place(path))


def refusal(path: str, target: Any, reason: str, place: str | None) -> CouloirError:
    """What is said of a target that is not called."""
    steps = [f"a configuration names parts of {', '.join(_PARTS)}, and of your own modules below the working directory"]
    package = _package(str(target))
    if package is not None:
        steps.append(f"if you trust {package}: {KEY}=[{package}]")
    return CouloirError(f"{path} names {target}, {reason}.", place=place, next_step="; ".join(steps))


def _package(target: str) -> str | None:
    """What would have to be added to the roots for a target, where that can be done."""
    parts = target.split(".")
    package = ".".join(parts[:2]) if parts[0] in _PARTS else parts[0]
    closed = not _is_dotted(target) or _is_closed(package) or never(target) is not None or _spec(parts[0]) is None
    return None if closed or _strange_part(parts) or any(part.startswith("_") for part in parts) else package


def _is_closed(root: str) -> bool:
    """Whether nothing can add these to the roots."""
    package = root.partition(".")[0]
    return package == "couloir" or package in sys.stdlib_module_names or never(root) is not None


def extended(cfg: Any) -> list[str]:
    """The roots that a configuration adds to the usual ones.

    Raises:
        CouloirError: the key holds something else than a list of names.
    """
    value = cfg.get(KEY) if OmegaConf.is_dict(cfg) else None
    roots = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value or []
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise CouloirError(f"{KEY} takes a list of packages, not {roots}.", next_step=f"{KEY}=[my_pkg]")
    return [str(root) for root in roots]


def typed_roots(cfg: DictConfig, overrides: Sequence[str], place: Place) -> list[str]:
    """The roots that the user has typed: a file that could extend them could name whatever it likes.

    Raises:
        CouloirError: a file extends them.
    """
    roots = extended(cfg)
    if roots and not any(item.lstrip("+").startswith(f"{KEY}=") for item in overrides):
        raise CouloirError(
            f"{KEY} is set in a file, so the file itself would decide what it may call.",
            place=place(KEY),
            next_step=f"remove it there; if you trust these packages, type {KEY}=[{','.join(roots)}]",
        )
    return roots


def roots_of(overrides: Sequence[str]) -> list[str]:
    """The roots that overrides add to the usual ones, for a configuration that was composed before.

    Raises:
        CouloirError: the value is no list of names.
    """
    typed = [item.lstrip("+") for item in overrides if item.lstrip("+").startswith(f"{KEY}=")]
    try:
        value = OverridesParser.create().parse_override(typed[-1]).value() if typed else []
    except HydraException:
        value = typed[-1]
    return extended(OmegaConf.create({KEY: value}))


def named_targets(node: Any, follow: bool, path: str = "") -> Iterator[tuple[str, Any]]:
    """The paths and values of all targets in a configuration.

    Args:
        node: a node of it.
        follow: look behind references as well.
        path: the node's own path.

    Raises:
        CouloirError: the configuration has no end.
    """
    if path.count(".") + path.count("[") > DEEPEST:
        raise CouloirError(f"The configuration is nested too deeply, or refers to itself: {path[:80]}...")
    if OmegaConf.is_dict(node) and is_filled(node):
        for key in node.keys():  # noqa: SIM118  iteration would leave out what is missing
            inner = f"{path}.{key}" if path else str(key)
            is_target = key == "_target_" or (key == FUNCTION[1] and stored(node, "_target_") == FUNCTION[0])
            value = _value(node, key, follow or is_target)
            if not is_target or OmegaConf.is_config(value):
                yield from named_targets(value, follow, inner)
            if is_target and value != "???":
                yield inner, value
    elif OmegaConf.is_list(node) and is_filled(node):
        for index in range(len(node)):
            yield from named_targets(_value(node, index, follow), follow, f"{path}[{index}]")


def _value(node: Any, key: Any, follow: bool) -> Any:
    """A node's entry; None where it is a reference that is not to be followed, or that leads nowhere."""
    if not OmegaConf.is_interpolation(node, key):
        return stored(node, key)
    if not follow:
        return None
    try:
        return node[key]
    except (OmegaConfBaseException, RecursionError):
        return None  # is said when the value is needed


def refused(target: Any, allowed: Sequence[str] = ()) -> str | None:
    """Why a target is not called, as far as its name says it; None where nothing speaks against it.

    Args:
        target: what a `_target_` holds.
        allowed: roots besides the usual ones.
    """
    if not isinstance(target, str) or not _is_dotted(target):
        return "it is not the dotted path of a class or a function"
    if target.startswith("__main__."):
        return None if _own("__main__") else "which is not of your project"
    parts = target.split(".")
    reason = never(target)
    if reason is not None:
        return reason
    if any(part.startswith("_") for part in parts):
        return "which is private"
    if parts[0] in sys.stdlib_module_names:
        return "of Python's own library, which a configuration never calls"
    strange = _strange_part(parts)
    if strange is not None:
        return f"whose {strange} is Python's own library, which a configuration never calls"
    if not (under(target, (*ROOTS, *allowed)) or (parts[0] == "torch" and len(parts) == 2)):
        if parts[0] in _PARTS:
            return f"which is not a part of {parts[0]} that a configuration may name"
        spec = _spec(parts[0])
        if spec is not None and not _is_below_here(spec):  # where there is none, the import will say so
            return "which a configuration may not call"
    return None


def never(target: str) -> str | None:
    """Why no configuration may call a target, whatever the roots are."""
    for name, why in NEVER.items():
        if target == name or target.startswith((f"{name}.", f"{name}_")):
            return f"which a configuration never calls: it {why}"
    why = NEVER_NAMED.get(target.rpartition(".")[2], "")
    return f"which a configuration never calls: it {why}" if why else None


def under(target: str, roots: Sequence[str]) -> bool:
    """Whether a dotted path is one of some roots, or lies below one."""
    return any(target == root or target.startswith(f"{root}.") for root in roots)


def _check_root(root: str, place: Place) -> None:
    fact = None
    if not _is_dotted(root) and not root.isidentifier():
        fact = f"{KEY} takes names of packages, not '{root}'."
    elif _is_closed(root) or root in _PARTS:
        fact = f"{KEY} names {root}, which a configuration never calls as a whole."
    if fact is not None:
        raise CouloirError(fact, place=place(KEY), next_step=f"name a package that you trust: {KEY}=[my_pkg]")


def _is_dotted(target: str) -> bool:
    parts = target.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def _strange_part(parts: list[str]) -> str | None:
    """The first part that is a module of Python's own and no module of the package: `os` in `torch.os.system`."""
    spec = _spec(parts[0])
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec is not None else []
    for part in parts[1:]:
        inside = [folder / part for folder in folders]
        is_module = any(path.is_dir() or path.with_suffix(".py").is_file() for path in inside)
        if not is_module and part in sys.stdlib_module_names:
            return part
        folders = inside if is_module else []
    return None


def _spec(root: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(root)  # of a root, it imports nothing
    except (ImportError, ValueError):
        return None


def _own(root: str) -> bool:
    """Whether a module is the user's own: a notebook, or a file below the working directory."""
    if root == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        return file is None or _is_here(Path(file))
    spec = _spec(root)
    return spec is not None and _is_below_here(spec)


def own(module: str) -> bool:
    """Whether a module, by its dotted name, is of the user's own project."""
    root = module.partition(".")[0]
    return root not in sys.stdlib_module_names and _own(root)


def _is_below_here(spec: ModuleSpec) -> bool:
    found = [spec.origin] if spec.origin and spec.has_location else list(spec.submodule_search_locations or [])
    return bool(found) and all(_is_here(Path(path)) for path in found)


def _is_here(file: Path) -> bool:
    """Whether a file is of the project in the working directory, and not of an environment that lies there too."""
    here = Path.cwd()
    for path in (file.absolute(), file.resolve()):
        for folder in (here, here.resolve()):
            if path.is_relative_to(folder):
                return not {"site-packages", "dist-packages"} & set(path.relative_to(folder).parts)
    return False


def place_in(file: Path) -> Place:
    """Says where in one YAML file a key was set."""

    def place(path: str) -> str:
        lines = {key.path: key.line for key in contract.read_keys(file)}
        for name in ancestry(path):
            if name in lines:
                return f"{display(file)}, line {lines[name]}"
        return display(file)

    return place


def ancestry(path: str) -> list[str]:
    """A key's path and those of the keys that it stands below, nearest first: `a.b[0].c`, `a.b[0]`, `a.b`, `a`."""
    parts = path.replace("[", ".[").split(".")
    return [".".join(parts[:count]).replace(".[", "[") for count in range(len(parts), 0, -1)]
