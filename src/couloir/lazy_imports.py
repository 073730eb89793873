"""Parts of large libraries are loaded when they are asked for, and not because another library mentions them.

Lightning imports `torch._dynamo` for one class of an `isinstance`, and TorchMetrics imports its audio metrics, and with
them SciPy's signals and statistics, for a classification. `defer()` puts a finder before Python's own (`importlib.abc`
documents finders and loaders): the modules of `DEFERRED` begin empty, with a module `__getattr__` (PEP 562). The names
of `Deferred.given` and `Deferred.found` are answered without loading the module. Any other name loads it in place, as
`import` would have done. So a library that one day asks for more than it does today gets it, and only takes longer.

`COULOIR_EAGER_IMPORTS=1` leaves everything to Python. What is computed is the same to the bit either way.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from logging import getLogger
from threading import RLock
from types import ModuleType
from typing import Any, Literal

SWITCH = "COULOIR_EAGER_IMPORTS"
KEPT = "__dynamo_disable"
"""The attribute in which torch's `_disable_dynamo` keeps what `torch._dynamo.disable` gave it."""
DYNAMO, PLOTS = "torch._dynamo", "torchmetrics.utilities.plot"


@dataclass(frozen=True)
class Deferred:
    """What a module says before it is loaded.

    Args:
        given: stand-ins by name; loading the module replaces them in it.
        found: where a name of a package is defined. It is the package's own object, without the rest of the package.
        parts: submodules that can be imported without loading the package itself; any other loads it first.
        first: submodules that are imported in this order as soon as the package is, because others need them. If one
            cannot be imported alone, in a version that is built in another way, the package is loaded whole instead.
        once_loaded: called after loading, to undo what was done in the module's place.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] | Literal["all"] = ()
    first: tuple[str, ...] = ()
    once_loaded: Callable[[], None] = lambda: None


class CompiledLater(type):
    """The class of a stand-in for `OptimizedModule`: without dynamo, there is no compiled module that could be one."""

    def __instancecheck__(cls, instance: object) -> bool:
        known = vars(sys.modules[DYNAMO])["OptimizedModule"] if DYNAMO in sys.modules else cls
        return known is not cls and isinstance(instance, known)


class OptimizedModule(metaclass=CompiledLater):
    """What `isinstance` is asked about by Lightning."""


_left_alone: list[tuple[Any, bool]] = []
"""Functions of torch's optimizers that dynamo shall not compile, and whether what they call is left alone too."""


def _disable(fn: Any = None, recursive: bool = True, **others: Any) -> Any:
    """`torch._dynamo.disable`: as long as nothing compiles, a function that shall not be compiled is as it is.

    torch's own `_disable_dynamo` (`wrapping=False`) keeps the answer in an attribute, which can be set again later.
    For others, Lightning's `log` among them, a wrapper asks at each call.
    """
    if fn is None or not callable(fn) or isinstance(fn, type):
        return loaded(DYNAMO).disable(fn, recursive, **others)
    if others == {"wrapping": False}:
        _left_alone.append((fn, recursive))
        return fn

    disabled = fn

    @functools.wraps(fn)
    def left_alone(*arguments: Any, **keys: Any) -> Any:
        nonlocal disabled
        if disabled is fn and (DYNAMO in sys.modules and _asked(DYNAMO) is None):
            disabled = sys.modules[DYNAMO].disable(fn, recursive, **others)
        return disabled(*arguments, **keys)

    return left_alone


def _disable_now() -> None:
    """Hand over what `_disable` has answered to torch's own optimizers."""
    for fn, recursive in _left_alone:
        setattr(fn, KEPT, sys.modules[DYNAMO].disable(fn, recursive, wrapping=False))
    _left_alone.clear()


def _called_later(module: str, name: str) -> Callable[..., Any]:
    """A function that loads its module when it is called."""
    return lambda *arguments, **keys: getattr(loaded(module), name)(*arguments, **keys)


DEFERRED = {
    DYNAMO: Deferred(
        given={"OptimizedModule": OptimizedModule, "disable": _disable, "graph_break": lambda *_, **__: None},
        once_loaded=_disable_now,
    ),
    "torch._inductor": Deferred(parts=("config", "custom_graph_pass")),  # for `use_deterministic_algorithms`
    "torchmetrics": Deferred(
        given={"_logger": getLogger("torchmetrics")},
        found={
            "Metric": "torchmetrics.metric",
            "MetricCollection": "torchmetrics.collections",
            "__version__": "torchmetrics.__about__",
        },
        parts="all",
        first=tuple(f"torchmetrics.{name}" for name in ("utilities", "collections", "classification")),
    ),
    "torchmetrics.functional": Deferred(parts="all"),
    PLOTS: Deferred(
        given={
            **dict.fromkeys(("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE"), object),  # in annotations only
            **{
                name: _called_later(PLOTS, name)
                for name in ("plot_single_or_multi_val", "plot_confusion_matrix", "plot_curve")
            },
        }
    ),
}


