"""A user's own initializer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from couloir.errors import CouloirError


def custom(net: nn.Module, function: str) -> None:
    """Hand the network to the user's function, which sets its parameters in place.

    Args:
        net: the network.
        function: dotted path of a callable `net -> None`, such as `mymodule.my_init`.

    Raises:
        CouloirError: the path does not lead to a callable.
    """
    _find(function)(net)


def _find(path: str) -> Callable[[nn.Module], Any]:
    place = f"initializer.function={path}"
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise CouloirError(
            f"'{path}' is not the dotted path of a function.",
            place=place,
            next_step="name the module and the function, such as initializer.function=mymodule.my_init",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise CouloirError(
            f"The module '{module_name}' cannot be imported: {error}",
            place=place,
            next_step=f"check the spelling, and that {module_name.partition('.')[0]}.py lies in the working directory "
            "or is installed",
        ) from error
    found = getattr(module, name, None)
    if callable(found):
        function: Callable[[nn.Module], Any] = found
        return function
    named = f"'{name}' of the module '{module_name}'"
    if hasattr(module, name):
        fact, step = f"{named} is not a function: {found!r}", "name a function that takes the network"
    else:
        fact, step = f"There is no {named}.", f"check the spelling, or define it in {module.__file__ or module_name}"
    raise CouloirError(fact, place=place, next_step=step)