LARGE = {"couloir.config.check", "couloir.run.train", "couloir.run.conclusion", "torch", "pytorch_lightning"}
"""What imports so much that the garbage collector would go through it again and again."""


def defer() -> None:
    """From now on, leave the modules of `DEFERRED` empty until they are asked for, unless the switch forbids it."""
    if os.environ.get(SWITCH) != "1" and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_to_blame(error: BaseException) -> bool:
    """Whether a library of `DEFERRED` could not import a part of itself, which in another order it may."""
    import traceback

    if not isinstance(error, ImportError) or isinstance(error, ModuleNotFoundError):
        return False
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    roots = {name.partition(".")[0] for name in DEFERRED}
    put_off = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    return put_off and bool(frames) and frames[-1].partition(".")[0] in roots


def loaded(name: str) -> Any:
    """A module, after loading it if it was put off."""
    module = importlib.import_module(name)
    if ask := _asked(name):
        ask.load()
    return module


def _asked(name: str) -> _Asked | None:
    """What answers for a module that was put off; none for one that is loaded."""
    ask = vars(sys.modules[name]).get("__getattr__") if name in sys.modules else None
    return ask if isinstance(ask, _Asked) else None


@contextmanager
def uncollected() -> Iterator[None]:
    """Import and compose without the cyclic garbage collector, which goes through all the new objects again and again.

    What is there at the end is left out of later collections (`gc.freeze`): modules stay.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _Finder(MetaPathFinder):
    """Finds what is put off where Python would find it, and puts it off."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if target is not None:  # loaded before, and now again
            return None
        package, _, name = fullname.rpartition(".")
        ask = _asked(package) if package in DEFERRED else None
        if (
            ask is not None
            and not ask.loading
            and DEFERRED[package].parts != "all"
            and name not in DEFERRED[package].parts
        ):
            ask.load()
            if fullname in sys.modules:  # the package has imported it
                return ModuleSpec(fullname, _There(sys.modules[fullname]))
        if fullname not in DEFERRED and not (fullname in LARGE and gc.isenabled()):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            if fullname in DEFERRED:
                spec.loader = _Later(spec.loader, DEFERRED[fullname])
            else:
                spec.loader = _Uncollected(spec.loader)
        return spec


class _Uncollected(Loader):
    """Loads a module, and what it imports, while nothing is collected."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"].loader = vars(module)["__loader__"] = self.loader
        with uncollected():
            self.loader.exec_module(module)


class _There(Loader):
    """Hands out a module that was loaded while it was being looked for."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _Later(Loader):
    """Leaves a module empty, but for what it says before it is loaded."""

    def __init__(self, loader: Loader, deferred: Deferred) -> None:
        self.loader, self.deferred = loader, deferred

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        attributes = vars(module)
        attributes["__spec__"].loader = attributes["__loader__"] = self.loader
        attributes |= self.deferred.given
        attributes["__getattr__"] = _Asked(module, self.loader, self.deferred)
        try:
            for name in self.deferred.first:
                importlib.import_module(name)
        except Exception:  # noqa: BLE001  whatever it is, the package itself knows its order
            for name in [name for name in sys.modules if name.startswith(f"{module.__name__}.")]:
                del sys.modules[name]
            loaded(module.__name__)


class _Asked:
    """The `__getattr__` of a module that was put off: asked for a name that is not there yet."""

    def __init__(self, module: ModuleType, loader: Loader, deferred: Deferred) -> None:
        self.module, self.loader, self.deferred = module, loader, deferred
        self.lock, self.loading = RLock(), False

    def __call__(self, name: str) -> Any:
        if name == "__path__":  # no package; `from module import name` asks
            raise AttributeError(name)
        if name in self.deferred.found and not self.loading:
            return getattr(importlib.import_module(self.deferred.found[name]), name)
        self.load()
        return getattr(self.module, name)

    def load(self) -> None:
        """Load the module in place; one thread does, and others wait for it.

        Raises:
            AttributeError: the module itself asks, while it is being loaded.
        """
        attributes = vars(self.module)
        with self.lock:
            if self.loading:
                raise AttributeError(f"module '{self.module.__name__}' is not loaded whole yet")
            if attributes.get("__getattr__") is not self:
                return
            for name in self.deferred.given:
                del attributes[name]
            self.loading = True
            try:
                self.loader.exec_module(self.module)
            finally:
                self.loading = False
            if attributes.get("__getattr__") is self:
                del attributes["__getattr__"]
            self.deferred.once_loaded()
